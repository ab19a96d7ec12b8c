export * from './open-model.js';
export * from './place-beside.js';
