/** What a candidate can be exported as. */
export const exportKinds = ['peft', 'hf', 'gguf', 'onnx'] as const;
export type ExportKind = (typeof exportKinds)[number];

/** Number types that exports can store weights in. */
export const exportDtypes = ['f32', 'f16'] as const;
export type ExportDtype = (typeof exportDtypes)[number];
/** As safetensors and GGUF name them. */
export const tensorDtype = { f32: 'F32', f16: 'F16' } as const satisfies Record<ExportDtype, string>;
