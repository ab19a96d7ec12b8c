import type {
  AdapterExport,
  AdapterImport,
  AdapterMerge,
  AdapterTune,
  BaseImport,
  BasePrune,
  BaseQuantise,
  Calibration,
  CodeCreate,
  DatasetImport,
  DevicePolicy,
  Enroll,
  MeasurePlan,
  ReleaseCreate,
  Retention,
  RolloutStart,
  SearchStart,
  TrainingOptions,
  TrainingStart,
  TuneOptions,
} from '@fleetlora/shared/protocol';

/** A sentence for each field; one that is new does not compile without. */
type NotesOf<T> = Readonly<Record<keyof T, string>>;

const kept = 'Null keeps them for ever.';

/** Of every training. */
const runNotes = {
  steps: 'Optimiser steps.',
  batchRows: 'Rows a step.',
  learningRate: 'Peak of the cosine.',
  warmupSteps: 'Steps of linear warm-up.',
  weightDecay: 'Of AdamW.',
  clipNorm: 'Largest gradient norm.',
  maxTokens: 'Longer rows lose tokens at their start.',
  seed: 'The same seed, data and options give the same adapter.',
  checkpointEverySteps: 'Steps between checkpoints.',
  threads: 'Processor threads.',
} satisfies NotesOf<TuneOptions>;

/** What the fields of request bodies mean, by the name of their schema. */
export const fieldNotes = {
  BaseImport: {
    name: 'Name of the base, unique among the bases.',
    files: 'Digests of uploads by file name of the Hugging Face folder, or of one GGUF file.',
    chatTemplate: 'False leaves out the chat template that a GGUF file carries.',
    importance:
      'By what channels and groups of heads are sorted: `l1` by the sum of their weights, `wanda` by weights times the norms of their inputs. When absent channels by `l1`, heads not at all.',
    calibration: 'Rows that say which inputs count; of `wanda`.',
  } satisfies NotesOf<BaseImport>,
  Calibration: {
    dataset: 'Id or name of the data set; its train split where there is one.',
    rows: 'At most; 128 when absent, always the same ones.',
  } satisfies NotesOf<Calibration>,
  BasePrune: {
    name: 'Name of the new base, unique among the bases.',
    sparsity: 'Share of the weights of each output that become 0.',
    calibration: 'Rows that say which inputs count.',
  } satisfies NotesOf<BasePrune>,
  AdapterMerge: {
    name: 'Name of the new base, unique among the bases.',
    candidate: 'Genome of the candidate.',
    into: 'Precision that it is merged in; that of the candidate when absent.',
  } satisfies NotesOf<AdapterMerge>,
  BaseQuantise: {
    precision: 'Numbers of the weights: blocks of 32 in 8 or in 4 bits, with one scale each.',
  } satisfies NotesOf<BaseQuantise>,
  AdapterImport: {
    name: 'Name of the adapter, unique among the adapters.',
    base: 'Id or name of the base it was trained on.',
    files: 'Digests of uploads by file name of the PEFT folder.',
    space: 'The choices a search has; when absent an eighth, half or all of the rank, and three FFN widths.',
    masked:
      'It was trained to count only where the weights of the base in this precision are not 0; when absent it counts everywhere.',
  } satisfies NotesOf<AdapterImport>,
  DatasetImport: {
    name: 'Name of the data set, unique among the data sets.',
    files: 'Digests of uploads by split: `all` alone, or any of `train`, `validation` and `test`.',
    format: 'Absent: CSV when the first line that is not blank is no JSON object.',
    promptTemplate:
      'Prompt of a row: `{column}` becomes the text of the column, `{column|words}` the same with `_` and `-` as spaces. Without it rows have "prompt" and "completion".',
    completionTemplate: 'Completion of a row; " {label|words}" of the label column when absent.',
    labelColumn: 'Column of the class: asks for a report on the classes, and splits are stratified by it.',
    split: 'Makes splits of the file `all`: parts in percent that sum to 100, and a seed.',
    task: 'What is asked of a row; `completion` when absent.',
  } satisfies NotesOf<DatasetImport>,
  TrainingStart: {
    name: 'Name of the training and of the adapter it ends as.',
    base: 'Id or name of the base.',
    dataset: 'Id or name of the data; its split `train`, or all of one without splits.',
    space: 'The sub-networks that shall work.',
    options: 'What is left out has a default.',
  } satisfies NotesOf<TrainingStart>,
  TrainingOptions: {
    ...runNotes,
    sampling:
      'Which sub-networks a step trains: `uniform` random ones, `sandwich` the largest, the smallest and random ones, `rotation` the largest and one in turn.',
    randomSubnets: 'Random ones a step, beside the largest and the smallest with `sandwich`.',
    precision:
      'Numbers of the base beside which it trains; when absent the one that the space offers, of several `fp32`.',
    masked:
      'True on a sparse base: counts only where its weights are not 0 and, in a quantised precision, only as far as its numbers say it; can be merged without harm.',
    distil: 'Share of the loss, 0 to 1, in which smaller sub-networks learn from the largest one.',
    from: 'Id or name of the super-adapter whose factors it starts with; from nothing when absent.',
  } satisfies NotesOf<TrainingOptions>,
  AdapterExport: {
    as: 'For which tools: `peft`, `hf` (a folder with the adapter merged), `gguf` or `onnx`.',
    candidate: 'Genome; the whole super-adapter at its largest rank when absent.',
    dtype:
      'Number type of the weights. When absent `f32`, and of a whole super-adapter as `peft` the one it was ' +
      'imported with. ONNX is `f32` alone.',
  } satisfies NotesOf<AdapterExport>,
  TuneOptions: runNotes,
  AdapterTune: {
    name: 'Name of the training and of the adapter it ends as.',
    candidate: "Genome of the super-adapter's space.",
    dataset: 'Id or name of the data; its split `train`, or all of one without splits.',
    options: 'What is left out has a default, with fewer and smaller steps than a training from nothing.',
  } satisfies NotesOf<AdapterTune>,
  CodeCreate: {
    ttlSeconds: 'How long the code can be used; a day when absent.',
    deviceClass: 'Class of the device; that of its processor when absent.',
  } satisfies NotesOf<CodeCreate>,
  Enroll: {
    code: 'As it was made; case, spaces and dashes do not count.',
    name: 'Name of the device; its host name when absent.',
    publicKey: 'P-256, SPKI DER, base64.',
    proof: 'ECDSA-SHA256 (IEEE P1363) over code and public key.',
    facts: 'What the device is.',
  } satisfies NotesOf<Enroll>,
  DevicePolicy: {
    hours:
      'Ranges in the local time of the device, one of which must hold; "22:00-06:00" goes over midnight.',
    mainsPower: 'Only on mains power.',
    maxTemperatureC: 'Only up to this temperature.',
    unmetered: 'Not on a metered network.',
    quietSeconds: 'Only so long after the last request it served.',
  } satisfies NotesOf<DevicePolicy>,
  SearchStart: {
    name: 'Name of the search, unique among the searches.',
    adapter: 'Id or name of the super-adapter.',
    dataset: 'Id or name of the data it is scored on.',
    deviceClass: 'Class of the devices that measure.',
    strategy:
      'How candidates are proposed: `nsga2` by evolution, `random` by chance, `heuristic` uniform ones and then single steps around the front, `hillClimbing` single steps from the middle.',
    quality: 'What to keep high (accuracy) or low (loss).',
    costs: 'What to keep low.',
    trials: 'Distinct candidates to measure.',
    seed: 'Of the proposals and of the choice of rows.',
    scoreRows: 'Rows of the cheap score.',
    finalRows: 'Held-out rows on which the front is scored again.',
    finalPoints: 'Points of the front that are scored again, baselines not counted.',
    space: "The choices; the adapter's own when absent.",
    require: 'Limits for the chosen point: "accuracy>=max-1.0", "peakBytes<=200MB", "decodeMs<=3".',
    plan: 'How candidates are measured.',
    maxTokens: 'Longer rows lose tokens at their start.',
    ahead: 'Jobs a device holds or awaits at once; 1 when absent.',
    batch: 'Candidates of one shape that a device compares in one job.',
    besideSentinel:
      'Time every candidate in turns with the sentinel, too, and rank by the ratio: what slows the machine for a ' +
      'while slows both. True when absent; false without sentinels.',
    sentinelEvery: 'Jobs of a device between two measurements of the sentinel; 8 when absent, 0 never.',
    qualifiedOnly: 'Give jobs to qualified devices only.',
  } satisfies NotesOf<SearchStart>,
  MeasurePlan: {
    promptTokens: 'Prompt length of the time to first token.',
    kvTokens: 'Cache length of the time per output token.',
    prefillRepeats: 'Samples of the time to first token.',
    decodeRepeats: 'Samples of the time per output token.',
    threads: 'Threads of the device.',
    sessions: 'Fresh sessions, each in a process of its own, that share the samples; 2 when absent.',
    provider: 'Execution provider; cpu when absent.',
    sustainedSeconds: 'Length of a continuous run that shows what heat costs; none when absent.',
  } satisfies NotesOf<MeasurePlan>,
  ReleaseCreate: {
    name: 'Name of the release, unique among the releases.',
    search: 'Id or name of the search.',
    trial: 'Id, number or label of the trial; the chosen point when absent.',
    goldenPrompts: 'Prompts whose answers devices must give before they serve; rows of the data when absent.',
  } satisfies NotesOf<ReleaseCreate>,
  RolloutStart: {
    release: 'Id or name of the release.',
    deviceClass: 'All devices of this class.',
    devices: 'Ids or names of devices.',
  } satisfies NotesOf<RolloutStart>,
  Retention: {
    samplesDays: `Raw samples of ended searches; percentiles stay. ${kept}`,
    searchesDays: `Ended searches with trials and jobs, but for those a release names. ${kept}`,
    checkpointsDays: `Checkpoints of trainings that stopped or failed. ${kept}`,
    artifactsDays: `Stored files that no record names. ${kept}`,
    artifactsBytes:
      'Above so many bytes of stored files, unnamed ones go before their time; null is no limit.',
    automatic: 'Deletes once a day by itself.',
  } satisfies NotesOf<Retention>,
} as const;
