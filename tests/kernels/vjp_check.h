/*
 * What the tests of vector-Jacobian products share. L = sum c y for a random c and y = f(inputs):
 * the op's tape gives dL/d(input); a plain double-precision f, written in the test, gives the same
 * by central differences.
 *
 * Tolerance. Central differences in double with step h = 2^-17 are off by h^2 / 6 of the third
 * derivative (1e-11 of it) and by 2^-53 / h = 2e-11 of L, |L| <= sum |c y|. The op rounds to f32:
 * `roundings` is a bound for those that stand in line, each at most UNIT of `scale`, the largest
 * sum of magnitudes that a gradient of this input is made of.
 */
#ifndef SONDE_TESTS_KERNELS_VJP_CHECK_H
#define SONDE_TESTS_KERNELS_VJP_CHECK_H

#include "core/tensor/tape.h"
#include "tests/kernels/kernel_check.h"

enum { VJP_INPUTS = 5 };

/* A function under test: input i is value[i][n[i]] (what the op computes with, widened). */
struct vjp_case {
    const char *name;
    int n_inputs;
    float *value[VJP_INPUTS];
    int64_t n[VJP_INPUTS];
    struct sonde_weight weight[VJP_INPUTS]; /* present: the input is a weight */
    int64_t n_out;
    /* Runs the op on x[i] (copies of the activations, which the op may overwrite) into y, or in
     * place: returns where the output stands. */
    float *(*op)(const struct vjp_case *c, struct sonde_op_context *ctx, float *const *x, float *y);
    void (*reference)(const struct vjp_case *c, double *const *x, double *y);
    const void *arg;
    double roundings;
};

/* Differences for every input, the same bits of y with and without a tape, and the same bits of all
 * gradients for every pool. */
void vjp_check(struct contexts *contexts, const struct vjp_case *c, uint64_t stream);

#endif
