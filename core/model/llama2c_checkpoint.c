/*
 * llama2.c's first checkpoint format: seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads,
 * vocab_size, seq_len), then float32 tables one after another. A negative vocab_size says that the
 * classifier is stored apart from the embedding.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/model/model_internal.h"

enum { HEADER_WORDS = 7, HEADER_BYTES = 28 };
#define MAGIC_LATER 0x616b3432 /* "ak42": the versions 1 and 2 */

/* Walks the tables. A first walk without data only adds up the sizes. */
struct walker {
    struct sonde_binder *b;
    const float *data; /* NULL: count only */
    int64_t at;        /* floats so far */
    bool overflow;
};

static void take(struct walker *w, struct sonde_weight *out, enum sonde_bind_kind kind,
                 int64_t rows, int64_t columns)
{
    int64_t n = 0, end = 0;
    if (!sonde_mul_i64(rows, columns, &n) || !sonde_add_i64(w->at, n, &end)) {
        w->overflow = true;
        return;
    }
    if (w->data && out) {
        const float *data = sonde_bind_raw(w->b, w->data + w->at, kind, n, w->at);
        *out = (struct sonde_weight){ data, SONDE_DTYPE_F32, rows, columns, false };
    }
    w->at = end;
}

/* One table of all layers; `member` is the offset of the weight in struct sonde_layer_weights. */
static void take_layers(struct walker *w, const struct sonde_spec *spec,
                        struct sonde_weights *weights, size_t member, enum sonde_bind_kind kind,
                        int64_t rows, int64_t columns)
{
    for (int i = 0; i < spec->n_layers; i++) {
        struct sonde_weight *out = NULL;
        if (w->data) {
            out = (struct sonde_weight *)((char *)&weights->layer[i] + member);
        }
        take(w, out, kind, rows, columns);
    }
}

#define MEMBER(name) offsetof(struct sonde_layer_weights, name)

static void walk(struct walker *w, const struct sonde_spec *spec, struct sonde_weights *weights)
{
    int64_t D = spec->d_model, F = spec->d_mlp;
    int64_t n_q = spec->n_heads * spec->d_head, n_kv = spec->n_kv_heads * spec->d_head;
    take(w, &weights->embed, SONDE_BIND_MATRIX, spec->d_vocab, D);
    take_layers(w, spec, weights, MEMBER(ln1_gain), SONDE_BIND_GAIN, 1, D);
    take_layers(w, spec, weights, MEMBER(w_q), SONDE_BIND_MATRIX, n_q, D);
    take_layers(w, spec, weights, MEMBER(w_k), SONDE_BIND_MATRIX, n_kv, D);
    take_layers(w, spec, weights, MEMBER(w_v), SONDE_BIND_MATRIX, n_kv, D);
    take_layers(w, spec, weights, MEMBER(w_o), SONDE_BIND_MATRIX, D, n_q);
    take_layers(w, spec, weights, MEMBER(ln2_gain), SONDE_BIND_GAIN, 1, D);
    take_layers(w, spec, weights, MEMBER(w_gate), SONDE_BIND_MATRIX, F, D);
    take_layers(w, spec, weights, MEMBER(w_down), SONDE_BIND_MATRIX, D, F);
    take_layers(w, spec, weights, MEMBER(w_up), SONDE_BIND_MATRIX, F, D);
    take(w, &weights->ln_final_gain, SONDE_BIND_GAIN, 1, D);
    take(w, NULL, SONDE_BIND_BIAS, 2 * spec->n_ctx, spec->d_head / 2); /* cosines and sines */
    if (!spec->tied) {
        take(w, &weights->unembed, SONDE_BIND_MATRIX, spec->d_vocab, D);
    } else if (w->data) {
        weights->unembed = weights->embed;
    }
}

static enum sonde_status read_spec(struct sonde_model *model, struct sonde_error *error)
{
    uint8_t bytes[HEADER_BYTES];
    int32_t word[HEADER_WORDS];
    struct sonde_spec *spec = &model->spec;
    if (sonde_file_size(model->bin) < HEADER_BYTES) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %lld bytes, too short for a llama2.c checkpoint", model->path,
                               (long long)sonde_file_size(model->bin));
    }
    enum sonde_status status = sonde_file_read(model->bin, 0, bytes, HEADER_BYTES, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    for (int i = 0; i < HEADER_WORDS; i++) {
        uint32_t value = (uint32_t)bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 |
                         (uint32_t)bytes[4 * i + 2] << 16 | (uint32_t)bytes[4 * i + 3] << 24;
        memcpy(&word[i], &value, sizeof value);
    }
    if (word[0] == MAGIC_LATER) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: a llama2.c checkpoint of version %d, only the first format is "
                               "read",
                               model->path, word[1]);
    }
    *spec = (struct sonde_spec){ .family = "llama",
                                 .n_layers = word[2],
                                 .d_model = word[0],
                                 .n_heads = word[3],
                                 .n_kv_heads = word[4],
                                 .d_head = word[3] > 0 ? word[0] / word[3] : 0,
                                 .d_mlp = word[1],
                                 .d_vocab = llabs((long long)word[5]),
                                 .n_ctx = word[6],
                                 .norm = SONDE_NORM_RMS,
                                 .norm_eps = 1e-5,
                                 .norm_final = true,
                                 .position = SONDE_POSITION_ROTARY,
                                 .rotary_style = SONDE_ROTARY_INTERLEAVED,
                                 .rotary_base = 10000.0,
                                 .causal = true,
                                 .activation = SONDE_ACTIVATION_SILU,
                                 .gated = true,
                                 .embed_scale = 1.0f,
                                 .tied = word[5] > 0 };
    spec->rotary_dims = spec->d_head;
    status = sonde_spec_validate(spec, model->path, error);
    if (status == SONDE_STATUS_OK && spec->d_model % spec->n_heads != 0) {
        status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                 "%s: a width of %lld does not divide into %lld heads", model->path,
                                 (long long)spec->d_model, (long long)spec->n_heads);
    }
    if (status == SONDE_STATUS_OK) {
        spec->attention_scale = (float)(1.0 / sqrt((double)spec->d_head));
    }
    return status;
}

enum sonde_status sonde_llama2c_open(struct sonde_model *model,
                                     const struct sonde_model_options *options,
                                     struct sonde_error *error)
{
    struct sonde_binder binder = { .arena = model->arena,
                                   .notes = &model->notes,
                                   .random = options->random_weights,
                                   .seed = options->seed,
                                   .error = error };
    struct walker walker = { .b = &binder };
    const uint8_t *data = NULL;
    enum sonde_status status = sonde_file_open(&model->bin, model->path, error);
    if (status == SONDE_STATUS_OK) {
        status = read_spec(model, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    walk(&walker, &model->spec, &model->weights);
    int64_t found = sonde_file_size(model->bin) - HEADER_BYTES;
    if (walker.overflow || walker.at > INT64_MAX / 4 || walker.at * 4 != found) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %lld bytes after the header, its sizes need %lld", model->path,
                               (long long)found,
                               (long long)(walker.overflow ? INT64_MAX : walker.at * 4));
    }
    status = sonde_file_map(model->bin, &data, error);
    model->weights.layer =
        sonde_arena_zalloc(model->arena, model->spec.n_layers, sizeof *model->weights.layer);
    if (status == SONDE_STATUS_OK && !model->weights.layer) {
        status = sonde_error_memory(error, "the layer table");
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    walker =
        (struct walker){ .b = &binder, .data = (const float *)(const void *)(data + HEADER_BYTES) };
    walk(&walker, &model->spec, &model->weights);
    model->n_parameters = binder.n_parameters;
    model->dtypes = 1u << SONDE_DTYPE_F32;
    if (binder.n_nonfinite > 0) {
        sonde_notes_add(&model->notes, "%lld weights are not finite",
                        (long long)binder.n_nonfinite);
    }
    return binder.status;
}
