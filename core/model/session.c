#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/model/session_internal.h"
#include "core/tensor/gemm.h"

enum { CACHE_STEP = 64 };

void sonde_session_destroy(struct sonde_session **session)
{
    if (!session || !*session) {
        return;
    }
    struct sonde_session *s = *session;
    for (int i = 0; s->layer && i < s->model->spec.n_layers; i++) {
        free(s->layer[i].k);
        free(s->layer[i].v);
    }
    free(s->layer);
    free(s->cos);
    free(s->sin);
    free(s->position);
    sonde_arena_destroy(&s->arena);
    free(s);
    *session = NULL;
}

enum sonde_status sonde_session_create(struct sonde_session **out, const struct sonde_model *model,
                                       const struct sonde_session_options *options,
                                       struct sonde_error *error)
{
    struct sonde_session_options chosen = options ? *options : (struct sonde_session_options){ 0 };
    const struct sonde_spec *spec = &model->spec;
    if (chosen.max_tokens == 0) {
        chosen.max_tokens = spec->n_ctx;
    }
    if (chosen.max_tokens < 0 || chosen.max_tokens > SONDE_SPEC_SIZE_MAX ||
        (spec->position == SONDE_POSITION_LEARNED && chosen.max_tokens > spec->n_ctx)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%lld tokens at once, the model takes at most %lld",
                               (long long)chosen.max_tokens, (long long)spec->n_ctx);
    }
    if (chosen.cache && !spec->causal) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s attends in both directions and cannot go on from a cache",
                               spec->family);
    }
    struct sonde_session *s = calloc(1, sizeof *s);
    if (!s) {
        return sonde_error_memory(error, "a session");
    }
    sonde_gemm_prepare();
    s->model = model;
    s->pool = chosen.pool;
    s->max_tokens = chosen.max_tokens;
    s->cache = chosen.cache;
    s->arena = sonde_arena_create(chosen.max_bytes);
    s->layer = chosen.cache ? calloc((size_t)spec->n_layers, sizeof *s->layer) : NULL;
    if (!s->arena || (chosen.cache && !s->layer)) {
        sonde_session_destroy(&s);
        return sonde_error_memory(error, "a session");
    }
    *out = s;
    return SONDE_STATUS_OK;
}

/* Rows of a table that held `have` and must hold n. */
static int64_t grown_rows(const struct sonde_session *s, int64_t have, int64_t n)
{
    int64_t want = have ? 2 * have : CACHE_STEP;
    want = want < n ? n : want;
    return want > s->max_tokens ? s->max_tokens : want;
}

static bool reserve_fixed(struct sonde_session *s, int64_t n)
{
    const struct sonde_spec *spec = &s->model->spec;
    int64_t want = grown_rows(s, s->n_position, n);
    float *table = malloc((size_t)(want * spec->d_model) * sizeof *table);
    if (!table) {
        return false;
    }
    if (spec->position == SONDE_POSITION_COSINE) {
        sonde_cosine_fill(table, 0, want, spec->d_model);
    } else {
        sonde_sinusoidal_fill(table, 0, want, spec->d_model, spec->rotary_base);
    }
    free(s->position);
    s->position = table;
    s->n_position = want;
    return true;
}

static bool reserve_rotary(struct sonde_session *s, int64_t n)
{
    int64_t n_pairs = s->model->spec.rotary_dims / 2;
    int64_t want = grown_rows(s, s->n_rotary, n);
    float *cos_table = malloc((size_t)(want * n_pairs) * sizeof *cos_table);
    float *sin_table = malloc((size_t)(want * n_pairs) * sizeof *sin_table);
    if (!cos_table || !sin_table) {
        free(cos_table);
        free(sin_table);
        return false;
    }
    sonde_rotary_fill(cos_table, sin_table, want, s->model->spec.rotary_dims, s->model->inv_freq,
                      1.0);
    free(s->cos);
    free(s->sin);
    s->cos = cos_table;
    s->sin = sin_table;
    s->n_rotary = want;
    return true;
}

enum sonde_status sonde_session_reserve(struct sonde_session *s, int64_t n,
                                        struct sonde_error *error)
{
    const struct sonde_spec *spec = &s->model->spec;
    bool ok = true;
    if (spec->position == SONDE_POSITION_ROTARY && n > s->n_rotary) {
        ok = reserve_rotary(s, n);
    }
    if (sonde_spec_has_fixed_positions(spec) && n > s->n_position) {
        ok = reserve_fixed(s, n);
    }
    int64_t row = spec->n_kv_heads * spec->d_head;
    int64_t need = (n + CACHE_STEP - 1) / CACHE_STEP * CACHE_STEP * row;
    for (int i = 0; ok && s->layer && i < spec->n_layers; i++) {
        struct sonde_layer_cache *c = &s->layer[i];
        ok = sonde_grow((void **)&c->k, &c->k_capacity, need, sizeof *c->k, INT64_C(1) << 48) &&
             sonde_grow((void **)&c->v, &c->v_capacity, need, sizeof *c->v, INT64_C(1) << 48);
    }
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the key-value cache");
}

static enum sonde_status check_tokens(const struct sonde_session *s,
                                      const struct sonde_forward_segment *segment,
                                      struct sonde_error *error)
{
    const struct sonde_spec *spec = &s->model->spec;
    const int64_t n_types = s->model->weights.token_type.rows;
    for (int64_t t = 0; t < segment->n_tokens; t++) {
        if (segment->ids[t] < 0 || segment->ids[t] >= spec->d_vocab) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "token %lld has id %d, the vocabulary has %lld", (long long)t,
                                   segment->ids[t], (long long)spec->d_vocab);
        }
        if (segment->token_types && spec->token_types &&
            (segment->token_types[t] < 0 || segment->token_types[t] >= n_types)) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "token %lld has type %d, the model has %lld", (long long)t,
                                   segment->token_types[t], (long long)n_types);
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status check_kind(const struct sonde_session *s,
                                    const struct sonde_forward_args *args,
                                    struct sonde_error *error)
{
    const struct sonde_spec *spec = &s->model->spec;
    if (args->stop_after_layer < 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "stop after layer %d",
                               args->stop_after_layer);
    }
    if ((args->tape || args->part) && s->cache) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "a pass that continues from a cache has no gradients");
    }
    if (args->n_segments < 0 ||
        (args->n_segments > 0 && (args->tape || args->part || s->cache || args->logits_last))) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "a pass over %d sequences at once has no cache, no gradients and no "
                               "last logits",
                               args->n_segments);
    }
    if (args->logits_last && !spec->headless) {
        enum sonde_status status = sonde_spec_check_vocabulary(spec, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    if (args->logits_last && (spec->headless || args->stop_after_layer)) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED, "%s",
                               spec->headless ? "this model has no unembedding, so no logits"
                                              : "a pass that stops early has no logits");
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_session_check(const struct sonde_session *s,
                                      const struct sonde_forward_args *args,
                                      const struct sonde_forward_segment *segment,
                                      struct sonde_error *error)
{
    const struct sonde_spec *spec = &s->model->spec;
    int64_t first = s->cache ? s->n_cached : 0;
    if (segment->n_tokens < 1 || segment->n_tokens > s->max_tokens - first) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%lld tokens after %lld, the session takes 1 to %lld in all",
                               (long long)segment->n_tokens, (long long)first,
                               (long long)s->max_tokens);
    }
    enum sonde_status status = check_tokens(s, segment, error);
    if (status == SONDE_STATUS_OK && segment->token_types && !spec->token_types) {
        status =
            sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s has no token types", spec->family);
    }
    return status == SONDE_STATUS_OK ? check_kind(s, args, error) : status;
}

void sonde_session_reset(struct sonde_session *session)
{
    session->n_cached = 0;
}

int64_t sonde_session_cached(const struct sonde_session *session)
{
    return session->n_cached;
}

/* Without a branch, so that the compiler makes vectors of it: an exponent of ones is neither. */
int64_t sonde_count_nonfinite(const float *values, int64_t n)
{
    int64_t sum = 0;
    for (int64_t first = 0; first < n; first += 4096) {
        const int64_t last = first + 4096 < n ? first + 4096 : n;
        uint32_t count = 0;
        for (int64_t i = first; i < last; i++) {
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof bits);
            count += (bits & 0x7f800000) == 0x7f800000;
        }
        sum += count;
    }
    return sum;
}

void sonde_session_count(struct sonde_session *session, const float *values, int64_t n)
{
    session->n_nonfinite += sonde_count_nonfinite(values, n);
}

int64_t sonde_session_nonfinite(const struct sonde_session *session)
{
    return session->n_nonfinite;
}

void sonde_session_trim(struct sonde_session *session)
{
    sonde_arena_clear(session->arena);
}

int64_t sonde_session_peak_bytes(const struct sonde_session *session)
{
    return (int64_t)sonde_arena_peak(session->arena);
}

/* Floats of one buffer as the arena hands it out. */
static int64_t buffer(int64_t n)
{
    int64_t step = SONDE_ARENA_ALIGN / (int64_t)sizeof(float);
    return (n + step - 1) / step * step;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool wants_anywhere(const struct sonde_model *model, const struct sonde_site_set *set,
                           enum sonde_site_kind kind)
{
    bool per_layer = sonde_site_describe(kind)->per_layer;
    for (int l = 0; l < (per_layer ? model->spec.n_layers : 1); l++) {
        if (sonde_site_set_has(set, (struct sonde_site){ kind, per_layer ? l : -1 })) {
            return true;
        }
    }
    return false;
}

/* The most that one op takes for itself: a widened panel (2^19 floats, or 256 outputs of a wide
 * input), a widened vector and few rows that zeros join; or what attention takes. One thread. */
static int64_t op_scratch(const struct sonde_model *model, int64_t T, int64_t longest)
{
    const struct sonde_spec *spec = &model->spec;
    int64_t widest = larger(larger(spec->d_mlp, spec->d_model), spec->n_heads * spec->d_head);
    int64_t outputs = larger(widest, sonde_spec_outputs(spec));
    int64_t product = larger(1 << 19, 256 * widest) + 2 * buffer(outputs);
    product += T < 16 ? 16 * (widest + outputs) : 0;
    if (model->plan) { /* tiles of rows, and where BLAS multiplies rounded factors, those */
        product = larger(product + T * widest, sonde_gemm_plan_scratch(model->plan)) + outputs;
    }
    return larger(product, sonde_op_attention_scratch(longest, longest, spec->n_kv_heads,
                                                      spec->d_head, 1, false));
}

int64_t sonde_session_plan_thread_bytes(const struct sonde_model *model, int64_t longest)
{
    return op_scratch(model, longest, longest) * (int64_t)sizeof(float);
}

int64_t sonde_session_plan_bytes(const struct sonde_model *model, int64_t n_tokens,
                                 const struct sonde_site_set *observe)
{
    return sonde_session_plan_pack_bytes(model, n_tokens, n_tokens, observe);
}

int64_t sonde_session_plan_pack_bytes(const struct sonde_model *model, int64_t n_rows,
                                      int64_t longest, const struct sonde_site_set *observe)
{
    const struct sonde_spec *spec = &model->spec;
    const int64_t more_than_any = INT64_C(1) << 60;
    if (n_rows > SONDE_SPEC_SIZE_MAX ||
        (double)spec->n_heads * (double)longest * (double)longest > (double)(INT64_C(1) << 50)) {
        return more_than_any; /* an array that no machine holds; and no product below overflows */
    }
    int64_t T = n_rows, D = spec->d_model, HE = spec->n_heads * spec->d_head;
    int64_t GE = spec->n_kv_heads * spec->d_head;
    int64_t stay = 5 * buffer(T * D) + 2 * buffer(T) + buffer(2 * (T + 1)) + 3 * buffer(T);
    int64_t attention = 2 * buffer(T * HE) + 2 * buffer(T * GE);
    int64_t map = buffer(spec->n_heads * longest * longest);
    attention += wants_anywhere(model, observe, SONDE_SITE_ATTN_SCORES) ? map : 0;
    attention += wants_anywhere(model, observe, SONDE_SITE_PATTERN) ? map : 0;
    if (wants_anywhere(model, observe, SONDE_SITE_RESULT)) {
        attention += buffer(T * spec->n_heads * D);
    }
    int64_t mlp = (spec->gated ? 2 : 1) * buffer(T * spec->d_mlp);
    int64_t V = sonde_spec_outputs(spec);
    int64_t end = wants_anywhere(model, observe, SONDE_SITE_LOGITS) ? buffer(T * V) : buffer(V);
    int64_t tables = spec->position == SONDE_POSITION_ROTARY ? 2 * longest * spec->rotary_dims : 0;
    tables += sonde_spec_has_fixed_positions(spec) ? 2 * longest * D : 0;
    if (spec->position == SONDE_POSITION_RELATIVE) { /* products, and the table where it is half */
        int64_t R = sonde_spec_relative_rows(spec);
        attention += buffer(64 * R) + buffer(R * spec->d_head);
    }
    attention += buffer(spec->n_heads * sonde_spec_bias_columns(spec, longest));
    attention += spec->position == SONDE_POSITION_T5 ? buffer(spec->n_buckets * spec->n_heads) : 0;
    int64_t floats =
        stay + larger(larger(attention, mlp), end) + op_scratch(model, T, longest) + tables;
    return floats * (int64_t)sizeof(float);
}
