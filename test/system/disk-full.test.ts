import { behaved, visitDiskPlaces } from '@fleetlora/bench/disk';
import { enterOwnMounts } from '@fleetlora/bench/lib/own-mounts';
import t from 'tap';
import { tempFolder } from '../lib/temp-folder.js';

const noMounts = enterOwnMounts() ?? false;

/** Every place, and what its error must name: what could not be written, free and needed bytes. */
const wanted: Readonly<Record<string, RegExp>> = {
  'upload, its length told':
    /^507 cannot write the upload to incoming\/.*1048576 bytes are free, 3145728 are needed/,
  'upload, as a stream': /^507 cannot write the upload to incoming\/.*: the disk is full/,
  'upload by a command': /^DISK_FULL.*disk is full/,
  'data set import': /^507 cannot write .*: the disk is full/,
  'base import': /^507 cannot write content\/.*16384 bytes are free, \d+ are needed/,
  'training checkpoint': /^cannot write training\/.*checkpoint.*: the disk is full.*waits for space/,
  'database write': /^507 no space is left for the database/,
  'artifact download': /^cannot write partial\/.*12288 bytes are free, \d+ are needed; waiting for space/,
  'merging on the device': /^cannot write scratch\/.*: the disk is full.*waiting for space/,
  'outbox write': /^cannot write outbox\/.*0 bytes are free, \d+ are needed; waiting for space/,
  'release packaging': /^507 cannot write content\/.*8192 bytes are free, \d+ are needed/,
  'installation on the device': /cannot write .*: the disk is full.*waiting for space/,
};

t.test(
  'a full disk in every place that writes: told, nothing half-written left, gone on by itself',
  { skip: noMounts, timeout: 180_000 },
  async (t) => {
    const places = await visitDiskPlaces(await tempFolder(t), (text) => t.comment(text));
    t.same(
      places.map(({ place }) => place),
      Object.keys(wanted),
    );
    for (const found of places) {
      t.match(found.error, wanted[found.place], `${found.place}: the error`);
      t.same(found.left, [], `${found.place}: nothing half-written is left`);
      t.ok(behaved(found), `${found.place}: went on: ${found.wentOn ?? found.trouble}`);
    }
  },
);
