"""
Makes hf-models/: small random models of every family and every scaling of rotary positions that is
read, as transformers saves them (F16, one of them in shards), each with the tokens of one text and
the logits that PyTorch computes for it in F32 from the saved weights (expected.safetensors):

    pip install torch==2.9.1 transformers==5.17.0
    python test/data/make-hf-models.py
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

FOLDER = Path(__file__).parent / "hf-models"
TOKENS = 40
COMMON = dict(
    vocab_size=61,
    hidden_size=48,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=64,
    bos_token_id=None,
    eos_token_id=0,
    pad_token_id=None,
)


def rope(kind, **fields):
    return {"rope_type": kind, "rope_theta": 500.0, **fields}


YARN = dict(factor=4.0, original_max_position_embeddings=16)
MODELS = {
    "llama-linear": LlamaConfig(
        **COMMON, tie_word_embeddings=True, rope_parameters=rope("linear", factor=3.0)
    ),
    # The three bands of wavelengths each hold some of the 8 frequencies.
    "llama-llama3-shards": LlamaConfig(
        **COMMON,
        tie_word_embeddings=False,
        rope_parameters=rope(
            "llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
    ),
    "llama-yarn": LlamaConfig(**COMMON, tie_word_embeddings=True, rope_parameters=rope("yarn", **YARN)),
    "mistral-window": MistralConfig(
        **COMMON, tie_word_embeddings=False, sliding_window=7, rope_parameters=rope("default")
    ),
    "qwen2": Qwen2Config(**COMMON, tie_word_embeddings=True, rope_parameters=rope("default")),
    "qwen2-yarn": Qwen2Config(
        **COMMON,
        tie_word_embeddings=False,
        rope_parameters=rope("yarn", **YARN, beta_fast=8.0, beta_slow=2.0, truncate=False),
    ),
}


def randomise(model):
    """Weights large enough that every one of them shows in the logits."""
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data = 1 + 0.2 * torch.randn_like(weight)
        else:
            scale = 0.5 if "embed" in name or "lm_head" in name else 0.3
            weight.data = scale * torch.randn_like(weight)
        # What is saved is what is computed with.
        weight.data = weight.data.half().float()


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    for seed, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
        randomise(model)
        model.tie_weights()
        ids = torch.randint(0, config.vocab_size, (1, TOKENS))
        with torch.no_grad():
            logits = model(ids).logits[0]
        folder = FOLDER / name
        size = "16KB" if name.endswith("-shards") else "1GB"
        model.half().save_pretrained(folder, max_shard_size=size)
        expected = {"ids": ids[0].to(torch.int32), "logits": logits.float().contiguous()}
        save_file(expected, folder / "expected.safetensors")
        (folder / "generation_config.json").unlink(missing_ok=True)
        print(name, json.loads((folder / "config.json").read_text())["rope_parameters"], logits.std().item())


main()
