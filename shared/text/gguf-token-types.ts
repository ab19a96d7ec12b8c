/** Values of `tokenizer.ggml.token_type`. @source llama.h, enum llama_token_type */
export const ggufTokenTypes = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;
