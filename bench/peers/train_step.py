"""
Trains a LoRA with PyTorch, transformers and peft as it is asked to: a program of its own that knows
nothing of ours. Two uses:

  train_step.py make FOLDER ADAPTER SHAPE   writes a random Llama (config.json, model.safetensors) and a
                                            random LoRA for it; SHAPE: {config, rank, alpha}
  train_step.py train SPEC                  one step for every line on stdin, one line of JSON back

SPEC: {folder, adapter, threads, learningRate, ids: [[int]], targetStart}. Targets of a row are its tokens
from targetStart on, as transformers counts them: each is predicted from the one before.
"""

import json
import os
import sys
import time

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def memory(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def make(folder, adapter, shape):
    torch.manual_seed(1)
    config = LlamaConfig(attention_bias=False, mlp_bias=False, **shape["config"])
    model = LlamaForCausalLM(config).float()
    model.save_pretrained(folder)
    lora = LoraConfig(
        r=shape["rank"], lora_alpha=shape["alpha"], lora_dropout=0.0, target_modules=MODULES, task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(model, lora)
    # Factors B of zero would leave the factors A without a gradient to compare.
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    tuned.save_pretrained(adapter)


def train(spec):
    imported = memory("VmRSS")
    torch.set_num_threads(spec["threads"])
    model = LlamaForCausalLM.from_pretrained(spec["folder"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, spec["adapter"], is_trainable=True)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=spec["learningRate"], weight_decay=0.0)
    ids = torch.tensor(spec["ids"])
    labels = ids.clone()
    labels[:, : spec["targetStart"]] = -100
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        value = loss.item()
        answer = {
            "ms": (time.perf_counter() - started) * 1000,
            "loss": value,
            "gradientNorm": norm.item(),
            "peakBytes": memory("VmHWM"),
            "importedBytes": imported,
        }
        print(json.dumps(answer), flush=True)


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
else:
    train(json.loads(sys.argv[2]))
