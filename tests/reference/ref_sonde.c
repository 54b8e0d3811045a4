#include "tests/reference/ref_sonde.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One pass. Arrays are [T, width]. */
struct pass {
    const struct ref_model *m;
    struct ref_trace *trace;
    int T, D, H, G, E, F, layer;
    int causal, post, rms;
    double eps;
    const char *position;
};

static double *array(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

static double number(const struct pass *p, const char *key, double otherwise)
{
    const struct ref_json *value = ref_json_get(p->m->config, key);
    return !value ? otherwise : value->type == 'n' ? value->number : value->type == 't' ? 1.0 : 0.0;
}

static const char *word(const struct pass *p, const char *key, const char *otherwise)
{
    const struct ref_json *value = ref_json_get(p->m->config, key);
    return value && value->text ? value->text : otherwise;
}

/* NULL where there is no such tensor. */
static const struct ref_tensor *tensor(const struct pass *p, const char *name)
{
    return ref_tensors_find(&p->m->tensors, name);
}

static const struct ref_tensor *of_layer(const struct pass *p, const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "layers.%d.%s", p->layer, name);
    return tensor(p, full);
}

/* Keeps [T, n / T] under the name, a site of the layer where that is not negative. */
static void keep(struct pass *p, int layer, const char *name, const double *value, int64_t n)
{
    p->trace->site = realloc(p->trace->site, (size_t)(p->trace->n + 1) * sizeof *p->trace->site);
    struct ref_site *site = &p->trace->site[p->trace->n++];
    if (layer >= 0) {
        snprintf(site->name, sizeof site->name, "blocks.%d.%s", layer, name);
    } else {
        snprintf(site->name, sizeof site->name, "%s", name);
    }
    site->n = n;
    site->value = array(n);
    memcpy(site->value, value, (size_t)n * sizeof *value);
}

/* y = x W^T + b with the layer's map of this name. */
static double *map(const struct pass *p, const char *name, const double *x, int in, int out)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    const struct ref_tensor *w = of_layer(p, full);
    snprintf(full, sizeof full, "%s.bias", name);
    const struct ref_tensor *b = of_layer(p, full);
    double *y = array((int64_t)p->T * out);
    for (int t = 0; t < p->T; t++) {
        for (int o = 0; o < out; o++) {
            double sum = b ? b->value[o] : 0.0;
            for (int i = 0; i < in; i++) {
                sum += w->value[(int64_t)o * in + i] * x[(int64_t)t * in + i];
            }
            y[(int64_t)t * out + o] = sum;
        }
    }
    return y;
}

static double *norm(struct pass *p, const double *x, const char *weights, int layer,
                    const char *site)
{
    char name[128];
    int D = p->D;
    double *scale = array(p->T), *unit = array((int64_t)p->T * D), *y = array((int64_t)p->T * D);
    snprintf(name, sizeof name, "%s.weight", weights);
    const struct ref_tensor *gain = layer < 0 ? tensor(p, name) : of_layer(p, name);
    snprintf(name, sizeof name, "%s.bias", weights);
    const struct ref_tensor *bias = layer < 0 ? tensor(p, name) : of_layer(p, name);
    for (int t = 0; t < p->T; t++) {
        double mean = 0.0, variance = 0.0;
        for (int d = 0; d < D; d++) {
            mean += p->rms ? 0.0 : x[t * D + d] / D;
        }
        for (int d = 0; d < D; d++) {
            variance += pow(x[t * D + d] - mean, 2.0) / D;
        }
        scale[t] = sqrt(variance + p->eps);
        for (int d = 0; d < D; d++) {
            unit[t * D + d] = (x[t * D + d] - mean) / scale[t];
            y[t * D + d] = unit[t * D + d] * gain->value[d] + (bias ? bias->value[d] : 0.0);
        }
    }
    snprintf(name, sizeof name, "%s.hook_scale", site);
    keep(p, layer, name, scale, p->T);
    snprintf(name, sizeof name, "%s.hook_normalized", site);
    keep(p, layer, name, unit, (int64_t)p->T * D);
    snprintf(name, sizeof name, "%s.hook_out", site);
    keep(p, layer, name, y, (int64_t)p->T * D);
    free(scale);
    free(unit);
    return y;
}

static void rotate(const struct pass *p, double *x, int heads)
{
    double base = number(p, "rope_theta", 10000.0);
    for (int t = 0; t < p->T; t++) {
        for (int h = 0; h < heads; h++) {
            double *v = x + ((int64_t)t * heads + h) * p->E;
            for (int i = 0; i < p->E / 2; i++) {
                double angle = t * pow(base, -2.0 * i / p->E);
                double a = v[i], b = v[i + p->E / 2];
                v[i] = a * cos(angle) - b * sin(angle);
                v[i + p->E / 2] = a * sin(angle) + b * cos(angle);
            }
        }
    }
}

/* T5's buckets, as transformers' _relative_position_bucket computes them. */
static int bucket(const struct pass *p, int relative)
{
    int n = (int)number(p, "relative_attention_num_buckets", 32), first = 0;
    double far = number(p, "relative_attention_max_distance", 128);
    if (p->causal) {
        relative = relative < 0 ? -relative : 0;
    } else {
        n /= 2;
        first = relative > 0 ? n : 0;
        relative = abs(relative);
    }
    int exact = n / 2;
    if (relative < exact) {
        return first + relative;
    }
    int large =
        exact + (int)(log((double)relative / exact) / log(far / exact) * (n - exact) + 1e-8);
    return first + (large < n - 1 ? large : n - 1);
}

/* The slopes as a sequence: of 2^k heads 2^(-8/2^k), its square, ..; the rest from twice as many.
 */
static double slope(int h, int H)
{
    int k = 1;
    while (k * 2 <= H) {
        k *= 2;
    }
    return h < k ? pow(pow(2.0, -8.0 / k), h + 1) : pow(pow(2.0, -4.0 / k), 2 * (h - k) + 1);
}

/* What position adds to the score of query i, key j, head h; q[E] is the query. */
static double position_score(const struct pass *p, const double *q, int h, int i, int j)
{
    if (strcmp(p->position, "alibi") == 0) {
        return -slope(h, p->H) * abs(j - i);
    }
    if (strcmp(p->position, "t5") == 0) {
        return tensor(p, "relative_attention_bias.weight")->value[bucket(p, j - i) * p->H + h];
    }
    if (strcmp(p->position, "relative") == 0) {
        int K = (int)number(p, "relative_attention_max_distance", 16), r = j - i;
        const double *a = of_layer(p, "self_attn.relative_keys.weight")->value;
        double dot = 0.0;
        r = r < -K ? -K : r > K ? K : r;
        for (int e = 0; e < p->E; e++) {
            dot += q[e] * a[(r + K) * p->E + e];
        }
        return dot / sqrt(p->E);
    }
    return 0.0;
}

/* The pattern of one query into pattern[T], the scores into scores[T]. */
static void look(const struct pass *p, const double *q, const double *k, int h, int i,
                 double *scores, double *pattern)
{
    double top = -(double)INFINITY, sum = 0.0;
    for (int j = 0; j < p->T; j++) {
        const double *key = k + ((int64_t)j * p->G + h / (p->H / p->G)) * p->E;
        if (p->causal && j > i) {
            scores[j] = -(double)INFINITY;
            continue;
        }
        scores[j] = position_score(p, q, h, i, j);
        for (int e = 0; e < p->E; e++) {
            scores[j] += q[e] * key[e] / sqrt(p->E);
        }
        top = fmax(top, scores[j]);
    }
    for (int j = 0; j < p->T; j++) {
        sum += exp(scores[j] - top);
    }
    for (int j = 0; j < p->T; j++) {
        pattern[j] = exp(scores[j] - top) / sum;
    }
}

static double *attend(struct pass *p, const double *x)
{
    int T = p->T, H = p->H, G = p->G, E = p->E, D = p->D;
    double *q = map(p, "self_attn.q_proj", x, D, H * E),
           *k = map(p, "self_attn.k_proj", x, D, G * E);
    double *v = map(p, "self_attn.v_proj", x, D, G * E), *z = array((int64_t)T * H * E);
    double *scores = array((int64_t)H * T * T), *pattern = array((int64_t)H * T * T);
    double *result = array((int64_t)T * H * D);
    keep(p, p->layer, "attn.hook_q", q, (int64_t)T * H * E);
    keep(p, p->layer, "attn.hook_k", k, (int64_t)T * G * E);
    keep(p, p->layer, "attn.hook_v", v, (int64_t)T * G * E);
    if (strcmp(p->position, "rotary") == 0) {
        rotate(p, q, H);
        rotate(p, k, G);
        keep(p, p->layer, "attn.hook_rot_q", q, (int64_t)T * H * E);
        keep(p, p->layer, "attn.hook_rot_k", k, (int64_t)T * G * E);
    }
    const double *w_o = of_layer(p, "self_attn.o_proj.weight")->value;
    for (int h = 0; h < H; h++) {
        for (int i = 0; i < T; i++) {
            int64_t at = ((int64_t)h * T + i) * T, head = ((int64_t)i * H + h) * E;
            look(p, q + head, k, h, i, scores + at, pattern + at);
            for (int e = 0; e < E; e++) {
                for (int j = 0; j < T; j++) {
                    z[head + e] += pattern[at + j] * v[((int64_t)j * G + h / (H / G)) * E + e];
                }
                for (int d = 0; d < D; d++) {
                    result[((int64_t)i * H + h) * D + d] +=
                        z[head + e] * w_o[d * H * E + h * E + e];
                }
            }
        }
    }
    double *out = map(p, "self_attn.o_proj", z, H * E, D);
    keep(p, p->layer, "attn.hook_attn_scores", scores, (int64_t)H * T * T);
    keep(p, p->layer, "attn.hook_pattern", pattern, (int64_t)H * T * T);
    keep(p, p->layer, "attn.hook_z", z, (int64_t)T * H * E);
    keep(p, p->layer, "attn.hook_result", result, (int64_t)T * H * D);
    keep(p, p->layer, "hook_attn_out", out, (int64_t)T * D);
    double *const all[] = { q, k, v, z, scores, pattern, result };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
    return out;
}

static double bend(const char *name, double x)
{
    if (strcmp(name, "relu") == 0) {
        return fmax(x, 0.0);
    }
    return strcmp(name, "silu") == 0 ? x / (1.0 + exp(-x)) : x * 0.5 * erfc(-x / sqrt(2.0));
}

static double *mlp(struct pass *p, const double *x)
{
    int64_t n = (int64_t)p->T * p->F;
    const char *act = word(p, "hidden_act", "gelu");
    double *up = map(p, "mlp.up_proj", x, p->D, p->F), *gate = NULL;
    if (number(p, "gated", 0) != 0.0) {
        gate = map(p, "mlp.gate_proj", x, p->D, p->F);
        keep(p, p->layer, "mlp.hook_pre", gate, n);
        keep(p, p->layer, "mlp.hook_pre_linear", up, n);
    } else {
        keep(p, p->layer, "mlp.hook_pre", up, n);
    }
    for (int64_t i = 0; i < n; i++) {
        up[i] = gate ? bend(act, gate[i]) * up[i] : bend(act, up[i]);
    }
    keep(p, p->layer, "mlp.hook_post", up, n);
    double *out = map(p, "mlp.down_proj", up, p->F, p->D);
    keep(p, p->layer, "hook_mlp_out", out, (int64_t)p->T * p->D);
    free(up);
    free(gate);
    return out;
}

/* x += y; y is freed. */
static void add(double *x, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] += y[i];
    }
    free(y);
}

static void block(struct pass *p, double *x)
{
    int64_t n = (int64_t)p->T * p->D;
    int l = p->layer;
    keep(p, l, "hook_resid_pre", x, n);
    if (p->post) {
        add(x, attend(p, x), n);
        keep(p, l, "hook_resid_mid", x, n);
        double *y = norm(p, x, "attn_norm", l, "ln1");
        keep(p, l, "hook_normalized_resid_mid", y, n);
        add(y, mlp(p, y), n);
        keep(p, l, "hook_resid_post_before_ln2", y, n);
        double *z = norm(p, y, "mlp_norm", l, "ln2");
        keep(p, l, "hook_normalized_resid_post", z, n);
        memcpy(x, z, (size_t)n * sizeof *x);
        free(y);
        free(z);
    } else {
        double *y = norm(p, x, "attn_norm", l, "ln1");
        add(x, attend(p, y), n);
        keep(p, l, "hook_resid_mid", x, n);
        free(y);
        y = norm(p, x, "mlp_norm", l, "ln2");
        add(x, mlp(p, y), n);
        free(y);
    }
    keep(p, l, "hook_resid_post", x, n);
}

/* Embedding and what is added to it. */
static double *embed(struct pass *p, const int32_t *ids)
{
    int64_t n = (int64_t)p->T * p->D;
    double *x = array(n), *y = array(n);
    const double *table = tensor(p, "embed_tokens.weight")->value;
    const struct ref_tensor *learned = tensor(p, "embed_positions.weight");
    double factor = strcmp(word(p, "embedding_scale", ""), "sqrt") == 0
                        ? sqrt(p->D)
                        : number(p, "embedding_scale", 1.0);
    int cosine = strcmp(p->position, "cosine") == 0;
    for (int64_t i = 0; i < n; i++) {
        int t = (int)(i / p->D), d = (int)(i % p->D);
        double angle = t / pow(number(p, "rope_theta", 10000.0), (double)(d - d % 2) / p->D);
        x[i] = table[(int64_t)ids[t] * p->D + d] * factor;
        y[i] = learned  ? learned->value[i]
               : cosine ? cos(acos(-1.0) * t)
               : d % 2  ? cos(angle)
                        : sin(angle);
    }
    keep(p, -1, "hook_embed", x, n);
    if (learned || cosine || strcmp(p->position, "sinusoidal") == 0) {
        keep(p, -1, "hook_pos_embed", y, n);
        for (int64_t i = 0; i < n; i++) {
            x[i] += y[i];
        }
    }
    free(y);
    return x;
}

void ref_sonde_forward(const struct ref_model *model, const int32_t *ids, int T,
                       struct ref_trace *trace)
{
    struct pass p = { .m = model, .trace = trace, .T = T };
    p.D = (int)number(&p, "hidden_size", 0);
    p.H = (int)number(&p, "num_attention_heads", 0);
    p.G = (int)number(&p, "num_key_value_heads", p.H);
    p.E = (int)number(&p, "head_dim", p.D / p.H);
    p.F = (int)number(&p, "intermediate_size", 4 * p.D);
    p.causal = number(&p, "causal", 1) != 0.0;
    p.post = strcmp(word(&p, "norm_place", "pre"), "post") == 0;
    p.rms = strcmp(word(&p, "norm", "layernorm"), "rmsnorm") == 0;
    p.eps = number(&p, "norm_eps", 1e-5);
    p.position = word(&p, "position", "");
    double *x = embed(&p, ids);
    for (p.layer = 0; p.layer < (int)number(&p, "num_hidden_layers", 0); p.layer++) {
        block(&p, x);
    }
    if (number(&p, "final_norm", !p.post) != 0.0) {
        double *y = norm(&p, x, "norm", -1, "ln_final");
        free(x);
        x = y;
    }
    int V = (int)number(&p, "n_outputs", number(&p, "vocab_size", 0));
    const struct ref_tensor *head = tensor(&p, "lm_head.weight"), *b = tensor(&p, "lm_head.bias");
    const double *w = head ? head->value : tensor(&p, "embed_tokens.weight")->value;
    double *out = array((int64_t)T * V);
    for (int64_t i = 0; i < (int64_t)T * V; i++) {
        out[i] = b ? b->value[i % V] : 0.0;
        for (int d = 0; d < p.D; d++) {
            out[i] += w[(i % V) * p.D + d] * x[i / V * p.D + d];
        }
    }
    keep(&p, -1, "logits", out, (int64_t)T * V);
    free(out);
    free(x);
}
