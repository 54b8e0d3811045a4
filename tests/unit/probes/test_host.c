/* The host as a plugin sees it: everything that it may ask, rightly and wrongly. */
#include <string.h>

#include "probes/select.h"
#include "probes/word_type.h"
#include "tests/unit/probes/probe_support.h"

enum { D = 3, V = 5 };

static int64_t length(void *ctx, int64_t s)
{
    (void)ctx;
    return 2 + s;
}

static int32_t id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return (int32_t)(2 * s + t);
}

static void fill(void *ctx, int64_t stream, int64_t s, int64_t T, float *out)
{
    (void)ctx;
    int64_t n = stream == 1 ? 2 * T * T : T * D;
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(100 * s + i);
}

static struct sonde_source *open_source(void)
{
    static const char *const names[] = { "no", "yes" };
    struct toy_run run = { .stream = { toy_stream("blocks.0.hook_resid_post", 0, D),
                                       toy_map("blocks.0.attn.hook_pattern", 0, 2) },
                           .n_streams = 2,
                           .n_sequences = 2,
                           .length = length,
                           .id = id,
                           .fill = fill };
    struct sonde_source *source = toy_source(&run);
    const int32_t class_of[5] = { -1, 1, -1, 0, 1 }, of_sequence[2] = { 0, 1 };
    toy_labels(source, "answer", SONDE_ROWS_TOKEN, class_of, names, 2);
    toy_labels(source, "whole", SONDE_ROWS_SEQUENCE, of_sequence, names, 2);
    return source;
}

static void ask_options(const struct sonde_probe_host *h)
{
    assert_int_equal(h->abi, SONDE_PROBE_ABI);
    assert_int_equal(h->struct_size, sizeof(*h));
    assert_null(h->internals); /* for built-ins alone */
    assert_string_equal(h->option(h->ctx, "level"), "7");
    assert_string_equal(h->option(h->ctx, "mode"), "slow");
    assert_null(h->option(h->ctx, "path"));
    assert_int_equal(h->option_integer(h->ctx, "level", -1), 7);
    assert_int_equal(h->option_integer(h->ctx, "path", -1), -1);
    check_close(h->option_real(h->ctx, "share", 0), 0.25, 0);
}

static int32_t ask_everything(const struct sonde_probe_host *h, struct sonde_probe_error *error)
{
    struct sonde_probe_stream stream;
    struct sonde_probe_sequence sequence;
    struct sonde_probe_labels labels;
    float x[64];
    ask_options(h);
    assert_int_equal(h->n_streams(h->ctx), 2);
    assert_int_equal(h->stream(h->ctx, 0, &stream), SONDE_PROBE_OK);
    assert_string_equal(stream.name, "blocks.0.hook_resid_post");
    assert_int_equal(stream.width, D);
    assert_int_equal(stream.n_rows, 5);
    assert_int_equal(h->stream(h->ctx, 1, &stream), SONDE_PROBE_OK);
    assert_int_equal(stream.space, 4);
    assert_int_equal(h->stream(h->ctx, 2, &stream), SONDE_PROBE_ARGUMENT);
    assert_int_equal(h->stream(h->ctx, -1, &stream), SONDE_PROBE_ARGUMENT);
    assert_true(h->stream_matches(h->ctx, 0, "resid"));
    assert_false(h->stream_matches(h->ctx, 1, "resid"));
    assert_true(h->stream_matches(h->ctx, 1, "blocks.*.attn.*"));
    assert_false(h->stream_matches(h->ctx, 7, "*"));

    assert_int_equal(h->read_rows(h->ctx, 0, 1, 2, x, error), SONDE_PROBE_OK);
    check_close(x[0], 3, 0);
    check_close(x[3], 100, 0); /* the second sequence's first row */
    assert_int_equal(h->read_rows(h->ctx, 0, 4, 2, x, error), SONDE_PROBE_ARGUMENT);
    assert_string_equal(error->text, "blocks.0.hook_resid_post: rows 4 and 2 more, it has 5");
    assert_int_equal(h->read_rows(h->ctx, 0, INT64_MAX, INT64_MAX, x, error), SONDE_PROBE_ARGUMENT);
    assert_int_equal(h->read_rows(h->ctx, 1, 0, 1, x, error), SONDE_PROBE_ARGUMENT);
    assert_string_equal(error->text, "no stream 1 of rows");
    assert_int_equal(h->read_map(h->ctx, 1, 1, x, error), SONDE_PROBE_OK);
    check_close(x[17], 117, 0); /* [2, 3, 3] */
    assert_int_equal(h->read_map(h->ctx, 1, 2, x, error), SONDE_PROBE_ARGUMENT);
    assert_int_equal(h->read_map(h->ctx, 0, 0, x, error), SONDE_PROBE_ARGUMENT);

    assert_int_equal(h->n_sequences(h->ctx), 2);
    assert_int_equal(h->sequence(h->ctx, 1, &sequence), SONDE_PROBE_OK);
    assert_int_equal(sequence.first_row, 2);
    assert_int_equal(sequence.n_tokens, 3);
    assert_int_equal(h->sequence(h->ctx, 2, &sequence), SONDE_PROBE_ARGUMENT);
    assert_int_equal(h->n_tokens(h->ctx), 5);
    assert_int_equal(h->token_id(h->ctx, 4), 4);
    assert_int_equal(h->token_id(h->ctx, 5), -1);
    assert_string_equal(h->token_text(h->ctx, 3), " t3");
    assert_null(h->token_text(h->ctx, -1));

    assert_int_equal(h->labels(h->ctx, "answer", &labels, error), SONDE_PROBE_OK);
    assert_int_equal(labels.n_rows, 5);
    assert_int_equal(labels.class_of[4], 1);
    assert_string_equal(labels.class_name[1], "yes");
    assert_int_equal(h->labels(h->ctx, "whole", &labels, error), SONDE_PROBE_FAILED);
    assert_string_equal(error->text, "label set whole: class labels of a sequence, expected class "
                                     "or real of a token");
    assert_int_equal(h->labels(h->ctx, "none", &labels, error), SONDE_PROBE_ARGUMENT);
    h->scalar(h->ctx, "drawn", (double)(h->random(h->ctx) >> 12));
    h->warn(h->ctx, "a warning");
    return SONDE_PROBE_OK;
}

static const struct sonde_probe_option options[] = {
    { "level", SONDE_PROBE_INTEGER, "7", NULL, "a number" },
    { "share", SONDE_PROBE_REAL, "0.5", NULL, "a number" },
    { "mode", SONDE_PROBE_CHOICE, "fast", "fast|slow", "a choice" },
    { "path", SONDE_PROBE_PATH, NULL, NULL, "a path" },
    { "on", SONDE_PROBE_FLAG, NULL, NULL, "a flag" },
};

static struct sonde_probe probe_of(int32_t (*run)(const struct sonde_probe_host *,
                                                  struct sonde_probe_error *))
{
    return (struct sonde_probe){ .abi = SONDE_PROBE_ABI,
                                 .struct_size = sizeof(struct sonde_probe),
                                 .name = "asking",
                                 .version = "1",
                                 .summary = "asks",
                                 .options = options,
                                 .n_options = 5,
                                 .run = run };
}

static void a_plugin_can_ask_everything(void **state)
{
    (void)state;
    struct sonde_probe probe = probe_of(ask_everything);
    struct sonde_source *source = open_source();
    struct toy_args args = { .source = source,
                             .option =
                                 (const char *const[]){ "mode", "slow", "share", "0.25", NULL } };
    struct sonde_result *r = toy_probe(&probe, &args, NULL),
                        *again = toy_probe(&probe, &args, NULL);
    assert_non_null(r);
    assert_non_null(again);
    assert_int_equal(r->n_warnings, 1);
    assert_string_equal(r->warning[0], "a warning");
    /* Randomness is the seed's. */
    check_close(toy_scalar(r, "drawn"), toy_scalar(again, "drawn"), 0);
    assert_string_equal(r->parameter[0].name, "level");
    assert_string_equal(r->parameter[0].value.text, "7");
    sonde_result_destroy(&r);
    sonde_result_destroy(&again);
    source->destroy(&source);
}

static int32_t ask_nothing(const struct sonde_probe_host *h, struct sonde_probe_error *error)
{
    float x[V];
    struct sonde_probe_labels labels;
    assert_int_equal(h->n_streams(h->ctx), 0);
    assert_int_equal(h->n_sequences(h->ctx), 0);
    assert_int_equal(h->n_tokens(h->ctx), 0);
    assert_int_equal(h->n_vocabulary(h->ctx), 0);
    assert_int_equal(h->d_model(h->ctx), 0);
    assert_null(h->vocabulary_text(h->ctx, 0));
    assert_int_equal(h->labels(h->ctx, "answer", &labels, error), SONDE_PROBE_ARGUMENT);
    assert_int_equal(h->readout(h->ctx, x, 1, x, error), SONDE_PROBE_ARGUMENT);
    assert_string_equal(error->text, "there is no model to read out with");
    assert_int_equal(h->progress(h->ctx, "work", 1, 2), 0);
    return SONDE_PROBE_OK;
}

static void without_store_and_model_there_is_nothing(void **state)
{
    (void)state;
    struct sonde_probe probe = probe_of(ask_nothing);
    struct toy_args args = { 0 };
    struct sonde_result *r = toy_probe(&probe, &args, NULL);
    assert_non_null(r);
    sonde_result_destroy(&r);
}

static float weight(void *ctx, const char *name, int64_t row, int64_t column)
{
    (void)ctx;
    return strstr(name, "norm") ? 1.0f : (float)(row + 1) * (column % 2 ? -0.25f : 0.5f);
}

static int32_t ask_the_model(const struct sonde_probe_host *h, struct sonde_probe_error *error)
{
    /* RMSNorm of (2, 2, 2, 2) is ones up to its epsilon, so logit v is the sum of row v. */
    const float x[4] = { 2, 2, 2, 2 };
    float logits[V];
    assert_int_equal(h->d_model(h->ctx), 4);
    assert_int_equal(h->n_vocabulary(h->ctx), V);
    assert_int_equal(h->readout(h->ctx, x, 1, logits, error), SONDE_PROBE_OK);
    for (int v = 0; v < V; v++)
        check_close(logits[v], 0.5 * (v + 1), 1e-4);
    assert_string_equal(h->vocabulary_text(h->ctx, 3), "<3>"); /* no tokenizer */
    assert_null(h->vocabulary_text(h->ctx, V));
    assert_null(h->vocabulary_text(h->ctx, -1));
    return SONDE_PROBE_OK;
}

static void the_model_reads_out(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 1, .D = 4, .F = 4, .V = V, .weight = weight };
    struct sonde_model *model = toy_model_open(&recipe);
    struct sonde_probe probe = probe_of(ask_the_model);
    struct toy_args args = { .model = model };
    struct sonde_result *r = toy_probe(&probe, &args, NULL);
    assert_non_null(r);
    sonde_result_destroy(&r);
    sonde_model_close(&model);
}

static bool stop_at_once(void *ctx, const char *what, int64_t done, int64_t total, const char *unit)
{
    (void)ctx, (void)what, (void)done, (void)total, (void)unit;
    return false;
}

static void cancelling_ends_every_builtin(void **state)
{
    (void)state;
    struct toy_model recipe = { .L = 1, .D = 4, .F = 4, .V = V, .weight = weight };
    struct sonde_model *model = toy_model_open(&recipe);
    static const int32_t text[] = { 1, 2, 3 }, other[] = { 3, 2 };
    const int32_t *const texts[] = { text, other };
    const int64_t lengths[] = { 3, 2 };
    struct sonde_source *source = toy_record(model, "all", texts, lengths, 2);
    static const char *const names[] = { "0", "1" };
    const int32_t class_of[5] = { 0, 1, 0, 1, 0 };
    toy_labels(source, "answer", SONDE_ROWS_TOKEN, class_of, names, 2);
    struct sonde_progress progress = { .update = stop_at_once };
    for (int64_t i = 0; sonde_probe_builtin(i); i++) {
        const struct sonde_probe *probe = sonde_probe_builtin(i);
        const char *name[] = { "labels", "task" }, *value[] = { "answer", "class" };
        bool supervised = (probe->needs & SONDE_PROBE_NEEDS_LABELS) != 0;
        /* Some read the classes' names as numbers of themselves. */
        bool real = strcmp(probe->name, "ridge") == 0 || strcmp(probe->name, "covariance") == 0 ||
                    strcmp(probe->name, "correlation") == 0;
        struct sonde_probe_run_args args = {
            .values = { .name = name, .value = value, .n = supervised ? 2 - real : 0 },
            .source = source,
            .model = model,
            .seed = 1,
            .progress = &progress
        };
        struct sonde_result *r = NULL;
        struct sonde_error error = { 0 };
        assert_int_equal(sonde_probe_run(probe, &args, &r, &error), SONDE_STATUS_CANCELLED);
        assert_null(r);
    }
    source->destroy(&source);
    sonde_model_close(&model);
}

static void numbers_are_selected(void **state)
{
    (void)state;
    const struct {
        const char *text, *chosen; /* '1' = chosen; NULL = refused */
    } cases[] = {
        { NULL, "111111" },  { "all", "111111" }, { "0", "100000" },
        { "-1", "000001" },  { "1-3", "011100" }, { "0,-2--1", "100011" },
        { "0-5", "111111" }, { "6", NULL },       { "-7", NULL },
        { "3-1", NULL },     { "", NULL },        { "1,", NULL },
        { "a", NULL },       { "1 2", NULL },     { "99999999999999999999", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool chosen[6];
        struct sonde_error error = { 0 };
        enum sonde_status status = sonde_select_numbers(cases[i].text, "layer", 6, chosen, &error);
        assert_int_equal(status, cases[i].chosen ? SONDE_STATUS_OK : SONDE_STATUS_ARGUMENT);
        for (int k = 0; k < 6 && cases[i].chosen; k++)
            assert_int_equal(chosen[k], cases[i].chosen[k] == '1');
    }
}

static void tokens_are_shown(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { " the", "\u00b7the" },  { "a b", "a b" },       { "", "" },
        { "  ", "\u00b7\u00b7" }, { "\n", "\u23ce" },     { "x\ty ", "x\u21e5y\u00b7" },
        { "\x01", "<0x01>" },     { "\u4e2d", "\u4e2d" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_buf out = { 0 };
        sonde_select_show_token(cases[i][0], &out);
        assert_string_equal(out.data, cases[i][1]);
        sonde_buf_finish(&out);
    }
}

/* A source that gives these texts, all of one sequence. */
struct words {
    struct sonde_source source;
    const char *text[12];
};

static const char *word_text(struct sonde_source *source, int64_t row)
{
    const struct words *words = source->self;
    return words->text[row];
}

static void words_have_one_type(void **state)
{
    (void)state;
    enum { N = 12 };
    static const int32_t sequence[N] = { 0 }, ids[N] = { 9, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12 };
    static const uint32_t flags[N] = { SONDE_TOKEN_BOS };
    struct words words = { .text = { "bos", " walk", "ing", " home", ".", " talk", "ing", " walk",
                                     "ing", " home", ".", NULL } };
    words.source = (struct sonde_source){ .self = &words,
                                          .n_tokens = N,
                                          .token_id = ids,
                                          .token_sequence = sequence,
                                          .token_flags = flags,
                                          .token_text = word_text };
    int64_t type[N];
    for (int64_t r = 0; r < N; r++)
        type[r] = sonde_word_type(&words.source, r);
    assert_int_equal(type[2], type[8]);     /* walking */
    assert_int_not_equal(type[2], type[6]); /* talking ends in the same token */
    assert_int_not_equal(type[2], type[1]); /* walk */
    assert_int_equal(type[1], type[7]);
    assert_int_equal(type[3], type[9]);
    assert_int_equal(type[4], type[10]);
    assert_int_not_equal(type[3], type[4]);
    assert_int_equal(type[11], ids[11]); /* without text: its id */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_can_ask_everything),
        cmocka_unit_test(without_store_and_model_there_is_nothing),
        cmocka_unit_test(the_model_reads_out),
        cmocka_unit_test(cancelling_ends_every_builtin),
        cmocka_unit_test(numbers_are_selected),
        cmocka_unit_test(tokens_are_shown),
        cmocka_unit_test(words_have_one_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
