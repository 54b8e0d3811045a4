"""Kneser-Ney smoothing by its definition, one probability at a time: a second implementation for
ngram-baseline.

    english_reference.py TRAIN.jsonl TEST.jsonl ORDER      prints bits per byte, without the ends
                                                       of lines and with them
"""
import collections
import json
import math
import sys

train, test, order = sys.argv[1], sys.argv[2], int(sys.argv[3])
PAD, END, SIZE = "pad", "end", 257


def rows(path):
    for line in open(path, encoding="utf-8"):
        text = json.loads(line)["text"].encode()
        yield [PAD] * (order - 1) + list(text) + [END]


counts = [collections.Counter() for _ in range(order + 1)]  # by length
before = [collections.defaultdict(set) for _ in range(order + 1)]
for row in rows(train):
    for end in range(order, len(row) + 1):
        for k in range(1, order + 1):
            gram = tuple(row[end - k:end])
            counts[k][gram] += 1
            if k < order:
                before[k][gram].add(row[end - k - 1])
for k in range(1, order):
    for gram in counts[k]:
        if gram[0] != PAD:
            counts[k][gram] = len(before[k][gram])
after = [collections.defaultdict(list) for _ in range(order + 1)]
for k in range(1, order + 1):
    for gram, count in counts[k].items():
        after[k][gram[:-1]].append(count)


def discounts(k):
    """For counts of 1, 2, and 3 or more; where these make no sense .5, 1 and 1.5."""
    n = [0] + [sum(c == i for c in counts[k].values()) for i in (1, 2, 3, 4)]
    y = n[1] / (n[1] + 2 * n[2]) if n[1] + n[2] else 0.5
    found = [c - (c + 1) * y * n[c + 1] / max(n[c], 1) for c in (1, 2, 3)]
    return [0] + (found if all(0 < d < c for d, c in zip(found, (1, 2, 3))) else [0.5, 1, 1.5])


DISCOUNT = [None] + [discounts(k) for k in range(1, order + 1)]


def probability(gram):
    if not gram:
        return 1 / SIZE
    k, lower = len(gram), probability(gram[1:])
    seen = after[k].get(gram[:-1])
    if not seen:
        return lower
    count, total = counts[k][gram], sum(seen)
    left = sum(DISCOUNT[k][min(c, 3)] for c in seen)
    return (max(count - DISCOUNT[k][min(count, 3)], 0) + left * lower) / total


bits, end_bits, n_bytes = 0.0, 0.0, 0
for row in rows(test):
    for end in range(order, len(row) + 1):
        p = probability(tuple(row[end - order:end]))
        if row[end - 1] == END:
            end_bits -= math.log2(p)
        else:
            bits -= math.log2(p)
    n_bytes += len(row) - order  # neither padding nor the end
print(f"{bits / n_bytes:.4f} {(bits + end_bits) / n_bytes:.4f}")
