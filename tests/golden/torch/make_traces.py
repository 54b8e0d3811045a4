#!/usr/bin/env python3
"""Makes PyTorch's traces for tests/kernels/test_update.c and tests/reference/test_train_trace.c.

    apt-get install python3-torch && /usr/bin/python3 tests/golden/torch/make_traces.py

Every training runs in f64, whose weights are what is committed, from values and gradients of f32; x
in f64 is the sum of the f32 tensors NAME and NAME.rest. It also runs in f32, and NAME.distance keeps
the largest distance from the f64 run after each step: what rounding to f32 does to PyTorch itself,
from which the tests derive their tolerances. For whole models this is the largest of eight runs,
from initial weights that are moved by up to a unit in the last place, since what rounds elsewhere
ends elsewhere. Made with PyTorch 1.13.0; later versions may change the last digits of the distances.
"""
import json
import math
import pathlib
import struct

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

HERE = pathlib.Path(__file__).parent
STEPS = 10


class File:
    """A safetensors file."""

    def __init__(self):
        self.tensors = {}

    def floats(self, name, x):
        self.tensors[name] = np.ascontiguousarray(x, dtype=np.float32)

    def doubles(self, name, x):
        x = np.asarray(x, dtype=np.float64)
        self.floats(name, x)
        self.floats(name + ".rest", x - x.astype(np.float32).astype(np.float64))

    def integers(self, name, x):
        self.tensors[name] = np.ascontiguousarray(x, dtype=np.int32)

    def write(self, name, note):
        header = {"__metadata__": {"made_by": "PyTorch " + torch.__version__, "note": note}}
        at = 0
        for key, x in self.tensors.items():
            dtype = "F32" if x.dtype == np.float32 else "I32"
            header[key] = {"dtype": dtype, "shape": list(x.shape),
                           "data_offsets": [at, at + x.nbytes]}
            at += x.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(HERE / name, "wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            for x in self.tensors.values():
                stream.write(x.tobytes())


# Rules -------------------------------------------------------------------------------------------

SGD, RMSPROP, ADAM, ADAMW = torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adam, torch.optim.AdamW
RULES = {
    "sgd": (SGD, dict(lr=0.1)),
    "sgd-momentum": (SGD, dict(lr=0.1, momentum=0.9)),
    "sgd-dampening": (SGD, dict(lr=0.1, momentum=0.9, dampening=0.25)),
    "sgd-nesterov": (SGD, dict(lr=0.1, momentum=0.9, nesterov=True)),
    "sgd-decay": (SGD, dict(lr=0.1, momentum=0.8, weight_decay=0.05)),
    "rmsprop": (RMSPROP, dict(lr=0.01)),
    "rmsprop-momentum": (RMSPROP, dict(lr=0.01, momentum=0.9)),
    "rmsprop-centered": (RMSPROP, dict(lr=0.01, alpha=0.9, centered=True)),
    "rmsprop-all": (RMSPROP, dict(lr=0.01, alpha=0.95, eps=1e-6, centered=True, momentum=0.5,
                                  weight_decay=0.05)),
    "adam": (ADAM, dict(lr=0.01)),
    "adam-decay": (ADAM, dict(lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05)),
    "adamw": (ADAMW, dict(lr=0.01)),
    "adamw-all": (ADAMW, dict(lr=0.02, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1)),
}


def perceptron(torch_seed):
    torch.manual_seed(torch_seed)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def perceptron_gradients(scale):
    """Gradients of ten noisy batches of a regression along SGD's way, [steps, weights]. Each weight's
    is multiplied by a number of its own from 1e-6 to 1e2, so that eps plays its part, a few by 0."""
    net = perceptron(1)
    way = SGD(net.parameters(), lr=0.05)
    rows = []
    for _ in range(STEPS):
        x = torch.randn(16, 5)
        y = torch.stack([x[:, 0] * x[:, 1], x[:, 2].sin(), x[:, 3] - x[:, 4]], 1)
        way.zero_grad()
        F.mse_loss(net(x), y + 0.3 * torch.randn(16, 3)).backward()
        rows.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
        way.step()
    return (torch.stack(rows) * scale).float()


def run_rule(optimizer, options, gradients, dtype):
    net = perceptron(1).to(dtype)
    rule = optimizer(net.parameters(), **options)
    rows = []
    for gradient in gradients:
        at = 0
        for p in net.parameters():
            p.grad = gradient[at:at + p.numel()].view_as(p).to(dtype)
            at += p.numel()
        rule.step()
        rows.append(torch.cat([p.detach().flatten() for p in net.parameters()]).double().numpy())
    return np.stack(rows)


def make_rules():
    out = File()
    torch.manual_seed(0)
    n = sum(p.numel() for p in perceptron(1).parameters())
    torch.manual_seed(2)
    scale = 10.0 ** (torch.rand(n) * 8 - 6)
    scale[::19] = 0.0
    gradients = perceptron_gradients(scale)
    net = perceptron(1)
    out.floats("initial", torch.cat([p.detach().flatten() for p in net.parameters()]).numpy())
    out.floats("gradient", gradients.numpy())
    for name, (optimizer, options) in RULES.items():
        exact = run_rule(optimizer, options, gradients, torch.float64)
        rounded = run_rule(optimizer, options, gradients, torch.float32)
        out.doubles(name, exact)
        out.floats(name + ".distance", np.abs(rounded - exact).max(1))
    out.write("rules.safetensors", "weights after each of ten steps, from the same gradients")


# Schedules ---------------------------------------------------------------------------------------

PLATEAUS = {
    "plateau": dict(patience=2),
    "plateau-cooldown": dict(patience=1, factor=0.5, cooldown=3, threshold=0.05),
    "plateau-floor": dict(patience=0, factor=0.3, min_lr=0.01),
    "plateau-eps": dict(patience=0, factor=0.5, eps=0.02),
}


def lr_sequence(make, n, metrics=None):
    rule = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(rule)
    rows = []
    for i in range(n):
        rows.append(rule.param_groups[0]["lr"])
        rule.step()
        schedule.step() if metrics is None else schedule.step(metrics[i])
    return rows


def warm(rule, steps, then):
    """1 / steps, 2 / steps, .. 1 at the first `steps` steps, where `then` begins."""
    rise = lr_scheduler.LinearLR(rule, start_factor=1 / steps, total_iters=steps - 1)
    return lr_scheduler.SequentialLR(rule, [rise, then], milestones=[steps - 1])


def make_schedules():
    out = File()
    linear, cosine = lr_scheduler.LinearLR, lr_scheduler.CosineAnnealingLR
    out.doubles("cosine", lr_sequence(lambda r: cosine(r, 20, eta_min=0.1), 21))
    out.doubles("linear", lr_sequence(lambda r: linear(r, 1.0, 0.25, 20), 21))
    out.doubles("step", lr_sequence(lambda r: lr_scheduler.StepLR(r, 6, 0.3), 20))
    out.doubles("warm-cosine", lr_sequence(lambda r: warm(r, 5, cosine(r, 15, eta_min=0.0)), 20))
    out.doubles("warm-linear", lr_sequence(lambda r: warm(r, 5, linear(r, 1.0, 0.5, 15)), 20))
    out.doubles("warm-constant", lr_sequence(
        lambda r: warm(r, 4, lr_scheduler.ConstantLR(r, 1.0, 1)), 8))
    torch.manual_seed(6)
    losses = (2.0 * 0.9 ** torch.arange(60) + 0.05 * torch.randn(60).abs() + 0.1).tolist()
    losses[20] = losses[41] = math.nan
    out.doubles("losses", losses)
    plateau = lr_scheduler.ReduceLROnPlateau
    for name, options in PLATEAUS.items():
        out.doubles(name, lr_sequence(lambda r: plateau(r, **options), 60, losses))
    out.write("schedules.safetensors", "the learning rate of each step, from 1")


# Whole steps -------------------------------------------------------------------------------------

class Encoder(nn.Module):
    """The language model of Bhattamishra et al. 2020: k-hot next symbols, no positions."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.embed = nn.Embedding(5, 8)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 4)
        for p in self.parameters():  # away from what PyTorch sets to 0 or 1, and layers unlike
            p.data += 0.2 * torch.randn_like(p)

    def forward(self, ids):
        n = ids.shape[0]
        later = torch.full((n, n), -math.inf).triu(1)
        x = self.embed(ids) * math.sqrt(8)
        return self.head(self.encoder(x[None], mask=later.to(x.dtype))[0])

    def named(self):
        """Under the names of Sonde's own family."""
        yield "embed_tokens.weight", self.embed.weight
        for i, l in enumerate(self.encoder.layers):
            for j, part in enumerate("qkv"):
                for what in ("weight", "bias"):
                    p = getattr(l.self_attn, "in_proj_" + what)
                    yield f"layers.{i}.self_attn.{part}_proj.{what}", p[8 * j:8 * (j + 1)]
            for name, part in (("self_attn.o_proj", l.self_attn.out_proj), ("mlp.up_proj", l.linear1),
                               ("mlp.down_proj", l.linear2), ("attn_norm", l.norm1),
                               ("mlp_norm", l.norm2)):
                yield f"layers.{i}.{name}.weight", part.weight
                yield f"layers.{i}.{name}.bias", part.bias
        yield "lm_head.weight", self.head.weight
        yield "lm_head.bias", self.head.bias


class LlamaLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = nn.Parameter(1 + 0.2 * torch.randn(8))
        self.post_attention_layernorm = nn.Parameter(1 + 0.2 * torch.randn(8))
        sizes = dict(q_proj=(8, 8), k_proj=(4, 8), v_proj=(4, 8), o_proj=(8, 8), gate_proj=(12, 8),
                     up_proj=(12, 8), down_proj=(8, 12))
        for name, size in sizes.items():
            setattr(self, name, nn.Parameter(0.5 * torch.randn(size)))


def rms_norm(x, gain):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * gain


def rotate(x):
    """x[T, H, 4], the two halves of a head turned by t / 10000^(2 i / 4)."""
    angle = torch.arange(x.shape[0], dtype=torch.float64)[:, None] * torch.tensor(
        [1.0, 10000.0 ** -0.5], dtype=torch.float64)
    c, s = angle.cos().to(x.dtype)[:, None], angle.sin().to(x.dtype)[:, None]
    a, b = x[..., :2], x[..., 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


class Llama(nn.Module):
    """Two heads of four, one of keys and values; the embedding is the unembedding."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Parameter(torch.randn(11, 8))
        self.layers = nn.ModuleList([LlamaLayer(), LlamaLayer()])
        self.norm = nn.Parameter(1 + 0.2 * torch.randn(8))

    def forward(self, ids):
        n = ids.shape[0]
        later = torch.full((n, n), -math.inf).triu(1)
        x = self.embed[ids]
        for l in self.layers:
            h = rms_norm(x, l.input_layernorm)
            q, k = rotate((h @ l.q_proj.T).view(n, 2, 4)), rotate((h @ l.k_proj.T).view(n, 1, 4))
            scores = torch.einsum("the,sge->hts", q, k) / 2 + later.to(x.dtype)
            mixed = torch.einsum("hts,se->the", scores.softmax(-1), h @ l.v_proj.T)
            x = x + mixed.reshape(n, 8) @ l.o_proj.T
            h = rms_norm(x, l.post_attention_layernorm)
            x = x + (F.silu(h @ l.gate_proj.T) * (h @ l.up_proj.T)) @ l.down_proj.T
        return rms_norm(x, self.norm) @ self.embed.T

    def named(self):
        yield "model.embed_tokens.weight", self.embed
        for i, l in enumerate(self.layers):
            for name, p in l.named_parameters():
                group = "mlp." if name in ("gate_proj", "up_proj", "down_proj") else (
                    "self_attn." if name.endswith("proj") else "")
                yield f"model.layers.{i}.{group}{name}.weight", p
        yield "model.norm.weight", self.norm


def run_training(model, dtype, examples, loss_sum, make_rule, make_schedule, clip):
    """Batches of four examples in order, the last of an epoch takes what is left. The loss is the
    mean over all rows of the batch that count."""
    model.to(dtype)
    rule = make_rule(model)
    schedule = make_schedule(rule) if make_schedule else None
    batches = [examples[i:i + 4] for i in range(0, len(examples), 4)]
    trace = {"loss": [], "norm": [], "lr": [], "weights": []}
    for step in range(STEPS):
        batch = batches[step % len(batches)]
        sums = [loss_sum(model, e) for e in batch]
        loss = sum(s for s, _ in sums) / sum(n for _, n in sums)
        rule.zero_grad()
        loss.backward()
        limit = clip if clip else math.inf
        trace["norm"].append(float(nn.utils.clip_grad_norm_(model.parameters(), limit)))
        trace["lr"].append(rule.param_groups[0]["lr"])
        rule.step()
        if schedule:
            schedule.step()
        trace["loss"].append(loss.item())
        trace["weights"].append({k: p.detach().double().numpy().copy() for k, p in model.named()})
    return trace


def make_training(name, make_model, examples, *rest):
    out = File()
    torch.manual_seed(3)
    initial = {k: p.detach().numpy().copy() for k, p in make_model().named()}
    runs = []
    for i in range(9):
        torch.manual_seed(3)
        model = make_model()
        for p in model.parameters():
            p.data *= 1 + (i > 1) * (2 * torch.rand_like(p) - 1) * 2.0 ** -23
        runs.append(run_training(model, torch.float32 if i else torch.float64, examples, *rest))
    exact = runs[0]
    out.integers("lengths", [len(e["ids"]) for e in examples])
    out.integers("ids", np.concatenate([e["ids"] for e in examples]))
    if "hot" in examples[0]:
        out.integers("hot", np.concatenate([e["hot"] for e in examples]))
        out.integers("counts", np.concatenate([e["counts"] for e in examples]))
    for key in ("loss", "norm", "lr"):
        out.doubles(key, exact[key])
    for key in ("loss", "norm"):
        out.floats(key + ".distance", np.max(
            [np.abs(np.array(exact[key]) - np.array(r[key])) for r in runs[1:]], 0))
    for key, value in initial.items():
        steps = np.stack([w[key] for w in exact["weights"]])
        off = [np.abs(steps - np.stack([w[key] for w in r["weights"]])) for r in runs[1:]]
        out.floats(key, np.concatenate([value[None], steps]))  # the tests round to f32 as well
        out.floats(key + ".distance", np.max(off, 0).reshape(STEPS, -1).max(1))
    out.write(name, "the model, then its weights after each of ten steps")


def bracket_examples(n):
    """Strings of two kinds of brackets, each kind a counter; what may come next."""
    rng = np.random.RandomState(4)
    out = []
    for i in range(n):
        depth, ids, hot = [0, 0], [], []
        for _ in range(3 + rng.randint(6)):
            closes = [j for j in (0, 1) if depth[j] > 0]
            kind = rng.randint(2)
            if closes and rng.randint(2):
                kind = closes[rng.randint(len(closes))]
                depth[kind] -= 1
                ids.append(2 + 2 * kind)
            else:
                depth[kind] += 1
                ids.append(1 + 2 * kind)
            hot.append([1, depth[0] > 0, 1, depth[1] > 0])
        counts = np.ones(len(ids), int)
        if i % 3 == 1:
            counts[::2] = 0
        out.append({"ids": np.array(ids), "hot": np.array(hot, int), "counts": counts})
    return out


def k_hot_loss(model, e):
    z = model(torch.tensor(e["ids"]))
    y = torch.tensor(e["hot"]).to(z.dtype)
    rows = F.mse_loss(torch.sigmoid(z), y, reduction="none").mean(1)
    counts = torch.tensor(e["counts"])
    return (rows * counts).sum(), int(counts.sum())


def next_token_loss(model, e):
    ids = torch.tensor(e["ids"])
    return F.cross_entropy(model(ids)[:-1], ids[1:], reduction="sum"), len(ids) - 1


def decay_matrices(model):
    groups = [{"params": [p for p in model.parameters() if p.dim() == d], "weight_decay": w}
              for d, w in ((2, 0.1), (1, 0.0))]
    return ADAMW(groups, lr=0.02, betas=(0.9, 0.95))


def make_trainings():
    make_training("encoder.safetensors", Encoder, bracket_examples(10), k_hot_loss,
                  lambda m: RMSPROP(m.parameters(), lr=0.005), None, None)
    rng = np.random.RandomState(5)
    texts = [{"ids": (rng.randint(3) + np.arange(3 + rng.randint(7)) ** 2) % 11} for _ in range(10)]
    make_training("llama.safetensors", Llama, texts, next_token_loss, decay_matrices,
                  lambda r: warm(r, 3, lr_scheduler.CosineAnnealingLR(r, 7, eta_min=0.002)), 2.0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_rules()
    make_schedules()
    make_trainings()
