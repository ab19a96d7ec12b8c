/**
 * Counts the bytes of buffers and typed arrays that this process asks for from now on, also of those
 * that it does not get. Lists and objects are not counted: the heap has its own limit.
 *
 * The constructors are exchanged for ones that count, in this process alone.
 */
export function countAllocations(): () => number {
  let bytes = 0;
  const names = [
    'ArrayBuffer',
    'Int8Array',
    'Uint8Array',
    'Uint8ClampedArray',
    'Int16Array',
    'Uint16Array',
  ].concat(['Int32Array', 'Uint32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array']);
  const globals = globalThis as unknown as Record<string, ArrayConstructor>;
  for (const name of names) {
    const plain = globals[name] as ArrayConstructor;
    const counting: ArrayConstructor = new Proxy(plain, {
      construct(target, args: unknown[], newTarget) {
        bytes += lengthOf(args[0]) * (plain.BYTES_PER_ELEMENT ?? 1);
        return Reflect.construct(target, args, newTarget === counting ? target : newTarget) as object;
      },
    });
    globals[name] = counting;
  }
  return () => bytes;
}

/** What of a typed array's constructor is used here. */
type ArrayConstructor = (new (...args: unknown[]) => object) & { readonly BYTES_PER_ELEMENT?: number };

/** Elements that a constructor's first argument asks for; a buffer has no length, a view of it takes none. */
function lengthOf(argument: unknown): number {
  if (typeof argument === 'number') return Number.isFinite(argument) && argument > 0 ? argument : 0;
  return (argument as { length?: number } | null | undefined)?.length ?? 0;
}
