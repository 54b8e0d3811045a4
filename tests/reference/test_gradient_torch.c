/*
 * Gradients of a model out of a PyTorch checkpoint (post-norm, ReLU, no positions, outputs that are
 * not the vocabulary) against differences of a double-precision pass written here over copies of
 * its weights, for a logit and for the k-hot loss; and dL/dW = sum of x^T delta (AC-18a).
 */
#include <string.h>

#include "tests/reference/gradient_bench.h"
#include "tests/support/check.h"

enum { TOKENS = 12, D_MAX = 64, F_MAX = 256 };

/* Double copies of the wanted weights, in the order and layout of the bench. */
struct copies {
    const struct gradient_bench *s;
    double *value[GRADIENT_BENCH_WEIGHTS];
};

static const double *copy_of(const struct copies *c, const struct sonde_weight *w)
{
    for (int i = 0; i < c->s->n_wanted; i++) {
        if (c->s->wanted[i].w->data == w->data) {
            return c->value[i];
        }
    }
    fail();
    return NULL;
}

/* y[out] = W x + b for one row. */
static void map(const struct copies *c, const struct sonde_weight *w, const struct sonde_weight *b,
                const double *x, double *y)
{
    const double *weight = copy_of(c, w), *bias = copy_of(c, b);
    const int64_t in = sonde_weight_in(w), out = sonde_weight_out(w);
    assert_false(w->transposed);
    for (int64_t o = 0; o < out; o++) {
        y[o] = bias[o];
        for (int64_t i = 0; i < in; i++) {
            y[o] += weight[o * in + i] * x[i];
        }
    }
}

static void norm(const struct copies *c, const struct sonde_weight *gain,
                 const struct sonde_weight *bias, double eps, int64_t n, double *x)
{
    const double *g = copy_of(c, gain), *b = copy_of(c, bias);
    double mean = 0.0, variance = 0.0;
    for (int64_t i = 0; i < n; i++) {
        mean += x[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        variance += (x[i] - mean) * (x[i] - mean) / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        x[i] = (x[i] - mean) / sqrt(variance + eps) * g[i] + b[i];
    }
}

/* z[T, D]: causal attention of every head. */
static void attend(const struct sonde_spec *spec, int T, double (*q)[D_MAX], double (*k)[D_MAX],
                   double (*v)[D_MAX], double (*z)[D_MAX])
{
    const int64_t E = spec->d_head;
    for (int t = 0; t < T; t++) {
        for (int64_t h = 0; h < spec->n_heads; h++) {
            double weight[TOKENS], total = 0.0;
            for (int s = 0; s <= t; s++) {
                double score = 0.0;
                for (int64_t e = h * E; e < (h + 1) * E; e++) {
                    score += q[t][e] * k[s][e] / sqrt((double)E);
                }
                weight[s] = exp(score);
                total += weight[s];
            }
            for (int64_t e = h * E; e < (h + 1) * E; e++) {
                z[t][e] = 0.0;
                for (int s = 0; s <= t; s++) {
                    z[t][e] += weight[s] / total * v[s][e];
                }
            }
        }
    }
}

static void block(const struct copies *c, const struct sonde_layer_weights *w, int T,
                  double (*x)[D_MAX])
{
    const struct sonde_spec *spec = sonde_model_spec(c->s->model);
    double q[TOKENS][D_MAX], k[TOKENS][D_MAX], v[TOKENS][D_MAX], z[TOKENS][D_MAX];
    double inner[F_MAX], out[D_MAX];
    for (int t = 0; t < T; t++) {
        map(c, &w->w_q, &w->b_q, x[t], q[t]);
        map(c, &w->w_k, &w->b_k, x[t], k[t]);
        map(c, &w->w_v, &w->b_v, x[t], v[t]);
    }
    attend(spec, T, q, k, v, z);
    for (int t = 0; t < T; t++) {
        map(c, &w->w_o, &w->b_o, z[t], out);
        for (int64_t d = 0; d < spec->d_model; d++) {
            x[t][d] += out[d];
        }
        norm(c, &w->ln1_gain, &w->ln1_bias, spec->norm_eps, spec->d_model, x[t]);
        map(c, &w->w_up, &w->b_up, x[t], inner);
        for (int64_t f = 0; f < spec->d_mlp; f++) {
            inner[f] = inner[f] > 0.0 ? inner[f] : 0.0;
        }
        map(c, &w->w_down, &w->b_down, inner, out);
        for (int64_t d = 0; d < spec->d_model; d++) {
            x[t][d] += out[d];
        }
        norm(c, &w->ln2_gain, &w->ln2_bias, spec->norm_eps, spec->d_model, x[t]);
    }
}

static double loss_of(const struct copies *c)
{
    const struct gradient_bench *s = c->s;
    const struct sonde_spec *spec = sonde_model_spec(s->model);
    const struct sonde_weights *w = sonde_model_weights(s->model);
    const double *embed = copy_of(c, &w->embed);
    const int64_t V = sonde_spec_outputs(spec), D = spec->d_model;
    double x[TOKENS][D_MAX], logits[TOKENS * 16];
    assert_true(D <= D_MAX && spec->d_mlp <= F_MAX && V <= 16);
    for (int t = 0; t < s->T; t++) {
        for (int64_t d = 0; d < D; d++) {
            x[t][d] = embed[s->ids[t] * D + d] * sqrt((double)D);
        }
    }
    for (int l = 0; l < spec->n_layers; l++) {
        block(c, &w->layer[l], s->T, x);
    }
    for (int t = 0; t < s->T; t++) {
        map(c, &w->unembed, &w->unembed_bias, x[t], logits + t * V);
    }
    return gradient_bench_loss(s, logits, NULL);
}

/* As in test_gradient.c: 2e-5 of the largest entry of the weight's gradient, or of a hundredth of
 * the largest of all. */
static void check_weights(const struct gradient_bench *s)
{
    struct copies c = { .s = s };
    double top = 0.0, largest[GRADIENT_BENCH_WEIGHTS] = { 0 };
    for (int i = 0; i < s->n_wanted; i++) {
        const struct sonde_weight *w = s->wanted[i].w;
        const int64_t n = w->rows * w->columns;
        float *row = malloc((size_t)w->columns * sizeof *row);
        c.value[i] = malloc((size_t)n * sizeof(double));
        for (int64_t j = 0; j < n; j++) {
            if (j % w->columns == 0) {
                sonde_weight_row(w, j / w->columns, row);
            }
            c.value[i][j] = (double)row[j % w->columns];
            largest[i] = fmax(largest[i], fabs((double)s->wanted[i].gradient[j]));
        }
        top = fmax(top, largest[i]);
        free(row);
    }
    assert_true(top > 0.0);
    check_close(s->value, loss_of(&c), 1e-5 * fmax(1.0, fabs(s->value)));
    for (int i = 0; i < s->n_wanted; i++) {
        const int64_t n = s->wanted[i].w->rows * s->wanted[i].w->columns;
        for (int64_t j = 0; j < n; j += 1 + n / 9) {
            const double before = c.value[i][j], step = 1e-6;
            c.value[i][j] = before + step;
            const double above = loss_of(&c);
            c.value[i][j] = before - step;
            const double slope = (above - loss_of(&c)) / (2.0 * step);
            c.value[i][j] = before;
            check_close(s->wanted[i].gradient[j], slope,
                        2e-5 * fmax(largest[i], 0.01 * top) + 1e-8);
        }
    }
    for (int i = 0; i < s->n_wanted; i++) {
        free(c.value[i]);
    }
}

static void check_checkpoint(const char *relative)
{
    char path[1024];
    float hot[TOKENS * 16];
    check_shared(path, relative);
    const struct sonde_loss losses[] = {
        { .kind = SONDE_LOSS_LOGIT, .row = -1, .id = 1 },
        { .kind = SONDE_LOSS_SIGMOID_MSE, .hot = hot },
    };
    for (int i = 0; i < 2; i++) {
        struct gradient_bench s = { .model = capture_open(path), .T = TOKENS, .loss = losses[i] };
        const struct sonde_spec *spec = sonde_model_spec(s.model);
        assert_string_equal(spec->family, "torch_encoder");
        assert_true(sonde_spec_outputs(spec) != spec->d_vocab && spec->d_vocab >= 2);
        for (int t = 0; t < TOKENS; t++) { /* symbols, not the padding */
            s.ids[t] = (int32_t)((t * t + t / 3) % (spec->d_vocab - 1)) + 1;
        }
        for (int j = 0; j < TOKENS * 16; j++) {
            hot[j] = (float)(j * 7 % 3 == 0);
        }
        gradient_bench_want(&s);
        gradient_bench_run(&s, NULL);
        check_weights(&s);
        gradient_bench_check_outer(&s);
        gradient_bench_check_bits(&s);
        gradient_bench_close(&s);
    }
}

static void test_dyck1(void **state)
{
    (void)state;
    check_checkpoint("seeds/counter-languages/models/dyck1/model_19.pt");
}

static void test_shuffle2(void **state)
{
    (void)state;
    check_checkpoint("seeds/counter-languages/models/shuffle2/model_20.pt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dyck1),
        cmocka_unit_test(test_shuffle2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
