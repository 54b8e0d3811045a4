#include "core/tensor/tape.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"

struct value {
    int64_t n;
    float *copy;     /* [n] or NULL: nobody needed it yet */
    float *gradient; /* [n] or NULL: nothing reached it yet */
    int64_t maker;   /* the first record whose output it is; -1 = a leaf */
    bool watched;
};
struct place { /* which value stands at an address */
    const void *data;
    int64_t value;
};
struct record {
    int64_t output;
    void (*vjp)(struct sonde_op_context *ctx, const void *record);
    const void *args;
};
struct wanted {
    const void *data;
    int64_t n;
    float *gradient;
};
struct spare { /* gradient memory that was given back */
    float *data;
    int64_t n;
};

struct sonde_tape {
    struct sonde_arena *arena; /* copies, records' arguments, gradients, scratch of products */
    struct value *values;
    int64_t n_values, value_capacity;
    struct place *places;
    int64_t n_places, place_capacity;
    struct record *records;
    int64_t n_records, record_capacity;
    struct wanted *wanted;
    int64_t n_wanted, wanted_capacity;
    struct spare *spares;
    int64_t n_spares, spare_capacity;
    bool failed; /* while recording: the tape has a hole */
};

static const int64_t most_entries = INT64_C(1) << 32;

enum sonde_status sonde_tape_create(struct sonde_tape **out, size_t max_bytes,
                                    struct sonde_error *error)
{
    struct sonde_tape *tape = calloc(1, sizeof(*tape));
    if (tape) {
        tape->arena = sonde_arena_create(max_bytes);
    }
    if (!tape || !tape->arena) {
        free(tape);
        return sonde_error_memory(error, "a tape");
    }
    *out = tape;
    return SONDE_STATUS_OK;
}

void sonde_tape_destroy(struct sonde_tape **tape)
{
    if (!tape || !*tape) {
        return;
    }
    sonde_arena_destroy(&(*tape)->arena);
    free((*tape)->values);
    free((*tape)->places);
    free((*tape)->records);
    free((*tape)->wanted);
    free((*tape)->spares);
    free(*tape);
    *tape = NULL;
}

void sonde_tape_clear(struct sonde_tape *tape)
{
    sonde_arena_reset(tape->arena);
    tape->n_values = tape->n_places = tape->n_records = tape->n_spares = 0;
    tape->failed = false;
}

enum sonde_status sonde_tape_want_weight(struct sonde_tape *tape, const struct sonde_weight *w,
                                         float *gradient, struct sonde_error *error)
{
    if (!sonde_weight_present(w)) {
        return SONDE_STATUS_OK;
    }
    for (int64_t i = 0; i < tape->n_wanted; i++) {
        if (tape->wanted[i].data == w->data) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "the gradient of a weight was asked for twice");
        }
    }
    if (!sonde_grow((void **)&tape->wanted, &tape->wanted_capacity, tape->n_wanted + 1,
                    sizeof(*tape->wanted), most_entries)) {
        return sonde_error_memory(error, "a tape");
    }
    tape->wanted[tape->n_wanted++] = (struct wanted){ w->data, w->rows * w->columns, gradient };
    return SONDE_STATUS_OK;
}

static struct place *find_place(const struct sonde_tape *tape, const void *data)
{
    for (int64_t i = tape->n_places - 1; i >= 0; i--) {
        if (tape->places[i].data == data) {
            return &tape->places[i];
        }
    }
    return NULL;
}

/* False where memory is out. */
static bool put_place(struct sonde_tape *tape, const void *data, int64_t value)
{
    struct place *place = find_place(tape, data);
    if (!place) {
        if (!sonde_grow((void **)&tape->places, &tape->place_capacity, tape->n_places + 1,
                        sizeof(*tape->places), most_entries)) {
            return false;
        }
        place = &tape->places[tape->n_places++];
        place->data = data;
    }
    place->value = value;
    return true;
}

/* -1 where memory is out. */
static int64_t new_value(struct sonde_tape *tape, const void *data, int64_t n)
{
    if (!sonde_grow((void **)&tape->values, &tape->value_capacity, tape->n_values + 1,
                    sizeof(*tape->values), most_entries) ||
        !put_place(tape, data, tape->n_values)) {
        return -1;
    }
    tape->values[tape->n_values] = (struct value){ .n = n, .maker = -1 };
    return tape->n_values++;
}

static int64_t value_at(struct sonde_tape *tape, const void *data, int64_t n)
{
    const struct place *place = find_place(tape, data);
    if (place && tape->values[place->value].n == n) {
        return place->value;
    }
    return new_value(tape, data, n);
}

int64_t sonde_tape_watch(struct sonde_tape *tape, const void *data, int64_t n)
{
    const int64_t value = value_at(tape, data, n);
    if (value >= 0) {
        tape->values[value].watched = true;
    }
    return value;
}

static float *take_gradient(struct sonde_tape *tape, int64_t n)
{
    for (int64_t i = tape->n_spares - 1; i >= 0; i--) {
        if (tape->spares[i].n == n) {
            float *data = tape->spares[i].data;
            tape->spares[i] = tape->spares[--tape->n_spares];
            memset(data, 0, (size_t)n * sizeof(*data));
            return data;
        }
    }
    return sonde_arena_zalloc(tape->arena, n, sizeof(float));
}

/* NULL where memory is out. */
static float *gradient_of(struct sonde_tape *tape, int64_t value)
{
    struct value *v = &tape->values[value];
    if (!v->gradient) {
        v->gradient = take_gradient(tape, v->n);
    }
    return v->gradient;
}

enum sonde_status sonde_tape_seed(struct sonde_tape *tape, int64_t value, const float *gradient,
                                  struct sonde_error *error)
{
    float *into = value >= 0 ? gradient_of(tape, value) : NULL;
    if (!into) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "no memory for a gradient");
    }
    for (int64_t i = 0; i < tape->values[value].n; i++) {
        into[i] += gradient[i];
    }
    return SONDE_STATUS_OK;
}

/* A value's gradient is complete when the record that made it runs, and of no use afterwards. */
static bool release(struct sonde_tape *tape, int64_t value)
{
    struct value *v = &tape->values[value];
    if (!v->gradient || v->watched) {
        return true;
    }
    if (!sonde_grow((void **)&tape->spares, &tape->spare_capacity, tape->n_spares + 1,
                    sizeof(*tape->spares), most_entries)) {
        return false;
    }
    tape->spares[tape->n_spares++] = (struct spare){ v->gradient, v->n };
    v->gradient = NULL;
    return true;
}

enum sonde_status sonde_tape_backward(struct sonde_tape *tape, struct sonde_pool *pool,
                                      struct sonde_error *error)
{
    struct sonde_op_context ctx = { .arena = tape->arena, .tape = tape, .pool = pool };
    ctx.failed = tape->failed;
    for (; tape->n_records > 0 && !ctx.failed; tape->n_records--) {
        const struct record *record = &tape->records[tape->n_records - 1];
        if (tape->values[record->output].gradient) {
            record->vjp(&ctx, record->args);
        }
        if (tape->values[record->output].maker == tape->n_records - 1) {
            ctx.failed = ctx.failed || !release(tape, record->output);
        }
    }
    if (ctx.failed) {
        tape->failed = true;
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "no memory for a backward pass (%zu bytes in use)",
                               sonde_arena_used(tape->arena));
    }
    return SONDE_STATUS_OK;
}

const float *sonde_tape_gradient(const struct sonde_tape *tape, int64_t value)
{
    return value >= 0 ? tape->values[value].gradient : NULL;
}

size_t sonde_tape_bytes(const struct sonde_tape *tape)
{
    return sonde_arena_used(tape->arena);
}

size_t sonde_tape_peak_bytes(const struct sonde_tape *tape)
{
    return sonde_arena_peak(tape->arena);
}

int64_t sonde_tape_n_records(const struct sonde_tape *tape)
{
    return tape->n_records;
}

static void fail(struct sonde_op_context *ctx)
{
    ctx->failed = true;
    ctx->tape->failed = true;
}

int64_t sonde_tape_use(struct sonde_op_context *ctx, const struct sonde_tensor *t)
{
    const int64_t value = ctx->failed ? -1 : value_at(ctx->tape, t->data, sonde_tensor_elements(t));
    if (value < 0) {
        fail(ctx);
    }
    return value;
}

/* Ops have tensors of rank 1 to 3. */
static void copy_contiguous(float *to, const struct sonde_tensor *t)
{
    const int rank = t->rank;
    const int64_t n = t->dim[rank - 1];
    const int64_t n_middle = rank > 1 ? t->dim[rank - 2] : 1;
    const int64_t n_outer = rank > 2 ? t->dim[0] : 1;
    const int64_t middle = rank > 1 ? t->stride[rank - 2] : 0;
    const int64_t outer = rank > 2 ? t->stride[0] : 0;
    assert(rank >= 1 && rank <= 3 && t->stride[rank - 1] == 1);
    for (int64_t i = 0; i < n_outer; i++) {
        for (int64_t j = 0; j < n_middle; j++) {
            memcpy(to + (i * n_middle + j) * n, t->data + i * outer + j * middle,
                   (size_t)n * sizeof(*to));
        }
    }
}

float *sonde_tape_keep(struct sonde_op_context *ctx, int64_t value, const struct sonde_tensor *t)
{
    if (ctx->failed) {
        return NULL;
    }
    if (!ctx->tape->values[value].copy) {
        float *copy = sonde_tape_alloc(ctx, sonde_tensor_elements(t), sizeof(*copy));
        if (copy) {
            copy_contiguous(copy, t);
        }
        ctx->tape->values[value].copy = copy;
    }
    return ctx->tape->values[value].copy;
}

int64_t sonde_tape_define(struct sonde_op_context *ctx, const void *data, int64_t n)
{
    const int64_t value = ctx->failed ? -1 : new_value(ctx->tape, data, n);
    if (value < 0) {
        fail(ctx);
    }
    return value;
}

void sonde_tape_alias(struct sonde_op_context *ctx, const void *to, const struct sonde_tensor *from)
{
    const int64_t value = sonde_tape_use(ctx, from);
    if (value >= 0 && !put_place(ctx->tape, to, value)) {
        fail(ctx);
    }
}

void *sonde_tape_alloc(struct sonde_op_context *ctx, int64_t n, size_t size)
{
    void *data = ctx->failed ? NULL : sonde_arena_alloc(ctx->tape->arena, n, size);
    if (!data) {
        fail(ctx);
    }
    return data;
}

void sonde_tape_push(struct sonde_op_context *ctx, int64_t output,
                     void (*vjp)(struct sonde_op_context *ctx, const void *record),
                     const void *record)
{
    struct sonde_tape *tape = ctx->tape;
    if (ctx->failed) {
        return;
    }
    if (!sonde_grow((void **)&tape->records, &tape->record_capacity, tape->n_records + 1,
                    sizeof(*tape->records), most_entries)) {
        fail(ctx);
        return;
    }
    if (tape->values[output].maker < 0) {
        tape->values[output].maker = tape->n_records;
    }
    tape->records[tape->n_records++] = (struct record){ output, vjp, record };
}

const float *sonde_tape_incoming(const struct sonde_op_context *ctx, int64_t value)
{
    return ctx->tape->values[value].gradient;
}

float *sonde_tape_into(struct sonde_op_context *ctx, int64_t value)
{
    float *gradient = ctx->failed ? NULL : gradient_of(ctx->tape, value);
    if (!gradient) {
        fail(ctx);
    }
    return gradient;
}

float *sonde_tape_into_watched(struct sonde_op_context *ctx, int64_t value)
{
    const bool watched = value >= 0 && ctx->tape->values[value].watched;
    return watched ? sonde_tape_into(ctx, value) : NULL;
}

float *sonde_tape_into_weight(const struct sonde_op_context *ctx, const struct sonde_weight *w)
{
    for (int64_t i = 0; w && sonde_weight_present(w) && i < ctx->tape->n_wanted; i++) {
        if (ctx->tape->wanted[i].data == w->data) {
            assert(ctx->tape->wanted[i].n == w->rows * w->columns);
            return ctx->tape->wanted[i].gradient;
        }
    }
    return NULL;
}
