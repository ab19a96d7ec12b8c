import type { Base } from '@fleetlora/shared/protocol';
import { precisions } from '@fleetlora/shared/space';
import { formatBytes } from '@fleetlora/shared/units';
import type { CliContext } from './context.js';
import { renderFields } from './table.js';

/** "fp32 30 MB, q4 4.7 MB": the weight files of a base. */
export function describeBaseFiles({ files }: Pick<Base, 'files'>): string {
  return precisions
    .flatMap((precision) => {
      const file = files[precision];
      return file ? [`${precision} ${formatBytes(file.bytes)}`] : [];
    })
    .join(', ');
}

/** A base in detail. */
export function renderBase(context: CliContext, base: Base): string {
  const { layers, hidden, ffnWidth, kvHeads, vocab } = base;
  const heads = kvHeads === null ? '' : `, ${kvHeads} key/value heads`;
  return renderFields(context, [
    ['base', `${base.name}  ${base.id}`],
    ['parameters', `${(base.parameters / 1e6).toFixed(2)} M`],
    ['shape', `${layers} layers, hidden ${hidden}, FFN ${ffnWidth}${heads}, vocabulary ${vocab}`],
    ['weight files', describeBaseFiles(base)],
    ['sha256', base.digest],
    ...describeOrigin(base),
  ]);
}

/** How its weights were made of another base's. */
function describeOrigin({ pruning, merged }: Base): [string, string][] {
  const fields: [string, string][] = [];
  if (pruning) {
    const { sparsity, method, rows, tokens } = pruning;
    fields.push(['sparsity', `${sparsity} by ${method}, calibrated on ${rows} rows of ${tokens} tokens`]);
  }
  if (merged) fields.push(['merged', merged.genome]);
  return fields;
}
