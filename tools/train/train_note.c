/* What a checkpoint says of the training that it belongs to: the recipe, and the data. */
#include <string.h>

#include "core/tensor/safetensors.h"
#include "tools/train/train_run.h"

static void add_count(struct sonde_sha256 *hash, int64_t n)
{
    sonde_sha256_update(hash, &n, sizeof(n));
}

/* A part that is left out differs from one of no bytes. */
static void add_part(struct sonde_sha256 *hash, const void *part, int64_t n_bytes)
{
    add_count(hash, part ? n_bytes : -1);
    if (part)
        sonde_sha256_update(hash, part, (size_t)n_bytes);
}

static enum sonde_status add_examples(struct sonde_sha256 *hash, struct sonde_examples *examples,
                                      const struct sonde_progress *progress,
                                      struct sonde_error *error)
{
    const struct sonde_example_source source = sonde_examples_source(examples);
    add_count(hash, source.n);
    for (int64_t i = 0; i < source.n; i++) {
        struct sonde_example e;
        enum sonde_status status = source.get(source.ctx, i, &e, error);
        if (status)
            return status;
        add_part(hash, e.ids, e.n_tokens * (int64_t)sizeof(*e.ids));
        add_part(hash, e.token_types, e.n_tokens * (int64_t)sizeof(*e.token_types));
        add_part(hash, e.targets, e.n_tokens * (int64_t)sizeof(*e.targets));
        add_part(hash, e.hot, e.n_tokens * e.n_hot);
        add_part(hash, e.counts, e.n_tokens * (int64_t)sizeof(*e.counts));
        if (!sonde_progress_update(progress, "hash", i + 1, source.n, "examples"))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_train_note_make(struct sonde_train_run *run, struct sonde_error *error)
{
    const struct sonde_train_input *in = run->input;
    uint8_t digest[SONDE_SHA256_BYTES];
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash)
        return sonde_error_memory(error, "hashing");
    add_count(hash, in->n_files);
    for (int i = 0; i < in->n_files; i++) {
        add_part(hash, in->file[i].name, (int64_t)strlen(in->file[i].name));
        add_part(hash, in->file[i].bytes.data ? in->file[i].bytes.data : "",
                 (int64_t)in->file[i].bytes.size);
    }
    enum sonde_status status = add_examples(hash, in->train, run->options.progress, error);
    for (int64_t i = 0; i < in->recipe->n_validations && !status; i++)
        status = add_examples(hash, in->validation[i], run->options.progress, error);
    sonde_sha256_digest(hash, digest);
    sonde_sha256_destroy(&hash);
    memcpy(run->note, run->recipe_hash, SONDE_SHA256_HEX - 1);
    sonde_sha256_hex(digest, run->note + SONDE_SHA256_HEX - 1);
    return status;
}

enum sonde_status sonde_train_note_check(const struct sonde_train_run *run, const char *state,
                                         struct sonde_error *error)
{
    struct sonde_safetensors *file = NULL;
    enum sonde_status status = sonde_safetensors_open(&file, state, error);
    if (status)
        return status;
    const char *note = sonde_safetensors_metadata(file, "note");
    if (note && strncmp(note, run->recipe_hash, SONDE_SHA256_HEX - 1) == 0 &&
        strcmp(note, run->note) != 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "the corpus, a validation or the tokenizer is not what it was "
                                 "when %s was made: --resume needs the same data",
                                 state);
    sonde_safetensors_close(&file);
    return status;
}
