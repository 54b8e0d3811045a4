/*
 * Sums over a row of logits that arrives in parts and is never seen whole: the log-sum-exp with a
 * shift that follows the largest logit (Milakov and Gimelshein, "Online normalizer calculation for
 * softmax", 2018), and beside it the sums that entropy and KL need. Exponentials are f32, sums are
 * double. With Z = sum exp(x) and means over p = softmax(x), q = softmax(f):
 *   entropy = log Z - mean_p(x),  KL(q || p) = mean_q(f) - mean_q(x) - log Z_f + log Z.
 */
#ifndef SONDE_PROBES_LENS_SUMS_H
#define SONDE_PROBES_LENS_SUMS_H

#include <stdint.h>

struct sonde_lens_sums {
    float shift;    /* the largest logit so far; -infinity = none yet */
    double sum;     /* of exp(x - shift) */
    double product; /* of exp(x - shift) x */
    double cross;   /* of exp(f - F) x: f the final row, F its shift; 0 for the final row itself */
};

/* No logit yet. */
struct sonde_lens_sums sonde_lens_sums_none(void);
/* Adds x [n]; weight [n] becomes exp(x - shift). Returns what sums over the earlier shift are to be
 * multiplied by. */
double sonde_lens_sums_add(struct sonde_lens_sums *sums, const float *x, int64_t n, float *weight);
/* The same, n >= 1 logits of another row beside the final one, to which final_weight and
 * final_factor belong. */
void sonde_lens_sums_add_beside(struct sonde_lens_sums *sums, const float *x, int64_t n,
                                float *weight, const float *final_weight, double final_factor);

/* What `into` and `part` are multiplied by when they become one. */
struct sonde_lens_factors {
    double into, part;
};
/* Adds the sums of a later part of the row; final: the factors of the final row's, which is joined
 * before the others. */
struct sonde_lens_factors sonde_lens_sums_join(struct sonde_lens_sums *into,
                                               const struct sonde_lens_sums *part,
                                               const struct sonde_lens_factors *final);

/* Natural logarithms. NaN or infinite where a logit was. */
double sonde_lens_sums_log(const struct sonde_lens_sums *sums);
double sonde_lens_sums_entropy(const struct sonde_lens_sums *sums);
double sonde_lens_sums_kl(const struct sonde_lens_sums *sums, const struct sonde_lens_sums *final);

#endif
