#include "tools/bench/bench_feed.h"

#include <stdlib.h>

#include "core/base/rng.h"
#include "core/model/recorder.h"

struct reading {
    const struct sonde_bench_feed *feed;
    int64_t next;
    struct sonde_token *token; /* [longest] */
    struct sonde_sequence sequence;
};

static int64_t length(const struct sonde_bench_feed *feed, int64_t i)
{
    return feed->shortest + i % (feed->longest - feed->shortest + 1);
}

int64_t sonde_bench_feed_tokens(const struct sonde_bench_feed *feed)
{
    int64_t n = 0;
    for (int64_t i = 0; i < feed->n_sequences; i++)
        n += length(feed, i);
    return n;
}

double sonde_bench_feed_flops(const struct sonde_bench_feed *feed, const struct sonde_spec *s,
                              bool logits)
{
    const double d = (double)s->d_model, e = (double)s->d_head, layers = s->n_layers;
    const double heads = d * e * (double)(2 * s->n_heads + 2 * s->n_kv_heads);
    const double mlp = d * (double)s->d_mlp * (s->gated ? 3 : 2);
    const double end = logits ? d * (double)sonde_spec_outputs(s) : 0;
    double sum = 0;
    for (int64_t i = 0; i < feed->n_sequences; i++) {
        const double n = (double)length(feed, i);
        const double mixing = 2 * e * (double)s->n_heads * (n + 1) / 2;
        sum += 2 * n * (layers * (heads + mlp + mixing) + end);
    }
    return sum;
}

static enum sonde_status next_sequence(void *self, const struct sonde_sequence **out,
                                       struct sonde_error *error)
{
    struct reading *r = self;
    (void)error;
    *out = NULL;
    if (r->next == r->feed->n_sequences)
        return SONDE_STATUS_OK;
    r->sequence = (struct sonde_sequence){ .source = r->next,
                                           .n_tokens = length(r->feed, r->next),
                                           .tokens = r->token };
    r->next++;
    *out = &r->sequence;
    return SONDE_STATUS_OK;
}

static enum sonde_status record(struct sonde_bench *bench, const struct sonde_model *model,
                                struct reading *reading, const struct sonde_site_set *sites,
                                double *seconds, struct sonde_error *error)
{
    struct sonde_sequence_reader reader = { .self = reading, .next = next_sequence };
    struct sonde_recorder_options options = { .sites = sites,
                                              .n_threads = (int)bench->cli->common.threads,
                                              .progress = &bench->cli->progress };
    struct sonde_recorder_stats stats = { 0 };
    struct sonde_sink *sink = NULL;
    enum sonde_status status = sonde_sink_null_create(&sink, error);
    if (status)
        return status;
    status = sonde_recorder_run(model, &reader, sink, &options, &stats, error);
    if (status)
        sink->abandon(sink);
    else
        status = sink->finish(sink, error);
    if (!status)
        *seconds = stats.seconds_forward;
    return status;
}

enum sonde_status sonde_bench_feed_run(struct sonde_bench *bench, const struct sonde_model *model,
                                       const struct sonde_bench_feed *feed, const char *sites,
                                       double *seconds, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    struct sonde_rng rng = sonde_rng_make((uint64_t)bench->cli->common.seed, 2);
    struct sonde_site_set *set = calloc(1, sizeof(*set));
    struct reading reading = { .feed = feed };
    reading.token = calloc((size_t)feed->longest, sizeof(*reading.token));
    enum sonde_status status =
        set && reading.token ? SONDE_STATUS_OK : sonde_error_memory(error, "the tokens");
    for (int64_t t = 0; !status && t < feed->longest; t++)
        reading.token[t] =
            (struct sonde_token){ .id = (int32_t)sonde_rng_below(&rng, spec->d_vocab),
                                  .position = (int32_t)t,
                                  .begin = -1,
                                  .end = -1,
                                  .text = "" };
    if (!status)
        status = sonde_site_set_parse(set, sites, sonde_model_sites(model), spec->n_layers, error);
    if (!status)
        status = record(bench, model, &reading, set, seconds, error);
    free(reading.token);
    free(set);
    return status;
}
