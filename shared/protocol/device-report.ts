import { type Static, Type } from 'typebox';
import { Bytes, closed, LongText, Nullable, ShortText } from './fields.js';
import { energySources, Measurement } from './measurement.js';
import { Qualification } from './qualification.js';

/** Marks the file, whatever it is named. */
export const deviceReportFormat = 'fleetlora-report';

const Megahertz = Type.Integer({ minimum: 1, maximum: 100_000 });
const Celsius = Type.Number({ minimum: -100, maximum: 300 });

/** What the machine is; nothing that tells one machine of a kind from another. */
export const Hardware = Type.Object(
  {
    /** As its maker calls it, such as "Raspberry Pi 5 Model B Rev 1.0"; null when it does not tell. */
    board: Nullable(ShortText),
    cpuModel: ShortText,
    arch: ShortText,
    /** Cores that a process may use. */
    cores: Type.Integer({ minimum: 1, maximum: 4096 }),
    /** All cores, the fastest kind first; empty where the system does not tell, or the processor is emulated. */
    coreKinds: Type.Array(
      Type.Object(
        {
          count: Type.Integer({ minimum: 1, maximum: 4096 }),
          model: ShortText,
          maxMHz: Nullable(Megahertz),
        },
        closed,
      ),
      { maxItems: 16 },
    ),
    /** Of the first core, nearest first; empty as above. */
    caches: Type.Array(
      Type.Object(
        {
          level: Type.Integer({ minimum: 1, maximum: 4 }),
          type: Type.Enum(['data', 'instruction', 'unified']),
          bytes: Bytes,
          /** Cores that share it. */
          cores: Type.Integer({ minimum: 1, maximum: 4096 }),
        },
        closed,
      ),
      { maxItems: 16 },
    ),
    /** Instruction sets that matrix products use, as the kernel names them. */
    instructions: Type.Array(ShortText, { maxItems: 32 }),
    memoryBytes: Bytes,
    emulated: Type.Boolean(),
    /** Null where a processor does not tell: only x86 has a mark for it. */
    virtualMachine: Nullable(Type.Boolean()),
  },
  closed,
);
export type Hardware = Static<typeof Hardware>;

export const ReportedSoftware = Type.Object(
  {
    agent: ShortText,
    runtime: ShortText,
    provider: ShortText,
    node: ShortText,
    os: ShortText,
    distribution: Nullable(ShortText),
  },
  closed,
);
export type ReportedSoftware = Static<typeof ReportedSoftware>;

/** What the machine can tell while it measures. */
export const ReportedSensors = Type.Object(
  {
    /** Thermometers, each with what it said and from where on it slows the processor down. */
    thermometers: Type.Array(
      Type.Object({ name: ShortText, celsius: Celsius, slowsFromC: Nullable(Celsius) }, closed),
      { maxItems: 256 },
    ),
    /** Something counts or tells throttling. */
    throttling: Type.Boolean(),
    governor: Nullable(ShortText),
    onMains: Nullable(Type.Boolean()),
    energy: Nullable(Type.Enum([...energySources])),
  },
  closed,
);
export type ReportedSensors = Static<typeof ReportedSensors>;

/** The standard candidate does not run on this device. */
export const Infeasible = Type.Object({ infeasible: LongText }, closed);
export type Infeasible = Static<typeof Infeasible>;

/**
 * The file of `fleetlora-agent report`, for showing to strangers. The schema is closed, and it has
 * no field for a name, an id, an address, a serial number or a path.
 */
export const DeviceReport = Type.Object(
  {
    format: Type.Literal(deviceReportFormat),
    version: Type.Literal(1),
    /** By the device's clock, which may be wrong. */
    day: Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$' }),
    /** Too short to be compared with anything. */
    quick: Type.Boolean(),
    hardware: Hardware,
    software: ReportedSoftware,
    sensors: ReportedSensors,
    qualification: Type.Union([Qualification, Infeasible]),
    /** The standard candidate with one thread, and with one on each core where there are several. */
    benchmark: Type.Array(
      Type.Object(
        {
          standard: ShortText,
          threads: Type.Integer({ minimum: 1, maximum: 256 }),
          result: Type.Union([Measurement, Infeasible]),
        },
        closed,
      ),
      { minItems: 1, maxItems: 2 },
    ),
  },
  closed,
);
export type DeviceReport = Static<typeof DeviceReport>;
