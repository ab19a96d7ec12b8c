"""Logits of stock transformers and peft: a JSON request on stdin, F32 values to the file it names.

{"model": FOLDER, "adapter": FOLDER or null, "rows": [[token ids], ...], "out": FILE}
Values: for each row [tokens, vocab], one row after another.
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

request = json.load(sys.stdin)
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(
    request["model"], dtype=torch.float32, attn_implementation="eager", local_files_only=True
)
if request["adapter"] is not None:
    model = PeftModel.from_pretrained(model, request["adapter"])
model.eval()
with open(request["out"], "wb") as out, torch.no_grad():
    for ids in request["rows"]:
        logits = model(input_ids=torch.tensor([ids])).logits[0].float()
        out.write(logits.contiguous().numpy().tobytes())
