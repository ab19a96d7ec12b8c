import * as protocol from '@fleetlora/shared/protocol';
import { fieldNotes } from './field-notes.js';

/**
 * Schemas of bodies and answers that have a name in the document, so that generated clients get types
 * with names. Written out here: what the protocol exports beside them is for messages and fields.
 */
const named = {
  ApiError: protocol.ApiError,
  Upload: protocol.Upload,
  BaseImport: protocol.BaseImport,
  Calibration: protocol.Calibration,
  BasePrune: protocol.BasePrune,
  BasePruning: protocol.BasePruning,
  BaseMerged: protocol.BaseMerged,
  BaseQuantise: protocol.BaseQuantise,
  Base: protocol.Base,
  AdapterImport: protocol.AdapterImport,
  Adapter: protocol.Adapter,
  DatasetImport: protocol.DatasetImport,
  DatasetTask: protocol.DatasetTask,
  DatasetReport: protocol.DatasetReport,
  Dataset: protocol.Dataset,
  TrainingOptions: protocol.TrainingOptions,
  TrainingStart: protocol.TrainingStart,
  AdapterExport: protocol.AdapterExport,
  AdapterExported: protocol.AdapterExported,
  AdapterTune: protocol.AdapterTune,
  AdapterMerge: protocol.AdapterMerge,
  TuneOptions: protocol.TuneOptions,
  Training: protocol.Training,
  CodeCreate: protocol.CodeCreate,
  Code: protocol.Code,
  DeviceFacts: protocol.DeviceFacts,
  Enroll: protocol.Enroll,
  Enrolled: protocol.Enrolled,
  Conditions: protocol.Conditions,
  Device: protocol.Device,
  Labels: protocol.Labels,
  DevicePolicy: protocol.DevicePolicy,
  PolicySet: protocol.PolicySet,
  ScopedPolicy: protocol.ScopedPolicy,
  MeasurePlan: protocol.MeasurePlan,
  SearchStart: protocol.SearchStart,
  Search: protocol.Search,
  Score: protocol.Score,
  Measurement: protocol.KeptMeasurement,
  Trial: protocol.Trial,
  Front: protocol.Front,
  TrialComparison: protocol.TrialComparison,
  ReleaseCreate: protocol.ReleaseCreate,
  SignedManifest: protocol.SignedManifest,
  Release: protocol.Release,
  RolloutStart: protocol.RolloutStart,
  Rollout: protocol.Rollout,
  Retention: protocol.Retention,
  GarbageReport: protocol.GarbageReport,
  Health: protocol.Health,
} as const;

export interface NamedSchemas<T> {
  /** The value with a `$ref` in place of each schema that has a name. */
  readonly value: T;
  /** Those schemas by name, for `components.schemas`; they refer to each other as well. */
  readonly schemas: Readonly<Record<string, unknown>>;
}

/** Replaces schemas by references to their names. Examples are values and stay as they are. */
export function nameSchemas<T>(value: T): NamedSchemas<T> {
  const nameOf = new Map(Object.entries(named).map(([name, schema]) => [textOf(schema), name]));
  const replace = (node: unknown): unknown => {
    if (typeof node !== 'object' || node === null) return node;
    const name = nameOf.get(textOf(node));
    return name === undefined ? within(node) : { $ref: `#/components/schemas/${name}` };
  };
  const within = (node: object): unknown =>
    Array.isArray(node)
      ? node.map(replace)
      : Object.fromEntries(
          Object.entries(node).map(([key, inner]) => [
            key,
            key === 'example' || key === 'examples' ? inner : replace(inner),
          ]),
        );
  return {
    value: replace(value) as T,
    schemas: Object.fromEntries(
      Object.entries(named).map(([name, schema]) => [
        name,
        annotate(name, within(JSON.parse(textOf(schema)) as object) as ObjectSchema),
      ]),
    ),
  };
}

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, object>>;
}

/** The schema with what is noted of its fields. Beside a `$ref` a description is allowed since 3.1. */
function annotate(name: string, schema: ObjectSchema): ObjectSchema {
  const notes = (fieldNotes as Readonly<Record<string, Readonly<Record<string, string>>>>)[name];
  if (!notes || !schema.properties) return schema;
  return {
    ...schema,
    properties: Object.fromEntries(
      Object.entries(schema.properties).map(([field, node]) => [
        field,
        { ...node, description: notes[field] },
      ]),
    ),
  };
}

/** As the generator writes a schema: it knows no `patternProperties`. */
function textOf(schema: object): string {
  return JSON.stringify(schema, (key, value: unknown) => {
    if (key === 'example' || key === 'examples' || typeof value !== 'object' || value === null) return value;
    if (!('patternProperties' in value)) return value;
    const { patternProperties, ...rest } = value as { patternProperties: Record<string, unknown> };
    return { ...rest, additionalProperties: Object.values(patternProperties)[0] };
  });
}
