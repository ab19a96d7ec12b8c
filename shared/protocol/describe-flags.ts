import type { MeasurementFlag } from './measurement.js';

/** What a flag tells the reader of a figure. */
export const flagMeanings: Readonly<Record<MeasurementFlag, string>> = {
  emulated: "an emulated processor: times, memory and energy are no hardware's",
  throttled: 'the processor ran slower for heat or power',
  hot: 'the machine did not get cool in the time allowed',
  busy: 'other processes had more than a tenth of the cores',
  onBattery: 'on battery, where many devices run slower',
  fewSessions: 'fewer than 5 sessions, so the spread between them is not established',
  duplicateDiffers: 'two copies of one candidate were told apart, so small differences mean nothing',
  outliers: 'more than 20 % of the samples lie far from the rest',
};
