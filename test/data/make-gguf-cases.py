"""
Makes gguf-every-type.gguf, a file with each type of metadata and of tensor that is read, and
gguf-every-type.safetensors, its tensors widened to F32, by the gguf package of llama.cpp:

    pip install gguf==0.19.0
    python test/data/make-gguf-cases.py
"""

import json
import struct
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

ROWS, COLUMNS = 2, 512
# Byte offsets of the F16 numbers of a block: random bits would make some of them infinite.
HALVES = {
    Type.F16: [0],
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
}

random = np.random.default_rng(20)
folder = Path(__file__).parent
writer = GGUFWriter(folder / "gguf-every-type.gguf", "llama")
writer.add_custom_alignment(64)
for kind, value in {
    "UINT8": 200, "INT8": -100, "UINT16": 60000, "INT16": -30000, "UINT32": 4000000000, "INT32": -2000000000,
    "FLOAT32": 0.5, "UINT64": 2**53 + 1, "INT64": -(2**40), "FLOAT64": 0.1, "BOOL": True, "STRING": "Grüße \ufeff",
}.items():
    writer.add_key_value(f"one.{kind}", value, GGUFValueType[kind])
for kind, values in {
    "UINT8": [0, 255], "INT8": [-128, 127], "UINT16": [65535], "INT16": [-32768], "UINT32": [2**32 - 1],
    "INT32": [-5, 5], "FLOAT32": [0.25, -1.5], "UINT64": [2**64 - 1], "INT64": [-(2**63)], "FLOAT64": [0.1],
    "BOOL": [True, False], "STRING": ["", "a b", "\u2581c"],
}.items():
    writer.add_key_value(f"list.{kind}", values, GGUFValueType.ARRAY, sub_type=GGUFValueType[kind])

widened = {}
for kind in [Type.F32, Type.BF16, *HALVES]:
    block_values, block_bytes = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (ROWS * COLUMNS // block_values, block_bytes), dtype=np.uint8)
    if kind in (Type.F32, Type.BF16):
        values = random.standard_normal((ROWS, COLUMNS)).astype(np.float32)
        raw = values.view(np.uint8) if kind == Type.F32 else (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        raw = raw.reshape(ROWS, -1)
    else:
        for offset in HALVES[kind]:
            scales = (random.standard_normal((len(blocks), 1)) / 16).astype(np.float16)
            blocks[:, offset : offset + 2] = scales.view(np.uint8)
        raw = blocks.reshape(ROWS, -1)
    widened[kind.name] = dequantize(raw, kind).astype(np.float32).reshape(ROWS, COLUMNS)
    writer.add_tensor(kind.name, raw, raw_dtype=kind)
vector = random.standard_normal(7).astype(np.float32)
widened["vector"] = vector
writer.add_tensor("vector", vector)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

header, data = {}, b""
for name, values in widened.items():
    header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + values.nbytes]}
    data += values.tobytes()
text = json.dumps(header).encode()
(folder / "gguf-every-type.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
