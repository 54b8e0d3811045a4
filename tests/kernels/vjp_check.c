#include "tests/kernels/vjp_check.h"

#include <string.h>

#include "tests/support/check.h"

static const double step = 0x1p-17;

struct gradients {
    float *each[VJP_INPUTS]; /* [n] */
    float *y;                /* [n_out] */
};

static struct gradients run_tape(const struct vjp_case *c, const struct sonde_op_context *context,
                                 const float *cotangent, bool with_tape)
{
    struct sonde_error error = { 0 };
    struct sonde_op_context ctx = *context;
    struct gradients g = { .y = calloc((size_t)c->n_out + 1, sizeof(float)) };
    float *x[VJP_INPUTS] = { NULL };
    int64_t value[VJP_INPUTS], out;
    check_ok(sonde_tape_create(&ctx.tape, 0, &error), &error);
    struct sonde_tape *tape = ctx.tape;
    for (int i = 0; i < c->n_inputs; i++) {
        g.each[i] = calloc((size_t)c->n[i] + 1, sizeof(float));
        x[i] = copy_floats(c->value[i], c->n[i]);
        if (sonde_weight_present(&c->weight[i])) {
            check_ok(sonde_tape_want_weight(tape, &c->weight[i], g.each[i], &error), &error);
        } else {
            value[i] = sonde_tape_watch(tape, x[i], c->n[i]);
        }
    }
    ctx.tape = with_tape ? tape : NULL;
    const size_t before = sonde_arena_used(ctx.arena);
    float *y = c->op(c, &ctx, x, g.y);
    assert_false(ctx.failed);
    assert_int_equal(sonde_arena_used(ctx.arena), before);
    out = sonde_tape_watch(tape, y, c->n_out);
    memmove(g.y, y, (size_t)c->n_out * sizeof(float));
    for (int i = 0; i < c->n_inputs; i++) { /* what the op read may be gone by now */
        memset(x[i], 0xff, (size_t)c->n[i] * sizeof(float));
    }
    check_ok(sonde_tape_seed(tape, out, cotangent, &error), &error);
    check_ok(sonde_tape_backward(tape, ctx.pool, &error), &error);
    for (int i = 0; i < c->n_inputs && with_tape; i++) {
        if (!sonde_weight_present(&c->weight[i]) && sonde_tape_gradient(tape, value[i])) {
            memcpy(g.each[i], sonde_tape_gradient(tape, value[i]), (size_t)c->n[i] * sizeof(float));
        }
    }
    assert_true(sonde_tape_peak_bytes(tape) >= sonde_tape_bytes(tape));
    sonde_tape_destroy(&tape);
    for (int i = 0; i < c->n_inputs; i++) {
        free(x[i]);
    }
    return g;
}

static void free_gradients(struct gradients *g)
{
    for (int i = 0; i < VJP_INPUTS; i++) {
        free(g->each[i]);
    }
    free(g->y);
}

static double loss(const struct vjp_case *c, double *const *x, const float *cotangent, double *y,
                   double *magnitude)
{
    double sum = 0.0;
    *magnitude = 0.0;
    memset(y, 0, (size_t)c->n_out * sizeof(*y));
    c->reference(c, x, y);
    for (int64_t i = 0; i < c->n_out; i++) {
        sum += (double)cotangent[i] * y[i];
        *magnitude += fabs((double)cotangent[i] * y[i]);
    }
    return sum;
}

/* Every element of small inputs, 64 spread ones of large ones. */
static void compare(const struct vjp_case *c, int input, double *const *x, const float *cotangent,
                    const float *got)
{
    const int64_t n = c->n[input], stride = n > 64 ? n / 64 : 1;
    double *y = zeros(c->n_out), magnitude = 0.0, largest = 0.0;
    double *want = zeros(n);
    for (int64_t i = 0; i < n; i += stride) {
        const double at = x[input][i];
        x[input][i] = at + step;
        const double above = loss(c, x, cotangent, y, &magnitude);
        x[input][i] = at - step;
        want[i] = (above - loss(c, x, cotangent, y, &magnitude)) / (2.0 * step);
        x[input][i] = at;
        largest = fmax(largest, fabs(want[i]));
    }
    const double tolerance = c->roundings * UNIT * fmax(largest, 1.0) + 4e-11 * (magnitude + 1.0);
    for (int64_t i = 0; i < n; i += stride) {
        if (!(fabs((double)got[i] - want[i]) <= tolerance)) {
            fprintf(stderr, "# %s: input %d, element %lld: %.9g, by differences %.9g (+- %.3g)\n",
                    c->name, input, (long long)i, (double)got[i], want[i], tolerance);
            fail();
        }
    }
    free(want);
    free(y);
}

void vjp_check(struct contexts *contexts, const struct vjp_case *c, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 7000 + stream);
    struct guarded cotangent = guarded_normal(&rng, c->n_out, 1.0);
    struct gradients first = run_tape(c, &contexts->each[0], cotangent.data, true);
    struct gradients plain = run_tape(c, &contexts->each[0], cotangent.data, false);
    check_bits(c->name, first.y, plain.y, c->n_out);
    free_gradients(&plain);
    double *x[VJP_INPUTS] = { NULL };
    for (int i = 0; i < c->n_inputs; i++) {
        x[i] = zeros(c->n[i]);
        for (int64_t j = 0; j < c->n[i]; j++) {
            x[i][j] = (double)c->value[i][j];
        }
    }
    for (int i = 0; i < c->n_inputs; i++) {
        compare(c, i, x, cotangent.data, first.each[i]);
    }
    for (int p = 1; p < N_CONTEXTS; p++) {
        struct gradients again = run_tape(c, &contexts->each[p], cotangent.data, true);
        for (int i = 0; i < c->n_inputs; i++) {
            check_bits(c->name, again.each[i], first.each[i], c->n[i]);
        }
        free_gradients(&again);
    }
    for (int i = 0; i < c->n_inputs; i++) {
        free(x[i]);
    }
    free_gradients(&first);
    guarded_free(&cotangent);
}
