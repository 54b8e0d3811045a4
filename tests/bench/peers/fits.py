"""Probes against scikit-learn and PyTorch, from the same file of activations to a fitted probe."""
import json
import time
import warnings

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from common import Comparison, Failed, read_safetensors

SEQUENCES, ROWS, WIDTH, CLASSES = 100, 200, 768, 17
N = SEQUENCES * ROWS
STREAM = "blocks.0.hook_resid_post"
# With this seed the split of SEQUENCES + 1 sequences at a share of 0.01 makes the last the test.
SEED = "107"


class Data:
    """SEQUENCES sequences of ROWS rows to fit, and one more that is held out."""

    def __init__(self, setting):
        self.setting = setting
        rng = np.random.RandomState(42)
        total = N + ROWS
        label = rng.randint(0, CLASSES, total)
        centre = rng.normal(0, 0.08, (CLASSES, WIDTH))
        scale = np.exp(rng.uniform(np.log(0.3), np.log(3), WIDTH))
        x = ((centre[label] + rng.normal(0, 1, (total, WIDTH))) * scale).astype(np.float32)
        real = x @ rng.normal(0, 0.1, WIDTH) + rng.normal(0, 1, total)
        self.x, self.label, self.real = x[:N], label[:N], real[:N].astype(np.float32)
        self.x_test, self.label_test = x[N:], label[N:]
        self.npy = setting.path("x.npy")
        np.save(self.npy, self.x)
        self.store = setting.fresh("fits.db")
        self.fill(x, label, real)
        self.saved = setting.path("probe.safetensors")
        self.weight = self.bias = None
        self.peer = None

    def fill(self, x, label, real):
        everything, rows = self.setting.path("all.npy"), self.setting.path("rows.csv")
        np.save(everything, x)
        places = [(i // ROWS, i % ROWS) for i in range(len(x))]
        with open(rows, "w") as file:
            file.write("run,sequence,position,id,token\n")
            file.writelines("r,%d,%d,%d,t\n" % (s, p, label[i]) for i, (s, p) in enumerate(places))
        self.setting.sonde("import", self.store, "--stream", STREAM, everything, "--rows", rows)
        for name, values in (("class", ["c%02d" % v for v in label]), ("real", real)):
            path = self.setting.path(name + ".tsv")
            with open(path, "w") as file:
                file.writelines("%d\t%d\t%s\n" % (*places[i], v) for i, v in enumerate(values))
            self.setting.sonde("label", self.store, "--set", name, "--from", path)

    def probe(self, name, n_train, *options):
        """Seconds of the whole command: start, reading, fit, held-out rows, saved weights."""
        result, seconds = self.setting.sonde(
            "probe", name, self.store, "--streams", STREAM, "--bootstrap", "0", "--no-store",
            "--test-share", "0.01", "--seed", SEED, *options)
        table, = [t for t in result["tables"] if t["name"] == "layers"]
        row = dict(zip(table["columns"], table["rows"][0]))
        if row["n_train"] != n_train:
            raise Failed("%s: %s rows in training, expected %d" % (name, row["n_train"], n_train))
        self.value = row["value"]
        return seconds

    def linear_probe(self, name, *options):
        seconds = self.probe(name, N, "--no-standardise", "--save", self.setting.fresh(
            "probe.safetensors"), *options)
        arrays, metadata = read_safetensors(self.saved)
        self.weight, self.bias = arrays[STREAM + ".weight"], arrays[STREAM + ".bias"]
        order = np.argsort(json.loads(metadata["classes"]))  # sonde's classes come as they occur
        if len(order):
            self.weight, self.bias = self.weight[order], self.bias[order]
        return seconds

    def peer_fit(self, make, label):
        """Seconds from the file of activations to the fitted model."""
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.peer = make().fit(np.load(self.npy), label)
        return time.perf_counter() - begin

    def cross_entropy(self, weight, bias):
        """The penalised objective of both, in double precision."""
        z = self.x.astype(np.float64) @ weight.T + bias
        z -= z.max(1, keepdims=True)
        loss = np.log(np.exp(z).sum(1)) - z[np.arange(N), self.label]
        return loss.sum() + 0.5 * (weight ** 2).sum()

    def squares(self, weight, bias):
        off = self.x.astype(np.float64) @ weight.ravel() + bias - self.real
        return (off ** 2).sum() + (weight ** 2).sum()

    def check_objective(self, objective):
        ours = objective(self.weight, self.bias)
        theirs = objective(self.peer.coef_.astype(np.float64), self.peer.intercept_)
        off = (ours - theirs) / theirs
        return off <= 1e-5, "objective %.4f and %.4f" % (ours, theirs)

    def check_classes(self):
        ours = (self.x.astype(np.float64) @ self.weight.T + self.bias).argmax(1)
        theirs = self.peer.predict(self.x)
        same = (ours == theirs).mean()
        return same >= 0.999, "%.2f %% of the answers are the same" % (100 * same)


class Mlp:
    """A hidden layer of 128, Adam at 1e-3, batches of 256, ten epochs, standardised features. One
    sequence is kept for validation, as sonde insists on some."""

    EPOCHS, BATCH, HIDDEN = 10, 256, 128
    ROWS = N - ROWS

    def __init__(self, data):
        self.data = data
        self.accuracy = None

    def ours(self):
        return self.data.probe("mlp", self.ROWS, "--labels", "class", "--hidden", str(self.HIDDEN),
                               "--batch", str(self.BATCH), "--epochs", str(self.EPOCHS),
                               "--patience", "-1", "--select", "last", "--lr", "1e-3",
                               "--optimizer", "adam", "--validation-share", "0.01")

    def theirs(self):
        d = self.data
        begin = time.perf_counter()
        torch.manual_seed(42)
        x = np.load(d.npy)[:self.ROWS]
        mean, deviation = x.mean(0), x.std(0)
        x, y = torch.from_numpy((x - mean) / deviation), torch.from_numpy(d.label[:self.ROWS])
        net = nn.Sequential(nn.Linear(WIDTH, self.HIDDEN), nn.ReLU(),
                            nn.Linear(self.HIDDEN, CLASSES))
        loss, adam = nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(self.EPOCHS):
            for rows in torch.randperm(self.ROWS).split(self.BATCH):
                adam.zero_grad()
                loss(net(x[rows]), y[rows]).backward()
                adam.step()
        seconds = time.perf_counter() - begin
        with torch.inference_mode():
            test = torch.from_numpy((d.x_test - mean) / deviation)
            self.accuracy = (net(test).argmax(1).numpy() == d.label_test).mean()
        return seconds

    def check(self):
        """Other random numbers: the accuracies of 200 held-out rows are within two standard errors
        of a difference, sqrt(2 * 0.25 / 200)."""
        off = abs(self.data.value - self.accuracy)
        return off <= 0.1, "accuracy %.3f and %.3f" % (self.data.value, self.accuracy)


def comparisons(setting):
    def fits(d):
        mlp = Mlp(d)
        return [
            Comparison("logistic, 17 classes", ">= 5", "scikit-learn lbfgs",
                       lambda: d.linear_probe("linear", "--labels", "class", "--l2", "1"),
                       lambda: d.peer_fit(lambda: LogisticRegression(C=1, max_iter=5000), d.label),
                       lambda: d.check_objective(d.cross_entropy)),
            Comparison("ridge", ">= 3", "scikit-learn Ridge",
                       lambda: d.linear_probe("ridge", "--labels", "real", "--l2", "1"),
                       lambda: d.peer_fit(lambda: Ridge(alpha=1), d.real),
                       lambda: d.check_objective(d.squares)),
            Comparison("LDA, 17 classes", ">= 3", "scikit-learn LDA",
                       lambda: d.linear_probe("lda", "--labels", "class", "--l2", "0"),
                       lambda: d.peer_fit(LinearDiscriminantAnalysis, d.label),
                       d.check_classes),
            Comparison("MLP, 128 hidden", ">= 3", "PyTorch", mlp.ours, mlp.theirs, mlp.check),
        ]

    return [(lambda: Data(setting), fits)]
