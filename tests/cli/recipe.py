#!/usr/bin/env python3
"""Prints a small recipe for `sonde train`.

    recipe.py [KEY=JSON ..] [-KEY ..]

KEY=JSON sets a member, dots lead into objects ("corpus.limit=3"); -KEY leaves one out.
"""
import json
import sys

recipe = {
    "model": {"model_type": "sonde", "hidden_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 1, "intermediate_size": 64, "norm_place": "post",
              "position": "none", "hidden_act": "relu", "head": "sigmoid", "head_bias": True,
              "embedding_scale": "sqrt"},
    "init": {"kind": "torch"},
    "corpus": {"formal": "dyck-1:n=90,len=2..20,seed=1"},
    "validation": [{"name": "bin0", "formal": "dyck-1:n=50,len=2..20"}],
    "objective": "k-hot-mse",
    "optimizer": {"name": "rmsprop", "lr": 0.005},
    "batch": {"sequences": 32},
    "epochs": 6,
    "order": "shuffle",
    "checkpoint": {"every": 6, "keep": 2},
}
for argument in sys.argv[1:]:
    key, equals, value = argument.partition("=")
    *way, last = key.lstrip("-").split(".")
    at = recipe
    for step in way:
        at = at.setdefault(step, {})
    if equals:
        at[last] = json.loads(value)
    else:
        del at[last]
print(json.dumps(recipe, indent=2))
