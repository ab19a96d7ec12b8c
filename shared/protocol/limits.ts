/** Ceilings on what a stranger can send, each with its reason. */
export const limits = {
  /** A job is a few genomes of a few hundred bytes each plus a plan; devices on slow links get many. */
  downMessageBytes: 32 * 1024,
  /** A result carries all raw samples: a full batch of 9 x 1,400 numbers of 9 characters, and facts. */
  upMessageBytes: 192 * 1024,
  /** Samples of one quantity in one result; the protocol's p99 needs 662. */
  samples: 1024,
  /** Fresh sessions of one measurement; the protocol wants at least 5. */
  sessions: 32,
  /** Candidates compared in one shared session: a round of more would take seconds on a board. */
  batch: 8,
  /** JSON header of a safetensors file: 1,000 tensors take about 100 KB. */
  safetensorsHeaderBytes: 16 * 1024 * 1024,
  /** Files that one model's weights are spread over: 405 billion take 191. */
  modelShards: 256,
  /** Head of a GGUF file: a vocabulary of 262,144 tokens with its merges takes about 16 MB. */
  ggufHeaderBytes: 32 * 1024 * 1024,
  /** A JSON body of the API; files go through /v1/uploads. */
  jsonBodyBytes: 256 * 1024,
  /** One uploaded file. */
  uploadBytes: 64 * 1024 ** 3,
  /** Prompt of one completion request in characters; all messages of a conversation together. */
  promptCharacters: 64 * 1024,
  /** Messages of one conversation: at 64 Ki characters, 128 on average. */
  chatMessages: 512,
  /** A chat template; those of models with tools have up to 30,000 characters. */
  chatTemplateCharacters: 128 * 1024,
  /** Outbox acknowledgements in one message. */
  acknowledgements: 64,
  /** Devices that identify themselves wrongly are logged once in this time. */
  hostileLogIntervalMs: 60_000,
} as const;

/** Version of the messages and topics below; a message of another version is dropped and counted. */
export const protocolVersion = 1;
