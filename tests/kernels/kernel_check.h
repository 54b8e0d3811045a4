/* What the kernel tests share: contexts with every kind of pool, guarded buffers, random values and
 * comparison with a bound for each element. */
#ifndef SONDE_TESTS_KERNELS_KERNEL_CHECK_H
#define SONDE_TESTS_KERNELS_KERNEL_CHECK_H

#include <stdint.h>

#include "core/base/rng.h"
#include "core/tensor/ops.h"

#define UNIT 0x1p-24 /* largest relative error of one rounding to f32 */

/* (1 + UNIT)^n - 1 is below this: n roundings in any order (Higham, "Accuracy and Stability of
 * Numerical Algorithms", lemma 3.1). */
double gamma_bound(double n);

/* Contexts: no pool, then pools of 1, 2, 3 and 4 threads. */
enum { N_CONTEXTS = 5 };
struct contexts {
    struct sonde_op_context each[N_CONTEXTS];
};
/* cmocka group set-up and tear-down; *state is the struct contexts. */
int contexts_setup(void **state);
int contexts_teardown(void **state);

/* n floats between two guard bands, filled with NaN. */
struct guarded {
    float *data;
    int64_t n;
    float *base;
};
struct guarded guarded_new(int64_t n);
/* Fails the test where a band was written to. */
void guarded_check(const struct guarded *g);
void guarded_free(struct guarded *g);

/* A guarded buffer of normal values times spread. */
struct guarded guarded_normal(struct sonde_rng *rng, int64_t n, double spread);
/* A weight of normal values times spread, and in *wide what it stands for. free(*wide) frees both.
 */
struct sonde_weight random_weight(struct sonde_rng *rng, enum sonde_dtype dtype, int64_t rows,
                                  int64_t columns, bool transposed, double spread, float **wide);

/* Each |got - want| must be within bound; want may be infinite (then equal). Returns the largest
 * share of a bound that was used. */
double check_bounds(const char *what, const float *got, const double *want, const double *bound,
                    int64_t n);
/* The same bits. */
void check_bits(const char *what, const float *got, const float *want, int64_t n);
float *copy_floats(const float *src, int64_t n);
double *zeros(int64_t n);

#endif
