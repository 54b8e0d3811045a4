/* Sequences that share passes: byte for byte what each gives alone, in every family, with edits, at
 * every site, whoever's rows stand beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/model/edit.h"
#include "core/model/recorder.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { N_SEQUENCES = 150, TOKENS_MAX = 30, VOCABULARY = 50 };

static const struct model_recipe recipes[] = {
    { .family = "llama", .D = 24, .H = 6, .G = 2, .F = 30, .L = 2, .V = VOCABULARY, .n_ctx = 40 },
    { .family = "llama",
      .D = 32,
      .H = 4,
      .F = 40,
      .L = 1,
      .V = VOCABULARY,
      .n_ctx = 40,
      .dtype = SONDE_DTYPE_BF16 },
    { .family = "gpt2", .D = 20, .H = 4, .F = 80, .L = 2, .V = VOCABULARY, .n_ctx = 40 },
    { .family = "gpt_neox", .D = 24, .H = 3, .F = 48, .L = 2, .V = VOCABULARY, .n_ctx = 40 },
    { .family = "bert", .D = 24, .H = 3, .F = 48, .L = 2, .V = VOCABULARY, .n_ctx = 40 },
    { .family = "sonde",
      .D = 24,
      .H = 3,
      .F = 48,
      .L = 2,
      .V = VOCABULARY,
      .n_ctx = 40,
      .more_config = "\"position\": \"t5\", " },
    { .family = "sonde",
      .D = 24,
      .H = 3,
      .F = 48,
      .L = 2,
      .V = VOCABULARY,
      .n_ctx = 40,
      .more_config = "\"position\": \"alibi\", " },
    { .family = "sonde",
      .D = 24,
      .H = 3,
      .F = 48,
      .L = 2,
      .V = VOCABULARY,
      .n_ctx = 40,
      .more_config = "\"position\": \"relative\", " },
    { .family = "sonde",
      .D = 24,
      .H = 3,
      .F = 48,
      .L = 2,
      .V = VOCABULARY,
      .n_ctx = 40,
      .more_config = "\"position\": \"sinusoidal\", " },
    /* Weights above what row_product takes: 260 x 260 goes to BLAS. */
    { .family = "gpt2", .D = 260, .H = 4, .F = 300, .L = 1, .V = VOCABULARY, .n_ctx = 40 },
};
enum { N_RECIPES = sizeof recipes / sizeof *recipes };

/* Sequences of 1 to 30 tokens; one of them has an id that no model has, or none has (-1). */
struct feed {
    int at, n, bad;
    struct sonde_token tokens[TOKENS_MAX];
    struct sonde_sequence sequence;
};

static enum sonde_status feed_next(void *self, const struct sonde_sequence **out,
                                   struct sonde_error *error)
{
    struct feed *f = self;
    (void)error;
    *out = NULL;
    if (f->at == f->n) {
        return SONDE_STATUS_OK;
    }
    int n_tokens = 1 + (f->at * 11) % TOKENS_MAX;
    for (int t = 0; t < n_tokens; t++) {
        f->tokens[t] = (struct sonde_token){ .id = (f->at * 5 + t * 3) % VOCABULARY,
                                             .position = t,
                                             .begin = t,
                                             .end = t + 1,
                                             .text = t % 2 ? "word" : "" };
    }
    if (f->at == f->bad) {
        f->tokens[n_tokens - 1].id = VOCABULARY;
    }
    f->sequence =
        (struct sonde_sequence){ .source = f->at, .n_tokens = n_tokens, .tokens = f->tokens };
    f->at++;
    *out = &f->sequence;
    return SONDE_STATUS_OK;
}

static struct sonde_model *open_recipe(const struct model_recipe *recipe, char **folder)
{
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    *folder = model_make(recipe);
    check_ok(sonde_model_open(&model, *folder,
                              &(struct sonde_model_options){ .allow_missing_tokenizer = true },
                              &error),
             &error);
    return model;
}

static enum sonde_status record(const struct sonde_model *model,
                                const struct sonde_recorder_options *options, int bad,
                                struct sonde_recorder_stats *stats, char hex[65],
                                struct sonde_error *error)
{
    struct feed feed = { .n = N_SEQUENCES, .bad = bad };
    const struct sonde_sequence_reader reader = { &feed, feed_next };
    struct sonde_sink *sink = NULL;
    int64_t n_streams = sonde_site_set_count(options->sites);
    n_streams += options->gradients ? sonde_site_set_count(options->gradients) : 0;
    check_ok(sonde_sink_digest_create(&sink, n_streams, hex, error), error);
    enum sonde_status status = sonde_recorder_run(model, &reader, sink, options, stats, error);
    if (status == SONDE_STATUS_OK) {
        check_ok(sink->finish(sink, error), error);
    } else {
        sink->abandon(sink);
    }
    return status;
}

/* Bit for bit the same alone and packed, on 1 to 3 threads and in little memory. */
static void check_packing(const struct sonde_model *model, struct sonde_recorder_options options)
{
    struct sonde_error error = { 0 };
    struct sonde_recorder_stats stats;
    char alone[65], packed[65];
    options.n_threads = 1;
    options.packing = SONDE_PACKING_NEVER;
    check_ok(record(model, &options, -1, &stats, alone, &error), &error);
    assert_int_equal(stats.n_packed, 0);
    for (int n = 1; n <= 4; n++) {
        options.n_threads = n < 4 ? n : 2;
        options.mem_bytes = n < 4 ? 0 : 12 << 20;
        options.packing = n % 2 ? SONDE_PACKING_AUTO : SONDE_PACKING_ALWAYS;
        check_ok(record(model, &options, -1, &stats, packed, &error), &error);
        assert_string_equal(packed, alone);
        assert_true(n == 4 || stats.n_packed > N_SEQUENCES / 2);
        assert_int_equal(stats.n_sequences, N_SEQUENCES);
    }
}

static void test_families(void **state)
{
    (void)state;
    int n_checked = 0;
    for (int i = 0; i < N_RECIPES; i++) {
        char *folder;
        struct sonde_model *model = open_recipe(&recipes[i], &folder);
        struct sonde_recorder_options options = { .sites = sonde_model_sites(model) };
        if (sonde_model_rows_stand_alone(model)) { /* the last one: not on every BLAS */
            check_packing(model, options);
            n_checked++;
        }
        sonde_model_close(&model);
        model_remove(folder);
    }
    assert_true(n_checked >= N_RECIPES - 1);
}

/* Edits that leave rows alone, change them inside norms, and change maps and heads' shares. */
static void test_edits(void **state)
{
    const char *const edits[] = { "zero blocks.0.ln1.hook_normalized[positions=1]",
                                  "zero blocks.0.attn.hook_pattern[heads=1;positions=2-5;keys=0]",
                                  "set blocks.1.attn.hook_result[heads=0;neurons=3] 2.5",
                                  "set blocks.1.hook_mlp_out[positions=4] -1",
                                  "set blocks.1.ln2.hook_scale[positions=0,3] 1.5" };
    (void)state;
    for (int i = 0; i < 3; i += 2) {
        char *folder;
        struct sonde_error error = { 0 };
        struct sonde_model *model = open_recipe(&recipes[i], &folder);
        struct sonde_edits *list = NULL;
        check_ok(
            sonde_edits_create(&list, edits, 5, model, &(struct sonde_edits_options){ 0 }, &error),
            &error);
        struct sonde_edit_pass pass = { .edits = list };
        struct sonde_hook hook = sonde_edits_hook(&pass);
        struct sonde_recorder_options options = { .sites = sonde_model_sites(model),
                                                  .hooks = &hook,
                                                  .n_hooks = 1 };
        check_packing(model, options);
        sonde_edits_destroy(&list);
        sonde_model_close(&model);
        model_remove(folder);
    }
}

/* Not observing changes nothing either: few sites, and the same values among all of them. */
static void test_few_sites(void **state)
{
    char *folder;
    struct sonde_error error = { 0 };
    struct sonde_model *model = open_recipe(&recipes[2], &folder);
    struct sonde_site_set sites = { 0 };
    (void)state;
    check_ok(sonde_site_set_parse(&sites, "resid,blocks.1.attn.hook_pattern",
                                  sonde_model_sites(model), 2, &error),
             &error);
    check_packing(model, (struct sonde_recorder_options){ .sites = &sites });
    sonde_model_close(&model);
    model_remove(folder);
}

/* Gradients take a pass for each sequence, and the values beside them are those of the packs. */
static void test_values_beside_gradients(void **state)
{
    char *folder;
    struct sonde_error error = { 0 };
    struct sonde_model *model = open_recipe(&recipes[2], &folder);
    struct sonde_site_set sites = { 0 };
    struct sonde_stream streams[6];
    struct sonde_source *source[2];
    struct sonde_recorder_stats stats;
    (void)state;
    check_ok(sonde_site_set_parse(&sites, "resid", sonde_model_sites(model), 2, &error), &error);
    sonde_recorder_streams(model, &sites, SONDE_DTYPE_F32, streams);
    sonde_recorder_gradient_streams(model, &sites, SONDE_DTYPE_F32, streams + 3);
    for (int i = 0; i < 2; i++) {
        struct sonde_recorder_options options = { .sites = &sites, .n_threads = 2 };
        options.gradients = i ? &sites : NULL;
        options.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = -1, .id = 3 };
        struct feed feed = { .n = N_SEQUENCES, .bad = -1 };
        const struct sonde_sequence_reader reader = { &feed, feed_next };
        struct sonde_sink *sink = NULL;
        check_ok(sonde_memory_create(&sink, &source[i], streams, i ? 6 : 3, &error), &error);
        check_ok(sonde_recorder_run(model, &reader, sink, &options, &stats, &error), &error);
        check_ok(sink->finish(sink, &error), &error);
        assert_true(i ? stats.n_packed == 0 : stats.n_packed > 0);
    }
    const int64_t n = source[0]->n_tokens;
    float *a = malloc((size_t)n * 20 * sizeof *a), *b = malloc((size_t)n * 20 * sizeof *b);
    for (int64_t s = 0; s < 3; s++) {
        check_ok(source[0]->read_rows(source[0], s, 0, n, a, &error), &error);
        check_ok(source[1]->read_rows(source[1], s, 0, n, b, &error), &error);
        assert_memory_equal(a, b, (size_t)n * 20 * sizeof *a);
    }
    free(a);
    free(b);
    source[0]->destroy(&source[0]);
    source[1]->destroy(&source[1]);
    sonde_model_close(&model);
    model_remove(folder);
}

/* A bad sequence in a pack is named by its own number, whatever stood beside it. */
static void test_bad_token(void **state)
{
    char *folder, hex[65];
    struct sonde_model *model = open_recipe(&recipes[0], &folder);
    (void)state;
    for (int bad = 0; bad < N_SEQUENCES; bad += 37) {
        for (int threads = 1; threads < 3; threads++) {
            struct sonde_recorder_options options = { .sites = sonde_model_sites(model),
                                                      .n_threads = threads };
            struct sonde_recorder_stats stats;
            struct sonde_error error = { 0 };
            assert_int_equal(record(model, &options, bad, &stats, hex, &error),
                             SONDE_STATUS_ARGUMENT);
            char want[32];
            snprintf(want, sizeof want, "sequence %d: token %d ", bad, bad * 11 % TOKENS_MAX);
            assert_non_null(strstr(error.text, want));
            assert_int_equal(stats.n_sequences, bad);
        }
    }
    sonde_model_close(&model);
    model_remove(folder);
}

/* The passes that cannot take several sequences say so. */
static void test_refused(void **state)
{
    char *folder;
    struct sonde_error error = { 0 };
    struct sonde_model *model = open_recipe(&recipes[2], &folder);
    struct sonde_session *session = NULL;
    const int32_t ids[] = { 1, 2, 3 };
    float logits[VOCABULARY];
    const struct sonde_forward_segment two[] = { { .ids = ids, .n_tokens = 3 },
                                                 { .ids = ids, .n_tokens = 2 } };
    struct sonde_forward_args args = { .segments = two, .n_segments = 2 };
    (void)state;
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    check_ok(sonde_forward(session, &args, &error), &error);
    args.logits_last = logits;
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_UNSUPPORTED);
    sonde_session_destroy(&session);
    args.logits_last = NULL;
    check_ok(sonde_session_create(&session, model, &(struct sonde_session_options){ .cache = true },
                                  &error),
             &error);
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_UNSUPPORTED);
    sonde_session_destroy(&session);
    /* Too little scratch. */
    check_ok(sonde_session_create(&session, model,
                                  &(struct sonde_session_options){ .max_bytes = 4096 }, &error),
             &error);
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_LIMIT);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

/* The plan of a pack is an upper bound of what it takes. */
static void test_plan(void **state)
{
    (void)state;
    for (int i = 0; i < N_RECIPES; i++) {
        char *folder;
        struct sonde_error error = { 0 };
        struct sonde_model *model = open_recipe(&recipes[i], &folder);
        for (int n = 1; n < 40; n += 9) {
            int32_t ids[TOKENS_MAX] = { 0 };
            struct sonde_forward_segment segment[40];
            int64_t rows = 0, longest = 0;
            for (int s = 0; s < n; s++) {
                const int64_t T = 1 + s * 7 % TOKENS_MAX;
                segment[s] = (struct sonde_forward_segment){ .ids = ids, .n_tokens = T };
                rows += T;
                longest = T > longest ? T : longest;
            }
            const struct sonde_forward_args args = { .segments = segment,
                                                     .n_segments = n,
                                                     .no_logits = true };
            struct sonde_site_set none = { 0 };
            struct sonde_session *session = NULL;
            check_ok(sonde_session_create(&session, model, NULL, &error), &error);
            check_ok(sonde_forward(session, &args, &error), &error);
            assert_true(sonde_session_peak_bytes(session) <=
                        sonde_session_plan_pack_bytes(model, rows, longest, &none));
            sonde_session_destroy(&session);
        }
        sonde_model_close(&model);
        model_remove(folder);
    }
}

/* Whatever multiplies: also what oneDNN does not take, the heads' shares, with a kernel of OpenBLAS
 * that counts rows. */
static void test_kernel(void **state)
{
    const struct model_recipe wide = {
        .family = "llama", .D = 260, .H = 1, .F = 20, .L = 1, .V = VOCABULARY, .n_ctx = 40
    };
    char *folder = model_make(&wide);
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct sonde_error error = { 0 };
        struct sonde_model *model = NULL;
        struct sonde_recorder_stats stats;
        char alone[65], together[65];
        const struct sonde_model_options how = {
            .allow_missing_tokenizer = true,
            .gemm = i > 0 ? SONDE_GEMM_ONEDNN : SONDE_GEMM_OPENBLAS,
            .compute = i > 1 ? SONDE_COMPUTE_BF16 : SONDE_COMPUTE_F32,
        };
        enum sonde_status status = sonde_model_open(&model, folder, &how, &error);
        if (i > 0 && status == SONDE_STATUS_UNSUPPORTED) {
            fprintf(stderr, "# %s\n", error.text);
            break;
        }
        check_ok(status, &error);
        struct sonde_recorder_options options = { .sites = sonde_model_sites(model),
                                                  .n_threads = 1 };
        check_ok(record(model, &options, -1, &stats, together, &error), &error);
        options.packing = SONDE_PACKING_NEVER;
        check_ok(record(model, &options, -1, &stats, alone, &error), &error);
        assert_string_equal(together, alone);
        sonde_model_close(&model);
    }
    model_remove(folder);
}

/* OPENBLAS_CORETYPE, where it is set, is Haswell: a machine that cannot run that has other tests.
 */
static bool kernel_runs(void)
{
#if defined(__x86_64__)
    return !getenv("OPENBLAS_CORETYPE") ||
           (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#else
    return !getenv("OPENBLAS_CORETYPE");
#endif
}

static void test_no_such_kernel(void **state)
{
    (void)state;
    fprintf(stderr, "# SKIP this machine cannot run %s\n", getenv("OPENBLAS_CORETYPE"));
    skip();
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "kernel") == 0) {
        const struct CMUnitTest tests[] = {
            kernel_runs() ? (struct CMUnitTest)cmocka_unit_test(test_kernel)
                          : (struct CMUnitTest)cmocka_unit_test(test_no_such_kernel)
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),  cmocka_unit_test(test_edits),
        cmocka_unit_test(test_few_sites), cmocka_unit_test(test_values_beside_gradients),
        cmocka_unit_test(test_bad_token), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_plan),      cmocka_unit_test(test_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
