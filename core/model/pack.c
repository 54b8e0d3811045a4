/* Whether the rows of several sequences may share this model's products: found by trying. */
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/model/model_internal.h"
#include "core/tensor/ops.h"

enum { ROWS_MAX = 257 };

/* Outputs that are tried: a product is cut into panels of 256 to 1024 outputs, a multiple of 256
 * that is 256 from 2048 inputs on. So this many, and a rest that depends on the whole, show all
 * panels that there are. */
static int64_t tried_outputs(int64_t n_in, int64_t n_out)
{
    const int64_t step = n_in >= 2048 ? 512 : n_in >= 1024 ? 1024 : 3072;
    return n_out < 2 * step ? n_out : n_out % step + step;
}

struct shapes {
    struct shape {
        int64_t n_in, n_out;
        bool transposed, bias;
    } * shape;
    int n, capacity;
};

static void add_shape(struct shapes *shapes, int64_t n_in, int64_t n_out, bool transposed,
                      bool bias)
{
    n_out = tried_outputs(n_in, n_out);
    for (int i = 0; i < shapes->n; i++) {
        const struct shape *s = &shapes->shape[i];
        if (s->n_in == n_in && s->n_out == n_out && s->transposed == transposed &&
            s->bias == bias) {
            return;
        }
    }
    if (shapes->n < shapes->capacity) {
        shapes->shape[shapes->n++] = (struct shape){ n_in, n_out, transposed, bias };
    }
}

static void add_weight(struct shapes *shapes, const struct sonde_weight *w,
                       const struct sonde_weight *bias)
{
    if (sonde_weight_present(w)) {
        add_shape(shapes, sonde_weight_in(w), sonde_weight_out(w), w->transposed,
                  sonde_weight_present(bias));
    }
}

static void add_layer(struct shapes *shapes, const struct sonde_layer_weights *w)
{
    add_weight(shapes, &w->w_q, &w->b_q);
    add_weight(shapes, &w->w_k, &w->b_k);
    add_weight(shapes, &w->w_v, &w->b_v);
    add_weight(shapes, &w->w_o, &w->b_o);
    add_weight(shapes, &w->w_gate, &w->b_gate);
    add_weight(shapes, &w->w_up, &w->b_up);
    add_weight(shapes, &w->w_down, &w->b_down);
}

/* A head's share of attn_out, which is OpenBLAS's whatever computes whole products. */
static void add_share(struct shapes *shapes, const struct sonde_spec *spec,
                      const struct sonde_layer_weights *w)
{
    add_shape(shapes, spec->d_head, spec->d_model, w->w_o.transposed, false);
}

static bool fill(struct sonde_rng *rng, float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)((double)sonde_rng_u32(rng) * 0x1p-31 - 1.0);
    }
    return true;
}

/* All rows of x are one row, so all rows of y are too where place and number decide nothing. */
static bool rows_agree(struct sonde_op_context *ops, const struct shape *s,
                       const struct sonde_weight *w, const struct sonde_weight *b, const float *x)
{
    const int counts[] = { 33, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 64, 100, 255, 256, ROWS_MAX };
    float *y = sonde_arena_alloc(ops->arena, ROWS_MAX * s->n_out, sizeof *y);
    float *want = sonde_arena_alloc(ops->arena, s->n_out, sizeof *want);
    bool agree = y && want;
    for (size_t i = 0; agree && i < sizeof counts / sizeof *counts; i++) {
        const size_t bytes = (size_t)s->n_out * sizeof *y;
        sonde_op_linear(ops, sonde_tensor_2d(y, counts[i], s->n_out),
                        sonde_tensor_2d((float *)(uintptr_t)x, counts[i], s->n_in), w, b);
        if (i == 0) {
            memcpy(want, y, bytes);
        }
        agree = !ops->failed;
        for (int t = 0; agree && t < counts[i]; t++) {
            agree = memcmp(y + t * s->n_out, want, bytes) == 0;
        }
    }
    return agree;
}

static bool shape_agrees(struct sonde_arena *arena, const struct shape *s)
{
    struct sonde_op_context ops = { .arena = arena };
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("pack"));
    sonde_arena_reset(arena);
    float *w = sonde_arena_alloc(arena, s->n_in * s->n_out, sizeof *w);
    float *b = sonde_arena_alloc(arena, s->n_out, sizeof *b);
    float *x = sonde_arena_alloc(arena, ROWS_MAX * s->n_in, sizeof *x);
    if (!w || !b || !x || !fill(&rng, w, s->n_in * s->n_out) || !fill(&rng, b, s->n_out) ||
        !fill(&rng, x, s->n_in)) {
        return false;
    }
    for (int t = 1; t < ROWS_MAX; t++) {
        memcpy(x + t * s->n_in, x, (size_t)s->n_in * sizeof *x);
    }
    const struct sonde_weight weight = { .data = w,
                                         .dtype = SONDE_DTYPE_F32,
                                         .rows = s->transposed ? s->n_in : s->n_out,
                                         .columns = s->transposed ? s->n_out : s->n_in,
                                         .transposed = s->transposed };
    const struct sonde_weight bias = {
        .data = b, .dtype = SONDE_DTYPE_F32, .rows = 1, .columns = s->n_out
    };
    return rows_agree(&ops, s, &weight, s->bias ? &bias : NULL, x);
}

bool sonde_model_rows_stand_alone(const struct sonde_model *model)
{
    const struct sonde_spec *spec = &model->spec;
    const struct sonde_weights *w = &model->weights;
    if (model->plan && !sonde_gemm_plan_rows_are_free(model->plan)) {
        return false;
    }
    struct shapes shapes = { .capacity = 8 * spec->n_layers + 2 };
    struct sonde_arena *arena = sonde_arena_create(0);
    shapes.shape = calloc((size_t)shapes.capacity, sizeof *shapes.shape);
    bool agree = arena && shapes.shape;
    for (int l = 0; agree && l < spec->n_layers; l++) {
        add_share(&shapes, spec, &w->layer[l]);
    }
    for (int l = 0; agree && l < spec->n_layers && !model->plan; l++) {
        add_layer(&shapes, &w->layer[l]);
    }
    if (agree && !model->plan) {
        add_weight(&shapes, &w->head_dense, &w->head_dense_bias);
        add_weight(&shapes, &w->unembed, &w->unembed_bias);
    }
    for (int i = 0; agree && i < shapes.n; i++) {
        agree = shape_agrees(arena, &shapes.shape[i]);
    }
    free(shapes.shape);
    sonde_arena_destroy(&arena);
    return agree;
}
