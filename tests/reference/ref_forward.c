#include "tests/reference/ref_forward.h"
#include "tests/reference/ref_sonde.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ref_trace_free(struct ref_trace *trace)
{
    for (int i = 0; i < trace->n; i++) {
        free(trace->site[i].value);
    }
    free(trace->site);
    *trace = (struct ref_trace){ 0 };
}

const struct ref_site *ref_trace_find(const struct ref_trace *trace, const char *name)
{
    for (int i = 0; i < trace->n; i++) {
        if (strcmp(trace->site[i].name, name) == 0) {
            return &trace->site[i];
        }
    }
    return NULL;
}

int ref_model_load(struct ref_model *model, const char *folder)
{
    char path[1024];
    *model = (struct ref_model){ 0 };
    snprintf(path, sizeof path, "%s/config.json", folder);
    char *text = ref_read_file(path, NULL);
    if (!text) {
        return 0;
    }
    model->config = ref_json_parse(text);
    free(text);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (ref_tensors_load(&model->tensors, path)) {
        return 1;
    }
    for (int i = 1; i <= 99; i++) { /* shards as the tests' own generator names them */
        snprintf(path, sizeof path, "%s/model-%05d.safetensors", folder, i);
        if (!ref_tensors_load(&model->tensors, path)) {
            return i > 1;
        }
    }
    return 1;
}

void ref_model_free(struct ref_model *model)
{
    ref_json_free(model->config);
    ref_tensors_free(&model->tensors);
    *model = (struct ref_model){ 0 };
}

/* The state of one pass; arrays are [T, width] unless said otherwise. */
struct run {
    const struct ref_model *m;
    struct ref_trace *trace;
    int T, D, H, G, E, F, V, L, R; /* R: rotated dimensions of a head */
    double eps, base, scale;
    int causal, rms;
    const char *act;
};

static double *array(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

__attribute__((format(printf, 4, 5))) static void keep(struct run *r, const double *value,
                                                       int64_t n, const char *format, ...)
{
    r->trace->site = realloc(r->trace->site, (size_t)(r->trace->n + 1) * sizeof *r->trace->site);
    struct ref_site *site = &r->trace->site[r->trace->n++];
    va_list args;
    va_start(args, format);
    vsnprintf(site->name, sizeof site->name, format, args);
    va_end(args);
    site->n = n;
    site->value = array(n);
    memcpy(site->value, value, (size_t)n * sizeof *value);
}

static double number(const struct run *r, const char *key, double otherwise)
{
    const struct ref_json *value = ref_json_get(r->m->config, key);
    if (!value) {
        return otherwise;
    }
    return value->type == 'n' ? value->number : value->type == 't' ? 1.0 : 0.0;
}

/* NULL where the tensor is not there. */
__attribute__((format(printf, 2, 3))) static const double *weight(const struct run *r,
                                                                  const char *format, ...)
{
    char name[256];
    va_list args;
    size_t n = (size_t)snprintf(name, sizeof name, "%s", r->m->prefix);
    va_start(args, format);
    vsnprintf(name + n, sizeof name - n, format, args);
    va_end(args);
    const struct ref_tensor *t = ref_tensors_find(&r->m->tensors, name);
    if (!t) {
        t = ref_tensors_find(&r->m->tensors, name + n); /* heads stand outside the prefix */
    }
    return t ? t->value : NULL;
}

/* y[t, o] = sum_i x[t, i] w(o, i) + b[o]; w lies [out, in], or [in, out] where conv1d. */
static void linear(double *y, const double *x, const double *w, const double *b, int T, int in,
                   int out, int conv1d)
{
    for (int t = 0; t < T; t++) {
        for (int o = 0; o < out; o++) {
            double sum = b ? b[o] : 0.0;
            for (int i = 0; i < in; i++) {
                sum += x[(int64_t)t * in + i] *
                       (conv1d ? w[(int64_t)i * out + o] : w[(int64_t)o * in + i]);
            }
            y[(int64_t)t * out + o] = sum;
        }
    }
}

static double activate(const char *name, double x)
{
    if (strcmp(name, "gelu") == 0) {
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    }
    if (strcmp(name, "gelu_new") == 0 || strcmp(name, "gelu_pytorch_tanh") == 0) {
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    }
    if (strcmp(name, "relu") == 0) {
        return x > 0.0 ? x : 0.0;
    }
    return x / (1.0 + exp(-x)); /* silu */
}

/* Normalises rows of x into y and keeps the three sites under `where`. */
static void norm(struct run *r, double *y, const double *x, const double *gain, const double *bias,
                 const char *where)
{
    int T = r->T, D = r->D;
    double *scale = array(T), *unit = array((int64_t)T * D), *out = array((int64_t)T * D);
    for (int t = 0; t < T; t++) {
        double mean = 0.0, square = 0.0;
        for (int d = 0; d < D && !r->rms; d++) {
            mean += x[t * D + d] / D;
        }
        for (int d = 0; d < D; d++) {
            square += (x[t * D + d] - mean) * (x[t * D + d] - mean) / D;
        }
        scale[t] = sqrt(square + r->eps);
        for (int d = 0; d < D; d++) {
            unit[t * D + d] = (x[t * D + d] - mean) / scale[t];
            out[t * D + d] = unit[t * D + d] * gain[d] + (bias ? bias[d] : 0.0);
        }
    }
    keep(r, scale, T, "%s.hook_scale", where);
    keep(r, unit, (int64_t)T * D, "%s.hook_normalized", where);
    keep(r, out, (int64_t)T * D, "%s.hook_out", where);
    memcpy(y, out, (size_t)(T * D) * sizeof *y);
    free(scale);
    free(unit);
    free(out);
}

/* Rotates the first R values of every head, pairs half a rotated width apart. */
static void rotate(const struct run *r, double *x, int heads)
{
    for (int t = 0; t < r->T; t++) {
        for (int h = 0; h < heads; h++) {
            double *v = x + ((int64_t)t * heads + h) * r->E;
            for (int i = 0; i < r->R / 2; i++) {
                double angle = t / pow(r->base, 2.0 * i / r->R);
                double a = v[i], b = v[i + r->R / 2];
                v[i] = a * cos(angle) - b * sin(angle);
                v[i + r->R / 2] = b * cos(angle) + a * sin(angle);
            }
        }
    }
}

struct qkvo {
    double *q, *k, *v; /* [T, H, E], [T, G, E], [T, G, E] */
    const double *w_o, *b_o;
    int conv1d;
};

/* out[T, D] from q, k, v, keeping every site of attention. */
static void attention(struct run *r, int layer, struct qkvo a, double *out)
{
    int T = r->T, H = r->H, G = r->G, E = r->E, D = r->D, group = H / G;
    int64_t TT = (int64_t)T * T;
    double *scores = array(H * TT), *pattern = array(H * TT), *z = array((int64_t)T * H * E);
    double *result = array((int64_t)T * H * D);
    keep(r, a.q, (int64_t)T * H * E, "blocks.%d.attn.hook_q", layer);
    keep(r, a.k, (int64_t)T * G * E, "blocks.%d.attn.hook_k", layer);
    keep(r, a.v, (int64_t)T * G * E, "blocks.%d.attn.hook_v", layer);
    if (r->R) {
        rotate(r, a.q, H);
        rotate(r, a.k, G);
        keep(r, a.q, (int64_t)T * H * E, "blocks.%d.attn.hook_rot_q", layer);
        keep(r, a.k, (int64_t)T * G * E, "blocks.%d.attn.hook_rot_k", layer);
    }
    for (int h = 0; h < H; h++) {
        for (int i = 0; i < T; i++) {
            double *s = scores + h * TT + (int64_t)i * T, *p = pattern + h * TT + (int64_t)i * T;
            double top = -(double)INFINITY, sum = 0.0;
            for (int j = 0; j < T; j++) {
                double dot = 0.0;
                for (int e = 0; e < E; e++) {
                    dot += a.q[((int64_t)i * H + h) * E + e] *
                           a.k[((int64_t)j * G + h / group) * E + e];
                }
                s[j] = r->causal && j > i ? -(double)INFINITY : dot * r->scale;
                top = s[j] > top ? s[j] : top;
            }
            for (int j = 0; j < T; j++) {
                p[j] = exp(s[j] - top);
                sum += p[j];
            }
            for (int j = 0; j < T; j++) {
                p[j] /= sum;
                for (int e = 0; e < E; e++) {
                    z[((int64_t)i * H + h) * E + e] +=
                        p[j] * a.v[((int64_t)j * G + h / group) * E + e];
                }
            }
        }
    }
    for (int t = 0; t < T; t++) {
        for (int h = 0; h < H; h++) {
            for (int d = 0; d < D; d++) {
                double sum = 0.0;
                for (int e = 0; e < E; e++) {
                    int64_t in = (int64_t)h * E + e;
                    sum += z[((int64_t)t * H + h) * E + e] *
                           (a.conv1d ? a.w_o[in * D + d] : a.w_o[(int64_t)d * H * E + in]);
                }
                result[((int64_t)t * H + h) * D + d] = sum;
            }
        }
    }
    linear(out, z, a.w_o, a.b_o, T, H * E, D, a.conv1d);
    keep(r, scores, H * TT, "blocks.%d.attn.hook_attn_scores", layer);
    keep(r, pattern, H * TT, "blocks.%d.attn.hook_pattern", layer);
    keep(r, z, (int64_t)T * H * E, "blocks.%d.attn.hook_z", layer);
    keep(r, result, (int64_t)T * H * D, "blocks.%d.attn.hook_result", layer);
    keep(r, out, (int64_t)T * D, "blocks.%d.hook_attn_out", layer);
    free(scores);
    free(pattern);
    free(z);
    free(result);
}

/* A plain MLP. */
static void mlp(struct run *r, int layer, const double *x, const double *w_in, const double *b_in,
                const double *w_out, const double *b_out, int conv1d, double *out)
{
    int64_t n = (int64_t)r->T * r->F;
    double *pre = array(n);
    linear(pre, x, w_in, b_in, r->T, r->D, r->F, conv1d);
    keep(r, pre, n, "blocks.%d.mlp.hook_pre", layer);
    for (int64_t i = 0; i < n; i++) {
        pre[i] = activate(r->act, pre[i]);
    }
    keep(r, pre, n, "blocks.%d.mlp.hook_post", layer);
    linear(out, pre, w_out, b_out, r->T, r->F, r->D, conv1d);
    keep(r, out, (int64_t)r->T * r->D, "blocks.%d.hook_mlp_out", layer);
    free(pre);
}

static void add(double *x, const double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] += y[i];
    }
}

static const char *text_of(const struct run *r, const char *key, const char *otherwise)
{
    const struct ref_json *value = ref_json_get(r->m->config, key);
    return value && value->text ? value->text : otherwise;
}

static void logits(struct run *r, const double *x, const double *w, const double *b)
{
    double *out = array((int64_t)r->T * r->V);
    linear(out, x, w, b, r->T, r->D, r->V, 0);
    keep(r, out, (int64_t)r->T * r->V, "logits");
    free(out);
}

static void rows(double *y, const double *table, const int32_t *ids, int T, int D)
{
    for (int t = 0; t < T; t++) {
        memcpy(y + (int64_t)t * D, table + (int64_t)(ids ? ids[t] : t) * D, (size_t)D * sizeof *y);
    }
}

static void forward_llama(struct run *r, const int32_t *ids)
{
    int T = r->T, D = r->D, H = r->H, G = r->G, E = r->E, F = r->F;
    int64_t n = (int64_t)T * D;
    double *x = array(n), *y = array(n), *o = array(n);
    double *q = array((int64_t)T * H * E), *k = array((int64_t)T * G * E);
    double *v = array((int64_t)T * G * E), *gate = array((int64_t)T * F);
    double *up = array((int64_t)T * F);
    char where[64];
    const double *embed = weight(r, "embed_tokens.weight");
    rows(x, embed ? embed : weight(r, "lm_head.weight"), ids, T, D);
    keep(r, x, n, "hook_embed");
    for (int l = 0; l < r->L; l++) {
        const char *a = "self_attn";
        keep(r, x, n, "blocks.%d.hook_resid_pre", l);
        snprintf(where, sizeof where, "blocks.%d.ln1", l);
        norm(r, y, x, weight(r, "layers.%d.input_layernorm.weight", l), NULL, where);
        linear(q, y, weight(r, "layers.%d.%s.q_proj.weight", l, a),
               weight(r, "layers.%d.%s.q_proj.bias", l, a), T, D, H * E, 0);
        linear(k, y, weight(r, "layers.%d.%s.k_proj.weight", l, a),
               weight(r, "layers.%d.%s.k_proj.bias", l, a), T, D, G * E, 0);
        linear(v, y, weight(r, "layers.%d.%s.v_proj.weight", l, a),
               weight(r, "layers.%d.%s.v_proj.bias", l, a), T, D, G * E, 0);
        attention(r, l,
                  (struct qkvo){ q, k, v, weight(r, "layers.%d.%s.o_proj.weight", l, a),
                                 weight(r, "layers.%d.%s.o_proj.bias", l, a), 0 },
                  o);
        add(x, o, n);
        keep(r, x, n, "blocks.%d.hook_resid_mid", l);
        snprintf(where, sizeof where, "blocks.%d.ln2", l);
        norm(r, y, x, weight(r, "layers.%d.post_attention_layernorm.weight", l), NULL, where);
        linear(gate, y, weight(r, "layers.%d.mlp.gate_proj.weight", l),
               weight(r, "layers.%d.mlp.gate_proj.bias", l), T, D, F, 0);
        linear(up, y, weight(r, "layers.%d.mlp.up_proj.weight", l),
               weight(r, "layers.%d.mlp.up_proj.bias", l), T, D, F, 0);
        keep(r, gate, (int64_t)T * F, "blocks.%d.mlp.hook_pre", l);
        keep(r, up, (int64_t)T * F, "blocks.%d.mlp.hook_pre_linear", l);
        for (int64_t i = 0; i < (int64_t)T * F; i++) {
            gate[i] = activate(r->act, gate[i]) * up[i];
        }
        keep(r, gate, (int64_t)T * F, "blocks.%d.mlp.hook_post", l);
        linear(o, gate, weight(r, "layers.%d.mlp.down_proj.weight", l),
               weight(r, "layers.%d.mlp.down_proj.bias", l), T, F, D, 0);
        keep(r, o, n, "blocks.%d.hook_mlp_out", l);
        add(x, o, n);
        keep(r, x, n, "blocks.%d.hook_resid_post", l);
    }
    norm(r, y, x, weight(r, "norm.weight"), NULL, "ln_final");
    const double *head = weight(r, "lm_head.weight");
    int tied = number(r, "tie_word_embeddings", 0) != 0.0 || !head;
    logits(r, y, tied && embed ? embed : head, NULL);
    double *const all[] = { x, y, o, q, k, v, gate, up };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
}

static void forward_gpt2(struct run *r, const int32_t *ids)
{
    int T = r->T, D = r->D;
    int64_t n = (int64_t)T * D;
    double *x = array(n), *y = array(n), *o = array(n), *fused = array(3 * n);
    double *part[3] = { array(n), array(n), array(n) };
    double scale = r->scale;
    char where[64];
    const double *wte = weight(r, "wte.weight");
    rows(x, wte ? wte : weight(r, "lm_head.weight"), ids, T, D);
    keep(r, x, n, "hook_embed");
    rows(y, weight(r, "wpe.weight"), NULL, T, D);
    keep(r, y, n, "hook_pos_embed");
    add(x, y, n);
    for (int l = 0; l < r->L; l++) {
        keep(r, x, n, "blocks.%d.hook_resid_pre", l);
        snprintf(where, sizeof where, "blocks.%d.ln1", l);
        norm(r, y, x, weight(r, "h.%d.ln_1.weight", l), weight(r, "h.%d.ln_1.bias", l), where);
        linear(fused, y, weight(r, "h.%d.attn.c_attn.weight", l),
               weight(r, "h.%d.attn.c_attn.bias", l), T, D, 3 * D, 1);
        for (int t = 0; t < T; t++) {
            for (int j = 0; j < 3 * D; j++) {
                part[j / D][t * D + j % D] = fused[(int64_t)t * 3 * D + j];
            }
        }
        if (number(r, "scale_attn_by_inverse_layer_idx", 0) != 0.0) {
            r->scale = scale / (l + 1);
        }
        attention(r, l,
                  (struct qkvo){ part[0], part[1], part[2], weight(r, "h.%d.attn.c_proj.weight", l),
                                 weight(r, "h.%d.attn.c_proj.bias", l), 1 },
                  o);
        add(x, o, n);
        keep(r, x, n, "blocks.%d.hook_resid_mid", l);
        snprintf(where, sizeof where, "blocks.%d.ln2", l);
        norm(r, y, x, weight(r, "h.%d.ln_2.weight", l), weight(r, "h.%d.ln_2.bias", l), where);
        mlp(r, l, y, weight(r, "h.%d.mlp.c_fc.weight", l), weight(r, "h.%d.mlp.c_fc.bias", l),
            weight(r, "h.%d.mlp.c_proj.weight", l), weight(r, "h.%d.mlp.c_proj.bias", l), 1, o);
        add(x, o, n);
        keep(r, x, n, "blocks.%d.hook_resid_post", l);
    }
    norm(r, y, x, weight(r, "ln_f.weight"), weight(r, "ln_f.bias"), "ln_final");
    const double *head = weight(r, "lm_head.weight");
    int tied = number(r, "tie_word_embeddings", 1) != 0.0;
    logits(r, y, tied && wte ? wte : head, NULL);
    double *const all[] = { x, y, o, fused, part[0], part[1], part[2] };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
}

static void forward_neox(struct run *r, const int32_t *ids)
{
    int T = r->T, D = r->D, H = r->H, E = r->E;
    int64_t n = (int64_t)T * D;
    double *x = array(n), *y = array(n), *a = array(n), *o = array(n), *fused = array(3 * n);
    double *part[3] = { array(n), array(n), array(n) };
    int parallel = number(r, "use_parallel_residual", 1) != 0.0;
    char ln1[64], ln2[64];
    const double *embed = weight(r, "embed_in.weight");
    rows(x, embed, ids, T, D);
    keep(r, x, n, "hook_embed");
    for (int l = 0; l < r->L; l++) {
        const double *g2 = weight(r, "layers.%d.post_attention_layernorm.weight", l);
        const double *b2 = weight(r, "layers.%d.post_attention_layernorm.bias", l);
        keep(r, x, n, "blocks.%d.hook_resid_pre", l);
        snprintf(ln1, sizeof ln1, "blocks.%d.ln1", l);
        snprintf(ln2, sizeof ln2, "blocks.%d.ln2", l);
        norm(r, y, x, weight(r, "layers.%d.input_layernorm.weight", l),
             weight(r, "layers.%d.input_layernorm.bias", l), ln1);
        linear(fused, y, weight(r, "layers.%d.attention.query_key_value.weight", l),
               weight(r, "layers.%d.attention.query_key_value.bias", l), T, D, 3 * D, 0);
        for (int t = 0; t < T; t++) {
            for (int h = 0; h < H; h++) {
                for (int j = 0; j < 3 * E; j++) {
                    part[j / E][(t * H + h) * E + j % E] = fused[((int64_t)t * H + h) * 3 * E + j];
                }
            }
        }
        attention(r, l,
                  (struct qkvo){ part[0], part[1], part[2],
                                 weight(r, "layers.%d.attention.dense.weight", l),
                                 weight(r, "layers.%d.attention.dense.bias", l), 0 },
                  a);
        if (!parallel) {
            add(x, a, n);
            keep(r, x, n, "blocks.%d.hook_resid_mid", l);
        }
        norm(r, y, x, g2, b2, ln2);
        mlp(r, l, y, weight(r, "layers.%d.mlp.dense_h_to_4h.weight", l),
            weight(r, "layers.%d.mlp.dense_h_to_4h.bias", l),
            weight(r, "layers.%d.mlp.dense_4h_to_h.weight", l),
            weight(r, "layers.%d.mlp.dense_4h_to_h.bias", l), 0, o);
        if (parallel) {
            add(x, a, n);
        }
        add(x, o, n);
        keep(r, x, n, "blocks.%d.hook_resid_post", l);
    }
    norm(r, y, x, weight(r, "final_layer_norm.weight"), weight(r, "final_layer_norm.bias"),
         "ln_final");
    const double *head = weight(r, "embed_out.weight");
    logits(r, y, head ? head : embed, NULL);
    double *const all[] = { x, y, a, o, fused, part[0], part[1], part[2] };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
}

/* BERT's norms are called weight and bias, or gamma and beta. */
static void norm_bert(struct run *r, double *y, const double *x, const char *name,
                      const char *where)
{
    const double *gain = weight(r, "%s.weight", name), *bias = weight(r, "%s.bias", name);
    norm(r, y, x, gain ? gain : weight(r, "%s.gamma", name),
         bias ? bias : weight(r, "%s.beta", name), where);
}

static void forward_bert(struct run *r, const int32_t *ids, const int32_t *types)
{
    int T = r->T, D = r->D;
    int64_t n = (int64_t)T * D;
    double *x = array(n), *y = array(n), *o = array(n), *q = array(n), *k = array(n), *v = array(n);
    int32_t *zeros = calloc((size_t)T, sizeof *zeros);
    char name[128], where[64];
    const double *embed = weight(r, "embeddings.word_embeddings.weight");
    rows(x, embed, ids, T, D);
    keep(r, x, n, "hook_embed");
    rows(y, weight(r, "embeddings.position_embeddings.weight"), NULL, T, D);
    keep(r, y, n, "hook_pos_embed");
    add(x, y, n);
    rows(y, weight(r, "embeddings.token_type_embeddings.weight"), types ? types : zeros, T, D);
    keep(r, y, n, "hook_token_type_embed");
    add(x, y, n);
    norm_bert(r, x, x, "embeddings.LayerNorm", "embed.ln");
    keep(r, x, n, "hook_full_embed");
    for (int l = 0; l < r->L; l++) {
        keep(r, x, n, "blocks.%d.hook_resid_pre", l);
        double *const qkv[] = { q, k, v };
        const char *const names[] = { "query", "key", "value" };
        for (int i = 0; i < 3; i++) {
            linear(qkv[i], x, weight(r, "encoder.layer.%d.attention.self.%s.weight", l, names[i]),
                   weight(r, "encoder.layer.%d.attention.self.%s.bias", l, names[i]), T, D, D, 0);
        }
        attention(r, l,
                  (struct qkvo){ q, k, v,
                                 weight(r, "encoder.layer.%d.attention.output.dense.weight", l),
                                 weight(r, "encoder.layer.%d.attention.output.dense.bias", l), 0 },
                  o);
        add(x, o, n);
        keep(r, x, n, "blocks.%d.hook_resid_mid", l);
        snprintf(name, sizeof name, "encoder.layer.%d.attention.output.LayerNorm", l);
        snprintf(where, sizeof where, "blocks.%d.ln1", l);
        norm_bert(r, y, x, name, where);
        keep(r, y, n, "blocks.%d.hook_normalized_resid_mid", l);
        mlp(r, l, y, weight(r, "encoder.layer.%d.intermediate.dense.weight", l),
            weight(r, "encoder.layer.%d.intermediate.dense.bias", l),
            weight(r, "encoder.layer.%d.output.dense.weight", l),
            weight(r, "encoder.layer.%d.output.dense.bias", l), 0, o);
        add(y, o, n);
        keep(r, y, n, "blocks.%d.hook_resid_post_before_ln2", l);
        snprintf(name, sizeof name, "encoder.layer.%d.output.LayerNorm", l);
        snprintf(where, sizeof where, "blocks.%d.ln2", l);
        norm_bert(r, x, y, name, where);
        keep(r, x, n, "blocks.%d.hook_normalized_resid_post", l);
        keep(r, x, n, "blocks.%d.hook_resid_post", l);
    }
    if (weight(r, "cls.predictions.transform.dense.weight")) {
        const double *decoder = weight(r, "cls.predictions.decoder.weight");
        int tied = number(r, "tie_word_embeddings", 1) != 0.0;
        linear(y, x, weight(r, "cls.predictions.transform.dense.weight"),
               weight(r, "cls.predictions.transform.dense.bias"), T, D, D, 0);
        for (int64_t i = 0; i < n; i++) {
            y[i] = activate(r->act, y[i]);
        }
        norm_bert(r, y, y, "cls.predictions.transform.LayerNorm", "mlm_head.ln");
        logits(r, y, tied ? embed : decoder, weight(r, "cls.predictions.bias"));
    }
    double *const all[] = { x, y, o, q, k, v };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
    free(zeros);
}

void ref_forward(const struct ref_model *model, const int32_t *ids, const int32_t *types, int T,
                 struct ref_trace *trace)
{
    struct ref_model m = *model;
    struct run r = { .m = &m, .trace = trace, .T = T, .causal = 1 };
    const char *family = text_of(&r, "model_type", "");
    if (strcmp(family, "sonde") == 0) {
        ref_sonde_forward(model, ids, T, trace);
        return;
    }
    int gpt2 = strcmp(family, "gpt2") == 0, llama = strcmp(family, "llama") == 0;
    int neox = strcmp(family, "gpt_neox") == 0;
    const char *const prefixes[] = { "model.", "transformer.", "gpt_neox.", "bert." };
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < m.tensors.n; j++) {
            if (strncmp(m.tensors.item[j].name, prefixes[i], strlen(prefixes[i])) == 0) {
                snprintf(m.prefix, sizeof m.prefix, "%s", prefixes[i]);
            }
        }
    }
    r.D = (int)number(&r, gpt2 ? "n_embd" : "hidden_size", 0);
    r.L = (int)number(&r, gpt2 ? "n_layer" : "num_hidden_layers", 0);
    r.H = (int)number(&r, gpt2 ? "n_head" : "num_attention_heads", 0);
    r.G = (int)number(&r, "num_key_value_heads", r.H);
    r.E = (int)number(&r, "head_dim", r.D / r.H);
    r.F = (int)number(&r, gpt2 ? "n_inner" : "intermediate_size", 4 * r.D);
    r.V = (int)number(&r, "vocab_size", 0);
    r.scale = number(&r, "scale_attn_weights", 1) != 0.0 ? 1.0 / sqrt(r.E) : 1.0;
    r.act = text_of(&r, gpt2 ? "activation_function" : "hidden_act",
                    gpt2    ? "gelu_new"
                    : llama ? "silu"
                            : "gelu");
    r.base = number(&r, "rope_theta", number(&r, "rotary_emb_base", 10000.0));
    const struct ref_json *rope = ref_json_get(m.config, "rope_parameters");
    if (ref_json_get(rope, "rope_theta")) {
        r.base = ref_json_get(rope, "rope_theta")->number;
    }
    if (llama) {
        r.R = r.E;
        r.rms = 1;
        r.eps = number(&r, "rms_norm_eps", 1e-6);
        forward_llama(&r, ids);
    } else if (gpt2) {
        r.eps = number(&r, "layer_norm_epsilon", 1e-5);
        forward_gpt2(&r, ids);
    } else if (neox) {
        r.R = (int)(r.E * number(&r, "rotary_pct", 0.25));
        r.eps = number(&r, "layer_norm_eps", 1e-5);
        forward_neox(&r, ids);
    } else {
        r.causal = 0;
        r.eps = number(&r, "layer_norm_eps", 1e-12);
        forward_bert(&r, ids, types);
    }
}
