import type { TSchema } from 'typebox';

/** The keywords of JSON Schema that decide which member of a union a value means to be. */
interface Node {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Node[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly items?: Node;
  readonly prefixItems?: readonly Node[];
}

/**
 * A schema with each union in it replaced by the member that the value means to be: by its JSON
 * type, and among objects by fields with fixed values (`outcome`, `kind`). Where such a field has a
 * value that no member knows, that field alone is left to be checked. A union whose members cannot
 * be told apart stays as it is. The value fits the result just when it fits the schema.
 */
export function narrowUnions(schema: TSchema, value: unknown): TSchema {
  return narrow(schema as Node, value) as TSchema;
}

/** The node itself when there is nothing to narrow in it. */
function narrow(node: Node, value: unknown): Node {
  if (node.anyOf !== undefined) {
    const chosen = chooseMember(node.anyOf, value);
    return chosen === null ? node : narrow(chosen, value);
  }
  if (Array.isArray(value)) {
    const { items, ...others } = node;
    if (items === undefined) return node;
    const narrowed = value.map((item) => narrow(items, item));
    return narrowed.every((item) => item === items) ? node : { ...others, prefixItems: narrowed };
  }
  if (!isRecord(value) || node.properties === undefined) return node;
  const changed = Object.entries(node.properties).flatMap(([key, property]) => {
    const narrowed = Object.hasOwn(value, key) ? narrow(property, value[key]) : property;
    return narrowed === property ? [] : [[key, narrowed] as const];
  });
  if (changed.length === 0) return node;
  return { ...node, properties: { ...node.properties, ...Object.fromEntries(changed) } };
}

/** Null when more than one member is left, or none that could be named. */
function chooseMember(members: readonly Node[], value: unknown): Node | null {
  const typed = members.filter(({ type }) => type === undefined || typesOf(value).includes(type));
  const [only] = typed;
  if (typed.length === 1 && only !== undefined) return only;
  const listed = typed.map(valuesOf);
  if (typed.length > 0 && !listed.includes(null)) return { enum: listed.flatMap((values) => values ?? []) };
  if (!isRecord(value)) return null;
  for (const tag of tagsOf(typed)) {
    const told = typed.filter((member) => knows(member, tag, value));
    const [one] = told;
    if (told.length === 1 && one !== undefined) return one;
    if (told.length === 0) return demandTag(typed, tag);
  }
  return null;
}

/** Fields that have fixed values in some member, so that they tell the members apart. */
function tagsOf(members: readonly Node[]): string[] {
  const tags = members.flatMap(({ properties = {}, required = [] }) =>
    Object.keys(properties).filter((key) => required.includes(key) && valuesOf(properties[key]) !== null),
  );
  return [...new Set(tags)];
}

/** Values that a field may have, when they are listed. */
function valuesOf(node: Node | undefined): readonly unknown[] | null {
  if (node?.const !== undefined) return [node.const];
  return node?.enum ?? null;
}

/** Whether the member takes the value's tag; one that has no such field takes a value without it. */
function knows({ properties = {} }: Node, tag: string, value: Readonly<Record<string, unknown>>): boolean {
  const values = valuesOf(properties[tag]);
  return values === null ? Object.hasOwn(value, tag) === tag in properties : values.includes(value[tag]);
}

/** What is wrong is the tag; beside it nothing is worth a word. */
function demandTag(members: readonly Node[], tag: string): Node {
  const all = members.flatMap(({ properties = {} }) => valuesOf(properties[tag]) ?? []);
  const isNeeded = members.every(({ required = [] }) => required.includes(tag));
  return {
    type: 'object',
    properties: { [tag]: { enum: [...new Set(all)] } },
    required: isNeeded ? [tag] : [],
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names of the JSON types that the value is of. @source JSON Schema 2020-12, 4.2.1 */
function typesOf(value: unknown): readonly string[] {
  if (value === null) return ['null'];
  if (Array.isArray(value)) return ['array'];
  return typeof value === 'number' ? ['number', 'integer'] : [typeof value];
}
