/* The logit lens over all layers, against the matrix products. */
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "tools/bench/bench.h"
#include "tools/bench/bench_readout.h"

/* One round takes seconds: all of 1,000 sequences would take half an hour. */
#define FLOPS_WANTED 5e11
enum { TOKENS = 256, SEQUENCES_MAX = 64 };

/* The residual stream after the embedding and after every layer, in random numbers. */
struct rows {
    int64_t n_sequences, n_sites, D;
    struct sonde_sink *sink;
    struct sonde_source *source;
    struct sonde_stream *stream; /* [n_sites] */
    struct sonde_record *record; /* [n_sites] */
    struct sonde_token *token;   /* [TOKENS] */
    float *value;                /* [TOKENS, D] */
};

static void name_streams(struct rows *w)
{
    for (int64_t s = 0; s < w->n_sites; s++) {
        struct sonde_site site = { s == 0 ? SONDE_SITE_EMBED : SONDE_SITE_RESID_POST,
                                   s == 0 ? -1 : (int)s - 1 };
        w->stream[s] = (struct sonde_stream){ .layer = site.layer,
                                              .space = SONDE_ROWS_TOKEN,
                                              .dtype = SONDE_DTYPE_F32,
                                              .rank = 1,
                                              .dim = { w->D, 1 },
                                              .width = w->D };
        sonde_site_format(site, w->stream[s].name);
        w->record[s] = (struct sonde_record){ w->value, TOKENS * w->D };
    }
}

static enum sonde_status put_rows(struct rows *w, int64_t V, struct sonde_error *error)
{
    struct sonde_rng rng = sonde_rng_make(42, sonde_rng_stream("bench lens"));
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t s = 0; s < w->n_sequences && !status; s++) {
        for (int64_t t = 0; t < TOKENS; t++)
            w->token[t] = (struct sonde_token){ .id = (int32_t)sonde_rng_below(&rng, (uint32_t)V),
                                                .position = (int32_t)t,
                                                .begin = -1,
                                                .end = -1,
                                                .text = "" };
        for (int64_t i = 0; i < TOKENS * w->D; i++)
            w->value[i] = (float)sonde_rng_normal(&rng);
        struct sonde_sequence sequence = { .source = s, .n_tokens = TOKENS, .tokens = w->token };
        status = w->sink->put(w->sink, &sequence, w->record, error);
    }
    return status;
}

static enum sonde_status make_rows(struct rows *w, const struct sonde_spec *spec,
                                   struct sonde_error *error)
{
    w->D = spec->d_model;
    w->n_sites = spec->n_layers + 1;
    double each = 2.0 * TOKENS * (double)(w->n_sites * w->D) * (double)spec->d_vocab;
    w->n_sequences =
        FLOPS_WANTED / each > SEQUENCES_MAX ? SEQUENCES_MAX : (int64_t)(FLOPS_WANTED / each) + 1;
    w->stream = calloc((size_t)w->n_sites, sizeof(*w->stream));
    w->record = calloc((size_t)w->n_sites, sizeof(*w->record));
    w->token = calloc(TOKENS, sizeof(*w->token));
    w->value = calloc((size_t)(TOKENS * w->D), sizeof(*w->value));
    if (!w->stream || !w->record || !w->token || !w->value)
        return sonde_error_memory(error, "the rows");
    name_streams(w);
    enum sonde_status status =
        sonde_memory_create(&w->sink, &w->source, w->stream, w->n_sites, error);
    if (status)
        return status;
    status = put_rows(w, spec->d_vocab, error);
    if (status)
        w->sink->abandon(w->sink);
    else
        status = w->sink->finish(w->sink, error);
    return status;
}

static void finish_rows(struct rows *w)
{
    if (w->source)
        w->source->destroy(&w->source);
    free(w->stream);
    free(w->record);
    free(w->token);
    free(w->value);
}

enum sonde_status sonde_bench_lens(struct sonde_bench *bench, struct sonde_error *error)
{
    static const char *const name[] = { "sequence" };
    static const char *const value[] = { "all" };
    const struct sonde_spec *spec = sonde_model_spec(bench->model);
    struct rows w = { 0 };
    enum sonde_status status = make_rows(&w, spec, error);
    double rows = (double)(w.n_sequences * TOKENS * w.n_sites);
    /* edited: the rows are not this model's, so there are no logits to compare with. */
    struct sonde_bench_readout readout = {
        .part = "lens",
        .measure = "all layers, top 5",
        .probe = "logit-lens",
        .args = { .values = { name, value, 1 }, .source = w.source, .edited = true },
        .flops = 2.0 * rows * (double)spec->d_model * (double)spec->d_vocab,
    };
    if (!status)
        status = sonde_bench_readout(bench, &readout, error);
    finish_rows(&w);
    return status;
}
