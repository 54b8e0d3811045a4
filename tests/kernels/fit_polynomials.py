#!/usr/bin/env python3
"""Prints the coefficients of core/tensor/vector.c and the largest relative error of each fit.

Needs mpmath. Minimax polynomials by the Remez exchange, lowest power first.
"""
from mpmath import cos, erf, erfc, exp, lu_solve, matrix, mp, mpf, nstr, pi, sqrt, tanh

mp.dps = 40


def polynomial(coefficients, x):
    p = mpf(0)
    for c in reversed(coefficients):
        p = p * x + c
    return p


def remez(f, a, b, degree, weight, grid=2000):
    """Minimises the largest |weight (p - f)| on [a, b]; gives the coefficients and that error."""
    n = degree + 2
    xs = [(a + b) / 2 - (b - a) / 2 * cos(pi * i / (n - 1)) for i in range(n)]
    points = [a + (b - a) * mpf(i) / grid for i in range(grid + 1)]
    for _ in range(12):
        system, values = matrix(n, n), matrix(n, 1)
        for i, x in enumerate(xs):
            for j in range(degree + 1):
                system[i, j] = x**j
            system[i, n - 1] = (-1) ** i / weight(x)
            values[i] = f(x)
        solution = lu_solve(system, values)
        c = [solution[j] for j in range(degree + 1)]
        peaks = []  # the largest error of each stretch of one sign
        for x in points:
            e = (polynomial(c, x) - f(x)) * weight(x)
            if not peaks or (e > 0) != (peaks[-1][1] > 0):
                peaks.append((x, e))
            elif abs(e) > abs(peaks[-1][1]):
                peaks[-1] = (x, e)
        worst = max(abs(e) for _, e in peaks)
        if len(peaks) < n or worst < abs(solution[n - 1]) * mpf("1.001"):
            break
        while len(peaks) > n:
            peaks.pop(0 if abs(peaks[0][1]) < abs(peaks[-1][1]) else -1)
        xs = [x for x, _ in peaks]
    return c, worst


def show(name, fit):
    coefficients, worst = fit
    print(name, "relative error", nstr(worst, 3))
    for c in coefficients:
        print("   ", nstr(c, 10) + "f,")


def tanh_tail(z):
    """P of tanh(x) = x + x z P(z), z = x^2."""
    x = sqrt(z)
    return (tanh(x) / x - 1) / z if z > 0 else mpf(-1) / 3


def centre(z):
    """P of Phi(x) = 1/2 + x P(z), z = x^2, Phi the normal distribution function."""
    x = sqrt(z)
    return erf(x / sqrt(2)) / (2 * x) if z > 0 else 1 / sqrt(2 * pi)


def scaled_tail(s):
    """(1 + 2a) exp(a^2 / 2) Phi(-a), s = (a - 3) / (a + 3)."""
    a = 3 * (1 + s) / (1 - s)
    return (1 + 2 * a) * exp(a * a / 2) * erfc(a / sqrt(2)) / 2


show("tanh, |x| <= 0.625",
     remez(tanh_tail, mpf(0), mpf("0.625") ** 2, 4, lambda z: max(z, mpf("1e-12"))))
show("centre of the normal distribution, |x| <= 1",
     remez(centre, mpf(0), mpf(1), 5, lambda z: 1 / centre(z)))
show("tail of the normal distribution, 0 <= a <= 14",
     remez(scaled_tail, mpf(-1), mpf(11) / 17, 10, lambda s: 1 / scaled_tail(s)))
