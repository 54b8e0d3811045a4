/* The recorder: the same digest whatever the threads, the memory and the point of resumption. */
#include <string.h>

#include "core/model/recorder.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { N_SEQUENCES = 40, TOKENS_MAX = 30 };

static const struct model_recipe recipe = {
    .family = "llama", .D = 24, .H = 6, .G = 2, .F = 30, .L = 2, .V = 50, .n_ctx = 40
};

/* Sequences of changing lengths; every next() overwrites the one before. */
struct feed {
    int at, n;
    struct sonde_token tokens[TOKENS_MAX];
    struct sonde_sequence sequence;
    char text[32];
};

static enum sonde_status feed_next(void *self, const struct sonde_sequence **out,
                                   struct sonde_error *error)
{
    struct feed *f = self;
    (void)error;
    memset(f->tokens, 0xee, sizeof f->tokens);
    if (f->at == f->n) {
        *out = NULL;
        return SONDE_STATUS_OK;
    }
    int n_tokens = 1 + (f->at * 11) % TOKENS_MAX;
    snprintf(f->text, sizeof f->text, "text %d", f->at);
    for (int t = 0; t < n_tokens; t++) {
        f->tokens[t] = (struct sonde_token){
            .id = (f->at * 5 + t * 3) % 50, .position = t, .begin = t, .end = t + 1, .text = f->text
        };
    }
    f->sequence = (struct sonde_sequence){
        .source = f->at, .text = f->text, .n_tokens = n_tokens, .tokens = f->tokens
    };
    f->at++;
    *out = &f->sequence;
    return SONDE_STATUS_OK;
}

/* Remembers after how many sequences each commit came, and passes on. */
struct commits {
    struct sonde_sink base;
    struct sonde_sink *inner;
    int n_put, n_commits, at[64];
};

static enum sonde_status commits_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                     const struct sonde_record *records, struct sonde_error *error)
{
    struct commits *c = (struct commits *)sink;
    c->n_put++;
    return c->inner->put(c->inner, sequence, records, error);
}

static enum sonde_status commits_commit(struct sonde_sink *sink, struct sonde_error *error)
{
    struct commits *c = (struct commits *)sink;
    assert_true(c->n_commits < 64);
    c->at[c->n_commits++] = c->n_put;
    return c->inner->commit(c->inner, error);
}

static void record(const struct sonde_model *model, const struct sonde_recorder_options *options,
                   struct sonde_sink *sink, struct sonde_recorder_stats *stats)
{
    struct sonde_error error = { 0 };
    struct feed feed = { .n = N_SEQUENCES };
    const struct sonde_sequence_reader reader = { &feed, feed_next };
    check_ok(sonde_recorder_run(model, &reader, sink, options, stats, &error), &error);
}

static struct sonde_model *open_recipe(char **folder)
{
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    *folder = model_make(&recipe);
    check_ok(sonde_model_open(&model, *folder,
                              &(struct sonde_model_options){ .allow_missing_tokenizer = true },
                              &error),
             &error);
    return model;
}

static void digest(const struct sonde_model *model, const struct sonde_recorder_options *options,
                   char hex[65])
{
    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    struct sonde_recorder_stats stats;
    check_ok(sonde_sink_digest_create(&sink, sonde_site_set_count(options->sites), hex, &error),
             &error);
    record(model, options, sink, &stats);
    check_ok(sink->finish(sink, &error), &error);
}

static void test_threads_and_memory(void **state)
{
    char *folder, first[65], other[65];
    struct sonde_model *model = open_recipe(&folder);
    struct sonde_recorder_options options = { .sites = sonde_model_sites(model), .n_threads = 1 };
    (void)state;
    digest(model, &options, first);
    for (int n = 2; n <= 4; n++) {
        options.n_threads = n;
        digest(model, &options, other);
        assert_string_equal(first, other);
    }
    /* The least budget that takes the longest sequence: one at a time on fewer threads. */
    int64_t plan = sonde_session_plan_bytes(model, TOKENS_MAX, options.sites);
    int64_t bytes = 0;
    struct sonde_site site;
    for (int64_t i = 0; sonde_site_set_next(options.sites, &i, &site);) {
        int64_t width = sonde_spec_site_width(sonde_model_spec(model), site.kind);
        bytes += 4 * width * TOKENS_MAX * (sonde_site_is_map(site.kind) ? TOKENS_MAX : 1);
    }
    options.mem_bytes = plan + bytes;
    digest(model, &options, other);
    assert_string_equal(first, other);

    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    struct feed feed = { .n = N_SEQUENCES };
    const struct sonde_sequence_reader reader = { &feed, feed_next };
    options.mem_bytes--;
    check_ok(sonde_sink_null_create(&sink, &error), &error);
    assert_int_equal(sonde_recorder_run(model, &reader, sink, &options, NULL, &error),
                     SONDE_STATUS_LIMIT);
    char need[32];
    snprintf(need, sizeof need, "(%lld bytes)", (long long)(plan + bytes));
    assert_non_null(strstr(error.text, need));
    sink->abandon(sink);
    sonde_model_close(&model);
    model_remove(folder);
}

/* The values of a sequence are those of its own pass, in order, with its tokens. */
static void test_values_and_resume(void **state)
{
    char *folder;
    struct sonde_error error = { 0 };
    struct sonde_model *model = open_recipe(&folder);
    struct sonde_site_set sites = { 0 };
    struct sonde_stream streams[8];
    struct sonde_sink *sink[2];
    struct sonde_source *source[2];
    struct sonde_recorder_stats stats;
    (void)state;
    check_ok(sonde_site_set_parse(&sites, "resid,attn", sonde_model_sites(model), 2, &error),
             &error);
    assert_int_equal(sonde_site_set_count(&sites), 5);
    sonde_recorder_streams(model, &sites, SONDE_DTYPE_F32, streams);
    assert_string_equal(streams[0].name, "hook_embed");
    assert_string_equal(streams[1].name, "blocks.0.attn.hook_pattern");
    assert_int_equal(streams[1].space, SONDE_ROWS_MAP);
    assert_int_equal(streams[1].width, 6);
    struct sonde_recorder_options options = { .sites = &sites, .n_threads = 2 };
    for (int i = 0; i < 2; i++) {
        check_ok(sonde_memory_create(&sink[i], &source[i], streams, 5, &error), &error);
        options.skip_sequences = i ? 17 : 0;
        record(model, &options, sink[i], &stats);
        check_ok(sink[i]->finish(sink[i], &error), &error);
        assert_int_equal(stats.n_sequences, N_SEQUENCES - options.skip_sequences);
        assert_int_equal(stats.n_tokens, source[i]->n_tokens);
        assert_int_equal(stats.n_rows, 3 * stats.n_tokens + 2 * stats.n_sequences);
        assert_int_equal(stats.n_nonfinite, 0);
    }
    assert_int_equal(source[0]->n_sequences, N_SEQUENCES);
    int64_t first = source[0]->sequences[17].first_row;
    int64_t n = source[1]->n_tokens;
    assert_int_equal(source[0]->n_tokens - first, n);
    float *a = malloc((size_t)n * 24 * sizeof *a), *b = malloc((size_t)n * 24 * sizeof *b);
    for (int64_t s = 0; s < 5; s++) {
        if (streams[s].space == SONDE_ROWS_TOKEN) {
            check_ok(source[0]->read_rows(source[0], s, first, n, a, &error), &error);
            check_ok(source[1]->read_rows(source[1], s, 0, n, b, &error), &error);
            assert_memory_equal(a, b, (size_t)n * 24 * sizeof *a);
        }
    }
    for (int64_t row = 0; row < n; row++) {
        assert_int_equal(source[0]->token_id[first + row], source[1]->token_id[row]);
    }
    assert_string_equal(source[0]->token_text(source[0], first), "text 17");
    free(a);
    free(b);
    source[0]->destroy(&source[0]);
    source[1]->destroy(&source[1]);
    sonde_model_close(&model);
    model_remove(folder);
}

/* Batches end where the data says, not where threads or memory do. */
static void test_batches(void **state)
{
    char *folder, hex[65];
    struct sonde_error error = { 0 };
    struct sonde_model *model = open_recipe(&folder);
    struct sonde_recorder_options options = { .sites = sonde_model_sites(model),
                                              .batch_bytes = 400000 };
    struct commits first = { 0 };
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct commits c = { .base = { commits_put, commits_commit, NULL, NULL } };
        check_ok(
            sonde_sink_digest_create(&c.inner, sonde_site_set_count(options.sites), hex, &error),
            &error);
        options.n_threads = 1 + i;
        options.mem_bytes = i == 2 ? 8 << 20 : 0;
        record(model, &options, &c.base, NULL);
        check_ok(c.inner->finish(c.inner, &error), &error);
        assert_int_equal(c.at[c.n_commits - 1], N_SEQUENCES);
        if (i == 0) {
            first = c;
            assert_true(c.n_commits > 5);
        }
        assert_int_equal(c.n_commits, first.n_commits);
        assert_memory_equal(c.at, first.at, sizeof first.at);
    }
    sonde_model_close(&model);
    model_remove(folder);
}

static bool stop_at_once(void *ctx, const char *what, int64_t done, int64_t total, const char *unit)
{
    (void)ctx, (void)what, (void)done, (void)total, (void)unit;
    return false;
}

static void test_cancel_and_bad_token(void **state)
{
    char *folder;
    struct sonde_error error = { 0 };
    struct sonde_model *model = open_recipe(&folder);
    const struct sonde_progress progress = { .update = stop_at_once };
    struct sonde_recorder_options options = { .sites = sonde_model_sites(model),
                                              .progress = &progress };
    struct sonde_sink *sink = NULL;
    struct feed feed = { .n = N_SEQUENCES };
    const struct sonde_sequence_reader reader = { &feed, feed_next };
    (void)state;
    check_ok(sonde_sink_null_create(&sink, &error), &error);
    assert_int_equal(sonde_recorder_run(model, &reader, sink, &options, NULL, &error),
                     SONDE_STATUS_CANCELLED);
    sink->abandon(sink);

    struct sonde_site_set missing = { 0 };
    sonde_site_set_add(&missing, (struct sonde_site){ SONDE_SITE_POS_EMBED, -1 });
    options = (struct sonde_recorder_options){ .sites = &missing };
    check_ok(sonde_sink_null_create(&sink, &error), &error);
    assert_int_equal(sonde_recorder_run(model, &reader, sink, &options, NULL, &error),
                     SONDE_STATUS_NOT_FOUND);
    assert_string_equal(error.text, "this model has no site 'hook_pos_embed'");
    sink->abandon(sink);
    sonde_model_close(&model);
    model_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_memory),
        cmocka_unit_test(test_values_and_resume),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_cancel_and_bad_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
