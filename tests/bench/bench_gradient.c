/*
 * Forward and backward passes of models that are made here: tokens and GFLOP/s on two threads, one
 * sequence each, beside what the machine's products reach. A pass counts 2 operations for each
 * multiplication of a matrix forwards and 4 backwards, and attention's products likewise.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/model/create.h"
#include "core/model/gradient.h"
#include "core/tensor/gemm.h"

enum { THREADS = 2 };

struct worker {
    const struct sonde_model *model;
    int64_t T;
    double seconds; /* how long to run */
    int64_t n_passes;
    double loss, took;
    enum sonde_status status;
    struct sonde_error error;
};

/* Processor seconds of this thread: what others run beside does not count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* All parameters' gradients, in one block of memory. */
static float *want_all(struct worker *w, struct sonde_gradient *gradient)
{
    int64_t n = 0, total = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(w->model, &n);
    float *all = calloc((size_t)sonde_model_parameters(w->model), sizeof *all);
    for (int64_t i = 0; all && i < n && w->status == SONDE_STATUS_OK; i++) {
        w->status = sonde_gradient_want(gradient, p[i].weight, all + total, &w->error);
        total += p[i].rows * p[i].columns;
    }
    return all;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    struct sonde_rng rng = sonde_rng_make(1, (uint64_t)w->T);
    int32_t *ids = malloc((size_t)w->T * sizeof *ids);
    float *all = NULL;
    w->status = ids ? sonde_session_create(&session, w->model, NULL, &w->error)
                    : sonde_error_memory(&w->error, "ids");
    if (w->status == SONDE_STATUS_OK) {
        w->status = sonde_gradient_create(&gradient, session, 0, &w->error);
    }
    if (w->status == SONDE_STATUS_OK) {
        all = want_all(w, gradient);
    }
    for (int64_t t = 0; ids && t < w->T; t++) {
        ids[t] = (int32_t)sonde_rng_below(&rng, sonde_model_spec(w->model)->d_vocab);
    }
    double start = now();
    for (int i = -3; w->status == SONDE_STATUS_OK && (i < 0 || now() < start + w->seconds); i++) {
        start = i == 0 ? now() : start;
        const struct sonde_gradient_args args = { .ids = ids,
                                                  .n_tokens = w->T,
                                                  .loss = { .kind = SONDE_LOSS_NEXT_TOKEN } };
        w->status = sonde_gradient_run(gradient, &args, &w->loss, &w->error);
        w->n_passes += i >= 0;
    }
    w->took = now() - start;
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    free(all);
    free(ids);
    return NULL;
}

/* Products of n x n x n for a while. */
static void *multiply(void *arg)
{
    struct worker *w = arg;
    const int64_t n = w->T;
    float *a = calloc((size_t)(n * n), sizeof *a), *b = calloc((size_t)(n * n), sizeof *b);
    float *c = calloc((size_t)(n * n), sizeof *c);
    for (int64_t i = 0; i < n * n; i++) {
        a[i] = b[i] = (float)(i % 7);
    }
    double start = now();
    while (now() < start + w->seconds) {
        sonde_sgemm(false, true, n, n, n, 1.0f, a, n, b, n, 0.0f, c, n);
        w->n_passes++;
    }
    w->took = now() - start;
    free(a);
    free(b);
    free(c);
    return NULL;
}

/* Passes a second over all threads. */
static double run(const struct worker *job, void *(*routine)(void *))
{
    pthread_t thread[THREADS];
    struct worker worker[THREADS];
    double rate = 0.0;
    for (int i = 0; i < THREADS; i++) {
        worker[i] = *job;
        pthread_create(&thread[i], NULL, routine, &worker[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        if (worker[i].status != SONDE_STATUS_OK) {
            fprintf(stderr, "%s\n", worker[i].error.text);
            exit(1);
        }
        rate += (double)worker[i].n_passes / worker[i].took;
    }
    return rate;
}

static double pass_flops(const struct sonde_model *model, int64_t T)
{
    const struct sonde_spec *s = sonde_model_spec(model);
    double D = (double)s->d_model, HE = (double)(s->n_heads * s->d_head);
    double maps = 2 * D * HE + 2 * D * (double)(s->n_kv_heads * s->d_head) +
                  (s->gated ? 3 : 2) * D * (double)s->d_mlp;
    double attention = 2 * HE * (double)T * (s->causal ? 0.5 : 1.0);
    return 6.0 * (double)T * (s->n_layers * (maps + attention) + D * (double)s->d_vocab);
}

static void measure(const char *config, int64_t T, double seconds, double peak)
{
    struct sonde_json *json = NULL;
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    enum sonde_status status = sonde_json_parse(&json, config, strlen(config), &error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_model_create(&model, json, "bench", NULL, &error);
    }
    if (status != SONDE_STATUS_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    double rate = run(&(struct worker){ .model = model, .T = T, .seconds = seconds }, work);
    double flops = rate * pass_flops(model, T);
    const struct sonde_spec *s = sonde_model_spec(model);
    printf("D %lld L %d F %lld V %lld T %lld, %lld parameters: %.0f tokens/s, %.1f GFLOP/s, "
           "%.1f %% of products\n",
           (long long)s->d_model, s->n_layers, (long long)s->d_mlp, (long long)s->d_vocab,
           (long long)T, (long long)sonde_model_parameters(model), rate * (double)T, flops / 1e9,
           100.0 * flops / peak);
    sonde_model_close(&model);
    sonde_json_destroy(&json);
}

int main(int argc, char **argv)
{
    static const char million[] =
        "{\"model_type\":\"sonde\",\"position\":\"rotary\",\"hidden_size\":128,"
        "\"num_hidden_layers\":4,\"intermediate_size\":512,\"num_attention_heads\":4,"
        "\"vocab_size\":1024,\"tie_word_embeddings\":true}";
    static const char tiny[] =
        "{\"model_type\":\"sonde\",\"position\":\"none\",\"norm_place\":\"post\",\"hidden_size\":"
        "32,"
        "\"num_hidden_layers\":1,\"intermediate_size\":64,\"num_attention_heads\":4,"
        "\"hidden_act\":\"relu\",\"vocab_size\":6,\"embedding_scale\":\"sqrt\"}";
    double seconds = argc > 1 ? atof(argv[1]) : 2.0;
    int only = argc > 2 ? atoi(argv[2]) : -1;
    const int64_t n = 512;
    sonde_gemm_prepare();
    double peak = 2.0 * (double)(n * n * n) *
                  run(&(struct worker){ .T = n, .seconds = only < 0 ? seconds : 0.05 }, multiply);
    printf("%s: products of %lld on %d threads: %.1f GFLOP/s\n", sonde_gemm_library(), (long long)n,
           THREADS, peak / 1e9);
    const struct {
        const char *config;
        int64_t T;
    } jobs[] = { { million, 128 }, { million, 256 }, { tiny, 10 }, { tiny, 50 } };
    for (int i = 0; i < 4; i++) {
        if (only < 0 || only == i) {
            measure(jobs[i].config, jobs[i].T, seconds, peak);
        }
    }
    return 0;
}
