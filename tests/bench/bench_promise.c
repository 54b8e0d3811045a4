/*
 * What it costs that bits depend on nothing but model, text and machine type, against the fastest
 * way that does without: the two run in turns, and the ratio is that of their rates.
 *
 *     bench_promise [ROUNDS]
 *
 * products   sonde_op_linear, whose rows have their bits anywhere, against the same rows as one
 *            matrix cut into as many products of BLAS as there are threads
 * sequences  what is left where a BLAS kernel allows no sharing of products: one product a sequence
 * gradient   sums over blocks of 256 rows put together in the order of the blocks, in double,
 *            against a sum a thread, in whatever order the rows come
 * training   eight lanes, summed in order, against as many lanes as threads
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/tensor/gemm.h"
#include "core/tensor/ops.h"
#include "core/train/trainer.h"

enum {
    ROUNDS_MAX = 99,
    ROWS = 2048,
    N_IN = 768,
    N_OUT = 3072,
    CLASSES = 17,
    BLOCK = 256,
    PASSES = 30
};

struct bench {
    struct sonde_pool *pool;
    int n_threads, n_rounds;
    float *x, *w, *y;           /* [ROWS, N_IN], [N_OUT, N_IN], [ROWS, N_OUT] */
    float *score;               /* [ROWS, CLASSES] */
    float *share;               /* [ROWS / BLOCK, CLASSES, N_IN] */
    double *sum;                /* [CLASSES, N_IN] */
    int64_t length;             /* tokens of a sequence */
    struct sonde_arena **arena; /* [n_threads] */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void die(const struct sonde_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(1);
}

/* Both in turns; prints the median, least and largest of the ratios seconds(free) / seconds(kept).
 */
static void compare(struct bench *b, const char *what, void (*kept)(struct bench *),
                    void (*unbound)(struct bench *))
{
    double ratio[ROUNDS_MAX], seconds[2] = { 1e9, 1e9 };
    for (int r = -1; r < b->n_rounds; r++) {
        double took[2];
        for (int k = 0; k < 2; k++) {
            const double begin = now();
            (k == 0 ? kept : unbound)(b);
            took[k] = now() - begin;
            seconds[k] = r >= 0 && took[k] < seconds[k] ? took[k] : seconds[k];
        }
        ratio[r < 0 ? 0 : r] = took[1] / took[0];
    }
    qsort(ratio, (size_t)b->n_rounds, sizeof *ratio, by_size);
    printf("%-28s %8.2f ms %8.2f ms   ratio %.3f (%.3f to %.3f)\n", what, 1e3 * seconds[0],
           1e3 * seconds[1], ratio[b->n_rounds / 2], ratio[0], ratio[b->n_rounds - 1]);
}

static struct sonde_weight weight_of(const struct bench *b)
{
    return (struct sonde_weight){
        .data = b->w, .dtype = SONDE_DTYPE_F32, .rows = N_OUT, .columns = N_IN
    };
}

static void product_task(void *ctx, int64_t i, int worker)
{
    struct bench *b = ctx;
    const struct sonde_weight w = weight_of(b);
    struct sonde_op_context ops = { .arena = b->arena[worker] };
    float *y = b->y + i * b->length * N_OUT;
    sonde_op_linear(&ops, sonde_tensor_2d(y, b->length, N_OUT),
                    sonde_tensor_2d(b->x + i * b->length * N_IN, b->length, N_IN), &w, NULL);
}

/* All rows in one op, on all threads. */
static void rows_that_stand_alone(struct bench *b)
{
    const struct sonde_weight w = weight_of(b);
    struct sonde_op_context ops = { .arena = b->arena[0], .pool = b->pool };
    sonde_op_linear(&ops, sonde_tensor_2d(b->y, ROWS, N_OUT), sonde_tensor_2d(b->x, ROWS, N_IN), &w,
                    NULL);
}

static void sequence_by_sequence(struct bench *b)
{
    sonde_pool_run(b->pool, ROWS / b->length, product_task, b);
}

static void part_task(void *ctx, int64_t i, int worker)
{
    struct bench *b = ctx;
    (void)worker;
    const int64_t rows = ROWS / b->n_threads;
    sonde_sgemm(false, true, rows, N_OUT, N_IN, 1.0f, b->x + i * rows * N_IN, N_IN, b->w, N_IN,
                0.0f, b->y + i * rows * N_OUT, N_OUT);
}

static void rows_by_threads(struct bench *b)
{
    sonde_pool_run(b->pool, b->n_threads, part_task, b);
}

/* A block's scores, and its part of the gradient into `out`, added to what is there or not. */
static void gradient_block(struct bench *b, int64_t block, float *out, bool add)
{
    const float *x = b->x + block * BLOCK * N_IN;
    float *score = b->score + block * BLOCK * CLASSES;
    sonde_sgemm(false, true, BLOCK, CLASSES, N_IN, 1.0f, x, N_IN, b->w, N_IN, 0.0f, score, CLASSES);
    sonde_sgemm(true, false, CLASSES, N_IN, BLOCK, 1.0f, score, CLASSES, x, N_IN, add ? 1.0f : 0.0f,
                out, N_IN);
}

static void ordered_task(void *ctx, int64_t i, int worker)
{
    struct bench *b = ctx;
    (void)worker;
    gradient_block(b, i, b->share + i * CLASSES * N_IN, false);
}

static void sum_blocks(struct bench *b)
{
    sonde_pool_run(b->pool, ROWS / BLOCK, ordered_task, b);
    memset(b->sum, 0, sizeof(double) * CLASSES * N_IN);
    for (int64_t i = 0; i < ROWS / BLOCK; i++) {
        const float *share = b->share + i * CLASSES * N_IN;
        for (int64_t k = 0; k < CLASSES * N_IN; k++) {
            b->sum[k] += (double)share[k];
        }
    }
}

/* As a fit does: pass after pass. */
static void sum_in_order(struct bench *b)
{
    for (int i = 0; i < PASSES; i++) {
        sum_blocks(b);
    }
}

static void any_task(void *ctx, int64_t i, int worker)
{
    struct bench *b = ctx;
    const int64_t blocks = ROWS / BLOCK / b->n_threads;
    (void)worker;
    for (int64_t k = 0; k < blocks; k++) {
        gradient_block(b, i * blocks + k, b->share + i * CLASSES * N_IN, k > 0);
    }
}

static void sum_shares(struct bench *b)
{
    sonde_pool_run(b->pool, b->n_threads, any_task, b);
    for (int64_t k = 0; k < CLASSES * N_IN; k++) {
        b->sum[k] = 0.0;
        for (int i = 0; i < b->n_threads; i++) {
            b->sum[k] += (double)b->share[i * CLASSES * N_IN + k];
        }
    }
}

static void sum_by_threads(struct bench *b)
{
    for (int i = 0; i < PASSES; i++) {
        sum_shares(b);
    }
}

static void train(struct bench *b, int n_lanes)
{
    static const char config[] =
        "{\"model_type\":\"sonde\",\"position\":\"rotary\",\"hidden_size\":128,"
        "\"num_hidden_layers\":4,\"intermediate_size\":512,\"num_attention_heads\":4,"
        "\"vocab_size\":1024,\"max_position_embeddings\":128}";
    struct sonde_error error = { 0 };
    struct sonde_json *json = NULL;
    struct sonde_model *model = NULL;
    struct sonde_examples *examples = NULL;
    struct sonde_trainer *trainer = NULL;
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, 1);
    if (sonde_json_parse(&json, config, strlen(config), &error) ||
        sonde_model_create(&model, json, "bench", NULL, &error) ||
        sonde_examples_create(&examples, 0, &error)) {
        die(&error);
    }
    for (int i = 0; i < 64; i++) {
        int32_t ids[128];
        for (int t = 0; t < 128; t++) {
            ids[t] = (int32_t)sonde_rng_below(&rng, 1024);
        }
        if (sonde_examples_add(examples, &(struct sonde_example){ .ids = ids, .n_tokens = 128 },
                               &error)) {
            die(&error);
        }
    }
    const struct sonde_example_source source = sonde_examples_source(examples);
    const struct sonde_trainer_options options = { .rule =
                                                       sonde_update_defaults(SONDE_UPDATE_ADAMW),
                                                   .batch_sequences = 16,
                                                   .n_lanes = n_lanes,
                                                   .pool = b->pool };
    if (sonde_trainer_create(&trainer, model, &source, &options, &error)) {
        die(&error);
    }
    for (int step = 0; step < 4; step++) {
        if (sonde_trainer_step(trainer, NULL, &error)) {
            die(&error);
        }
    }
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
    sonde_json_destroy(&json);
}

static void train_in_lanes(struct bench *b)
{
    train(b, SONDE_TRAINER_LANES);
}

static void train_by_threads(struct bench *b)
{
    train(b, b->n_threads);
}

static float *values(int64_t n, uint64_t stream)
{
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, stream);
    float *out = malloc((size_t)n * sizeof *out);
    for (int64_t i = 0; out && i < n; i++) {
        out[i] = (float)(sonde_rng_uniform(&rng) - 0.5);
    }
    return out;
}

int main(int argc, char **argv)
{
    struct sonde_error error = { 0 };
    struct bench b = { .n_rounds = argc > 1 ? atoi(argv[1]) : 7 };
    if (b.n_rounds < 1 || b.n_rounds > ROUNDS_MAX) {
        fprintf(stderr, "bench_promise: %d rounds, expected 1 to %d\n", b.n_rounds, ROUNDS_MAX);
        return 2;
    }
    sonde_gemm_prepare();
    b.n_threads = sonde_pool_cores() < 2 ? 1 : 2;
    if (sonde_pool_create(&b.pool, b.n_threads, &error)) {
        die(&error);
    }
    struct sonde_arena *arenas[2] = { sonde_arena_create(0), sonde_arena_create(0) };
    b.arena = arenas;
    b.x = values(ROWS * N_IN, 1);
    b.w = values(N_OUT * N_IN, 2);
    b.y = values(ROWS * N_OUT, 3);
    b.score = values(ROWS * CLASSES, 4);
    b.share = values((int64_t)(ROWS / BLOCK) * CLASSES * N_IN, 5);
    b.sum = malloc(sizeof(double) * CLASSES * N_IN);
    if (!b.x || !b.w || !b.y || !b.score || !b.share || !b.sum || !arenas[0] || !arenas[1]) {
        fprintf(stderr, "bench_promise: out of memory\n");
        return 1;
    }
    printf("%s, %d threads: with the promise, without, and the share of the rate that is left\n",
           sonde_gemm_library(), b.n_threads);
    compare(&b, "products, 2048 rows", rows_that_stand_alone, rows_by_threads);
    static const int64_t lengths[] = { 8, 32, 256 };
    for (int i = 0; i < 3; i++) {
        char what[64];
        b.length = lengths[i];
        snprintf(what, sizeof what, "sequences of %d rows", (int)b.length);
        compare(&b, what, sequence_by_sequence, rows_by_threads);
    }
    compare(&b, "gradient of 17 x 768, x 30", sum_in_order, sum_by_threads);
    compare(&b, "training, 8 lanes", train_in_lanes, train_by_threads);
    sonde_pool_destroy(&b.pool);
    sonde_arena_destroy(&arenas[0]);
    sonde_arena_destroy(&arenas[1]);
    free(b.x);
    free(b.w);
    free(b.y);
    free(b.score);
    free(b.share);
    free(b.sum);
    return 0;
}
