/*
 * Smooth minimisation: L-BFGS (Liu and Nocedal, Mathematical Programming 45, 1989) and, with an L1
 * term, OWL-QN (Andrew and Gao, ICML 2007). In double precision. The one wrapper of liblbfgs.
 */
#ifndef SONDE_ANALYSIS_OPTIMISE_H
#define SONDE_ANALYSIS_OPTIMISE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/progress.h"
#include "core/base/status.h"

/* The function: fills gradient [n] and *value at x [n]. x is in [0, n) of a longer array; never
 * write to it. A status other than OK ends the minimisation with that status. */
typedef enum sonde_status sonde_objective(void *ctx, const double *x, int64_t n, double *value,
                                          double *gradient, struct sonde_error *error);

struct sonde_minimise_options {
    int max_iterations; /* 0 = 1000 */
    int memory;         /* correction pairs kept; 0 = 10 */
    /* Ends where max |gradient_i| <= gradient_tolerance (of the pseudo-gradient with l1 > 0).
     * 0 = 1e-5; a negative value is never met. */
    double gradient_tolerance;
    /* What is held against gradient_tolerance, at the point that the function was evaluated at
     * last, where the variables stand for others (a change of basis); NULL = max |gradient_i|. */
    double (*gradient_size)(void *ctx);
    /* Ends where 10 iterations lowered the value by no more than this share of |value|. 0 = the
     * test is off. */
    double value_tolerance;
    int line_search;          /* evaluations in one iteration at most; 0 = 60 */
    double l1;                /* adds l1 * sum |x_i| over i in [l1_begin, l1_end); 0 = none */
    int64_t l1_begin, l1_end; /* l1_end 0 = n */
    const struct sonde_progress *progress; /* "what" done of max_iterations "iterations" */
    const char *what;                      /* for progress and messages; NULL = "fit" */
};

enum sonde_minimise_end {
    SONDE_MINIMISE_CONVERGED = 0,  /* a tolerance was met */
    SONDE_MINIMISE_PRECISION,      /* no step lowers the value any more: as far as doubles go */
    SONDE_MINIMISE_MAX_ITERATIONS, /* stopped early; the result is the last point */
};

struct sonde_minimise_result {
    double value;        /* at the last point, the l1 term included */
    double gradient_max; /* max |gradient_i| there, or gradient_size */
    int iterations, evaluations;
    enum sonde_minimise_end end;
};

/*
 * Minimises from x [n], n in [1, 2^31 - 32], and leaves the last point there. Not converging is no
 * failure (see result->end); callers decide and warn. Failures (x is untouched): ARGUMENT, MEMORY,
 * NUMERIC (the value or gradient is not finite at the start, or no finite step exists), CANCELLED,
 * and whatever the objective returned. One thread; the same input gives the same bits.
 */
SONDE_MUST_USE enum sonde_status sonde_minimise(sonde_objective *objective, void *ctx, int64_t n,
                                                double *x,
                                                const struct sonde_minimise_options *options,
                                                struct sonde_minimise_result *result,
                                                struct sonde_error *error);

#endif
