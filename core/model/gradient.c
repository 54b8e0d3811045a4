#include "core/model/gradient.h"

#include <float.h>
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
    size_t max_bytes;
    struct watched *watched; /* in the order of the pass */
    int64_t n_watched, watched_capacity;
    size_t held_peak; /* bytes of checkpoints */
    bool used_checkpoints;
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
    gradient->max_bytes = max_bytes;
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
    if (loss->kind == SONDE_LOSS_NEXT_TOKEN) {
        enum sonde_status status = sonde_spec_check_vocabulary(spec, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    if (!(fabs(loss->weight) <= (double)FLT_MAX)) {
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

/* The hooks of one pass on the tape: those of the caller, then the watch and, with the end, the
 * loss. A pass that is made again edits, and shows nothing twice. */
struct pass_hooks {
    struct sonde_hook *hook; /* [n + 2] */
    int n;
    struct sonde_site_set logits;
};

static void add_own_hooks(struct pass_hooks *h, struct gradient_run *run, bool again, bool end)
{
    h->n = run->args->n_hooks;
    for (int i = 0; i < h->n; i++) {
        h->hook[i] = run->args->hooks[i];
        if (again) {
            h->hook[i].observe = NULL;
        }
    }
    if (run->args->sites) {
        h->hook[h->n++] =
            (struct sonde_hook){ .observe = run->args->sites, .on_value = watch_site, .ctx = run };
    }
    if (end) {
        sonde_site_set_add(&h->logits, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
        h->hook[h->n++] =
            (struct sonde_hook){ .observe = &h->logits, .on_value = take_loss, .ctx = run };
    }
}

static struct sonde_forward_args forward_args(const struct gradient_run *run)
{
    return (struct sonde_forward_args){
        .ids = run->args->ids,
        .n_tokens = run->args->n_tokens,
        .token_types = run->args->token_types,
        .hooks = run->args->hooks,
        .n_hooks = run->args->n_hooks,
    };
}

/* Forwards on the tape and backwards; part NULL = the whole pass. behind: [T, D] the gradient of
 * the stream that leaves the part, NULL where the part holds the end. */
static enum sonde_status run_taped(struct gradient_run *run, struct pass_hooks *hooks,
                                   struct sonde_forward_part *part, const float *behind,
                                   struct sonde_error *error)
{
    struct sonde_gradient *g = run->gradient;
    struct sonde_forward_args args = forward_args(run);
    add_own_hooks(hooks, run, behind != NULL, behind == NULL);
    args.hooks = hooks->hook;
    args.n_hooks = hooks->n;
    args.tape = g->tape;
    args.part = part;
    sonde_tape_clear(g->tape);
    g->n_watched = 0;
    enum sonde_status status = sonde_forward(g->session, &args, error);
    if (status == SONDE_STATUS_OK && behind) {
        status = sonde_tape_seed(g->tape, part->value_out, behind, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_tape_backward(g->tape, g->session->pool, error);
    }
    return status == SONDE_STATUS_OK ? deliver(g, run->args, error) : status;
}

/*
 * Checkpoints: forwards once without a tape, keeping the stream before every stage but the first;
 * then stage by stage from the end, each forwards again on the tape and back. What a stage made of
 * the stream it read is the gradient that the one before is seeded with: the whole tape adds to a
 * value's gradient in the same order, so the bits are the same.
 */
static enum sonde_status run_by_layer(struct gradient_run *run, struct pass_hooks *hooks,
                                      float *stream, struct sonde_error *error)
{
    struct sonde_gradient *g = run->gradient;
    const int end = g->session->model->spec.n_layers + 1;
    const int64_t n = run->args->n_tokens * g->session->model->spec.d_model;
    struct sonde_forward_args args = forward_args(run);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int k = 0; k < end && status == SONDE_STATUS_OK; k++) {
        struct sonde_forward_part part = { .first = k, .last = k, .out = stream + k * n };
        part.in = k > 0 ? stream + (k - 1) * n : NULL;
        args.part = &part;
        status = sonde_forward(g->session, &args, error);
    }
    int64_t n_nonfinite = 0;
    for (int k = end; k >= 0 && status == SONDE_STATUS_OK; k--) {
        struct sonde_forward_part part = { .first = k, .last = k };
        float *in = k > 0 ? stream + (k - 1) * n : NULL;
        part.in = in;
        status = run_taped(run, hooks, &part, k < end ? stream + k * n : NULL, error);
        const float *before =
            status == SONDE_STATUS_OK ? sonde_tape_gradient(g->tape, part.value_in) : NULL;
        n_nonfinite = k == end ? g->session->n_nonfinite : n_nonfinite;
        if (before) {
            memcpy(in, before, (size_t)n * sizeof *in);
        } else if (in) {
            memset(in, 0, (size_t)n * sizeof *in);
        }
    }
    g->session->n_nonfinite = n_nonfinite; /* those of a stage that ran again are not new */
    return status;
}

/* Whether to keep checkpoints only: where that is asked for, or the whole tape does not fit. */
static enum sonde_status choose_way(const struct sonde_gradient *g,
                                    const struct sonde_gradient_args *args, bool *by_layer,
                                    struct sonde_error *error)
{
    const struct sonde_model *model = g->session->model;
    const int n_threads = sonde_pool_threads(g->session->pool);
    const int64_t T = args->n_tokens;
    struct sonde_site_set edited = { 0 };
    for (int h = 0; h < args->n_hooks; h++) {
        sonde_site_set_union(&edited, args->hooks[h].edit);
    }
    const int64_t edits = sonde_gradient_plan_edit_bytes(model, T, &edited);
    const int64_t whole = sonde_gradient_plan_bytes(model, T, n_threads, args->sites) + edits;
    const int64_t least =
        sonde_gradient_plan_checkpoint_bytes(model, T, n_threads, args->sites) + edits;
    const size_t most = g->max_bytes ? g->max_bytes : SIZE_MAX;
    *by_layer = args->checkpoints || (uint64_t)whole > most;
    if ((uint64_t)least > most && (uint64_t)whole > most) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "gradients over %lld tokens need at least %lld bytes, layer by "
                               "layer; the budget is %zu",
                               (long long)T, (long long)(least < whole ? least : whole), most);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status run_passes(struct gradient_run *run, struct sonde_error *error)
{
    struct sonde_gradient *g = run->gradient;
    const struct sonde_spec *spec = &g->session->model->spec;
    struct pass_hooks *hooks = calloc(1, sizeof *hooks);
    float *stream = NULL;
    bool by_layer = false;
    enum sonde_status status = choose_way(g, run->args, &by_layer, error);
    if (hooks) {
        hooks->hook = calloc((size_t)run->args->n_hooks + 2, sizeof *hooks->hook);
    }
    if (status == SONDE_STATUS_OK && (!hooks || !hooks->hook)) {
        status = sonde_error_memory(error, "the hooks of a gradient");
    }
    if (status == SONDE_STATUS_OK && by_layer) {
        const size_t row_bytes =
            (size_t)(spec->n_layers + 1) * (size_t)spec->d_model * sizeof(float);
        const size_t held = (size_t)run->args->n_tokens * row_bytes;
        const bool fits = run->args->n_tokens <= g->session->max_tokens;
        stream = fits ? malloc(held) : NULL;
        g->held_peak = stream && held > g->held_peak ? held : g->held_peak;
        status = stream ? run_by_layer(run, hooks, stream, error)
                        : sonde_error_memory(error, "the stream between the blocks");
    } else if (status == SONDE_STATUS_OK) {
        status = run_taped(run, hooks, NULL, NULL, error);
    }
    g->used_checkpoints = stream != NULL;
    free(stream);
    if (hooks) {
        free(hooks->hook);
    }
    free(hooks);
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
    status = run_passes(&run, error);
    free(run.next);
    if (status == SONDE_STATUS_OK && loss) {
        *loss = run.loss;
    }
    return status;
}

int64_t sonde_gradient_peak_bytes(const struct sonde_gradient *gradient)
{
    return (int64_t)(sonde_tape_peak_bytes(gradient->tape) + gradient->held_peak);
}

bool sonde_gradient_used_checkpoints(const struct sonde_gradient *gradient)
{
    return gradient->used_checkpoints;
}
