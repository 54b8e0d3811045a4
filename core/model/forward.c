/*
 * The forward pass, written once over ops for every family: the spec says which of the steps are
 * there. A value that no hook wants is formed only where the pass itself needs it.
 */
#include <math.h>
#include <string.h>

#include "core/model/edit_tape.h"
#include "core/model/session_internal.h"
#include "core/tensor/tape.h"

struct pass {
    struct sonde_session *session;
    const struct sonde_spec *spec;
    const struct sonde_weights *weights;
    const struct sonde_forward_args *args;
    struct sonde_op_context ops;
    enum sonde_status status;
    struct sonde_error *error;
    int64_t T;     /* rows fed now */
    int64_t first; /* tokens in the cache before them */
    struct sonde_site_set observed, edited;
    float *resid;      /* [T, D] the stream */
    float *normed;     /* [T, D] after a norm's gain and bias; other additions to the embedding */
    float *attn_out;   /* [T, D] */
    float *mlp_out;    /* [T, D] */
    float *normalized; /* [T, D] before a norm's gain and bias */
    float *scale;      /* [T, 1] */
};

static bool ok(const struct pass *p)
{
    return p->status == SONDE_STATUS_OK && !p->ops.failed;
}

static bool is_edited(const struct pass *p, enum sonde_site_kind kind, int layer)
{
    return sonde_site_set_has(&p->edited, (struct sonde_site){ kind, layer });
}

static bool is_wanted(const struct pass *p, enum sonde_site_kind kind, int layer)
{
    return sonde_site_set_has(&p->observed, (struct sonde_site){ kind, layer }) ||
           is_edited(p, kind, layer);
}

static float *take(struct pass *p, int64_t n)
{
    float *data = ok(p) ? sonde_arena_alloc(p->ops.arena, n, sizeof *data) : NULL;
    if (!data) {
        p->ops.failed = true;
    }
    return data;
}

static struct sonde_tensor stream_view(const struct pass *p, float *data)
{
    return sonde_tensor_2d(data, p->T, p->spec->d_model);
}

/* Shows a value to the hooks: edits first, so that all see what the pass goes on with. */
static void visit(struct pass *p, enum sonde_site_kind kind, int layer, struct sonde_tensor value)
{
    struct sonde_site site = { kind, layer };
    if (!ok(p) || !is_wanted(p, kind, layer)) {
        return;
    }
    for (int i = 0; i < p->args->n_hooks && ok(p); i++) {
        const struct sonde_hook *hook = &p->args->hooks[i];
        if (hook->on_edit && sonde_site_set_has(hook->edit, site)) {
            int64_t before = p->ops.tape ? sonde_tape_use(&p->ops, &value) : -1;
            p->status = hook->on_edit(hook->ctx, site, &value, p->error);
            sonde_edit_tape_record(&p->ops, hook, site, &value, before);
        }
    }
    for (int i = 0; i < p->args->n_hooks && ok(p); i++) {
        const struct sonde_hook *hook = &p->args->hooks[i];
        if (hook->on_value && sonde_site_set_has(hook->observe, site)) {
            p->status = hook->on_value(hook->ctx, site, &value, p->error);
        }
    }
}

/* Visits and, where the site is edited, calls changed(row) for each row whose bits are others
 * than before: what was not touched keeps the bits that the op gave it. */
static void visit_rows(struct pass *p, enum sonde_site_kind kind, int layer, float *data,
                       int64_t width, struct sonde_tensor value,
                       void (*changed)(void *arg, int64_t row, const float *before), void *arg)
{
    if (!ok(p) || !is_wanted(p, kind, layer)) {
        return;
    }
    if (!is_edited(p, kind, layer)) {
        visit(p, kind, layer, value);
        return;
    }
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    size_t bytes = (size_t)width * sizeof *data;
    float *before = take(p, p->T * width);
    if (before) {
        memcpy(before, data, (size_t)p->T * bytes);
        visit(p, kind, layer, value);
    }
    for (int64_t t = 0; t < p->T && before && ok(p); t++) {
        if (memcmp(before + t * width, data + t * width, bytes) != 0) {
            changed(arg, t, before + t * width);
        }
    }
    sonde_arena_rewind(p->ops.arena, mark);
}

/* A norm: what it reads and writes, its weights, its sites. */
struct norm_step {
    struct pass *pass;
    float *y, *x; /* [T, D], may be the same */
    const struct sonde_weight *gain, *bias;
    enum sonde_site_kind scale, normalized, out;
    int layer;
    float *wide_gain, *wide_bias; /* [D], only when rows are made again */
};

/* y = normalized * gain + bias for one row, in the op's order of operations. */
static void renew_row(struct norm_step *n, int64_t t)
{
    int64_t D = n->pass->spec->d_model;
    const float *from = n->pass->normalized + t * D;
    for (int64_t d = 0; d < D; d++) {
        float value = n->wide_gain ? from[d] * n->wide_gain[d] : from[d];
        n->y[t * D + d] = n->wide_bias ? value + n->wide_bias[d] : value;
    }
}

static void normalized_changed(void *arg, int64_t row, const float *before)
{
    (void)before;
    renew_row(arg, row);
}

static void scale_changed(void *arg, int64_t row, const float *before)
{
    struct norm_step *n = arg;
    int64_t D = n->pass->spec->d_model;
    double factor = (double)before[0] / (double)n->pass->scale[row];
    for (int64_t d = 0; d < D; d++) {
        float *value = &n->pass->normalized[row * D + d];
        *value = (float)((double)*value * factor);
    }
    renew_row(n, row);
}

static float *widened(struct pass *p, const struct sonde_weight *w)
{
    float *wide = w && sonde_weight_present(w) ? take(p, w->columns) : NULL;
    if (wide) {
        sonde_weight_row(w, 0, wide);
    }
    return wide;
}

static void norm(struct norm_step n)
{
    struct pass *p = n.pass;
    bool edits = is_edited(p, n.scale, n.layer) || is_edited(p, n.normalized, n.layer);
    struct sonde_tensor none = { 0 };
    struct sonde_norm_args args = { .kind = p->spec->norm,
                                    .eps = p->spec->norm_eps,
                                    .gain = n.gain,
                                    .bias = n.bias,
                                    .scale = none,
                                    .normalized = none };
    struct sonde_tensor x = stream_view(p, n.x), y = stream_view(p, n.y);
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    if (is_wanted(p, n.scale, n.layer) || edits) {
        args.scale = sonde_tensor_2d(p->scale, p->T, 1);
    }
    if (is_wanted(p, n.normalized, n.layer) || edits) {
        args.normalized = stream_view(p, p->normalized);
    }
    sonde_op_norm(&p->ops, y, x, &args);
    if (edits) {
        n.wide_gain = widened(p, n.gain);
        n.wide_bias = widened(p, n.bias);
    }
    visit_rows(p, n.scale, n.layer, p->scale, 1, args.scale, scale_changed, &n);
    visit_rows(p, n.normalized, n.layer, p->normalized, p->spec->d_model, args.normalized,
               normalized_changed, &n);
    visit(p, n.out, n.layer, y);
    sonde_arena_rewind(p->ops.arena, mark);
}

static void norm_first(struct pass *p, int layer, float *y, float *x)
{
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    norm((struct norm_step){ p, y, x, &w->ln1_gain, &w->ln1_bias, SONDE_SITE_LN1_SCALE,
                             SONDE_SITE_LN1_NORMALIZED, SONDE_SITE_LN1_OUT, layer, NULL, NULL });
}

static void norm_second(struct pass *p, int layer, float *y, float *x)
{
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    norm((struct norm_step){ p, y, x, &w->ln2_gain, &w->ln2_bias, SONDE_SITE_LN2_SCALE,
                             SONDE_SITE_LN2_NORMALIZED, SONDE_SITE_LN2_OUT, layer, NULL, NULL });
}

/* Edits of whole score and pattern arrays come from inside the attention op. */
struct map_visit {
    struct pass *pass;
    int layer;
    struct sonde_tensor scores; /* on a tape: what the pattern is made of */
};

static void edit_scores(void *ctx, struct sonde_tensor scores)
{
    struct map_visit *m = ctx;
    visit(m->pass, SONDE_SITE_ATTN_SCORES, m->layer, scores);
}

static void edit_pattern(void *ctx, struct sonde_tensor pattern)
{
    struct map_visit *m = ctx;
    if (m->pass->ops.tape) {
        sonde_edit_tape_softmax(&m->pass->ops, &pattern, &m->scores);
    }
    visit(m->pass, SONDE_SITE_PATTERN, m->layer, pattern);
}

/* What attention adds by distance. Made for each layer anew: a value that layers shared would not
 * let a backward pass take them one by one. */
static void set_distances(struct pass *p, int layer, struct sonde_attention_args *args)
{
    const struct sonde_spec *spec = p->spec;
    int64_t n = p->first + p->T, W = sonde_spec_bias_columns(spec, n);
    args->relative =
        spec->position == SONDE_POSITION_RELATIVE ? &p->weights->layer[layer].relative : NULL;
    float *bias = W ? take(p, spec->n_heads * W) : NULL;
    if (bias) {
        args->bias = sonde_tensor_2d(bias, spec->n_heads, W);
        if (spec->position == SONDE_POSITION_ALIBI) {
            sonde_op_alibi(&p->ops, args->bias, n);
        } else {
            sonde_op_bucket_bias(&p->ops, args->bias, &p->weights->relative_bias, n, spec->causal,
                                 spec->max_distance);
        }
    }
}

static void attend(struct pass *p, int layer, struct sonde_tensor q, struct sonde_tensor k,
                   struct sonde_tensor v, struct sonde_tensor z)
{
    int64_t H = p->spec->n_heads, S = p->first + p->T;
    struct map_visit visitor = { .pass = p, .layer = layer };
    struct sonde_attention_args args = { .scale = p->spec->attention_scale,
                                         .causal = p->spec->causal,
                                         .window = p->spec->window,
                                         .first = p->first,
                                         .edit_ctx = &visitor };
    if (p->spec->attention_scale_by_layer) {
        args.scale /= (float)(layer + 1);
    }
    set_distances(p, layer, &args);
    bool scores_edited = is_edited(p, SONDE_SITE_ATTN_SCORES, layer);
    bool pattern_edited = is_edited(p, SONDE_SITE_PATTERN, layer);
    /* On a tape edited maps part the op into steps, between which the edits stand. */
    bool steps = p->ops.tape && (scores_edited || pattern_edited);
    struct sonde_op_context aside = p->ops;
    if (steps || is_wanted(p, SONDE_SITE_ATTN_SCORES, layer)) {
        args.scores = sonde_tensor_3d(take(p, H * p->T * S), H, p->T, S);
        args.edit_scores = steps || scores_edited ? edit_scores : NULL;
    }
    if (steps || is_wanted(p, SONDE_SITE_PATTERN, layer)) {
        args.pattern = sonde_tensor_3d(take(p, H * p->T * S), H, p->T, S);
        args.edit_pattern = steps || pattern_edited ? edit_pattern : NULL;
    }
    if (!ok(p)) {
        return;
    }
    if (steps) {
        aside.tape = NULL;
        visitor.scores = args.scores;
        p->status = sonde_edit_tape_scores(&p->ops, &args, &q, &k, p->error);
    }
    sonde_op_attention(steps ? &aside : &p->ops, z, q, k, v, &args);
    if (steps) {
        p->ops.failed = p->ops.failed || aside.failed;
        sonde_edit_tape_mix(&p->ops, &z, &args.pattern, &v, &args);
    }
    if (!args.edit_scores) {
        visit(p, SONDE_SITE_ATTN_SCORES, layer, args.scores);
    }
    if (!args.edit_pattern) {
        visit(p, SONDE_SITE_PATTERN, layer, args.pattern);
    }
}

/* attn_out made again from the heads' shares, for rows whose shares were edited. */
struct result_step {
    struct pass *pass;
    const float *result; /* [T, H, D] */
    const float *bias;   /* [D] or NULL */
};

static void result_changed(void *arg, int64_t row, const float *before)
{
    struct result_step *r = arg;
    int64_t D = r->pass->spec->d_model, H = r->pass->spec->n_heads;
    (void)before;
    for (int64_t d = 0; d < D; d++) {
        double sum = r->bias ? (double)r->bias[d] : 0.0;
        for (int64_t h = 0; h < H; h++) {
            sum += (double)r->result[(row * H + h) * D + d];
        }
        r->pass->attn_out[row * D + d] = (float)sum;
    }
}

static void project_heads(struct pass *p, int layer, struct sonde_tensor z)
{
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    int64_t D = p->spec->d_model, H = p->spec->n_heads;
    struct sonde_tensor flat = sonde_tensor_2d(z.data, p->T, H * p->spec->d_head);
    /* Either attn_out or, where they are edited, the shares come from z on a tape: both would count
     * twice. */
    bool summed = is_edited(p, SONDE_SITE_RESULT, layer);
    struct sonde_op_context aside = p->ops;
    aside.tape = NULL;
    sonde_op_linear(summed ? &aside : &p->ops, stream_view(p, p->attn_out), flat, &w->w_o, &w->b_o);
    if (is_wanted(p, SONDE_SITE_RESULT, layer)) {
        float *result = take(p, p->T * H * D);
        struct sonde_tensor view = sonde_tensor_3d(result, p->T, H, D);
        if (result) {
            struct result_step step = { p, result, widened(p, &w->b_o) };
            struct sonde_tensor whole = stream_view(p, p->attn_out);
            sonde_op_head_result(summed ? &p->ops : &aside, view, z, &w->w_o);
            p->ops.failed = p->ops.failed || aside.failed;
            if (p->ops.tape && !summed) {
                sonde_op_note_shares(&p->ops, &whole, &view);
            }
            visit_rows(p, SONDE_SITE_RESULT, layer, result, H * D, view, result_changed, &step);
            if (p->ops.tape && summed) {
                sonde_edit_tape_sum_shares(&p->ops, &whole, &view, &w->b_o);
            }
        }
    }
    visit(p, SONDE_SITE_ATTN_OUT, layer, stream_view(p, p->attn_out));
}

static void attention(struct pass *p, int layer, float *x)
{
    const struct sonde_spec *spec = p->spec;
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    int64_t T = p->T, H = spec->n_heads, G = spec->n_kv_heads, E = spec->d_head;
    int64_t S = p->first + T;
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    struct sonde_layer_cache *cache = p->session->layer ? &p->session->layer[layer] : NULL;
    float *q_data = take(p, T * H * E), *z_data = take(p, T * H * E);
    float *k_data = cache ? cache->k + p->first * G * E : take(p, T * G * E);
    float *v_data = cache ? cache->v + p->first * G * E : take(p, T * G * E);
    if (!ok(p)) {
        return;
    }
    struct sonde_tensor in = stream_view(p, x), q = sonde_tensor_3d(q_data, T, H, E);
    struct sonde_tensor k = sonde_tensor_3d(k_data, T, G, E);
    struct sonde_tensor v = sonde_tensor_3d(v_data, T, G, E);
    struct sonde_tensor z = sonde_tensor_3d(z_data, T, H, E);
    sonde_op_linear(&p->ops, sonde_tensor_2d(q_data, T, H * E), in, &w->w_q, &w->b_q);
    visit(p, SONDE_SITE_Q, layer, q);
    sonde_op_linear(&p->ops, sonde_tensor_2d(k_data, T, G * E), in, &w->w_k, &w->b_k);
    visit(p, SONDE_SITE_K, layer, k);
    sonde_op_linear(&p->ops, sonde_tensor_2d(v_data, T, G * E), in, &w->w_v, &w->b_v);
    visit(p, SONDE_SITE_V, layer, v);
    if (spec->position == SONDE_POSITION_ROTARY && ok(p)) {
        const struct sonde_session *s = p->session;
        const struct sonde_rotary_table table = { spec->rotary_style, s->n_rotary,
                                                  spec->rotary_dims, s->cos, s->sin };
        sonde_op_rotary(&p->ops, q, q, &table, p->first);
        visit(p, SONDE_SITE_ROT_Q, layer, q);
        sonde_op_rotary(&p->ops, k, k, &table, p->first);
        visit(p, SONDE_SITE_ROT_K, layer, k);
    }
    if (cache) {
        k = sonde_tensor_3d(cache->k, S, G, E);
        v = sonde_tensor_3d(cache->v, S, G, E);
    }
    attend(p, layer, q, k, v, z);
    visit(p, SONDE_SITE_Z, layer, z);
    if (ok(p)) {
        project_heads(p, layer, z);
    }
    sonde_arena_rewind(p->ops.arena, mark);
}

static void mlp(struct pass *p, int layer, float *x)
{
    const struct sonde_spec *spec = p->spec;
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    float *pre_data = take(p, p->T * spec->d_mlp);
    float *linear_data = spec->gated ? take(p, p->T * spec->d_mlp) : NULL;
    if (!ok(p)) {
        return;
    }
    struct sonde_tensor pre = sonde_tensor_2d(pre_data, p->T, spec->d_mlp);
    struct sonde_tensor in = stream_view(p, x);
    if (spec->gated) {
        struct sonde_tensor linear = sonde_tensor_2d(linear_data, p->T, spec->d_mlp);
        sonde_op_linear(&p->ops, pre, in, &w->w_gate, &w->b_gate);
        visit(p, SONDE_SITE_MLP_PRE, layer, pre);
        sonde_op_linear(&p->ops, linear, in, &w->w_up, &w->b_up);
        visit(p, SONDE_SITE_MLP_PRE_LINEAR, layer, linear);
        sonde_op_gate(&p->ops, pre, pre, linear, spec->activation);
    } else {
        sonde_op_linear(&p->ops, pre, in, &w->w_up, &w->b_up);
        visit(p, SONDE_SITE_MLP_PRE, layer, pre);
        sonde_op_activation(&p->ops, pre, pre, spec->activation);
    }
    visit(p, SONDE_SITE_MLP_POST, layer, pre);
    struct sonde_tensor out = stream_view(p, p->mlp_out);
    sonde_op_linear(&p->ops, out, pre, &w->w_down, &w->b_down);
    visit(p, SONDE_SITE_MLP_OUT, layer, out);
    sonde_arena_rewind(p->ops.arena, mark);
}

static void add(struct pass *p, float *y, float *a, float *b)
{
    sonde_op_add(&p->ops, stream_view(p, y), stream_view(p, a), stream_view(p, b));
}

static void block_post_norm(struct pass *p, int layer)
{
    attention(p, layer, p->resid);
    add(p, p->resid, p->resid, p->attn_out);
    visit(p, SONDE_SITE_RESID_MID, layer, stream_view(p, p->resid));
    norm_first(p, layer, p->normed, p->resid);
    visit(p, SONDE_SITE_NORMALIZED_RESID_MID, layer, stream_view(p, p->normed));
    mlp(p, layer, p->normed);
    add(p, p->resid, p->normed, p->mlp_out);
    visit(p, SONDE_SITE_RESID_POST_BEFORE_LN2, layer, stream_view(p, p->resid));
    norm_second(p, layer, p->resid, p->resid);
    visit(p, SONDE_SITE_NORMALIZED_RESID_POST, layer, stream_view(p, p->resid));
}

static void block_parallel(struct pass *p, int layer)
{
    norm_first(p, layer, p->normed, p->resid);
    attention(p, layer, p->normed);
    if (!p->spec->shared_norm) {
        norm_second(p, layer, p->normed, p->resid);
    }
    mlp(p, layer, p->normed);
    add(p, p->attn_out, p->mlp_out, p->attn_out);
    add(p, p->resid, p->attn_out, p->resid);
}

static void block_serial(struct pass *p, int layer)
{
    norm_first(p, layer, p->normed, p->resid);
    attention(p, layer, p->normed);
    add(p, p->resid, p->resid, p->attn_out);
    visit(p, SONDE_SITE_RESID_MID, layer, stream_view(p, p->resid));
    norm_second(p, layer, p->normed, p->resid);
    mlp(p, layer, p->normed);
    add(p, p->resid, p->resid, p->mlp_out);
}

static void block(struct pass *p, int layer)
{
    visit(p, SONDE_SITE_RESID_PRE, layer, stream_view(p, p->resid));
    if (p->spec->norm_place == SONDE_NORM_POST) {
        block_post_norm(p, layer);
    } else if (p->spec->parallel) {
        block_parallel(p, layer);
    } else {
        block_serial(p, layer);
    }
    visit(p, SONDE_SITE_RESID_POST, layer, stream_view(p, p->resid));
    sonde_session_count(p->session, p->resid, ok(p) ? p->T * p->spec->d_model : 0);
}

/* Adds the rows of a table to the stream, showing them first. */
static void add_rows(struct pass *p, enum sonde_site_kind kind, const struct sonde_weight *table,
                     const int32_t *rows)
{
    sonde_op_embedding(&p->ops, stream_view(p, p->normed), table, rows);
    visit(p, kind, -1, stream_view(p, p->normed));
    add(p, p->resid, p->resid, p->normed);
}

/* Adds the rows of the session's table of fixed positions. */
static void add_fixed_positions(struct pass *p)
{
    int64_t D = p->spec->d_model;
    if (!ok(p)) {
        return;
    }
    memcpy(p->normed, p->session->position + p->first * D, (size_t)(p->T * D) * sizeof *p->normed);
    if (p->ops.tape) {
        (void)sonde_tape_define(&p->ops, p->normed, p->T * D);
    }
    visit(p, SONDE_SITE_POS_EMBED, -1, stream_view(p, p->normed));
    add(p, p->resid, p->resid, p->normed);
}

static void embed(struct pass *p)
{
    const struct sonde_spec *spec = p->spec;
    const struct sonde_weights *w = p->weights;
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    int32_t *rows = sonde_arena_zalloc(p->ops.arena, p->T, sizeof *rows);
    if (!rows) {
        p->ops.failed = true;
        return;
    }
    sonde_op_embedding(&p->ops, stream_view(p, p->resid), &w->embed, p->args->ids);
    if (spec->embed_scale != 1.0f) {
        sonde_op_scale(&p->ops, stream_view(p, p->resid), stream_view(p, p->resid),
                       spec->embed_scale);
    }
    visit(p, SONDE_SITE_EMBED, -1, stream_view(p, p->resid));
    if (spec->token_types) {
        add_rows(p, SONDE_SITE_TOKEN_TYPE_EMBED, &w->token_type,
                 p->args->token_types ? p->args->token_types : rows);
    }
    if (spec->position == SONDE_POSITION_LEARNED) {
        for (int64_t t = 0; t < p->T; t++) {
            rows[t] = (int32_t)(spec->position_offset + p->first + t);
        }
        add_rows(p, SONDE_SITE_POS_EMBED, &w->pos_embed, rows);
    } else if (sonde_spec_has_fixed_positions(spec)) {
        add_fixed_positions(p);
    }
    if (spec->norm_embedding) {
        norm((struct norm_step){ p, p->resid, p->resid, &w->embed_ln_gain, &w->embed_ln_bias,
                                 SONDE_SITE_EMBED_LN_SCALE, SONDE_SITE_EMBED_LN_NORMALIZED,
                                 SONDE_SITE_EMBED_LN_OUT, -1, NULL, NULL });
        visit(p, SONDE_SITE_FULL_EMBED, -1, stream_view(p, p->resid));
    }
    sonde_arena_rewind(p->ops.arena, mark);
}

/* Final norm and masked-LM head of the p->T rows of the stream: p->normed is what is unembedded. */
static void final_norm(struct pass *p)
{
    const struct sonde_weights *w = p->weights;
    float *x = p->resid;
    if (p->spec->norm_final) {
        norm((struct norm_step){ p, p->normed, x, &w->ln_final_gain, &w->ln_final_bias,
                                 SONDE_SITE_LN_FINAL_SCALE, SONDE_SITE_LN_FINAL_NORMALIZED,
                                 SONDE_SITE_LN_FINAL_OUT, -1, NULL, NULL });
        x = p->normed;
    }
    if (p->spec->mlm_head) {
        struct sonde_tensor dense = stream_view(p, p->mlp_out);
        sonde_op_linear(&p->ops, dense, stream_view(p, x), &w->head_dense, &w->head_dense_bias);
        sonde_op_activation(&p->ops, dense, dense, p->spec->activation);
        norm((struct norm_step){ p, p->normed, p->mlp_out, &w->head_ln_gain, &w->head_ln_bias,
                                 SONDE_SITE_HEAD_LN_SCALE, SONDE_SITE_HEAD_LN_NORMALIZED,
                                 SONDE_SITE_HEAD_LN_OUT, -1, NULL, NULL });
        x = p->normed;
    }
    if (x != p->normed && ok(p)) {
        memcpy(p->normed, x, (size_t)(p->T * p->spec->d_model) * sizeof *x);
        if (p->ops.tape) {
            struct sonde_tensor from = stream_view(p, x);
            sonde_tape_alias(&p->ops, p->normed, &from);
        }
    }
}

static void unembed(struct pass *p, float *logits)
{
    int64_t V = sonde_spec_outputs(p->spec);
    sonde_op_unembed(&p->ops, sonde_tensor_2d(logits, p->T, V), stream_view(p, p->normed),
                     &p->weights->unembed, &p->weights->unembed_bias, p->spec->logit_softcap);
    visit(p, SONDE_SITE_LOGITS, -1, sonde_tensor_2d(logits, p->T, V));
    sonde_session_count(p->session, logits, ok(p) ? p->T * V : 0);
}

static bool wants_final(const struct pass *p)
{
    const enum sonde_site_kind kinds[] = {
        SONDE_SITE_LN_FINAL_SCALE, SONDE_SITE_LN_FINAL_NORMALIZED, SONDE_SITE_LN_FINAL_OUT,
        SONDE_SITE_HEAD_LN_SCALE,  SONDE_SITE_HEAD_LN_NORMALIZED,  SONDE_SITE_HEAD_LN_OUT,
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (is_wanted(p, kinds[i], -1)) {
            return true;
        }
    }
    return false;
}

static void finish(struct pass *p)
{
    int64_t V = sonde_spec_outputs(p->spec), D = p->spec->d_model;
    bool all = !p->spec->headless && (is_wanted(p, SONDE_SITE_LOGITS, -1) || !p->args->no_logits);
    all = all || (p->args->tape && p->args->logits_last); /* a tape records whole values */
    bool last = p->args->logits_last && !all;
    if (last && !wants_final(p)) { /* generation: one row is all that is needed */
        memmove(p->resid, p->resid + (p->T - 1) * D, (size_t)D * sizeof *p->resid);
        p->T = 1;
    }
    if (all || last || wants_final(p)) {
        final_norm(p);
    }
    if (last && ok(p)) {
        memmove(p->normed, p->normed + (p->T - 1) * D, (size_t)D * sizeof *p->normed);
        p->T = 1;
        unembed(p, p->args->logits_last);
    }
    if (all) {
        float *logits = take(p, p->T * V);
        if (logits) {
            unembed(p, logits);
        }
        if (logits && p->args->logits_last) {
            memcpy(p->args->logits_last, logits + (p->T - 1) * V, (size_t)V * sizeof *logits);
        }
    }
}

static void run(struct pass *p)
{
    int64_t n = p->T * p->spec->d_model;
    int n_layers = p->spec->n_layers, stop = p->args->stop_after_layer;
    p->resid = take(p, n);
    p->normed = take(p, n);
    p->attn_out = take(p, n);
    p->mlp_out = take(p, n);
    p->normalized = take(p, n);
    p->scale = take(p, p->T);
    if (!ok(p)) {
        return;
    }
    struct sonde_forward_part whole = { .last = stop && stop < n_layers ? stop : n_layers + !stop };
    struct sonde_forward_part *part = p->args->part ? p->args->part : &whole;
    if (part->first == 0) {
        embed(p);
    } else {
        memcpy(p->resid, part->in, (size_t)n * sizeof *p->resid);
    }
    part->value_in = part->first > 0 ? sonde_edit_tape_watch(&p->ops, p->resid, n) : -1;
    for (int l = part->first ? part->first - 1 : 0; l < n_layers && l < part->last && ok(p); l++) {
        block(p, l);
    }
    part->value_out = -1;
    if (part->last > n_layers && ok(p)) {
        finish(p);
        return;
    }
    part->value_out = sonde_edit_tape_watch(&p->ops, p->resid, n);
    if (part->out && ok(p)) {
        memcpy(part->out, p->resid, (size_t)n * sizeof *p->resid);
    }
}

enum sonde_status sonde_forward(struct sonde_session *session,
                                const struct sonde_forward_args *args, struct sonde_error *error)
{
    enum sonde_status status = sonde_session_check(session, args, error);
    int64_t first = session->cache ? session->n_cached : 0;
    if (status == SONDE_STATUS_OK) {
        status = sonde_session_reserve(session, first + args->n_tokens, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    struct pass pass = {
        .session = session,
        .spec = &session->model->spec,
        .weights = &session->model->weights,
        .args = args,
        .ops = { .arena = session->arena, .tape = args->tape, .pool = session->pool },
        .error = error,
        .T = args->n_tokens,
        .first = first
    };
    for (int i = 0; i < args->n_hooks; i++) {
        sonde_site_set_union(&pass.observed, args->hooks[i].observe);
        sonde_site_set_union(&pass.edited, args->hooks[i].edit);
    }
    if (args->tape && (status = sonde_edit_tape_check(args->hooks, args->n_hooks, error)) != 0) {
        return status;
    }
    sonde_arena_reset(session->arena);
    run(&pass);
    if (pass.status == SONDE_STATUS_OK && pass.ops.failed) {
        return sonde_error_set(
            error, SONDE_STATUS_LIMIT, "no memory for a pass over %lld tokens (%lld bytes in use)",
            (long long)args->n_tokens, (long long)sonde_arena_used(session->arena));
    }
    if (pass.status == SONDE_STATUS_OK && session->cache) {
        session->n_cached = first + args->n_tokens;
    }
    return pass.status;
}
