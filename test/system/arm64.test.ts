import { join } from 'node:path';
import { judgeVisit, logitTolerance } from '@fleetlora/bench/arm64';
import { findArm64Boards } from '@fleetlora/bench/lib/arm64-boards';
import { compareLogits } from '@fleetlora/bench/lib/compare-logits';
import { visitBoard } from '@fleetlora/bench/lib/visit-board';
import t from 'tap';
import { tempFolder } from '../lib/temp-folder.js';

const found = findArm64Boards();
const boards = typeof found === 'string' ? [] : found;
/** Where a change is judged, a proof that did not happen is a failure. */
const skip = typeof found === 'string' && process.env.FLEETLORA_REQUIRE_ARM64 !== '1' ? found : false;

t.test('the emulator and its programs are here', { skip }, async (t) => {
  t.same(
    boards.map(({ cpu }) => cpu),
    ['cortex-a72', 'cortex-a76'],
    typeof found === 'string' ? found : 'both',
  );
});

for (const board of boards)
  t.test(
    `an emulated ${board.cpu} enrols, measures 4 candidates, installs a release and serves it`,
    { timeout: 400_000 },
    async (t) => {
      const visit = await visitBoard(board, await tempFolder(t), (text) => t.comment(text));
      for (const [name, holds] of Object.entries(judgeVisit(visit))) t.ok(holds, name);
      if (!t.passing()) t.comment(JSON.stringify(visit, null, 1).slice(0, 20_000));
      t.match(visit.facts.cpuModel, new RegExp(board.cpu, 'i'));
    },
  );

t.test(
  `float32 logits of 4 sub-networks differ from this processor's by at most ${logitTolerance}`,
  { skip: skip || boards.length === 0 },
  async (t) => {
    const distances = await compareLogits(boards, join(await tempFolder(t), 'logits'));
    for (const { cpu, candidates, largest, sameToken } of distances) {
      t.equal(candidates, 4, cpu);
      t.ok(largest <= logitTolerance, `${cpu}: ${largest}`);
      t.equal(sameToken, candidates, `${cpu}: the likeliest token of each`);
    }
  },
);
