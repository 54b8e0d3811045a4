#!/usr/bin/env python3
"""Makes linear.json: a small data set and scikit-learn's coefficients on it.

    apt-get install python3-sklearn && /usr/bin/python3 tests/golden/sklearn/make_linear.py

Rows are f32 values, so that both sides fit the same numbers. No standardisation. The solvers are run
to a gradient far below what the test asks for (1e-4 in the coefficients).
"""
import json
import pathlib

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge

N, D, K = 120, 6, 3


def main():
    rng = np.random.RandomState(42)
    centre = rng.normal(size=(K, D))
    label = rng.randint(K, size=N)
    x = (centre[label] + rng.normal(scale=1.5, size=(N, D)) + 0.5).astype(np.float32)
    real = x[:, :3].sum(axis=1) * 0.7 + rng.normal(scale=0.3, size=N) + 2.0
    x64 = x.astype(np.float64)
    out = {
        "made_by": "scikit-learn " + sklearn.__version__,
        "x": [[float(v) for v in row] for row in x],
        "class": [int(v) for v in label],
        "real": [float(v) for v in real],
        "fits": [],
    }
    for c in (0.1, 1.0, 10.0):
        for name, y in (("multinomial", label), ("binary", (label == 1).astype(int))):
            fit = LogisticRegression(C=c, tol=1e-10, max_iter=100000).fit(x64, y)
            out["fits"].append({
                "kind": name, "l2": 1.0 / c,
                "coef": fit.coef_.tolist(), "intercept": fit.intercept_.tolist(),
            })
    for alpha in (0.01, 1.0, 100.0):
        fit = Ridge(alpha=alpha).fit(x64, real)
        out["fits"].append({
            "kind": "ridge", "l2": alpha,
            "coef": [fit.coef_.tolist()], "intercept": [float(fit.intercept_)],
        })
    path = pathlib.Path(__file__).with_name("linear.json")
    path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
