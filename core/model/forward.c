/*
 * The forward pass, written once over ops for every family: the spec says which of the steps are
 * there. A value that no hook wants is formed only where the pass itself needs it.
 */
#include <string.h>

#include "core/model/edit_tape.h"
#include "core/model/forward_internal.h"
#include "core/tensor/tape.h"

static void norm_first(struct sonde_pass *p, int layer, float *y, float *x)
{
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    sonde_pass_norm((struct sonde_norm_step){ p, y, x, &w->ln1_gain, &w->ln1_bias,
                                              SONDE_SITE_LN1_SCALE, SONDE_SITE_LN1_NORMALIZED,
                                              SONDE_SITE_LN1_OUT, layer, NULL, NULL });
}

static void norm_second(struct sonde_pass *p, int layer, float *y, float *x)
{
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    sonde_pass_norm((struct sonde_norm_step){ p, y, x, &w->ln2_gain, &w->ln2_bias,
                                              SONDE_SITE_LN2_SCALE, SONDE_SITE_LN2_NORMALIZED,
                                              SONDE_SITE_LN2_OUT, layer, NULL, NULL });
}

static void mlp(struct sonde_pass *p, int layer, float *x)
{
    const struct sonde_spec *spec = p->spec;
    const struct sonde_layer_weights *w = &p->weights->layer[layer];
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    float *pre_data = sonde_pass_take(p, p->T * spec->d_mlp);
    float *linear_data = spec->gated ? sonde_pass_take(p, p->T * spec->d_mlp) : NULL;
    if (!sonde_pass_ok(p)) {
        return;
    }
    struct sonde_tensor pre = sonde_tensor_2d(pre_data, p->T, spec->d_mlp);
    struct sonde_tensor in = sonde_pass_stream(p, x);
    if (spec->gated) {
        struct sonde_tensor linear = sonde_tensor_2d(linear_data, p->T, spec->d_mlp);
        sonde_op_linear(&p->ops, pre, in, &w->w_gate, &w->b_gate);
        sonde_pass_visit(p, SONDE_SITE_MLP_PRE, layer, pre);
        sonde_op_linear(&p->ops, linear, in, &w->w_up, &w->b_up);
        sonde_pass_visit(p, SONDE_SITE_MLP_PRE_LINEAR, layer, linear);
        sonde_op_gate(&p->ops, pre, pre, linear, spec->activation);
    } else {
        sonde_op_linear(&p->ops, pre, in, &w->w_up, &w->b_up);
        sonde_pass_visit(p, SONDE_SITE_MLP_PRE, layer, pre);
        sonde_op_activation(&p->ops, pre, pre, spec->activation);
    }
    sonde_pass_visit(p, SONDE_SITE_MLP_POST, layer, pre);
    struct sonde_tensor out = sonde_pass_stream(p, p->mlp_out);
    sonde_op_linear(&p->ops, out, pre, &w->w_down, &w->b_down);
    sonde_pass_visit(p, SONDE_SITE_MLP_OUT, layer, out);
    sonde_arena_rewind(p->ops.arena, mark);
}

static void add(struct sonde_pass *p, float *y, float *a, float *b)
{
    sonde_op_add(&p->ops, sonde_pass_stream(p, y), sonde_pass_stream(p, a),
                 sonde_pass_stream(p, b));
}

static void block_post_norm(struct sonde_pass *p, int layer)
{
    sonde_pass_attention(p, layer, p->resid);
    add(p, p->resid, p->resid, p->attn_out);
    sonde_pass_visit(p, SONDE_SITE_RESID_MID, layer, sonde_pass_stream(p, p->resid));
    norm_first(p, layer, p->normed, p->resid);
    sonde_pass_visit(p, SONDE_SITE_NORMALIZED_RESID_MID, layer, sonde_pass_stream(p, p->normed));
    mlp(p, layer, p->normed);
    add(p, p->resid, p->normed, p->mlp_out);
    sonde_pass_visit(p, SONDE_SITE_RESID_POST_BEFORE_LN2, layer, sonde_pass_stream(p, p->resid));
    norm_second(p, layer, p->resid, p->resid);
    sonde_pass_visit(p, SONDE_SITE_NORMALIZED_RESID_POST, layer, sonde_pass_stream(p, p->resid));
}

static void block_parallel(struct sonde_pass *p, int layer)
{
    norm_first(p, layer, p->normed, p->resid);
    sonde_pass_attention(p, layer, p->normed);
    if (!p->spec->shared_norm) {
        norm_second(p, layer, p->normed, p->resid);
    }
    mlp(p, layer, p->normed);
    add(p, p->attn_out, p->mlp_out, p->attn_out);
    add(p, p->resid, p->attn_out, p->resid);
}

static void block_serial(struct sonde_pass *p, int layer)
{
    norm_first(p, layer, p->normed, p->resid);
    sonde_pass_attention(p, layer, p->normed);
    add(p, p->resid, p->resid, p->attn_out);
    sonde_pass_visit(p, SONDE_SITE_RESID_MID, layer, sonde_pass_stream(p, p->resid));
    norm_second(p, layer, p->normed, p->resid);
    mlp(p, layer, p->normed);
    add(p, p->resid, p->resid, p->mlp_out);
}

static void block(struct sonde_pass *p, int layer)
{
    sonde_pass_visit(p, SONDE_SITE_RESID_PRE, layer, sonde_pass_stream(p, p->resid));
    if (p->spec->norm_place == SONDE_NORM_POST) {
        block_post_norm(p, layer);
    } else if (p->spec->parallel) {
        block_parallel(p, layer);
    } else {
        block_serial(p, layer);
    }
    sonde_pass_visit(p, SONDE_SITE_RESID_POST, layer, sonde_pass_stream(p, p->resid));
    sonde_session_count(p->session, p->resid, sonde_pass_ok(p) ? p->T * p->spec->d_model : 0);
}

/* Adds the rows of a table to the stream, showing them first. */
static void add_rows(struct sonde_pass *p, enum sonde_site_kind kind,
                     const struct sonde_weight *table, const int32_t *rows)
{
    sonde_op_embedding(&p->ops, sonde_pass_stream(p, p->normed), table, rows);
    sonde_pass_visit(p, kind, -1, sonde_pass_stream(p, p->normed));
    add(p, p->resid, p->resid, p->normed);
}

/* Adds the rows of the session's table of fixed positions. */
static void add_fixed_positions(struct sonde_pass *p)
{
    int64_t D = p->spec->d_model;
    if (!sonde_pass_ok(p)) {
        return;
    }
    for (int i = 0; i < p->n_segments; i++) {
        memcpy(p->normed + p->row[i] * D, p->session->position + p->first * D,
               (size_t)((p->row[i + 1] - p->row[i]) * D) * sizeof *p->normed);
    }
    if (p->ops.tape) {
        (void)sonde_tape_define(&p->ops, p->normed, p->T * D);
    }
    sonde_pass_visit(p, SONDE_SITE_POS_EMBED, -1, sonde_pass_stream(p, p->normed));
    add(p, p->resid, p->resid, p->normed);
}

/* What each row has of the segments' own arrays: its token, its type (0 where they give none), its
 * position. */
struct row_ids {
    int32_t *token, *type, *position; /* [T] */
};

static bool gather_ids(struct sonde_pass *p, struct row_ids *ids)
{
    const int64_t offset = p->spec->position_offset + p->first;
    ids->token = sonde_arena_alloc(p->ops.arena, p->T, sizeof *ids->token);
    ids->type = sonde_arena_zalloc(p->ops.arena, p->T, sizeof *ids->type);
    ids->position = sonde_arena_alloc(p->ops.arena, p->T, sizeof *ids->position);
    p->ops.failed = p->ops.failed || !ids->token || !ids->type || !ids->position;
    for (int i = 0; i < p->n_segments && !p->ops.failed; i++) {
        const struct sonde_forward_segment *s = &p->segments[i];
        const size_t bytes = (size_t)s->n_tokens * sizeof *ids->token;
        memcpy(ids->token + p->row[i], s->ids, bytes);
        if (s->token_types) {
            memcpy(ids->type + p->row[i], s->token_types, bytes);
        }
        for (int64_t t = 0; t < s->n_tokens; t++) {
            ids->position[p->row[i] + t] = (int32_t)(offset + t);
        }
    }
    return !p->ops.failed;
}

static void embed(struct sonde_pass *p)
{
    const struct sonde_spec *spec = p->spec;
    const struct sonde_weights *w = p->weights;
    struct sonde_arena_mark mark = sonde_arena_mark(p->ops.arena);
    struct row_ids ids;
    if (!gather_ids(p, &ids)) {
        return;
    }
    sonde_op_embedding(&p->ops, sonde_pass_stream(p, p->resid), &w->embed, ids.token);
    if (spec->embed_scale != 1.0f) {
        sonde_op_scale(&p->ops, sonde_pass_stream(p, p->resid), sonde_pass_stream(p, p->resid),
                       spec->embed_scale);
    }
    sonde_pass_visit(p, SONDE_SITE_EMBED, -1, sonde_pass_stream(p, p->resid));
    if (spec->token_types) {
        add_rows(p, SONDE_SITE_TOKEN_TYPE_EMBED, &w->token_type, ids.type);
    }
    if (spec->position == SONDE_POSITION_LEARNED) {
        add_rows(p, SONDE_SITE_POS_EMBED, &w->pos_embed, ids.position);
    } else if (sonde_spec_has_fixed_positions(spec)) {
        add_fixed_positions(p);
    }
    if (spec->norm_embedding) {
        sonde_pass_norm((struct sonde_norm_step){
            p, p->resid, p->resid, &w->embed_ln_gain, &w->embed_ln_bias, SONDE_SITE_EMBED_LN_SCALE,
            SONDE_SITE_EMBED_LN_NORMALIZED, SONDE_SITE_EMBED_LN_OUT, -1, NULL, NULL });
        sonde_pass_visit(p, SONDE_SITE_FULL_EMBED, -1, sonde_pass_stream(p, p->resid));
    }
    sonde_arena_rewind(p->ops.arena, mark);
}

/* Final norm and masked-LM head of the p->T rows of the stream: p->normed is what is unembedded. */
static void final_norm(struct sonde_pass *p)
{
    const struct sonde_weights *w = p->weights;
    float *x = p->resid;
    if (p->spec->norm_final) {
        sonde_pass_norm((struct sonde_norm_step){
            p, p->normed, x, &w->ln_final_gain, &w->ln_final_bias, SONDE_SITE_LN_FINAL_SCALE,
            SONDE_SITE_LN_FINAL_NORMALIZED, SONDE_SITE_LN_FINAL_OUT, -1, NULL, NULL });
        x = p->normed;
    }
    if (p->spec->mlm_head) {
        struct sonde_tensor dense = sonde_pass_stream(p, p->mlp_out);
        sonde_op_linear(&p->ops, dense, sonde_pass_stream(p, x), &w->head_dense,
                        &w->head_dense_bias);
        sonde_op_activation(&p->ops, dense, dense, p->spec->activation);
        sonde_pass_norm((struct sonde_norm_step){
            p, p->normed, p->mlp_out, &w->head_ln_gain, &w->head_ln_bias, SONDE_SITE_HEAD_LN_SCALE,
            SONDE_SITE_HEAD_LN_NORMALIZED, SONDE_SITE_HEAD_LN_OUT, -1, NULL, NULL });
        x = p->normed;
    }
    if (x != p->normed && sonde_pass_ok(p)) {
        memcpy(p->normed, x, (size_t)(p->T * p->spec->d_model) * sizeof *x);
        if (p->ops.tape) {
            struct sonde_tensor from = sonde_pass_stream(p, x);
            sonde_tape_alias(&p->ops, p->normed, &from);
        }
    }
}

static void unembed(struct sonde_pass *p, float *logits)
{
    int64_t V = sonde_spec_outputs(p->spec);
    sonde_op_unembed(&p->ops, sonde_tensor_2d(logits, p->T, V), sonde_pass_stream(p, p->normed),
                     &p->weights->unembed, &p->weights->unembed_bias, p->spec->logit_softcap);
    sonde_pass_visit(p, SONDE_SITE_LOGITS, -1, sonde_tensor_2d(logits, p->T, V));
    sonde_session_count(p->session, logits, sonde_pass_ok(p) ? p->T * V : 0);
}

static bool wants_final(const struct sonde_pass *p)
{
    const enum sonde_site_kind kinds[] = {
        SONDE_SITE_LN_FINAL_SCALE, SONDE_SITE_LN_FINAL_NORMALIZED, SONDE_SITE_LN_FINAL_OUT,
        SONDE_SITE_HEAD_LN_SCALE,  SONDE_SITE_HEAD_LN_NORMALIZED,  SONDE_SITE_HEAD_LN_OUT,
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (sonde_pass_is_wanted(p, kinds[i], -1)) {
            return true;
        }
    }
    return false;
}

/* The rest of the pass is about the last row of the one segment, which nobody looks at. */
static void keep_one_row(struct sonde_pass *p)
{
    p->T = 1;
    p->row[1] = 1;
    p->ops.single_row = true;
}

static void finish(struct sonde_pass *p)
{
    int64_t V = sonde_spec_outputs(p->spec), D = p->spec->d_model;
    bool all = !p->spec->headless &&
               (sonde_pass_is_wanted(p, SONDE_SITE_LOGITS, -1) || !p->args->no_logits);
    all = all || (p->args->tape && p->args->logits_last); /* a tape records whole values */
    bool last = p->args->logits_last && !all;
    if (last && !wants_final(p)) { /* generation: one row is all that is needed */
        memmove(p->resid, p->resid + (p->T - 1) * D, (size_t)D * sizeof *p->resid);
        keep_one_row(p);
    }
    if (all || last || wants_final(p)) {
        final_norm(p);
    }
    if (last && sonde_pass_ok(p)) {
        memmove(p->normed, p->normed + (p->T - 1) * D, (size_t)D * sizeof *p->normed);
        keep_one_row(p);
        unembed(p, p->args->logits_last);
    }
    if (all) {
        float *logits = sonde_pass_take(p, p->T * V);
        if (logits) {
            unembed(p, logits);
        }
        if (logits && p->args->logits_last) {
            memcpy(p->args->logits_last, logits + (p->T - 1) * V, (size_t)V * sizeof *logits);
        }
    }
}

static void run(struct sonde_pass *p)
{
    int64_t n = p->T * p->spec->d_model;
    int n_layers = p->spec->n_layers, stop = p->args->stop_after_layer;
    p->resid = sonde_pass_take(p, n);
    p->normed = sonde_pass_take(p, n);
    p->attn_out = sonde_pass_take(p, n);
    p->mlp_out = sonde_pass_take(p, n);
    p->normalized = sonde_pass_take(p, n);
    p->scale = sonde_pass_take(p, p->T);
    if (!sonde_pass_ok(p)) {
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
    for (int l = part->first ? part->first - 1 : 0;
         l < n_layers && l < part->last && sonde_pass_ok(p); l++) {
        sonde_pool_gather(p->ops.pool);
        block(p, l);
    }
    part->value_out = -1;
    if (part->last > n_layers && sonde_pass_ok(p)) {
        finish(p);
        return;
    }
    part->value_out = sonde_edit_tape_watch(&p->ops, p->resid, n);
    if (part->out && sonde_pass_ok(p)) {
        memcpy(part->out, p->resid, (size_t)n * sizeof *p->resid);
    }
}

static bool begin(struct sonde_pass *p)
{
    sonde_arena_reset(p->session->arena);
    p->row = sonde_arena_zalloc(p->session->arena, (int64_t)p->n_segments + 1, sizeof *p->row);
    for (int i = 0; i < p->n_segments && p->row; i++) {
        const struct sonde_forward_segment *s = &p->segments[i];
        p->row[i + 1] = p->row[i] + s->n_tokens;
        for (int h = 0; h < s->n_hooks; h++) {
            /* Sequences that are recorded together have the same sets. */
            const struct sonde_hook *before =
                i > 0 && h < s[-1].n_hooks ? &s[-1].hooks[h] : &(struct sonde_hook){ 0 };
            if (s->hooks[h].observe != before->observe) {
                sonde_site_set_union(&p->observed, s->hooks[h].observe);
            }
            if (s->hooks[h].edit != before->edit) {
                sonde_site_set_union(&p->edited, s->hooks[h].edit);
            }
        }
    }
    p->T = p->row ? p->row[p->n_segments] : 0;
    return p->row != NULL;
}

static enum sonde_status refuse_memory(const struct sonde_pass *p)
{
    return sonde_error_set(p->error, SONDE_STATUS_LIMIT,
                           "no memory for a pass over %lld tokens (%lld bytes in use)",
                           (long long)p->T, (long long)sonde_arena_used(p->session->arena));
}

enum sonde_status sonde_forward(struct sonde_session *session,
                                const struct sonde_forward_args *args, struct sonde_error *error)
{
    const struct sonde_forward_segment one = { args->ids, args->n_tokens, args->token_types,
                                               args->hooks, args->n_hooks };
    struct sonde_pass pass = {
        .session = session,
        .spec = &session->model->spec,
        .weights = &session->model->weights,
        .args = args,
        .segments = args->n_segments ? args->segments : &one,
        .n_segments = args->n_segments ? args->n_segments : 1,
        .ops = { .arena = session->arena,
                 .tape = args->tape,
                 .pool = session->pool,
                 .plan = session->model->plan,
                 .single_row = session->cache },
        .error = error,
        .first = session->cache ? session->n_cached : 0,
    };
    enum sonde_status status = SONDE_STATUS_OK;
    int64_t longest = 0;
    for (int i = 0; i < pass.n_segments && status == SONDE_STATUS_OK; i++) {
        status = sonde_session_check(session, args, &pass.segments[i], error);
        longest = pass.segments[i].n_tokens > longest ? pass.segments[i].n_tokens : longest;
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_session_reserve(session, pass.first + longest, error);
    }
    if (status == SONDE_STATUS_OK && args->tape) {
        status = sonde_edit_tape_check(one.hooks, one.n_hooks, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (!begin(&pass)) {
        return refuse_memory(&pass);
    }
    run(&pass);
    if (pass.status == SONDE_STATUS_OK && pass.ops.failed) {
        return refuse_memory(&pass);
    }
    if (pass.status == SONDE_STATUS_OK && session->cache) {
        session->n_cached = pass.first + args->n_tokens;
    }
    return pass.status;
}
