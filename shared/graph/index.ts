export * from './base-layout.js';
export * from './graph-weights.js';
export * from './inference-graph.js';
export * from './lora.js';
export * from './merge-graph.js';
export * from './model-shape.js';
export * from './onnx-writer.js';
export * from './training-graph.js';
