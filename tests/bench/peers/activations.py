"""Forward passes and recording against PyTorch, which has the same weights."""
import time

import numpy as np
import torch
from torch.nn import functional as F

from common import Comparison, write_ids, write_safetensors
from gpt2 import Gpt2

TOLERANCE = 1e-4  # of sonde verify: absolute, times max(1, the largest magnitude)
LENGTH = 256


class Side:
    """A model on both sides, and sequences in the batches in which PyTorch gets them: padded on the
    right, which a causal model does not see."""

    def __init__(self, setting, shape, sequences, batch, name):
        self.setting, self.sequences, self.name = setting, sequences, name
        self.folder = setting.make_model(shape)
        self.ids = setting.path(name + ".npy")
        write_ids(self.ids, sequences)
        self.batches = []
        for at in range(0, len(sequences), batch):
            some = sequences[at:at + batch]
            ids = np.zeros((len(some), max(map(len, some))), np.int64)
            real = np.zeros(ids.shape, bool)
            for row, mask, s in zip(ids, real, some):
                row[:len(s)], mask[:len(s)] = s, True
            self.batches.append((torch.from_numpy(ids), torch.from_numpy(real)))
        self.model = Gpt2(self.folder)
        self.loss = self.nats = None

    # PyTorch

    def forward(self):
        begin = time.perf_counter()
        with torch.inference_mode():
            for ids, _ in self.batches:
                self.model(ids)
        return time.perf_counter() - begin

    def forward_logits(self):
        begin = time.perf_counter()
        total = count = 0
        with torch.inference_mode():
            for ids, _ in self.batches:
                logits = self.model.logits(ids)
                total += F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]),
                                         ids[:, 1:].reshape(-1), reduction="sum").item()
                count += ids[:, 1:].numel()
        self.loss = total / count
        return time.perf_counter() - begin

    def forward_hooks(self):
        """Every residual stream, copied out by hooks and saved with numpy, a file a stream."""
        begin = time.perf_counter()
        kept = [[] for _ in range(len(self.model.h) + 1)]
        real = None

        def keep(rows):
            return lambda module, given, out: rows.append(out[real].numpy().copy())

        handles = [module.register_forward_hook(keep(rows))
                   for module, rows in zip([self.model.embed, *self.model.h], kept)]
        with torch.inference_mode():
            for ids, real in self.batches:
                self.model(ids)
        for handle in handles:
            handle.remove()
        for number, rows in enumerate(kept):
            np.save(self.setting.path("%s-torch-%d.npy" % (self.name, number)),
                    np.concatenate(rows))
        return time.perf_counter() - begin

    # sonde

    def record(self, sites, scalar):
        store = self.setting.fresh(self.name + ".db")
        result, _ = self.setting.sonde("record", self.folder, "--ids", self.ids, "--sites", sites,
                                       "-o", store)
        return result["scalars"][scalar]

    def bare(self):
        return self.record("ln_final.hook_scale", "seconds_forward")

    def resid(self):
        return self.record("resid", "seconds_total")

    def score(self):
        result, seconds = self.setting.sonde("score", self.folder, "--ids", self.ids)
        self.nats = result["scalars"]["nats"]
        return seconds

    # the same answer

    def check_sites(self):
        """Residual streams and logits of the first sequence, by sonde verify."""
        seen = {}
        ids = torch.tensor(self.sequences[0])[None]
        modules = [self.model.embed, *self.model.h]
        handles = [module.register_forward_hook(
            lambda module, given, out, i=i: seen.__setitem__(i, out[0].numpy()))
            for i, module in enumerate(modules)]
        with torch.inference_mode():
            arrays = {"input_ids": ids[0].numpy().astype(np.int32),
                      "logits": self.model.logits(ids)[0].numpy()}
        for handle in handles:
            handle.remove()
        for i in range(1, len(modules)):
            arrays["blocks.%d.hook_resid_post" % (i - 1)] = seen[i]
        path = self.setting.path("reference.safetensors")
        write_safetensors(path, arrays)
        result, _ = self.setting.sonde("verify", self.folder, "--reference", path, "--strict",
                                       "--tolerance", str(TOLERANCE))
        table, = [t for t in result["tables"] if t["name"] == "sites"]
        worst = max(row[table["columns"].index("max_rel")] for row in table["rows"])
        return worst <= TOLERANCE, "%d sites and logits within %.0e" % (len(modules) - 1, worst)

    def check_loss(self):
        off = abs(self.nats - self.loss) / self.loss
        return off <= 1e-5, "nats %.6f and %.6f" % (self.nats, self.loss)

    def check_files(self):
        """What both sides have saved of the last block."""
        last = len(self.model.h)
        path = self.setting.fresh("export.npy")
        self.setting.sonde("export", self.setting.path(self.name + ".db"), "--stream",
                           "blocks.%d.hook_resid_post" % (last - 1), "-o", path)
        ours = np.load(path)
        theirs = np.load(self.setting.path("%s-torch-%d.npy" % (self.name, last)))
        if ours.shape != theirs.shape:
            return False, "%s and %s rows" % (ours.shape, theirs.shape)
        off = np.abs(ours - theirs).max() / max(1, np.abs(theirs).max())
        return off <= TOLERANCE, "files of the last block within %.0e" % off


def comparisons(setting):
    rng = np.random.RandomState(42)

    def some(n, shortest, longest, vocabulary):
        return [rng.randint(0, vocabulary, rng.randint(shortest, longest + 1)).tolist()
                for _ in range(n)]

    def gpt2():
        return Side(setting, "gpt2", some(8, LENGTH, LENGTH, 50257), 4, "long")

    def short():
        return Side(setting, "gpt2", some(128, 8, 32, 50257), 32, "short")

    def tiny():
        return Side(setting, "tiny", some(4000, 2, 50, 8), 32, "tiny")

    return [
        (gpt2, lambda s: [
            Comparison("forward, 256 tokens", ">= 1.4", "PyTorch", s.bare, s.forward,
                       s.check_sites),
            Comparison("with logits and loss", ">= 1.4", "PyTorch", s.score, s.forward_logits,
                       s.check_loss),
            Comparison("residuals to files", "", "PyTorch, hooks, .npy", s.resid, s.forward_hooks,
                       s.check_files)]),
        (short, lambda s: [
            Comparison("8 to 32 tokens", "", "PyTorch, padded", s.bare, s.forward,
                       s.check_sites)]),
        (tiny, lambda s: [
            Comparison("tiny model recorded", ">= 10", "PyTorch, hooks, .npy", s.resid,
                       s.forward_hooks, s.check_files)]),
    ]
