#include "tests/property/property_bits.h"

#include <string.h>

#include "core/base/num.h"
#include "tests/support/check.h"

static enum sonde_status feed_next(void *self, const struct sonde_sequence **out,
                                   struct sonde_error *error)
{
    struct property_feed *f = self;
    *out = NULL;
    if (f->at == f->way->n_order) {
        return SONDE_STATUS_OK;
    }
    const int64_t s = f->way->order[f->at], T = f->c->corpus.n_tokens[s];
    if (T > f->capacity) {
        free(f->tokens);
        f->capacity = T;
        f->tokens = calloc((size_t)T, sizeof *f->tokens);
        if (!f->tokens) {
            return sonde_error_memory(error, "tokens");
        }
    }
    for (int64_t t = 0; t < T; t++) {
        f->tokens[t] = (struct sonde_token){ .id = f->c->corpus.ids[s][t],
                                             .position = (int32_t)t,
                                             .begin = t,
                                             .end = t + 1,
                                             .text = "t" };
    }
    f->sequence = (struct sonde_sequence){ .source = f->at, .n_tokens = T, .tokens = f->tokens };
    f->at++;
    *out = &f->sequence;
    return SONDE_STATUS_OK;
}

struct sonde_sequence_reader property_feed_reader(struct property_feed *feed)
{
    return (struct sonde_sequence_reader){ feed, feed_next };
}

void property_feed_finish(struct property_feed *feed)
{
    free(feed->tokens);
    feed->tokens = NULL;
}

void property_way_say(const struct property_way *way)
{
    fprintf(stderr, "# way: %d threads, mem %lld, batch %lld, skip %lld, order:", way->n_threads,
            (long long)way->mem_bytes, (long long)way->batch_bytes, (long long)way->skip);
    for (int64_t i = 0; i < way->n_order && i < 60; i++) {
        fprintf(stderr, " %lld", (long long)way->order[i]);
    }
    fprintf(stderr, "\n");
}

/* Targets of the way's rows, those of skipped sequences too; NULL where there are none. */
static int32_t *lay_targets(const struct property_case *c, const struct property_way *way,
                            int64_t *n)
{
    int32_t *targets = NULL;
    *n = 0;
    for (int64_t i = 0; c->has_targets && i < way->n_order; i++) {
        *n += c->corpus.n_tokens[way->order[i]];
    }
    if (*n > 0) {
        targets = malloc((size_t)*n * sizeof *targets);
        assert_non_null(targets);
    }
    int64_t at = 0;
    for (int64_t i = 0; targets && i < way->n_order; i++) {
        const int64_t s = way->order[i], T = c->corpus.n_tokens[s];
        memcpy(targets + at, c->targets[s], (size_t)T * sizeof *targets);
        at += T;
    }
    return targets;
}

enum sonde_status property_record(const struct property_case *c, const struct property_way *way,
                                  const struct sonde_progress *progress, struct sonde_sink *sink,
                                  struct sonde_error *error)
{
    struct property_feed feed = { .c = c, .way = way };
    const struct sonde_sequence_reader reader = property_feed_reader(&feed);
    struct sonde_recorder_options options = { .sites = &c->sites,
                                              .gradients = &c->gradients,
                                              .loss = c->loss,
                                              .n_threads = way->n_threads,
                                              .mem_bytes = way->mem_bytes,
                                              .batch_bytes = way->batch_bytes,
                                              .skip_sequences = way->skip,
                                              .hooks = &c->hook,
                                              .n_hooks = c->edits != NULL,
                                              .progress = progress };
    int32_t *targets = lay_targets(c, way, &options.n_targets);
    options.loss.targets = targets;
    const enum sonde_status status =
        sonde_recorder_run(c->model.model, &reader, sink, &options, NULL, error);
    free(targets);
    property_feed_finish(&feed);
    return status;
}

/* The recorder names the least budget of the first sequence that does not fit. */
int64_t property_least_bytes(const struct property_case *c, const struct property_way *way)
{
    struct property_way small = *way;
    small.mem_bytes = 1;
    for (int tries = 0; tries < 200; tries++) {
        struct sonde_error error = { 0 };
        struct sonde_sink *sink = NULL;
        check_ok(sonde_sink_null_create(&sink, &error), &error);
        const enum sonde_status status = property_record(c, &small, NULL, sink, &error);
        sink->abandon(sink);
        if (status == SONDE_STATUS_OK) {
            break;
        }
        if (status != SONDE_STATUS_LIMIT) {
            fail_msg("%s", error.text);
        }
        const char *bytes = strstr(error.text, " bytes)");
        while (bytes && bytes > error.text && bytes[-1] >= '0' && bytes[-1] <= '9') {
            bytes--;
        }
        const long long need = bytes ? strtoll(bytes, NULL, 10) : 0;
        small.mem_bytes = need > small.mem_bytes ? need : 2 * small.mem_bytes;
    }
    return small.mem_bytes;
}

/* Keeps one sequence. */
struct keep {
    struct sonde_sink base;
    struct property_bits *bits;
    int64_t sequence;
};

static enum sonde_status keep_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                  const struct sonde_record *records, struct sonde_error *error)
{
    struct keep *k = (struct keep *)sink;
    int64_t n = 0, at = 0;
    (void)sequence;
    for (int64_t i = 0; i < k->bits->n_streams; i++) {
        n += records[i].n_values;
    }
    float *values = malloc((size_t)n * sizeof *values + 1);
    struct sonde_record *kept = calloc((size_t)k->bits->n_streams + 1, sizeof *kept);
    k->bits->values[k->sequence] = values;
    k->bits->records[k->sequence] = kept;
    if (!values || !kept) {
        return sonde_error_memory(error, "the bits");
    }
    for (int64_t i = 0; i < k->bits->n_streams; i++) {
        memcpy(values + at, records[i].value, (size_t)records[i].n_values * sizeof *values);
        kept[i] = (struct sonde_record){ values + at, records[i].n_values };
        at += records[i].n_values;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status pass_commit(struct sonde_sink *sink, struct sonde_error *error)
{
    (void)sink;
    (void)error;
    return SONDE_STATUS_OK;
}

void property_bits_make(struct property_bits *out, const struct property_case *c)
{
    struct sonde_error error = { 0 };
    const int64_t n_values = sonde_site_set_count(&c->sites);
    *out = (struct property_bits){ .c = c };
    out->n_streams = n_values + sonde_site_set_count(&c->gradients);
    out->streams = calloc((size_t)out->n_streams + 1, sizeof *out->streams);
    out->values = calloc((size_t)c->corpus.n, sizeof *out->values);
    out->records = calloc((size_t)c->corpus.n, sizeof *out->records);
    assert_non_null(out->streams);
    assert_non_null(out->values);
    assert_non_null(out->records);
    sonde_recorder_streams(c->model.model, &c->sites, SONDE_DTYPE_F32, out->streams);
    sonde_recorder_gradient_streams(c->model.model, &c->gradients, SONDE_DTYPE_F32,
                                    out->streams + n_values);
    for (int64_t s = 0; s < c->corpus.n; s++) {
        struct keep keep = { .base = { keep_put, pass_commit, pass_commit, NULL },
                             .bits = out,
                             .sequence = s };
        const struct property_way alone = { .order = &s, .n_order = 1, .n_threads = 1 };
        if (property_record(c, &alone, NULL, &keep.base, &error)) {
            property_case_say(c);
            fail_msg("sequence %lld alone: %s", (long long)s, error.text);
        }
    }
}

void property_bits_free(struct property_bits *bits)
{
    for (int64_t s = 0; bits->c && s < bits->c->corpus.n; s++) {
        free(bits->values[s]);
        free(bits->records[s]);
    }
    free(bits->values);
    free(bits->records);
    free(bits->streams);
    *bits = (struct property_bits){ 0 };
}

bool property_same(const struct property_bits *bits, int64_t sequence,
                   const struct sonde_record *records, char text[256])
{
    for (int64_t i = 0; i < bits->n_streams; i++) {
        const struct sonde_record *own = &bits->records[sequence][i];
        if (own->n_values != records[i].n_values) {
            snprintf(text, 256, "sequence %lld, %s: %lld values, alone %lld", (long long)sequence,
                     bits->streams[i].name, (long long)records[i].n_values,
                     (long long)own->n_values);
            return false;
        }
        const size_t bytes = (size_t)own->n_values * sizeof(float);
        if (memcmp(own->value, records[i].value, bytes) == 0) {
            continue;
        }
        int64_t at = 0, n = 0;
        for (int64_t k = own->n_values - 1; k >= 0; k--) {
            const bool differs = memcmp(&own->value[k], &records[i].value[k], sizeof(float)) != 0;
            n += differs;
            at = differs ? k : at;
        }
        snprintf(text, 256,
                 "sequence %lld of %lld tokens, %s: value %lld is %.9g, alone %.9g; %lld of %lld "
                 "differ",
                 (long long)sequence, (long long)bits->c->corpus.n_tokens[sequence],
                 bits->streams[i].name, (long long)at, (double)records[i].value[at],
                 (double)own->value[at], (long long)n, (long long)own->n_values);
        return false;
    }
    return true;
}

/* Holds what comes against the bits. */
struct checker {
    struct sonde_sink base;
    const struct property_bits *bits;
    const struct property_way *way;
    int64_t at;
    char *text;
};

static enum sonde_status check_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                   const struct sonde_record *records, struct sonde_error *error)
{
    struct checker *k = (struct checker *)sink;
    if (k->at >= k->way->n_order || sequence->source != k->at) {
        snprintf(k->text, 256, "sequence %lld came as number %lld", (long long)sequence->source,
                 (long long)k->at);
        return sonde_error_set(error, SONDE_STATUS_CANCELLED, "out of order");
    }
    const int64_t s = k->way->order[k->at++];
    for (int64_t t = 0; t < sequence->n_tokens; t++) {
        if (sequence->tokens[t].id != k->bits->c->corpus.ids[s][t]) {
            snprintf(k->text, 256, "sequence %lld came with other tokens", (long long)s);
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "tokens");
        }
    }
    return property_same(k->bits, s, records, k->text)
               ? SONDE_STATUS_OK
               : sonde_error_set(error, SONDE_STATUS_CANCELLED, "bits");
}

const char *property_check_way(const struct property_bits *bits, const struct property_way *way,
                               char text[256])
{
    struct sonde_error error = { 0 };
    struct checker checker = { .base = { check_put, pass_commit, pass_commit, NULL },
                               .bits = bits,
                               .way = way,
                               .at = way->skip,
                               .text = text };
    text[0] = '\0';
    const enum sonde_status status = property_record(bits->c, way, NULL, &checker.base, &error);
    if (text[0] != '\0') {
        return text;
    }
    if (status) {
        snprintf(text, 256, "%.255s", error.text);
        return text;
    }
    if (checker.at != way->n_order) {
        snprintf(text, 256, "%lld of %lld sequences came", (long long)checker.at,
                 (long long)way->n_order);
        return text;
    }
    return NULL;
}
