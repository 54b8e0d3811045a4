/* Allocations, reads and threads fail while a model is opened and run, and while a tokenizer is
 * read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/base/hash.h"
#include "core/model/edit.h"
#include "core/model/recorder.h"
#include "core/tensor/npy.h"
#include "tests/fault/fault_inject.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { N_SEQUENCES = 3, N_TOKENS = 6, N_TRIED = 500 };

struct run {
    char *folder;
    char digest[SONDE_SHA256_HEX]; /* of the undisturbed run */
    bool gradients;                /* of all sites too, through edits */
    char vector[300];              /* file of a direction */
};

struct reader {
    int64_t n_done;
    struct sonde_token tokens[N_TOKENS];
    struct sonde_sequence sequence;
};

static enum sonde_status next_sequence(void *self, const struct sonde_sequence **out,
                                       struct sonde_error *error)
{
    struct reader *reader = self;
    (void)error;
    *out = NULL;
    if (reader->n_done == N_SEQUENCES)
        return SONDE_STATUS_OK;
    for (int i = 0; i < N_TOKENS; i++)
        reader->tokens[i] = (struct sonde_token){ .id = (int32_t)(3 * reader->n_done + i),
                                                  .position = i,
                                                  .begin = -1,
                                                  .end = -1,
                                                  .text = "t" };
    reader->sequence = (struct sonde_sequence){ .source = reader->n_done++,
                                                .n_tokens = N_TOKENS,
                                                .tokens = reader->tokens };
    *out = &reader->sequence;
    return SONDE_STATUS_OK;
}

static enum sonde_status record(const struct run *run, const struct sonde_model *model,
                                const struct sonde_edits *edits, char digest[SONDE_SHA256_HEX],
                                struct sonde_error *error)
{
    const struct sonde_site_set *sites = sonde_model_sites(model);
    struct sonde_sink *sink = NULL;
    enum sonde_status status = sonde_sink_digest_create(
        &sink, (run->gradients ? 2 : 1) * sonde_site_set_count(sites), digest, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct reader reader = { 0 };
    struct sonde_sequence_reader sequences = { .self = &reader, .next = next_sequence };
    struct sonde_edit_pass pass = { .edits = edits };
    struct sonde_hook hook = { 0 };
    if (edits)
        hook = sonde_edits_hook(&pass);
    struct sonde_recorder_options options = { .sites = sites,
                                              .gradients = run->gradients ? sites : NULL,
                                              .hooks = &hook,
                                              .n_hooks = edits != NULL,
                                              .dtype = SONDE_DTYPE_F32,
                                              .n_threads = 2 };
    if (run->gradients) /* room for one sequence by layer, no more */
        options.mem_bytes = 2150 << 10;
    struct sonde_recorder_stats stats = { 0 };
    status = sonde_recorder_run(model, &sequences, sink, &options, &stats, error);
    if (status == SONDE_STATUS_OK && run->gradients)
        assert_true(stats.n_by_layer > 0);
    if (status == SONDE_STATUS_OK)
        return sink->finish(sink, error);
    sink->abandon(sink);
    return status;
}

static enum sonde_status record_edited(const struct run *run, const struct sonde_model *model,
                                       char digest[SONDE_SHA256_HEX], struct sonde_error *error)
{
    char project[400];
    const char *const texts[] = { "zero blocks.0.hook_mlp_out[neurons=1,3-4;positions=2-]",
                                  project };
    struct sonde_edits *edits = NULL;
    snprintf(project, sizeof project, "project-out hook_embed '%s'", run->vector);
    enum sonde_status status = sonde_edits_create(&edits, texts, 2, model, NULL, error);
    assert_true((status == SONDE_STATUS_OK) == (edits != NULL));
    if (status == SONDE_STATUS_OK)
        status = record(run, model, edits, digest, error);
    sonde_edits_destroy(&edits);
    return status;
}

static enum sonde_status open_and_run(void *ctx, struct sonde_error *error)
{
    struct run *run = ctx;
    struct sonde_model *model = NULL;
    struct sonde_model_options options = { .allow_missing_tokenizer = true };
    enum sonde_status status = sonde_model_open(&model, run->folder, &options, error);
    if (status != SONDE_STATUS_OK) {
        assert_null(model);
        return status;
    }
    const char *hash = NULL;
    char digest[SONDE_SHA256_HEX] = "";
    status = sonde_model_hash(model, &hash, error);
    if (status == SONDE_STATUS_OK)
        status = run->gradients ? record_edited(run, model, digest, error)
                                : record(run, model, NULL, digest, error);
    /* What is tolerated must not change a bit. */
    if (status == SONDE_STATUS_OK && run->digest[0])
        assert_string_equal(digest, run->digest);
    else if (status == SONDE_STATUS_OK)
        memcpy(run->digest, digest, sizeof(digest));
    sonde_model_close(&model);
    return status;
}

static const struct model_recipe recipes[] = {
    { .family = "llama",
      .D = 8,
      .H = 2,
      .G = 1,
      .F = 12,
      .L = 2,
      .V = 20,
      .n_ctx = 16,
      .dtype = SONDE_DTYPE_F16,
      .shards = true },
    { .family = "gpt2",
      .D = 8,
      .H = 2,
      .F = 12,
      .L = 1,
      .V = 20,
      .n_ctx = 16,
      .mask_buffers = true },
};

static void models(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
        struct run run = { .folder = model_make(&recipes[i]) };
        struct fault_report report = fault_some(FAULT_MEMORY, N_TRIED, open_and_run, NULL, &run);
        assert_true(report.n_calls > 50);
        assert_true(report.n_tolerated < report.n_calls / 2);
        report = fault_each(FAULT_READ, open_and_run, NULL, &run);
        assert_true(report.n_calls > 5);
        report = fault_each(FAULT_THREAD, open_and_run, NULL, &run);
        assert_true(report.n_calls >= 1);
        model_remove(run.folder);
    }
}

static void gradients_through_edits(void **state)
{
    struct run run = { .folder = model_make(&recipes[0]), .gradients = true };
    struct sonde_error error = { 0 };
    const float v[8] = { 1.0f, 2.0f };
    (void)state;
    snprintf(run.vector, sizeof run.vector, "%s/v.npy", run.folder);
    check_ok(sonde_npy_write(run.vector, SONDE_DTYPE_F32, 1, &(int64_t){ 8 }, v, &error), &error);
    struct fault_report report = fault_some(FAULT_MEMORY, N_TRIED, open_and_run, NULL, &run);
    assert_true(report.n_calls > 100);
    assert_true(report.n_tolerated < report.n_calls / 2);
    report = fault_each(FAULT_READ, open_and_run, NULL, &run);
    assert_true(report.n_calls > 5);
    unlink(run.vector);
    model_remove(run.folder);
}

static enum sonde_status open_tokenizer(void *ctx, struct sonde_error *error)
{
    struct sonde_tokenizer *tokenizer = NULL;
    enum sonde_status status = sonde_tokenizer_open(&tokenizer, ctx, 512, error);
    assert_true((status == SONDE_STATUS_OK) == (tokenizer != NULL));
    sonde_tokenizer_close(&tokenizer);
    return status;
}

static void try_tokenizer(const char *path)
{
    struct fault_report report =
        fault_some(FAULT_MEMORY, N_TRIED / 5, open_tokenizer, NULL, (void *)(uintptr_t)path);
    assert_true(report.n_calls > 5);
    assert_true(report.n_tolerated < report.n_calls / 2);
    fault_each(FAULT_READ, open_tokenizer, NULL, (void *)(uintptr_t)path);
}

static void tokenizer_json(void **state)
{
    (void)state;
    char path[1000];
    check_shared(path, "models/tinystories-656k/tokenizer.json");
    try_tokenizer(path);
}

static void tokenizer_llama2c(void **state)
{
    (void)state;
    char path[1000];
    check_shared(path, "models/stories260k/tok512.bin");
    try_tokenizer(path);
}

int main(void)
{
    json_set_alloc_funcs(fault_malloc, fault_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models),
        cmocka_unit_test(gradients_through_edits),
        cmocka_unit_test(tokenizer_json),
        cmocka_unit_test(tokenizer_llama2c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
