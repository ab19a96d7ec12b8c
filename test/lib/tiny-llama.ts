export * from '@fleetlora/bench/lib/tiny-llama';
