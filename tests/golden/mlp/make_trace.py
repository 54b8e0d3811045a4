#!/usr/bin/env python3
"""Writes trace.json: a net trained for ten steps by PyTorch (1.13), for tests/unit/probes/test_mlp.c.

    make_trace.py > trace.json

Full batches of torch.nn.Linear and ReLU with Adam at its defaults: cross-entropy, and mean squared
error. Weights lie as the probe's do: layer by layer, W [out, in], then b. Numbers are f32 in %.9g.
"""
import json

import torch

N, WIDTHS, CLASSES, STEPS = 8, [5, 7, 4], 3, 10


def flat(net):
    return [float(f'{v:.9g}') for p in net.parameters() for v in p.detach().flatten().tolist()]


def train(out, loss_of):
    widths = WIDTHS + [out]
    layers = []
    for i in range(len(widths) - 1):
        layers += [torch.nn.Linear(widths[i], widths[i + 1]), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    before, losses = flat(net), []
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(net(x))
        loss.backward()
        optimizer.step()
        losses.append(float(f'{loss.item():.9g}'))
    return {'before': before, 'loss': losses, 'after': flat(net)}


torch.manual_seed(3)
torch.set_num_threads(1)
x = torch.randn(N, WIDTHS[0])
target = torch.randint(CLASSES, (N,))
value = torch.randn(N)
print(json.dumps({
    'torch': torch.__version__,
    'x': [float(f'{v:.9g}') for v in x.flatten().tolist()],
    'target': target.tolist(),
    'value': [float(f'{v:.9g}') for v in value.tolist()],
    'class': train(CLASSES, lambda y: torch.nn.functional.cross_entropy(y, target)),
    'real': train(1, lambda y: torch.nn.functional.mse_loss(y.squeeze(1), value)),
}, indent=0))
