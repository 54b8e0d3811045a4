#include "core/train/trainer.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/train/train_internal.h"

enum {
    PIECE = 1 << 14,        /* elements that one task of a reduction takes */
    ALIGN = 16,             /* floats */
    FEW_ELEMENTS = 1 << 17, /* below it waking threads costs more than they save */
};

void sonde_trainer_destroy(struct sonde_trainer **trainer)
{
    if (!trainer || !*trainer) {
        return;
    }
    struct sonde_trainer *t = *trainer;
    for (int i = 0; t->lane && i < t->n_lanes; i++) {
        sonde_gradient_destroy(&t->lane[i].gradient);
        sonde_session_destroy(&t->lane[i].session);
        sonde_prepared_finish(&t->lane[i].prepared);
        free(t->lane[i].sum);
    }
    for (int i = 0; i < SONDE_UPDATE_STATES_MAX; i++) {
        free(t->state[i]);
    }
    free(t->lane);
    free(t->offset);
    free(t->piece);
    free(t->piece_square);
    free(t->order);
    free(t->item);
    free(t);
    *trainer = NULL;
}

static enum sonde_status check_options(const struct sonde_trainer_options *o,
                                       const struct sonde_example_source *source,
                                       struct sonde_error *error)
{
    if (source->n < 1) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "there is no example to learn from");
    }
    if ((o->batch_sequences > 0) == (o->batch_tokens > 0) || o->batch_sequences < 0 ||
        o->batch_tokens < 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "a batch of %lld sequences and %lld tokens: one of the two says how "
                               "large it is",
                               (long long)o->batch_sequences, (long long)o->batch_tokens);
    }
    if (o->n_lanes < 0 || o->n_lanes > SONDE_TRAINER_LANES_MAX) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%d lanes, expected 1 to %d",
                               o->n_lanes, SONDE_TRAINER_LANES_MAX);
    }
    if (!(o->rule.lr > 0.0) || !isfinite(o->rule.lr) || !(o->clip_norm >= 0.0) ||
        !(o->clip_value >= 0.0)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "lr %.9g, clipping at norm %.9g and value %.9g: expected numbers "
                               "above 0, or 0 for no clipping",
                               o->rule.lr, o->clip_norm, o->clip_value);
    }
    return SONDE_STATUS_OK;
}

/* Every example is looked at once: a fault in the last one must not end the first epoch. */
static enum sonde_status look_through(struct sonde_trainer *t, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(t->model);
    int64_t rows = 0;
    bool all_count = true;
    for (int64_t i = 0; i < t->source.n; i++) {
        struct sonde_example example;
        enum sonde_status status = t->source.get(t->source.ctx, i, &example, error);
        if (status == SONDE_STATUS_OK) {
            status = sonde_task_check_example(&t->task, &example, i, error);
        }
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        if (example.n_tokens > spec->n_ctx) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "example %lld has %lld tokens, the model takes at most %lld",
                                   (long long)i, (long long)example.n_tokens,
                                   (long long)spec->n_ctx);
        }
        t->longest = example.n_tokens > t->longest ? example.n_tokens : t->longest;
        const int64_t n = t->task.objective == SONDE_OBJECTIVE_MASKED_TOKEN
                              ? example.n_tokens
                              : sonde_task_rows(&t->task, &example, i, 0);
        all_count = all_count && n > 0;
        rows += n;
    }
    t->epochs_alike = all_count && t->task.objective != SONDE_OBJECTIVE_MASKED_TOKEN &&
                      (!t->options.shuffle || t->options.batch_sequences > 0);
    if (rows == 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "no row of any example has something to learn");
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status lay_out(struct sonde_trainer *t, struct sonde_error *error)
{
    t->offset = calloc((size_t)t->n_parameters, sizeof *t->offset);
    int64_t n_pieces = 0, capacity = 0;
    for (int64_t i = 0; t->offset && i < t->n_parameters; i++) {
        const int64_t n = t->parameter[i].rows * t->parameter[i].columns;
        t->offset[i] = t->n_flat;
        t->n_flat += (n + ALIGN - 1) / ALIGN * ALIGN;
        for (int64_t first = 0; first < n; first += PIECE) {
            if (!sonde_grow((void **)&t->piece, &capacity, n_pieces + 1, sizeof *t->piece,
                            INT64_C(1) << 32)) {
                return sonde_error_memory(error, "the parts of the weights");
            }
            t->piece[n_pieces++] = (struct sonde_trainer_piece){
                (int32_t)i, first, n - first < PIECE ? n - first : PIECE, t->offset[i] + first
            };
        }
    }
    t->n_pieces = n_pieces;
    t->piece_square = calloc((size_t)n_pieces + 1, sizeof *t->piece_square);
    return t->offset && t->piece_square ? SONDE_STATUS_OK
                                        : sonde_error_memory(error, "the parts of the weights");
}

/* What the lanes and the states take, held against the budget before any of it is asked for. */
static enum sonde_status plan(struct sonde_trainer *t, struct sonde_error *error)
{
    const int64_t flat = t->n_flat * (int64_t)sizeof(float);
    struct sonde_site_set logits = { 0 };
    sonde_site_set_add(&logits, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const int64_t lane = flat + sonde_session_plan_bytes(t->model, t->longest, &logits) +
                         sonde_gradient_plan_bytes(t->model, t->longest, 1, NULL);
    t->plan_bytes = flat * t->n_states + lane * t->n_lanes;
    const int64_t limit = (int64_t)t->options.max_bytes;
    if (limit > 0 && t->plan_bytes > limit) {
        char need[SONDE_FORMAT_F64_MAX], have[SONDE_FORMAT_F64_MAX], each[SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(need, t->plan_bytes);
        sonde_format_bytes(have, limit);
        sonde_format_bytes(each, lane);
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "training needs %s, %s may be used: %d lanes take %s each (fewer "
                               "lanes or shorter sequences take less)",
                               need, have, t->n_lanes, each);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status make_lanes(struct sonde_trainer *t, struct sonde_error *error)
{
    const struct sonde_session_options options = { .max_tokens = t->longest };
    t->lane = calloc((size_t)t->n_lanes, sizeof *t->lane);
    for (int s = 0; s < t->n_states; s++) {
        t->state[s] = calloc((size_t)t->n_flat + 1, sizeof(float));
        if (!t->state[s]) {
            return sonde_error_memory(error, "the states of the update rule");
        }
    }
    for (int i = 0; t->lane && i < t->n_lanes; i++) {
        struct sonde_trainer_lane *lane = &t->lane[i];
        lane->sum = calloc((size_t)t->n_flat + 1, sizeof(float));
        if (!lane->sum) {
            return sonde_error_memory(error, "the gradients");
        }
        enum sonde_status status = sonde_session_create(&lane->session, t->model, &options, error);
        if (status == SONDE_STATUS_OK) {
            status = sonde_gradient_create(&lane->gradient, lane->session, 0, error);
        }
        for (int64_t p = 0; status == SONDE_STATUS_OK && p < t->n_parameters; p++) {
            status = sonde_gradient_want(lane->gradient, t->parameter[p].weight,
                                         lane->sum + t->offset[p], error);
        }
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    return t->lane ? SONDE_STATUS_OK : sonde_error_memory(error, "the lanes");
}

/* No batch has more sequences than the source, so more lanes would stand idle. */
static int lanes_of(const struct sonde_trainer_options *o, int64_t n_examples)
{
    int64_t n = o->n_lanes > 0 ? o->n_lanes : SONDE_TRAINER_LANES;
    n = o->batch_sequences > 0 && n > o->batch_sequences ? o->batch_sequences : n;
    n = o->batch_tokens > 0 && n > o->batch_tokens ? o->batch_tokens : n;
    return (int)(n > n_examples ? n_examples : n);
}

static enum sonde_status fill(struct sonde_trainer *t, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(t->model);
    t->parameter = sonde_model_parameter_list(t->model, &t->n_parameters);
    if (t->n_parameters == 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "a model that was opened from files cannot be trained");
    }
    t->task = (struct sonde_task){ .objective = t->options.objective,
                                   .n_outputs = sonde_spec_outputs(spec),
                                   .d_vocab = spec->d_vocab,
                                   .seed = t->options.seed,
                                   .mask_rate = t->options.mask_rate,
                                   .mask_id = t->options.mask_id };
    t->n_states = sonde_update_states(&t->options.rule);
    t->n_lanes = lanes_of(&t->options, t->source.n);
    t->order_epoch = -1;
    enum sonde_status (*const steps[])(struct sonde_trainer *, struct sonde_error *) = {
        look_through,
        lay_out,
        plan,
        make_lanes,
    };
    enum sonde_status status = sonde_task_check(&t->task, spec, error);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == SONDE_STATUS_OK; i++) {
        status = steps[i](t, error);
    }
    if (status == SONDE_STATUS_OK && t->options.shuffle) {
        t->order = calloc((size_t)t->source.n, sizeof *t->order);
        if (!t->order) {
            return sonde_error_memory(error, "the order of the examples");
        }
    }
    if (status == SONDE_STATUS_OK && t->options.schedule_epochs > 0) {
        status = sonde_trainer_count_steps(t, t->options.schedule_epochs,
                                           &t->options.schedule.n_steps, error);
    }
    return status;
}

enum sonde_status sonde_trainer_create(struct sonde_trainer **out, struct sonde_model *model,
                                       const struct sonde_example_source *source,
                                       const struct sonde_trainer_options *options,
                                       struct sonde_error *error)
{
    enum sonde_status status = check_options(options, source, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    struct sonde_trainer *t = calloc(1, sizeof *t);
    if (!t) {
        return sonde_error_memory(error, "a trainer");
    }
    t->model = model;
    t->source = *source;
    t->options = *options;
    status = fill(t, error);
    if (status != SONDE_STATUS_OK) {
        sonde_trainer_destroy(&t);
        return status;
    }
    *out = t;
    return SONDE_STATUS_OK;
}

/* The index of the k-th example of the epoch. */
static int64_t index_at(struct sonde_trainer *t, int64_t k)
{
    if (!t->order) {
        return k;
    }
    if (t->order_epoch != t->position.epoch) {
        struct sonde_rng rng = sonde_rng_make(t->options.seed, sonde_rng_stream("order") +
                                                                   (uint64_t)t->position.epoch);
        for (int64_t i = 0; i < t->source.n; i++) {
            t->order[i] = i;
        }
        sonde_rng_shuffle(&rng, t->order, t->source.n);
        t->order_epoch = t->position.epoch;
    }
    return t->order[k];
}

/* The next batch into t->item. Sequences without a row that counts are taken and do nothing. */
static enum sonde_status take_batch(struct sonde_trainer *t, struct sonde_train_step *step,
                                    struct sonde_error *error)
{
    const struct sonde_trainer_options *o = &t->options;
    for (int64_t k = t->position.taken; k < t->source.n; k++) {
        struct sonde_trainer_item item = { .index = index_at(t, k) };
        enum sonde_status status = t->source.get(t->source.ctx, item.index, &item.example, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        if (step->n_sequences > 0 &&
            (o->batch_tokens > 0 ? step->n_tokens + item.example.n_tokens > o->batch_tokens
                                 : step->n_sequences >= o->batch_sequences)) {
            break;
        }
        item.n_rows = sonde_task_rows(&t->task, &item.example, item.index, t->position.epoch);
        if (!sonde_grow((void **)&t->item, &t->item_capacity, step->n_sequences + 1,
                        sizeof *t->item, INT64_C(1) << 32)) {
            return sonde_error_memory(error, "a batch");
        }
        t->item[step->n_sequences++] = item;
        step->n_tokens += item.example.n_tokens;
        step->n_rows += item.n_rows;
    }
    return SONDE_STATUS_OK;
}

/* What the threads share while they form a batch's gradients. */
struct backward {
    struct sonde_trainer *trainer;
    const struct sonde_train_step *step;
    int n_lanes;
    atomic_int next;
};

static void run_lane(const struct backward *b, struct sonde_trainer_lane *lane, int number)
{
    const struct sonde_trainer *t = b->trainer;
    lane->status = SONDE_STATUS_OK;
    memset(lane->sum, 0, (size_t)t->n_flat * sizeof *lane->sum);
    for (int64_t i = number; i < b->step->n_sequences; i += t->n_lanes) {
        struct sonde_trainer_item *item = &t->item[i];
        if (item->n_rows == 0) {
            continue;
        }
        lane->status = sonde_task_prepare(&t->task, &item->example, item->index, t->position.epoch,
                                          &lane->prepared, &lane->error);
        if (lane->status == SONDE_STATUS_OK) {
            struct sonde_gradient_args args = { .ids = lane->prepared.ids,
                                                .n_tokens = item->example.n_tokens,
                                                .token_types = item->example.token_types,
                                                .loss = lane->prepared.loss };
            args.loss.weight = (double)item->n_rows / (double)b->step->n_rows;
            lane->status = sonde_gradient_run(lane->gradient, &args, &item->loss, &lane->error);
        }
        if (lane->status != SONDE_STATUS_OK) {
            sonde_error_prepend(&lane->error, "example %lld", (long long)item->index);
            return;
        }
    }
}

/* Threads take the next lane when they are done with one: what a lane does is the same whoever
 * takes it. */
static void run_lanes(void *ctx, int64_t i, int worker)
{
    struct backward *b = ctx;
    (void)i;
    (void)worker;
    for (int lane = atomic_fetch_add(&b->next, 1); lane < b->n_lanes;
         lane = atomic_fetch_add(&b->next, 1)) {
        run_lane(b, &b->trainer->lane[lane], lane);
    }
}

static enum sonde_status form_gradients(struct sonde_trainer *t, struct sonde_train_step *step,
                                        int *n_lanes, struct sonde_error *error)
{
    struct backward b = { .trainer = t, .step = step };
    b.n_lanes = step->n_sequences < t->n_lanes ? (int)step->n_sequences : t->n_lanes;
    atomic_init(&b.next, 0);
    sonde_pool_run(t->options.pool, sonde_pool_threads(t->options.pool), run_lanes, &b);
    for (int i = 0; i < b.n_lanes; i++) {
        if (t->lane[i].status != SONDE_STATUS_OK) {
            return sonde_error_set(error, t->lane[i].status, "%s", t->lane[i].error.text);
        }
    }
    double sum = 0.0;
    for (int64_t i = 0; i < step->n_sequences; i++) {
        sum += t->item[i].n_rows > 0 ? t->item[i].loss * (double)t->item[i].n_rows : 0.0;
    }
    step->loss = sum / (double)step->n_rows;
    *n_lanes = b.n_lanes;
    return SONDE_STATUS_OK;
}

/* What the threads share while they add lanes up, and while they update. */
struct reduction {
    struct sonde_trainer *trainer;
    int n_lanes;
    float factor; /* of clipping */
    float value;  /* of clipping; 0 = off */
    struct sonde_update_rule rule, rule_without_decay;
};

static void add_lanes(void *ctx, int64_t i, int worker)
{
    const struct reduction *r = ctx;
    struct sonde_trainer *t = r->trainer;
    const struct sonde_trainer_piece *piece = &t->piece[i];
    float *to = t->lane[0].sum + piece->at;
    double square = 0.0;
    (void)worker;
    for (int lane = 1; lane < r->n_lanes; lane++) {
        const float *from = t->lane[lane].sum + piece->at;
        for (int64_t k = 0; k < piece->n; k++) {
            to[k] += from[k];
        }
    }
    for (int64_t k = 0; k < piece->n; k++) {
        square += (double)to[k] * (double)to[k];
    }
    t->piece_square[i] = square;
}

static void update_piece(void *ctx, int64_t i, int worker)
{
    const struct reduction *r = ctx;
    struct sonde_trainer *t = r->trainer;
    const struct sonde_trainer_piece *piece = &t->piece[i];
    const struct sonde_parameter *p = &t->parameter[piece->parameter];
    float *g = t->lane[0].sum + piece->at;
    float *state[SONDE_UPDATE_STATES_MAX] = { 0 };
    (void)worker;
    for (int s = 0; s < t->n_states; s++) {
        state[s] = t->state[s] + piece->at;
    }
    for (int64_t k = 0; r->factor != 1.0f && k < piece->n; k++) {
        g[k] *= r->factor;
    }
    for (int64_t k = 0; r->value > 0.0f && k < piece->n; k++) {
        g[k] = g[k] > r->value ? r->value : g[k] < -r->value ? -r->value : g[k];
    }
    sonde_update_apply(p->decays ? &r->rule : &r->rule_without_decay, t->position.step + 1,
                       piece->n, p->data + piece->first, g, state);
}

static void update(struct sonde_trainer *t, int n_lanes, struct sonde_train_step *step)
{
    const struct sonde_trainer_options *o = &t->options;
    struct sonde_pool *pool = t->n_flat < FEW_ELEMENTS ? NULL : o->pool;
    struct reduction r = { .trainer = t, .n_lanes = n_lanes, .factor = 1.0f, .rule = o->rule };
    double square = 0.0;
    sonde_pool_run(pool, t->n_pieces, add_lanes, &r);
    for (int64_t i = 0; i < t->n_pieces; i++) {
        square += t->piece_square[i];
    }
    step->gradient_norm = sqrt(square);
    if (!isfinite(step->loss) || !isfinite(step->gradient_norm)) {
        return;
    }
    if (o->clip_norm > 0.0) {
        const double factor = o->clip_norm / (step->gradient_norm + 1e-6);
        r.factor = factor < 1.0 ? (float)factor : 1.0f;
    }
    r.value = (float)o->clip_value;
    r.rule.lr = step->lr;
    r.rule_without_decay = r.rule;
    if (o->decay_matrices_only) {
        r.rule_without_decay.weight_decay = 0.0;
    }
    sonde_pool_run(pool, t->n_pieces, update_piece, &r);
}

static void advance(struct sonde_trainer *t, const struct sonde_train_step *step)
{
    struct sonde_train_position *p = &t->position;
    p->taken += step->n_sequences;
    p->tokens += step->n_tokens;
    p->rows += step->n_rows;
    p->loss_sum += step->n_rows > 0 ? step->loss * (double)step->n_rows : 0.0;
}

/* Goes on to the next epoch where one is done, and past batches without a row that counts. */
static enum sonde_status next_batch(struct sonde_trainer *t, struct sonde_train_step *step,
                                    struct sonde_error *error)
{
    for (;;) {
        struct sonde_train_position *p = &t->position;
        if (p->taken == t->source.n && p->rows == 0) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "epoch %lld: no row of any example has something to learn",
                                   (long long)p->epoch);
        }
        if (p->taken == t->source.n) {
            p->epoch++;
            p->taken = p->rows = 0;
            p->loss_sum = 0.0;
        }
        *step = (struct sonde_train_step){ .step = p->step + 1, .epoch = p->epoch };
        enum sonde_status status = take_batch(t, step, error);
        if (status != SONDE_STATUS_OK || step->n_rows > 0) {
            return status;
        }
        advance(t, step);
    }
}

/* Where nothing is left to learn in the epoch, it is done: the next step belongs to another one. */
static enum sonde_status skip_idle_end(struct sonde_trainer *t, struct sonde_error *error)
{
    for (int64_t k = t->position.taken; k < t->source.n; k++) {
        struct sonde_example example;
        const int64_t index = index_at(t, k);
        enum sonde_status status = t->source.get(t->source.ctx, index, &example, error);
        if (status != SONDE_STATUS_OK ||
            sonde_task_rows(&t->task, &example, index, t->position.epoch) > 0) {
            return status;
        }
    }
    t->position.taken = t->source.n;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_trainer_count_steps(struct sonde_trainer *t, int64_t n_epochs,
                                            int64_t *n_steps, struct sonde_error *error)
{
    const struct sonde_train_position before = t->position;
    enum sonde_status status = SONDE_STATUS_OK;
    struct sonde_train_step step;
    const int64_t n_counted = t->epochs_alike ? 1 : n_epochs;
    int64_t n = 0;
    t->position = (struct sonde_train_position){ 0 };
    while (status == SONDE_STATUS_OK &&
           (t->position.epoch < n_counted - 1 || t->position.taken < t->source.n)) {
        status = next_batch(t, &step, error);
        if (status == SONDE_STATUS_OK) {
            n++;
            advance(t, &step);
            status = skip_idle_end(t, error);
        }
        if (status == SONDE_STATUS_OK &&
            !sonde_progress_update(t->options.progress, "count steps", t->position.epoch, n_counted,
                                   "epochs")) {
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        }
    }
    t->position = before;
    if (status == SONDE_STATUS_OK && t->epochs_alike && !sonde_mul_i64(n, n_epochs, &n)) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%lld epochs", (long long)n_epochs);
    }
    if (status == SONDE_STATUS_OK) {
        *n_steps = n;
    }
    return status;
}

enum sonde_status sonde_trainer_step(struct sonde_trainer *t, struct sonde_train_step *out,
                                     struct sonde_error *error)
{
    const struct sonde_train_position before = t->position;
    struct sonde_train_step step;
    int n_lanes = 0;
    enum sonde_status status = next_batch(t, &step, error);
    if (status == SONDE_STATUS_OK) {
        status = form_gradients(t, &step, &n_lanes, error);
    }
    if (status != SONDE_STATUS_OK) {
        t->position = before;
        return status;
    }
    step.lr = t->options.rule.lr * sonde_schedule_factor(&t->options.schedule, step.step);
    update(t, n_lanes, &step);
    if (!isfinite(step.loss) || !isfinite(step.gradient_norm)) {
        t->position = before;
        return sonde_error_set(error, SONDE_STATUS_NUMERIC,
                               "step %lld: the loss is %.9g and the gradient's norm %.9g; a lower "
                               "lr or clipping may help",
                               (long long)step.step, step.loss, step.gradient_norm);
    }
    advance(t, &step);
    t->position.step++;
    if (out) {
        *out = step;
    }
    return skip_idle_end(t, error);
}

enum sonde_status sonde_trainer_epoch(struct sonde_trainer *t,
                                      const struct sonde_progress *progress, double *mean_loss,
                                      struct sonde_error *error)
{
    do {
        enum sonde_status status = sonde_trainer_step(t, NULL, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        if (!sonde_progress_update(progress, "train", t->position.taken, t->source.n,
                                   "sequences")) {
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped at step %lld",
                                   (long long)t->position.step);
        }
    } while (t->position.taken < t->source.n);
    if (mean_loss) {
        *mean_loss = t->position.loss_sum / (double)t->position.rows;
    }
    return SONDE_STATUS_OK;
}

const struct sonde_train_position *sonde_trainer_position(const struct sonde_trainer *trainer)
{
    return &trainer->position;
}

int64_t sonde_trainer_plan_bytes(const struct sonde_trainer *trainer)
{
    return trainer->plan_bytes;
}
