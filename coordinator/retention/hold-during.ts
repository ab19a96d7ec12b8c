import type { ContentGate } from './content-gate.js';

type Method = (...given: never[]) => Promise<unknown>;
type MethodOf<T> = { [K in keyof T]: T[K] extends Method ? K : never }[keyof T];

/**
 * The same object, with some of its methods running while nothing is deleted.
 * @param target methods must not rely on `this`
 * @param methods name of the method → who holds, as it stands in messages: "an import"
 */
export function holdDuring<T extends object>(
  gate: ContentGate,
  target: T,
  methods: { readonly [K in MethodOf<T>]?: string },
): T {
  const held = Object.entries(methods as Record<string, string>).map(([name, what]) => {
    const method = (target as Record<string, Method>)[name] as Method;
    return [name, (...given: never[]) => gate.hold(what, () => method(...given))] as const;
  });
  return { ...target, ...Object.fromEntries(held) };
}
