/* Fits of linear probes against the machine's matrix products, and several layers against one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "probes/linear_fit.h"
#include "probes/registry.h"
#include "tools/bench/bench.h"

enum { CLASSES = 17, WIDTH = 768, ROWS = 20000, STREAMED_ROWS = 200000 };
enum { LAYERS = 4, LAYER_WIDTH = 256, TOKENS = 100, LAYER_ROWS = 20000 };

/* Rows about a centre a class; neighbouring features depend on each other, as in a residual stream.
 * More rows than there are come round again. */
struct rows {
    struct sonde_source source;
    struct sonde_stream stream;
    float *x;               /* [ROWS, WIDTH] */
    int64_t *first, *count; /* [STREAMED_ROWS] */
    int32_t *target;
    double *real;
};

static enum sonde_status read_rows(struct sonde_source *source, int64_t stream, int64_t first,
                                   int64_t n, float *out, struct sonde_error *error)
{
    (void)stream, (void)error;
    const struct rows *rows = source->self;
    while (n > 0) {
        int64_t at = first % ROWS, take = n < ROWS - at ? n : ROWS - at;
        memcpy(out, rows->x + at * WIDTH, (size_t)(take * WIDTH) * sizeof(*out));
        out += take * WIDTH;
        first += take;
        n -= take;
    }
    return SONDE_STATUS_OK;
}

static void fill_row(float *x, const float *centre, int64_t width, struct sonde_rng *rng)
{
    double before = 0.0;
    for (int64_t d = 0; d < width; d++) {
        before = 0.9 * before + 0.4 * sonde_rng_normal(rng);
        x[d] = (float)(before + (double)centre[d]);
    }
}

static void fill_centres(float *centre, int64_t n, struct sonde_rng *rng)
{
    for (int64_t i = 0; i < n; i++)
        centre[i] = (float)(0.08 * sonde_rng_normal(rng));
}

static enum sonde_status make_rows(struct rows *r, struct sonde_error *error)
{
    struct sonde_rng rng = sonde_rng_make(42, 4);
    float *centre = malloc((size_t)CLASSES * WIDTH * sizeof(*centre));
    *r = (struct rows){
        .stream = { .name = "rows", .width = WIDTH, .n_rows = STREAMED_ROWS },
        .x = malloc((size_t)ROWS * WIDTH * sizeof(*r->x)),
        .first = malloc((size_t)STREAMED_ROWS * sizeof(*r->first)),
        .count = malloc((size_t)STREAMED_ROWS * sizeof(*r->count)),
        .target = malloc((size_t)STREAMED_ROWS * sizeof(*r->target)),
        .real = malloc((size_t)STREAMED_ROWS * sizeof(*r->real)),
    };
    r->source = (struct sonde_source){
        .self = r, .n_streams = 1, .streams = &r->stream, .read_rows = read_rows
    };
    if (!centre || !r->x || !r->first || !r->count || !r->target || !r->real) {
        free(centre);
        return sonde_error_memory(error, "the samples");
    }
    fill_centres(centre, (int64_t)CLASSES * WIDTH, &rng);
    for (int64_t i = 0; i < STREAMED_ROWS; i++) {
        r->first[i] = i;
        r->count[i] = 1;
        r->target[i] = i < ROWS ? (int32_t)sonde_rng_below(&rng, CLASSES) : r->target[i % ROWS];
        r->real[i] = (double)r->target[i];
    }
    for (int64_t i = 0; i < ROWS; i++)
        fill_row(r->x + i * WIDTH, centre + r->target[i] * WIDTH, WIDTH, &rng);
    free(centre);
    return SONDE_STATUS_OK;
}

static void free_rows(struct rows *r)
{
    free(r->x);
    free(r->first);
    free(r->count);
    free(r->target);
    free(r->real);
}

/* What is measured of the rows. */
static const struct work {
    const char *measure;
    enum sonde_linear_method method;
    int64_t n;
    int max_iterations;
} works[] = {
    { "17 classes, 20,000", SONDE_LINEAR_LOGISTIC, ROWS, 0 },
    { "ridge, 20,000", SONDE_LINEAR_RIDGE, ROWS, 0 },
    { "lda, 20,000", SONDE_LINEAR_LDA, ROWS, 0 },
    { "17 classes, streamed", SONDE_LINEAR_LOGISTIC, STREAMED_ROWS, 3 },
    { "ridge, streamed", SONDE_LINEAR_RIDGE, STREAMED_ROWS, 0 },
};
enum { N_WORKS = sizeof(works) / sizeof(works[0]) };

/* GFLOP/s of the products that the method is made of: scores and gradient of every evaluation, or
 * the half of X^T X that is not its mirror. Streamed: half of the rows would fit the budget. */
static enum sonde_status fit(struct sonde_bench *bench, struct rows *r, const struct work *work,
                             double *rate, struct sonde_error *error)
{
    struct sonde_feature_rows rows = { .n = work->n, .first = r->first, .count = r->count };
    struct sonde_features features;
    struct sonde_linear_model model = { 0 };
    struct sonde_fit_report report = { 0 };
    bool classes = work->method != SONDE_LINEAR_RIDGE;
    int64_t bytes = work->n * WIDTH * (int64_t)sizeof(float);
    enum sonde_status status = sonde_features_open_lazy(
        &features, &r->source, 0, &rows, work->n > ROWS ? bytes / 2 : 4 * bytes,
        (int64_t)16 * sonde_pool_threads(bench->pool), bench->pool, error);
    if (status)
        return status;
    struct sonde_fit_problem problem = { .features = &features,
                                         .sample = r->first,
                                         .n = work->n,
                                         .target = classes ? r->target : NULL,
                                         .real = classes ? NULL : r->real,
                                         .n_targets = classes ? CLASSES : 0 };
    struct sonde_fit_options options = { .method = work->method,
                                         .l2 = 1.0,
                                         .max_iterations = work->max_iterations };
    double begin = sonde_cli_seconds();
    status = sonde_linear_fit(&problem, &options, NULL, &model, &report, error);
    double seconds = sonde_cli_seconds() - begin, n = (double)work->n;
    if (work->method == SONDE_LINEAR_LOGISTIC)
        *rate = 4e-9 * n * WIDTH * CLASSES * report.evaluations / seconds;
    else
        *rate = 1e-9 * n * WIDTH * (WIDTH + 1) / seconds;
    sonde_linear_model_finish(&model);
    sonde_features_close(&features);
    return status;
}

/* A run with streams, for the probe itself. */
struct layers {
    struct sonde_sink *sink;
    struct sonde_source *source;
    float *centre;     /* [CLASSES, LAYER_WIDTH] */
    float *value;      /* [LAYERS, TOKENS, LAYER_WIDTH] */
    int32_t *class_of; /* [LAYER_ROWS] */
    struct sonde_token token[TOKENS];
};

static enum sonde_status put_sequences(struct layers *w, struct sonde_error *error)
{
    struct sonde_rng rng = sonde_rng_make(42, 5);
    fill_centres(w->centre, (int64_t)CLASSES * LAYER_WIDTH, &rng);
    for (int64_t s = 0; s < LAYER_ROWS / TOKENS; s++) {
        struct sonde_record record[LAYERS];
        for (int64_t t = 0; t < TOKENS; t++) {
            int32_t class = (int32_t)sonde_rng_below(&rng, CLASSES);
            w->class_of[s * TOKENS + t] = class;
            w->token[t] = (struct sonde_token){
                .id = class, .position = (int32_t)t, .begin = -1, .end = -1, .text = ""
            };
            for (int64_t l = 0; l < LAYERS; l++)
                fill_row(w->value + (l * TOKENS + t) * LAYER_WIDTH, w->centre + class * LAYER_WIDTH,
                         LAYER_WIDTH, &rng);
        }
        for (int64_t l = 0; l < LAYERS; l++)
            record[l] =
                (struct sonde_record){ w->value + l * TOKENS * LAYER_WIDTH, TOKENS * LAYER_WIDTH };
        struct sonde_sequence sequence = { .source = s, .n_tokens = TOKENS, .tokens = w->token };
        enum sonde_status status = w->sink->put(w->sink, &sequence, record, error);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status make_layers(struct layers *w, struct sonde_error *error)
{
    static const char *const names[CLASSES] = { "a", "b", "c", "d", "e", "f", "g", "h", "i",
                                                "j", "k", "l", "m", "n", "o", "p", "q" };
    struct sonde_stream stream[LAYERS];
    for (int l = 0; l < LAYERS; l++) {
        stream[l] = (struct sonde_stream){ .layer = l,
                                           .space = SONDE_ROWS_TOKEN,
                                           .dtype = SONDE_DTYPE_F32,
                                           .rank = 1,
                                           .dim = { LAYER_WIDTH, 1 },
                                           .width = LAYER_WIDTH };
        sonde_site_format((struct sonde_site){ SONDE_SITE_RESID_POST, l }, stream[l].name);
    }
    w->centre = malloc((size_t)CLASSES * LAYER_WIDTH * sizeof(*w->centre));
    w->value = malloc((size_t)LAYERS * TOKENS * LAYER_WIDTH * sizeof(*w->value));
    w->class_of = malloc((size_t)LAYER_ROWS * sizeof(*w->class_of));
    if (!w->centre || !w->value || !w->class_of)
        return sonde_error_memory(error, "the layers");
    enum sonde_status status = sonde_memory_create(&w->sink, &w->source, stream, LAYERS, error);
    if (status)
        return status;
    status = put_sequences(w, error);
    if (status)
        w->sink->abandon(w->sink);
    else
        status = w->sink->finish(w->sink, error);
    struct sonde_labels labels = { .name = "class",
                                   .kind = SONDE_LABEL_CLASS,
                                   .space = SONDE_ROWS_TOKEN,
                                   .n_rows = LAYER_ROWS,
                                   .class_of = w->class_of,
                                   .n_classes = CLASSES,
                                   .class_name = names };
    return status ? status : sonde_memory_add_labels(w->source, &labels, error);
}

static void free_layers(struct layers *w)
{
    if (w->source)
        w->source->destroy(&w->source);
    free(w->centre);
    free(w->value);
    free(w->class_of);
}

/* Layers a second of one run of `sonde probe linear`. */
static enum sonde_status probe(struct sonde_bench *bench, const struct layers *w,
                               const char *streams, int n_layers, double *rate,
                               struct sonde_error *error)
{
    static const char *const name[] = { "labels", "l2", "bootstrap", "streams" };
    const char *value[] = { "class", "1", "0", streams };
    const struct sonde_probe *linear = NULL;
    for (int64_t i = 0; (linear = sonde_probe_builtin(i)) && strcmp(linear->name, "linear") != 0;)
        i++;
    if (!linear)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "the probe linear is not built in");
    struct sonde_result *result = NULL;
    struct sonde_probe_run_args args = { .values = { name, value, 4 },
                                         .source = w->source,
                                         .pool = bench->pool,
                                         .seed = (uint64_t)bench->cli->common.seed,
                                         .progress = &bench->cli->progress };
    double begin = sonde_cli_seconds();
    enum sonde_status status = sonde_probe_run(linear, &args, &result, error);
    *rate = n_layers / (sonde_cli_seconds() - begin);
    sonde_result_destroy(&result);
    return status;
}

struct figures {
    struct sonde_bench_samples limit, work[N_WORKS], one, all;
};

static enum sonde_status measure(struct sonde_bench *bench, struct rows *rows,
                                 const struct layers *layers, int round, struct figures *f,
                                 struct sonde_error *error)
{
    enum sonde_status status = sonde_bench_limit(bench, &f->limit.value[round], error);
    f->limit.value[round] /= 1e9;
    for (int i = 0; i < N_WORKS && !status; i++)
        status = fit(bench, rows, &works[i], &f->work[i].value[round], error);
    if (!status)
        status = probe(bench, layers, "blocks.0.hook_resid_post", 1, &f->one.value[round], error);
    if (!status)
        status =
            probe(bench, layers, "blocks.*.hook_resid_post", LAYERS, &f->all.value[round], error);
    return status ? status : sonde_bench_progress(bench, "probe", round + 1, error);
}

enum sonde_status sonde_bench_probe(struct sonde_bench *bench, struct sonde_error *error)
{
    struct figures f = { 0 };
    struct rows rows = { 0 };
    struct layers layers = { 0 };
    enum sonde_status status = make_rows(&rows, error);
    if (!status)
        status = make_layers(&layers, error);
    for (int r = 0; !status && r < SONDE_BENCH_ROUNDS; r++)
        status = measure(bench, &rows, &layers, r, &f, error);
    for (int i = 0; i < N_WORKS && !status; i++)
        sonde_bench_add(bench, "probe", works[i].measure, "GFLOP/s", &f.limit, &f.work[i]);
    if (!status)
        sonde_bench_add(bench, "probe", "4 layers, of one", "layers/s", &f.one, &f.all);
    free_rows(&rows);
    free_layers(&layers);
    return status ? status : sonde_bench_mlp(bench, error);
}
