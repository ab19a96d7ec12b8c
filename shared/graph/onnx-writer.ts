/**
 * A writer for the part of ONNX that the graphs here use.
 * @source ONNX IR 10, onnx.proto3: field numbers below are its field numbers.
 */

export type ElementType = 'float32' | 'uint8' | 'int64' | 'int32' | 'bool';
const elementCode: Record<ElementType, number> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 };

/** A dimension: a size, or the name of a size known only at run time. */
export type Dim = number | string;
export type Attribute =
  | number
  | { readonly float: number }
  | { readonly graph: GraphBuilder }
  | string
  | readonly number[];

/** Growing buffer of protobuf wire bytes. */
class ProtoWriter {
  private buffer = new Uint8Array(64);
  private length = 0;

  private reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + count));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }
  varint(value: number): this {
    this.reserve(10);
    if (value < 0) {
      // Two's complement of 64 bits takes ten bytes.
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest >= 0x80n; rest >>= 7n) this.buffer[this.length++] = Number(rest & 0x7fn) | 0x80;
      this.buffer[this.length++] = Number(rest);
      return this;
    }
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.buffer[this.length++] = (rest % 128) | 0x80;
    this.buffer[this.length++] = rest;
    return this;
  }
  integer(field: number, value: number): this {
    return this.varint(field * 8).varint(value);
  }
  float(field: number, value: number): this {
    this.varint(field * 8 + 5).reserve(4);
    new DataView(this.buffer.buffer).setFloat32(this.length, value, true);
    this.length += 4;
    return this;
  }
  bytes(field: number, value: Uint8Array): this {
    this.varint(field * 8 + 2)
      .varint(value.length)
      .reserve(value.length);
    this.buffer.set(value, this.length);
    this.length += value.length;
    return this;
  }
  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }
  message(field: number, fill: (inner: ProtoWriter) => void): this {
    const inner = new ProtoWriter();
    fill(inner);
    return this.bytes(field, inner.finish());
  }
  /** Appends fields that another writer gathered: protobuf messages concatenate. */
  fields(from: ProtoWriter): this {
    const bytes = from.finish();
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }
  finish(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
}

/** Where a constant lies: `bytes` bytes from `offset` in a file of the session's weight folder. */
export interface ExternalLocation {
  readonly fileName: string;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Builds one graph. Values are known by name; `node` returns the name of its (first) output, so a
 * graph reads as nested calls. A graph that is an attribute, such as the body of a Loop, is made by
 * `inner`; it sees the values of the outer one, which keeps the constants of both.
 */
export class GraphBuilder {
  private readonly nodes = new ProtoWriter();
  private readonly initializers = new ProtoWriter();
  private readonly inputs = new ProtoWriter();
  private readonly outputs = new ProtoWriter();
  private readonly known = new Set<string>();
  private counter = 0;

  constructor(
    private readonly graphName: string,
    private readonly outer: GraphBuilder | null = null,
  ) {}

  /** A graph within this one. */
  inner(graphName: string): GraphBuilder {
    return new GraphBuilder(graphName, this);
  }

  /** Names are unique in a graph and all within it. */
  private nextNumber(): number {
    return this.outer?.nextNumber() ?? this.counter++;
  }

  private static describe(proto: ProtoWriter, name: string, type: ElementType, dims: readonly Dim[]): void {
    proto.text(1, name).message(2, (typeProto) =>
      typeProto.message(1, (tensor) =>
        tensor.integer(1, elementCode[type]).message(2, (shape) => {
          for (const dim of dims)
            shape.message(1, (d) => (typeof dim === 'number' ? d.integer(1, dim) : d.text(2, dim)));
        }),
      ),
    );
  }

  /** Declares a graph input. */
  input(name: string, type: ElementType, dims: readonly Dim[]): string {
    this.inputs.message(11, (proto) => GraphBuilder.describe(proto, name, type, dims));
    return name;
  }

  /** Declares that the value `name` leaves the graph. */
  output(name: string, type: ElementType, dims: readonly Dim[]): void {
    this.outputs.message(12, (proto) => GraphBuilder.describe(proto, name, type, dims));
  }

  /** A constant whose data stays in a weight file; declared once however often it is asked for. */
  external(
    name: string,
    dims: readonly number[],
    at: ExternalLocation,
    type: ElementType = 'float32',
  ): string {
    if (this.outer) return this.outer.external(name, dims, at, type);
    if (this.known.has(name)) return name;
    this.known.add(name);
    const entry = (tensor: ProtoWriter, key: string, value: string): void => {
      tensor.message(13, (pair) => pair.text(1, key).text(2, value));
    };
    this.initializers.message(5, (tensor) => {
      for (const dim of dims) tensor.integer(1, dim);
      tensor.integer(2, elementCode[type]).text(8, name);
      entry(tensor, 'location', at.fileName);
      entry(tensor, 'offset', String(at.offset));
      entry(tensor, 'length', String(at.bytes));
      tensor.integer(14, 1);
    });
    return name;
  }

  /** A small constant inside the graph: int64 values of rank 1, or a float scalar of rank 0. */
  constant(value: readonly number[] | { readonly float: number }): string {
    if (this.outer) return this.outer.constant(value);
    const name = 'float' in value ? `f:${value.float}` : `i:${value.join(',')}`;
    if (this.known.has(name)) return name;
    this.known.add(name);
    this.initializers.message(5, (tensor) => {
      if ('float' in value) {
        tensor.integer(2, elementCode.float32).text(8, name);
        tensor.bytes(9, new Uint8Array(Float32Array.of(value.float).buffer));
      } else {
        tensor.integer(1, value.length).integer(2, elementCode.int64).text(8, name);
        tensor.bytes(9, new Uint8Array(BigInt64Array.from(value, BigInt).buffer));
      }
    });
    return name;
  }

  /** Appends an operator and returns its outputs' names. An empty input name is an absent input. */
  operator(
    op: string,
    inputs: readonly string[],
    outputs: number | readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string[] {
    const names =
      typeof outputs === 'number'
        ? Array.from({ length: outputs }, () => `${op}_${this.nextNumber()}`)
        : [...outputs];
    this.nodes.message(1, (node) => {
      for (const input of inputs) node.text(1, input);
      for (const output of names) node.text(2, output);
      node.text(3, `n${this.nextNumber()}`).text(4, op);
      for (const [key, value] of Object.entries(attributes))
        node.message(5, (a) => writeAttribute(a, key, value));
      if (microsoftOperators.has(op)) node.text(7, 'com.microsoft');
    });
    return names;
  }

  /** `operator` for operators of one output. */
  node(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output?: string,
  ): string {
    return this.operator(op, inputs, output === undefined ? 1 : [output], attributes)[0] as string;
  }

  /** The serialised GraphProto: the value of an attribute. */
  graphBytes(): Uint8Array {
    return new ProtoWriter()
      .fields(this.nodes)
      .text(2, this.graphName)
      .fields(this.initializers)
      .fields(this.inputs)
      .fields(this.outputs)
      .finish();
  }

  /** The serialised ModelProto: IR 10, opset 21, com.microsoft 1. */
  finish(): Uint8Array {
    const model = new ProtoWriter();
    model
      .integer(1, 10)
      .text(2, 'fleetlora')
      .bytes(7, this.graphBytes())
      .message(8, (opset) => opset.text(1, '').integer(2, 21))
      .message(8, (opset) => opset.text(1, 'com.microsoft').integer(2, 1));
    return model.finish().slice();
  }
}

/** Operators of ONNX Runtime's own domain. */
const microsoftOperators = new Set([
  'GroupQueryAttention',
  'SkipSimplifiedLayerNormalization',
  'RotaryEmbedding',
  'QuickGelu',
  'FusedMatMul',
  'MatMulNBits',
  'GatherBlockQuantized',
]);

function writeAttribute(proto: ProtoWriter, name: string, value: Attribute): void {
  proto.text(1, name);
  if (typeof value === 'number') proto.integer(3, value).integer(20, 2);
  else if (typeof value === 'string') proto.text(4, value).integer(20, 3);
  else if ('float' in value) proto.float(2, value.float).integer(20, 1);
  else if ('graph' in value) proto.bytes(6, value.graph.graphBytes()).integer(20, 5);
  else {
    for (const item of value) proto.integer(8, item);
    proto.integer(20, 7);
  }
}
