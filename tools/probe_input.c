#include "tools/probe_input.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tools/recording.h"

void sonde_probe_input_finish(struct sonde_probe_input *input)
{
    if (input->source)
        input->source->destroy(&input->source);
    for (int i = 0; i < input->n_temporary; i++)
        sonde_store_close(&input->temporary[i]);
    input->n_temporary = 0;
    sonde_store_close(&input->store);
    sonde_edits_destroy(&input->edits);
    sonde_model_close(&input->model);
}

#define CACHE_BYTES_MAX ((int64_t)64 << 20)

int64_t sonde_probe_input_cache_bytes(const struct sonde_probe_input *input)
{
    int64_t share = input->mem_bytes / 8;
    return share < CACHE_BYTES_MAX ? share : CACHE_BYTES_MAX;
}

int64_t sonde_probe_input_left_bytes(const struct sonde_probe_input *input)
{
    struct rusage usage;
    int64_t held = getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
    int64_t left = input->mem_bytes - held - 2 * sonde_probe_input_cache_bytes(input);
    return left > input->mem_bytes / 4 ? left : input->mem_bytes / 4;
}

bool sonde_probe_input_is_store(const char *path)
{
    static const char magic[16] = "SQLite format 3";
    char head[sizeof(magic)];
    struct sonde_file *file = NULL;
    if (sonde_file_open(&file, path, NULL) != SONDE_STATUS_OK)
        return false;
    bool is_store = sonde_file_size(file) >= (int64_t)sizeof(head) &&
                    sonde_file_read(file, 0, head, sizeof(head), NULL) == SONDE_STATUS_OK &&
                    memcmp(head, magic, sizeof(magic)) == 0;
    sonde_file_close(&file);
    return is_store;
}

/* From where the store says that the model was. */
static enum sonde_status open_recorded_model(struct sonde_probe_input *input,
                                             struct sonde_error *error)
{
    struct sonde_store_runs runs = { 0 };
    enum sonde_status status = sonde_store_list_runs(input->store, &runs, error);
    if (status != SONDE_STATUS_OK)
        return status;
    const char *path = NULL;
    for (int64_t i = 0; i < runs.n; i++) {
        if (sonde_str_equal(runs.run[i].name, input->source->run_name))
            path = runs.run[i].model_path;
    }
    struct sonde_model_options model_options = { .allow_missing_tokenizer = true };
    if (!path || !*path)
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                                 "the store does not say where the model is: give --model");
    else
        status = sonde_model_open(&input->model, path, &model_options, error);
    sonde_store_runs_finish(&runs);
    if (status != SONDE_STATUS_OK)
        sonde_error_prepend(error, "the model of run '%s'", input->source->run_name);
    return status;
}

static enum sonde_status check_recorded_model(const struct sonde_probe_input *input,
                                              struct sonde_error *error)
{
    const char *hash = NULL;
    enum sonde_status status = sonde_model_hash(input->model, &hash, error);
    if (status != SONDE_STATUS_OK)
        return status;
    const char *recorded = input->source->model_hash;
    if (recorded && *recorded && !sonde_str_equal(hash, recorded))
        return sonde_error_set(
            error, SONDE_STATUS_ARGUMENT, "%s: weights %.12s, but run '%s' was recorded with %.12s",
            sonde_model_path(input->model), hash, input->source->run_name, recorded);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_probe_input_open_model(struct sonde_probe_input *input,
                                               struct sonde_error *error)
{
    enum sonde_status status = input->model ? SONDE_STATUS_OK : open_recorded_model(input, error);
    return status == SONDE_STATUS_OK ? check_recorded_model(input, error) : status;
}

enum sonde_status sonde_probe_input_is_edited(const struct sonde_probe_input *input, bool *out,
                                              struct sonde_error *error)
{
    struct sonde_store_runs runs = { 0 };
    enum sonde_status status = sonde_store_list_runs(input->store, &runs, error);
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < runs.n; i++) {
        if (sonde_str_equal(runs.run[i].name, input->source->run_name))
            *out = !sonde_str_equal(runs.run[i].edits_json, "[]");
    }
    sonde_store_runs_finish(&runs);
    return status;
}

void sonde_probe_input_set_edits(struct sonde_probe_input *input, struct sonde_edits *edits)
{
    input->edits = edits;
    input->pass = (struct sonde_edit_pass){ .edits = edits };
    if (edits)
        input->hook = sonde_edits_hook(&input->pass);
}

/* A fresh store in the folder for temporary files. SQLite needs a name to open; the file is
 * unlinked once its source is open, so nothing stays behind however the program ends after that. */
static enum sonde_status open_temporary(struct sonde_probe_input *input, char **path,
                                        struct sonde_store **out, struct sonde_error *error)
{
    if (input->n_temporary == SONDE_PROBE_TEMPORARY_MAX)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "more than %d sets of activations made on the spot",
                               SONDE_PROBE_TEMPORARY_MAX);
    const char *folder = getenv("TMPDIR");
    char *template = sonde_path_join(folder && *folder ? folder : "/tmp", "sonde-XXXXXX");
    if (!template)
        return sonde_error_memory(error, "the name of a temporary store");
    int fd = mkstemp(template);
    if (fd < 0) {
        enum sonde_status status = sonde_error_set(error, SONDE_STATUS_IO,
                                                   "%s: cannot create a temporary store", template);
        free(template);
        return status;
    }
    close(fd);
    enum sonde_status status = sonde_store_open(out, template, SONDE_STORE_CREATE, error);
    if (status != SONDE_STATUS_OK) {
        unlink(template);
        free(template);
        return status;
    }
    *path = template;
    input->temporary[input->n_temporary++] = *out;
    return SONDE_STATUS_OK;
}

static enum sonde_status record_into(struct sonde_probe_input *input, struct sonde_store *store,
                                     const struct sonde_model *model,
                                     const struct sonde_sequence_reader *reader,
                                     const struct sonde_site_set *sites, struct sonde_error *error)
{
    const char *hash = NULL;
    enum sonde_status status = sonde_model_hash(model, &hash, error);
    if (status != SONDE_STATUS_OK)
        return status;
    int64_t n_streams = sonde_site_set_count(sites);
    struct sonde_stream *streams = calloc((size_t)n_streams, sizeof(*streams));
    if (!streams)
        return sonde_error_memory(error, "streams");
    sonde_recorder_streams(model, sites, SONDE_DTYPE_F32, streams);
    struct sonde_store_model store_model = sonde_recording_describe_model(model, hash);
    struct sonde_run_info info = {
        .name = "on-the-spot",
        .command_line = input->cli->command_line,
        .input = "on the spot",
        .options_json = "{}",
        .edits_json = "[]",
        .machine = "",
        .seed = (uint64_t)input->cli->common.seed,
    };
    struct sonde_sink *sink = NULL;
    int64_t n_done = 0;
    status = sonde_store_begin_run(store, &store_model, &info, streams, n_streams, 0, &sink,
                                   &n_done, error);
    free(streams);
    if (status != SONDE_STATUS_OK)
        return status;
    bool edited = input->edits && model == input->model;
    struct sonde_recorder_options options = {
        .hooks = &input->hook,
        .n_hooks = edited,
        .sites = sites,
        .dtype = SONDE_DTYPE_F32,
        .n_threads = (int)input->cli->common.threads,
        .mem_bytes = sonde_probe_input_left_bytes(input),
        .progress = &input->cli->progress,
    };
    struct sonde_recorder_stats stats;
    status = sonde_recorder_run(model, reader, sink, &options, &stats, error);
    if (status != SONDE_STATUS_OK) {
        sink->abandon(sink);
        return status;
    }
    return sink->finish(sink, error);
}

enum sonde_status sonde_probe_input_record(struct sonde_probe_input *input,
                                           const struct sonde_model *model,
                                           const struct sonde_sequence_reader *reader,
                                           const char *patterns, struct sonde_source **out,
                                           struct sonde_error *error)
{
    struct sonde_site_set sites, gradients;
    enum sonde_status status =
        sonde_site_set_parse_both(&sites, &gradients, patterns, sonde_model_sites(model),
                                  sonde_model_spec(model)->n_layers, error);
    if (status == SONDE_STATUS_OK && !sonde_site_set_is_empty(&gradients))
        return sonde_error_set(
            error, SONDE_STATUS_UNSUPPORTED,
            "gradients are read from a store (sonde record --sites grad:..), and "
            "have no baseline on the spot");
    if (status != SONDE_STATUS_OK)
        return status;
    char *path = NULL;
    struct sonde_store *store = NULL;
    status = open_temporary(input, &path, &store, error);
    if (status != SONDE_STATUS_OK)
        return status;
    status = record_into(input, store, model, reader, &sites, error);
    /* Opened anew for reading: a store that was written keeps four times the pages in memory. */
    if (status == SONDE_STATUS_OK) {
        sonde_store_close(&store);
        status = sonde_store_open(&store, path, SONDE_STORE_READ, error);
        input->temporary[input->n_temporary - 1] = store;
    }
    if (status == SONDE_STATUS_OK)
        status =
            sonde_store_open_source(store, NULL, sonde_probe_input_cache_bytes(input), out, error);
    unlink(path);
    free(path);
    return status;
}

/* Token ids of a source, fed again. */
struct replay {
    const struct sonde_source *source;
    int64_t next_sequence;
    struct sonde_token *tokens; /* of the current sequence */
    int64_t capacity;
    struct sonde_sequence sequence;
};

static enum sonde_status replay_next(void *self, const struct sonde_sequence **out,
                                     struct sonde_error *error)
{
    struct replay *replay = self;
    const struct sonde_source *source = replay->source;
    if (replay->next_sequence == source->n_sequences) {
        *out = NULL;
        return SONDE_STATUS_OK;
    }
    const struct sonde_source_sequence *from = &source->sequences[replay->next_sequence++];
    if (!sonde_grow((void **)&replay->tokens, &replay->capacity, from->n_tokens,
                    sizeof(*replay->tokens), INT32_MAX))
        return sonde_error_memory(error, "a sequence");
    for (int64_t t = 0; t < from->n_tokens; t++) {
        int64_t row = from->first_row + t;
        replay->tokens[t] = (struct sonde_token){
            .id = source->token_id[row],
            .position = (int32_t)t,
            .begin = -1,
            .end = -1,
            .flags = source->token_flags[row],
            .text = "",
        };
    }
    replay->sequence = (struct sonde_sequence){
        .source = from->source,
        .window = from->window,
        .n_tokens = from->n_tokens,
        .tokens = replay->tokens,
    };
    *out = &replay->sequence;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_probe_input_baseline(void *ctx, const char *kind, const char *patterns,
                                             struct sonde_source **out, int64_t *mem_bytes,
                                             struct sonde_error *error)
{
    struct sonde_probe_input *input = ctx;
    if (!sonde_str_equal(kind, "random-weights"))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "unknown baseline '%s' (known: random-weights)", kind);
    enum sonde_status status = sonde_probe_input_open_model(input, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct sonde_model_options options = {
        .allow_missing_tokenizer = true,
        .random_weights = true,
        .seed = (uint64_t)input->cli->common.seed,
    };
    struct sonde_model *random = NULL;
    status = sonde_model_open(&random, sonde_model_path(input->model), &options, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct replay replay = { .source = input->source };
    struct sonde_sequence_reader reader = { .self = &replay, .next = replay_next };
    status = sonde_probe_input_record(input, random, &reader, patterns, out, error);
    free(replay.tokens);
    sonde_model_close(&random);
    int64_t left = sonde_probe_input_left_bytes(input);
    *mem_bytes = left < *mem_bytes ? left : *mem_bytes;
    return status;
}
