#include "probes/lens_sums.h"

#include <math.h>

#include "core/tensor/vector.h"
#include "core/tensor/vector_readout.h"

struct sonde_lens_sums sonde_lens_sums_none(void)
{
    return (struct sonde_lens_sums){ .shift = -INFINITY };
}

/* exp(old - new) for shifts old <= new; 1 for two of -infinity, whose sums are 0. */
static double factor_of(float old, float new)
{
    return old == new ? 1.0 : exp((double)old - (double)new);
}

double sonde_lens_sums_add(struct sonde_lens_sums *sums, const float *x, int64_t n, float *weight)
{
    const struct sonde_vector_kernels *kernels = sonde_vector_kernels();
    float top = kernels->max(x, n);
    double factor = 1.0, added[2];
    if (top > sums->shift) {
        factor = factor_of(sums->shift, top);
        sums->shift = top;
    }
    kernels->exp(weight, x, sums->shift, n);
    sonde_readout_kernels()->sum_weighted(weight, x, n, added);
    sums->sum = sums->sum * factor + added[0];
    sums->product = sums->product * factor + added[1];
    return factor;
}

void sonde_lens_sums_add_beside(struct sonde_lens_sums *sums, const float *x, int64_t n,
                                float *weight, const float *final_weight, double final_factor)
{
    (void)sonde_lens_sums_add(sums, x, n, weight);
    sums->cross = sums->cross * final_factor + sonde_vector_kernels()->dot(final_weight, x, n);
}

struct sonde_lens_factors sonde_lens_sums_join(struct sonde_lens_sums *into,
                                               const struct sonde_lens_sums *part,
                                               const struct sonde_lens_factors *final)
{
    float top = part->shift > into->shift ? part->shift : into->shift;
    struct sonde_lens_factors f = { factor_of(into->shift, top), factor_of(part->shift, top) };
    into->shift = top;
    into->sum = into->sum * f.into + part->sum * f.part;
    into->product = into->product * f.into + part->product * f.part;
    if (final)
        into->cross = into->cross * final->into + part->cross * final->part;
    return f;
}

double sonde_lens_sums_log(const struct sonde_lens_sums *sums)
{
    return log(sums->sum) + (double)sums->shift;
}

double sonde_lens_sums_entropy(const struct sonde_lens_sums *sums)
{
    return sonde_lens_sums_log(sums) - sums->product / sums->sum;
}

double sonde_lens_sums_kl(const struct sonde_lens_sums *sums, const struct sonde_lens_sums *final)
{
    return (final->product - sums->cross) / final->sum - sonde_lens_sums_log(final) +
           sonde_lens_sums_log(sums);
}
