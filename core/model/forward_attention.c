/* The attention half of a block: projections, heads, and what they write. */
#include "core/model/edit_tape.h"
#include "core/model/forward_internal.h"

/* Edits of whole score and pattern arrays come from inside the attention op. */
struct map_visit {
    struct sonde_pass *pass;
    int segment, layer;
    struct sonde_tensor scores; /* on a tape: what the pattern is made of */
};

static void edit_scores(void *ctx, struct sonde_tensor scores)
{
    struct map_visit *m = ctx;
    sonde_pass_visit_segment(m->pass, m->segment, SONDE_SITE_ATTN_SCORES, m->layer, scores);
}

static void edit_pattern(void *ctx, struct sonde_tensor pattern)
{
    struct map_visit *m = ctx;
    if (m->pass->ops.tape) {
        sonde_edit_tape_softmax(&m->pass->ops, &pattern, &m->scores);
    }
    sonde_pass_visit_segment(m->pass, m->segment, SONDE_SITE_PATTERN, m->layer, pattern);
}

/* What attention adds by distance. Made for each layer anew: a value that layers shared would not
 * let a backward pass take them one by one. n: positions in all. */
static void set_distances(struct sonde_pass *p, int layer, int64_t n,
                          struct sonde_attention_args *args)
{
    const struct sonde_spec *spec = p->spec;
    int64_t W = sonde_spec_bias_columns(spec, n);
    args->relative =
        spec->position == SONDE_POSITION_RELATIVE ? &p->weights->layer[layer].relative : NULL;
    float *bias = W ? sonde_pass_take(p, spec->n_heads * W) : NULL;
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

/* One segment's heads, whose arrays live for the call only. */
static void attend(struct sonde_pass *p, int segment, int layer, struct sonde_tensor q,
                   struct sonde_tensor k, struct sonde_tensor v, struct sonde_tensor z)
{
    int64_t H = p->spec->n_heads, T = q.dim[0], S = k.dim[0];
    struct map_visit visitor = { .pass = p, .segment = segment, .layer = layer };
    struct sonde_attention_args args = { .scale = p->spec->attention_scale,
                                         .causal = p->spec->causal,
                                         .window = p->spec->window,
                                         .first = p->first,
                                         .edit_ctx = &visitor };
    if (p->spec->attention_scale_by_layer) {
        args.scale /= (float)(layer + 1);
    }
    set_distances(p, layer, S, &args);
    bool scores_edited = sonde_pass_is_edited(p, SONDE_SITE_ATTN_SCORES, layer);
    bool pattern_edited = sonde_pass_is_edited(p, SONDE_SITE_PATTERN, layer);
    /* On a tape edited maps part the op into steps, between which the edits stand. */
    bool steps = p->ops.tape && (scores_edited || pattern_edited);
    bool scores = steps || sonde_pass_is_wanted(p, SONDE_SITE_ATTN_SCORES, layer);
    bool pattern = steps || sonde_pass_is_wanted(p, SONDE_SITE_PATTERN, layer);
    struct sonde_op_context aside = p->ops;
    if (scores) {
        args.scores = sonde_tensor_3d(sonde_pass_take(p, H * T * S), H, T, S);
        args.edit_scores = steps || scores_edited ? edit_scores : NULL;
    }
    if (pattern) {
        args.pattern = sonde_tensor_3d(sonde_pass_take(p, H * T * S), H, T, S);
        args.edit_pattern = steps || pattern_edited ? edit_pattern : NULL;
    }
    if (!sonde_pass_ok(p)) {
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
    if (scores && !args.edit_scores) {
        sonde_pass_visit_segment(p, segment, SONDE_SITE_ATTN_SCORES, layer, args.scores);
    }
    if (pattern && !args.edit_pattern) {
        sonde_pass_visit_segment(p, segment, SONDE_SITE_PATTERN, layer, args.pattern);
    }
}

/* attn_out made again from the heads' shares, for rows whose shares were edited. */
struct result_step {
    struct sonde_pass *pass;
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

static void project_heads(struct sonde_pass *p, int layer, struct sonde_tensor z)
{
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    int64_t D = p->spec->d_model, H = p->spec->n_heads;
    struct sonde_tensor flat = sonde_tensor_2d(z.data, p->T, H * p->spec->d_head);
    /* Either attn_out or, where they are edited, the shares come from z on a tape: both would count
     * twice. */
    bool summed = sonde_pass_is_edited(p, SONDE_SITE_RESULT, layer);
    struct sonde_op_context aside = p->ops;
    aside.tape = NULL;
    sonde_op_linear(summed ? &aside : &p->ops, sonde_pass_stream(p, p->attn_out), flat, &w->w_o,
                    &w->b_o);
    if (sonde_pass_is_wanted(p, SONDE_SITE_RESULT, layer)) {
        float *result = sonde_pass_take(p, p->T * H * D);
        struct sonde_tensor view = sonde_tensor_3d(result, p->T, H, D);
        if (result) {
            struct result_step step = { p, result, sonde_pass_widened(p, &w->b_o) };
            struct sonde_tensor whole = sonde_pass_stream(p, p->attn_out);
            sonde_op_head_result(summed ? &p->ops : &aside, view, z, &w->w_o);
            p->ops.failed = p->ops.failed || aside.failed;
            if (p->ops.tape && !summed) {
                sonde_op_note_shares(&p->ops, &whole, &view);
            }
            sonde_pass_visit_rows(p, SONDE_SITE_RESULT, layer, result, H * D, view, result_changed,
                                  &step);
            if (p->ops.tape && summed) {
                sonde_edit_tape_sum_shares(&p->ops, &whole, &view, &w->b_o);
            }
        }
    }
    sonde_pass_visit(p, SONDE_SITE_ATTN_OUT, layer, sonde_pass_stream(p, p->attn_out));
}

/* Positions begin anew in every segment. */
static void rotate(struct sonde_pass *p, enum sonde_site_kind kind, int layer,
                   struct sonde_tensor value)
{
    const struct sonde_session *s = p->session;
    const struct sonde_rotary_table table = { p->spec->rotary_style, s->n_rotary,
                                              p->spec->rotary_dims, s->cos, s->sin };
    for (int i = 0; i < p->n_segments; i++) {
        struct sonde_tensor rows = sonde_pass_rows(p, i, value);
        sonde_op_rotary(&p->ops, rows, rows, &table, p->first);
    }
    sonde_pass_visit(p, kind, layer, value);
}

/* Queries, keys and values of all rows. */
static void project(struct sonde_pass *p, int layer, float *x, struct sonde_tensor q,
                    struct sonde_tensor k, struct sonde_tensor v)
{
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    struct sonde_tensor in = sonde_pass_stream(p, x);
    int64_t HE = q.dim[1] * q.dim[2], GE = k.dim[1] * k.dim[2];
    sonde_op_linear(&p->ops, sonde_tensor_2d(q.data, p->T, HE), in, &w->w_q, &w->b_q);
    sonde_pass_visit(p, SONDE_SITE_Q, layer, q);
    sonde_op_linear(&p->ops, sonde_tensor_2d(k.data, p->T, GE), in, &w->w_k, &w->b_k);
    sonde_pass_visit(p, SONDE_SITE_K, layer, k);
    sonde_op_linear(&p->ops, sonde_tensor_2d(v.data, p->T, GE), in, &w->w_v, &w->b_v);
    sonde_pass_visit(p, SONDE_SITE_V, layer, v);
    if (p->spec->position == SONDE_POSITION_ROTARY && sonde_pass_ok(p)) {
        rotate(p, SONDE_SITE_ROT_Q, layer, q);
        rotate(p, SONDE_SITE_ROT_K, layer, k);
    }
}

void sonde_pass_attention(struct sonde_pass *p, int layer, float *x)
{
    const struct sonde_spec *spec = p->spec;
    int64_t T = p->T, H = spec->n_heads, G = spec->n_kv_heads, E = spec->d_head;
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    struct sonde_layer_cache *cache = p->session->layer ? &p->session->layer[layer] : NULL;
    float *q_data = sonde_pass_take(p, T * H * E), *z_data = sonde_pass_take(p, T * H * E);
    float *k_data = cache ? cache->k + p->first * G * E : sonde_pass_take(p, T * G * E);
    float *v_data = cache ? cache->v + p->first * G * E : sonde_pass_take(p, T * G * E);
    if (!sonde_pass_ok(p)) {
        return;
    }
    struct sonde_tensor q = sonde_tensor_3d(q_data, T, H, E), k = sonde_tensor_3d(k_data, T, G, E);
    struct sonde_tensor v = sonde_tensor_3d(v_data, T, G, E), z = sonde_tensor_3d(z_data, T, H, E);
    project(p, layer, x, q, k, v);
    for (int i = 0; i < p->n_segments && sonde_pass_ok(p); i++) {
        struct sonde_arena_mark maps = sonde_arena_mark(p->ops.arena);
        struct sonde_tensor keys = sonde_pass_rows(p, i, k), values = sonde_pass_rows(p, i, v);
        if (cache) {
            keys = sonde_tensor_3d(cache->k, p->first + T, G, E);
            values = sonde_tensor_3d(cache->v, p->first + T, G, E);
        }
        attend(p, i, layer, sonde_pass_rows(p, i, q), keys, values, sonde_pass_rows(p, i, z));
        sonde_arena_rewind(p->ops.arena, maps);
    }
    sonde_pass_visit(p, SONDE_SITE_Z, layer, z);
    if (sonde_pass_ok(p)) {
        project_heads(p, layer, z);
    }
    sonde_arena_rewind(p->ops.arena, mark);
}
