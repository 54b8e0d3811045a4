"""GPT-2 in plain torch.nn, as a user without other packages would write it."""
import json
import os

import torch
from torch import nn
from torch.nn import functional as F

from common import read_safetensors


class Block(nn.Module):
    def __init__(self, width, heads, inner, eps):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width, eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width, eps)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(self.ln_1(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        score = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = score.masked_fill(later, float("-inf")).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, folder):
        super().__init__()
        with open(os.path.join(folder, "config.json")) as file:
            c = json.load(file)
        width, eps = c["n_embd"], c["layer_norm_epsilon"]
        self.wte = nn.Embedding(c["vocab_size"], width)
        self.wpe = nn.Embedding(c["n_positions"], width)
        self.embed = nn.Identity()  # where a hook sees the sum of both
        self.h = nn.ModuleList(Block(width, c["n_head"], c["n_inner"], eps)
                               for _ in range(c["n_layer"]))
        self.ln_f = nn.LayerNorm(width, eps)
        self.load(os.path.join(folder, "model.safetensors"))
        self.eval()

    def load(self, path):
        arrays, _ = read_safetensors(path)
        names = {"attn.c_attn": "qkv", "attn.c_proj": "out", "mlp.c_fc": "up", "mlp.c_proj": "down"}
        state = {}
        for name, array in arrays.items():
            array = torch.from_numpy(array.copy())
            for theirs, ours in names.items():
                if "." + theirs + "." in name:
                    name = name.replace(theirs, ours)
                    array = array.T if array.dim() == 2 else array  # Conv1D: [in, out]
            state[name] = array.contiguous()
        self.load_state_dict(state)

    def forward(self, ids):
        x = self.embed(self.wte(ids) + self.wpe(torch.arange(ids.shape[1])))
        for block in self.h:
            x = block(x)
        return self.ln_f(x)

    def logits(self, ids):
        return self(ids) @ self.wte.weight.T
