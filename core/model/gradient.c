#include "core/model/gradient.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/model/session_internal.h"
#include "core/tensor/op_loss.h"
#include "core/tensor/tape.h"

struct watched {
    struct sonde_site site;
    struct sonde_tensor shape; /* its data is void */
    int64_t value;
};

struct sonde_gradient {
    struct sonde_session *session;
    struct sonde_tape *tape;
    struct watched *watched; /* in the order of the pass */
    int64_t n_watched, watched_capacity;
};

/* What the hooks of one run share. */
struct gradient_run {
    struct sonde_gradient *gradient;
    const struct sonde_gradient_args *args;
    int32_t *next; /* [T] targets of the next-token loss, or NULL */
    double loss;
    bool has_loss;
};

void sonde_gradient_destroy(struct sonde_gradient **gradient)
{
    if (!gradient || !*gradient) {
        return;
    }
    sonde_tape_destroy(&(*gradient)->tape);
    free((*gradient)->watched);
    free(*gradient);
    *gradient = NULL;
}

enum sonde_status sonde_gradient_create(struct sonde_gradient **out, struct sonde_session *session,
                                        size_t max_bytes, struct sonde_error *error)
{
    struct sonde_gradient *gradient = calloc(1, sizeof *gradient);
    if (!gradient) {
        return sonde_error_memory(error, "a gradient");
    }
    enum sonde_status status = sonde_tape_create(&gradient->tape, max_bytes, error);
    if (status != SONDE_STATUS_OK) {
        free(gradient);
        return status;
    }
    gradient->session = session;
    *out = gradient;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_gradient_want(struct sonde_gradient *gradient, const struct sonde_weight *w,
                                      float *into, struct sonde_error *error)
{
    return sonde_tape_want_weight(gradient->tape, w, into, error);
}

static enum sonde_status watch_site(void *ctx, struct sonde_site site,
                                    const struct sonde_tensor *value, struct sonde_error *error)
{
    struct sonde_gradient *g = ((struct gradient_run *)ctx)->gradient;
    int64_t number = sonde_tape_watch(g->tape, value->data, sonde_tensor_elements(value));
    if (number < 0 || !sonde_grow((void **)&g->watched, &g->watched_capacity, g->n_watched + 1,
                                  sizeof *g->watched, INT64_C(1) << 20)) {
        return sonde_error_memory(error, "the sites of a gradient");
    }
    g->watched[g->n_watched++] = (struct watched){ site, *value, number };
    return SONDE_STATUS_OK;
}

static void form_loss(struct sonde_op_context *ops, const struct gradient_run *run, double *value,
                      const struct sonde_tensor *logits)
{
    const struct sonde_loss *loss = &run->args->loss;
    switch (loss->kind) {
    case SONDE_LOSS_NEXT_TOKEN:
        sonde_op_cross_entropy(ops, value, *logits, run->next);
        break;
    case SONDE_LOSS_TARGETS:
        sonde_op_cross_entropy(ops, value, *logits, loss->targets);
        break;
    case SONDE_LOSS_LOGIT:
        sonde_op_pick_logit(ops, value, *logits, loss->row < 0 ? logits->dim[0] - 1 : loss->row,
                            loss->id);
        break;
    case SONDE_LOSS_SIGMOID_MSE:
        sonde_op_sigmoid_mse(ops, value, *logits, loss->hot, loss->counts);
        break;
    case SONDE_LOSS_SIGMOID_BCE:
        sonde_op_sigmoid_bce(ops, value, *logits, loss->hot, loss->counts);
        break;
    }
}

static enum sonde_status take_loss(void *ctx, struct sonde_site site,
                                   const struct sonde_tensor *logits, struct sonde_error *error)
{
    struct gradient_run *run = ctx;
    struct sonde_op_context ops = { .arena = run->gradient->session->arena,
                                    .tape = run->gradient->tape,
                                    .pool = run->gradient->session->pool };
    const double weight = run->args->loss.weight;
    const float seed = weight == 0.0 ? 1.0f : (float)weight;
    (void)site;
    form_loss(&ops, run, &run->loss, logits);
    run->has_loss = true;
    return sonde_tape_seed(ops.tape, sonde_tape_watch(ops.tape, &run->loss, 1), &seed, error);
}

int64_t sonde_loss_rows(const struct sonde_loss *loss, int64_t n_tokens)
{
    const bool sigmoid =
        loss->kind == SONDE_LOSS_SIGMOID_MSE || loss->kind == SONDE_LOSS_SIGMOID_BCE;
    int64_t n = 0;
    if (loss->kind == SONDE_LOSS_LOGIT) {
        return 1;
    }
    if (loss->kind == SONDE_LOSS_NEXT_TOKEN) {
        return n_tokens - 1;
    }
    for (int64_t t = 0; t < n_tokens; t++) {
        n += sigmoid ? !loss->counts || loss->counts[t] : loss->targets[t] >= 0;
    }
    return n;
}

static enum sonde_status check_targets(const struct sonde_loss *loss, int64_t n_tokens,
                                       int64_t n_outputs, struct sonde_error *error)
{
    for (int64_t t = 0; loss->kind == SONDE_LOSS_TARGETS && t < n_tokens; t++) {
        if (loss->targets[t] >= n_outputs) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "target %lld has id %d, the model has %lld outputs",
                                   (long long)t, loss->targets[t], (long long)n_outputs);
        }
    }
    const bool sigmoid =
        loss->kind == SONDE_LOSS_SIGMOID_MSE || loss->kind == SONDE_LOSS_SIGMOID_BCE;
    for (int64_t i = 0; sigmoid && i < n_tokens * n_outputs; i++) {
        const bool counts = !loss->counts || loss->counts[i / n_outputs];
        if (counts && !(loss->hot[i] >= 0.0f && loss->hot[i] <= 1.0f)) {
            return sonde_error_set(
                error, SONDE_STATUS_ARGUMENT, "target %lld of output %lld is %.9g, not in [0, 1]",
                (long long)(i / n_outputs), (long long)(i % n_outputs), (double)loss->hot[i]);
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status check_loss(const struct sonde_gradient *g,
                                    const struct sonde_gradient_args *args,
                                    struct sonde_error *error)
{
    const struct sonde_spec *spec = &g->session->model->spec;
    const struct sonde_loss *loss = &args->loss;
    if (spec->headless) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "this model has no unembedding, so no loss");
    }
    if (args->n_tokens < 1) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "a loss needs at least one token");
    }
    if (loss->kind == SONDE_LOSS_LOGIT && (loss->row < -1 || loss->row >= args->n_tokens ||
                                           loss->id < 0 || loss->id >= sonde_spec_outputs(spec))) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "logit %lld of row %lld: there are %lld rows of %lld",
                               (long long)loss->id, (long long)loss->row, (long long)args->n_tokens,
                               (long long)sonde_spec_outputs(spec));
    }
    if (loss->kind == SONDE_LOSS_NEXT_TOKEN && sonde_spec_outputs(spec) != spec->d_vocab) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "this model has %lld outputs, which are not its vocabulary",
                               (long long)sonde_spec_outputs(spec));
    }
    if (!isfinite((float)loss->weight)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "a loss of weight %.9g", loss->weight);
    }
    return check_targets(loss, args->n_tokens, sonde_spec_outputs(spec), error);
}

static enum sonde_status deliver(struct sonde_gradient *g, const struct sonde_gradient_args *args,
                                 struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < g->n_watched && args->on_gradient && status == SONDE_STATUS_OK; i++) {
        const struct watched *w = &g->watched[i];
        struct sonde_tensor view = w->shape;
        const float *gradient = sonde_tape_gradient(g->tape, w->value);
        int64_t n = sonde_tensor_elements(&view);
        sonde_arena_reset(g->session->arena);
        view.data = sonde_arena_zalloc(g->session->arena, n, sizeof *view.data);
        if (!view.data) {
            return sonde_error_set(error, SONDE_STATUS_LIMIT, "no memory for a site's gradient");
        }
        if (gradient) {
            memcpy(view.data, gradient, (size_t)n * sizeof *gradient);
        }
        status = args->on_gradient(args->ctx, w->site, &view, error);
    }
    return status;
}

static enum sonde_status run_passes(struct gradient_run *run, struct sonde_error *error)
{
    struct sonde_gradient *g = run->gradient;
    struct sonde_site_set logits = { 0 };
    sonde_site_set_add(&logits, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_hook hooks[] = {
        { .observe = run->args->sites, .on_value = watch_site, .ctx = run },
        { .observe = &logits, .on_value = take_loss, .ctx = run },
    };
    const struct sonde_forward_args args = {
        .ids = run->args->ids,
        .n_tokens = run->args->n_tokens,
        .token_types = run->args->token_types,
        .hooks = run->args->sites ? hooks : hooks + 1,
        .n_hooks = run->args->sites ? 2 : 1,
        .tape = g->tape,
    };
    enum sonde_status status = sonde_forward(g->session, &args, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_tape_backward(g->tape, g->session->pool, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = deliver(g, run->args, error);
    }
    return status;
}

enum sonde_status sonde_gradient_run(struct sonde_gradient *gradient,
                                     const struct sonde_gradient_args *args, double *loss,
                                     struct sonde_error *error)
{
    struct gradient_run run = { .gradient = gradient, .args = args };
    enum sonde_status status = check_loss(gradient, args, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (args->loss.kind == SONDE_LOSS_NEXT_TOKEN) {
        run.next = malloc((size_t)args->n_tokens * sizeof *run.next);
        if (!run.next) {
            return sonde_error_memory(error, "targets");
        }
        memcpy(run.next, args->ids + 1, (size_t)(args->n_tokens - 1) * sizeof *run.next);
        run.next[args->n_tokens - 1] = -1;
    }
    sonde_tape_clear(gradient->tape);
    gradient->n_watched = 0;
    status = run_passes(&run, error);
    free(run.next);
    if (status == SONDE_STATUS_OK && loss) {
        *loss = run.loss;
    }
    return status;
}

int64_t sonde_gradient_peak_bytes(const struct sonde_gradient *gradient)
{
    return (int64_t)sonde_tape_peak_bytes(gradient->tape);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/*
 * Copies: each value that a product needs, once. Gradients: of a width, as many as may be live at
 * once in one block (memory is given back to its own width only). Scratch: the widest product.
 * Each allocation is rounded up to 16 floats; `records` is a bound for the arguments of the at
 * most 20 records of a block.
 */
int64_t sonde_gradient_plan_bytes(const struct sonde_model *model, int64_t n_tokens, int n_threads,
                                  const struct sonde_site_set *sites)
{
    const struct sonde_spec *spec = &model->spec;
    const int64_t T = n_tokens, D = spec->d_model, F = spec->d_mlp;
    const int64_t V = sonde_spec_outputs(spec);
    const int64_t HE = spec->n_heads * spec->d_head, GE = spec->n_kv_heads * spec->d_head;
    if (T > SONDE_SPEC_SIZE_MAX ||
        (double)spec->n_layers * (double)T * (double)(8 * D + 4 * HE + 4 * F + V) > 0x1p50 ||
        (double)spec->n_heads * (double)T * (double)T > 0x1p50) {
        return INT64_C(1) << 60; /* more than any machine holds; and no product below overflows */
    }
    const bool gated = spec->gated, rotary = spec->position == SONDE_POSITION_ROTARY;
    const int64_t records = 20 * 256;
    int64_t block = 4 * T * D + 2 * T * HE + 2 * T * GE + (gated ? 3 : 2) * T * F + records;
    block += rotary ? 2 * T * spec->rotary_dims : 0;
    const int64_t ends = 5 * T * D + (spec->logit_softcap > 0.0f ? 2 : 1) * T * V + records;
    const int64_t live = 6 * T * D + 2 * T * HE + 4 * T * GE + 3 * T * F + 2 * T * V;
    const int64_t widest = larger(larger(D, F), HE);
    int64_t scratch = larger(larger(512 * widest, T * V), 4 * T + 2 * widest);
    scratch = larger(scratch, 3 * 64 * T * (int64_t)n_threads) + 256;
    int64_t floats = spec->n_layers * block + ends + live + scratch, at = 0;
    struct sonde_site site;
    while (sites && sonde_site_set_next(sites, &at, &site)) {
        const int64_t rows = sonde_site_is_map(site.kind) ? T * T : T;
        floats += rows * sonde_spec_site_width(spec, site.kind) + 16;
    }
    return floats * (int64_t)sizeof(float);
}
