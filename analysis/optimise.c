#include "analysis/optimise.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <lbfgs.h>

/* liblbfgs is built with SSE2 where the machine has it and then refuses lengths that are no
 * multiple of 16 and unaligned arrays. Variables are padded with zeros of zero gradient, which
 * change nothing. */
#define PAD 16
#define MAX_N (INT32_MAX - 2 * PAD)
#define DEFAULT_ITERATIONS 1000
#define PAST 10

struct run {
    sonde_objective *objective;
    void *ctx;
    int64_t n;
    const struct sonde_minimise_options *options;
    const char *what;
    int max_iterations;
    double tolerance, l1;
    int64_t l1_begin, l1_end;
    double past[PAST];
    struct sonde_minimise_result result;
    double *best;  /* [n] the last accepted point */
    bool accepted; /* best is set */
    bool infinite; /* the last value was not finite, */
    bool met;      /* or one of this attempt */
    int before;    /* iterations of the attempt before this one */
    enum sonde_status status;
    struct sonde_error *error;
};

/* max |gradient| over the variables; with an L1 term of the pseudo-gradient (Andrew and Gao, eq.
 * 4), computed from the plain gradient at x. */
static double largest_gradient(const struct run *r, const double *x, const double *g)
{
    double largest = 0;
    if (r->options->gradient_size)
        return r->options->gradient_size(r->ctx);
    for (int64_t i = 0; i < r->n; i++) {
        double slope = g[i];
        if (r->l1 > 0 && i >= r->l1_begin && i < r->l1_end) {
            if (x[i] != 0)
                slope += x[i] > 0 ? r->l1 : -r->l1;
            else if (fabs(slope) <= r->l1)
                slope = 0;
            else
                slope -= slope > 0 ? r->l1 : -r->l1;
        }
        largest = fmax(largest, fabs(slope));
    }
    return largest;
}

static lbfgsfloatval_t evaluate(void *instance, const lbfgsfloatval_t *x, lbfgsfloatval_t *g,
                                const int n, const lbfgsfloatval_t step)
{
    struct run *r = instance;
    (void)step;
    double value = (double)NAN;
    memset(g, 0, (size_t)n * sizeof(*g));
    if (r->status != SONDE_STATUS_OK)
        return (double)INFINITY; /* the library asks on until its line search gives up */
    r->result.evaluations++;
    r->status = r->objective(r->ctx, x, r->n, &value, g, r->error);
    r->infinite = !isfinite(value);
    r->met = r->met || r->infinite;
    /* a NaN would pass every comparison of the line search as false, so it must be a high value */
    return r->infinite ? (double)INFINITY : value;
}

/* Called with every accepted point; a value other than 0 ends the run. */
static int progress(void *instance, const lbfgsfloatval_t *x, const lbfgsfloatval_t *g,
                    const lbfgsfloatval_t fx, const lbfgsfloatval_t xnorm,
                    const lbfgsfloatval_t gnorm, const lbfgsfloatval_t step, int n, int k, int ls)
{
    struct run *r = instance;
    (void)xnorm;
    (void)gnorm;
    (void)step;
    (void)n;
    (void)ls;
    if (r->status != SONDE_STATUS_OK)
        return LBFGSERR_CANCELED;
    memcpy(r->best, x, (size_t)r->n * sizeof(*x));
    r->accepted = true;
    k += r->before;
    r->result.iterations = k;
    r->result.value = fx;
    r->result.gradient_max = largest_gradient(r, x, g);
    if (!sonde_progress_update(r->options->progress, r->what, k, r->max_iterations, "iterations")) {
        r->status = sonde_error_set(r->error, SONDE_STATUS_CANCELLED, "%s: stopped", r->what);
        return LBFGSERR_CANCELED;
    }
    if (r->result.gradient_max <= r->tolerance)
        return LBFGS_STOP;
    double before = r->past[k % PAST];
    r->past[k % PAST] = fx;
    if (r->options->value_tolerance > 0 && k > PAST &&
        before - fx <= r->options->value_tolerance * fabs(fx))
        return LBFGS_STOP;
    return 0;
}

static enum sonde_status read_options(struct run *r, struct sonde_error *error)
{
    const struct sonde_minimise_options *o = r->options;
    r->what = o->what ? o->what : "fit";
    r->max_iterations = o->max_iterations ? o->max_iterations : DEFAULT_ITERATIONS;
    r->tolerance = o->gradient_tolerance != 0 ? o->gradient_tolerance : 1e-5;
    r->l1 = o->l1;
    r->l1_begin = o->l1_begin;
    r->l1_end = o->l1_end ? o->l1_end : r->n;
    if (r->n < 1 || r->n > MAX_N)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: %lld variables, expected 1 to %lld", r->what, (long long)r->n,
                               (long long)MAX_N);
    if (r->max_iterations < 1 || o->memory < 0 || o->line_search < 0 || !(o->l1 >= 0) ||
        isinf(o->l1) || isnan(r->tolerance))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: options of the minimisation are out of range", r->what);
    if (r->l1 > 0 && (r->l1_begin < 0 || r->l1_begin >= r->l1_end || r->l1_end > r->n))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: L1 range %lld to %lld, expected within 0 to %lld", r->what,
                               (long long)r->l1_begin, (long long)r->l1_end, (long long)r->n);
    return SONDE_STATUS_OK;
}

/* What the library's answer means; the numbers of the last accepted point are in r->result. */
static enum sonde_status judge(struct run *r, int code)
{
    if (r->status != SONDE_STATUS_OK)
        return r->status;
    switch (code) {
    case LBFGS_SUCCESS:
    case LBFGS_STOP:
    case LBFGS_ALREADY_MINIMIZED:
        r->result.end = SONDE_MINIMISE_CONVERGED;
        return SONDE_STATUS_OK;
    case LBFGSERR_MAXIMUMITERATION:
        r->result.end = SONDE_MINIMISE_MAX_ITERATIONS;
        return SONDE_STATUS_OK;
    case LBFGSERR_OUTOFMEMORY:
        return sonde_error_memory(r->error, r->what);
    default:
        break;
    }
    if (r->infinite)
        return sonde_error_set(r->error, SONDE_STATUS_NUMERIC,
                               "%s: the function is not finite after %d iterations", r->what,
                               r->result.iterations);
    /* every other answer is a line search that finds no lower point */
    r->result.end = SONDE_MINIMISE_PRECISION;
    return SONDE_STATUS_OK;
}

/* The first evaluation is made here: it catches values that are not finite, sets the numbers of a
 * run that ends at once, and lets the library's own (relative) gradient test stay off. */
static enum sonde_status begin(struct run *r, const double *x, double *g, bool *done)
{
    double value = (double)NAN;
    r->result.evaluations++;
    enum sonde_status status = r->objective(r->ctx, x, r->n, &value, g, r->error);
    if (status != SONDE_STATUS_OK)
        return status;
    for (int64_t i = 0; r->l1 > 0 && i < r->n; i++)
        if (i >= r->l1_begin && i < r->l1_end)
            value += r->l1 * fabs(x[i]);
    r->result.value = value;
    r->result.gradient_max = largest_gradient(r, x, g);
    bool finite = isfinite(value);
    for (int64_t i = 0; i < r->n; i++)
        finite = finite && isfinite(g[i]);
    if (!finite)
        return sonde_error_set(r->error, SONDE_STATUS_NUMERIC,
                               "%s: the function is not finite at the start", r->what);
    *done = r->result.gradient_max <= r->tolerance || r->result.gradient_max == 0;
    return SONDE_STATUS_OK;
}

static int attempt(struct run *r, double *point, int padded, bool backtrack)
{
    lbfgs_parameter_t p;
    lbfgs_parameter_init(&p);
    p.m = r->options->memory ? r->options->memory : 10;
    /* tests of its own are off: ours are absolute, in progress() */
    p.epsilon = 0;
    p.past = 0;
    p.max_iterations = r->max_iterations - r->before;
    p.max_linesearch = r->options->line_search ? r->options->line_search : 60;
    if (r->l1 > 0) {
        p.orthantwise_c = r->l1;
        p.orthantwise_start = (int)r->l1_begin;
        p.orthantwise_end = (int)r->l1_end;
    }
    if (backtrack || r->l1 > 0)
        p.linesearch = LBFGS_LINESEARCH_BACKTRACKING;
    double value = 0;
    return lbfgs(padded, point, &value, evaluate, progress, r, &p);
}

/* The line search of More and Thuente interpolates and is lost at an infinite value. Then the rest
 * is done by halving steps, which finds its way back from there. */
static enum sonde_status minimise(struct run *r, double *point, int padded)
{
    int code = attempt(r, point, padded, false);
    bool lost = code < 0 && code != LBFGSERR_MAXIMUMITERATION && code != LBFGSERR_OUTOFMEMORY;
    if (lost && r->met && r->status == SONDE_STATUS_OK &&
        r->result.iterations < r->max_iterations) {
        r->before = r->result.iterations;
        memcpy(point, r->best, (size_t)r->n * sizeof(*point));
        code = attempt(r, point, padded, true);
    }
    return judge(r, code);
}

enum sonde_status sonde_minimise(sonde_objective *objective, void *ctx, int64_t n, double *x,
                                 const struct sonde_minimise_options *options,
                                 struct sonde_minimise_result *result, struct sonde_error *error)
{
    static const struct sonde_minimise_options defaults = { 0 };
    struct run r = { .objective = objective,
                     .ctx = ctx,
                     .n = n,
                     .options = options ? options : &defaults,
                     .error = error };
    enum sonde_status status = read_options(&r, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int padded = (int)((n + PAD - 1) / PAD * PAD);
    double *point = lbfgs_malloc(padded);
    r.best = lbfgs_malloc(padded);
    if (!point || !r.best) {
        lbfgs_free(point);
        lbfgs_free(r.best);
        return sonde_error_memory(error, r.what);
    }
    memset(point, 0, (size_t)padded * sizeof(*point));
    memcpy(point, x, (size_t)n * sizeof(*x));
    bool done = false;
    status = begin(&r, point, r.best, &done);
    if (status == SONDE_STATUS_OK && !done) {
        memcpy(r.best, x, (size_t)n * sizeof(*x)); /* where a second attempt starts at the latest */
        status = minimise(&r, point, padded);
        if (status == SONDE_STATUS_OK && r.accepted)
            memcpy(x, r.best, (size_t)n * sizeof(*x));
    }
    if (status == SONDE_STATUS_OK && result)
        *result = r.result;
    lbfgs_free(point);
    lbfgs_free(r.best);
    return status;
}
