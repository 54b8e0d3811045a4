/* Which reader opens a path: by what lies there. */
#include <stdlib.h>

#include "core/base/file.h"
#include "core/text/tokenizer_internal.h"

static enum sonde_status find_beside(bool *there, const char *folder, const char *name,
                                     struct sonde_error *error)
{
    char *path = sonde_path_join(folder, name);

    if (!path)
        return sonde_error_memory(error, "a path");
    *there = sonde_path_exists(path);
    free(path);
    return SONDE_STATUS_OK;
}

static enum sonde_status open_json(struct sonde_tokenizer **out, const char *path,
                                   struct sonde_error *error)
{
    struct sonde_buf text = { 0 };

    enum sonde_status status = sonde_file_load(path, SONDE_TOKENIZER_MAX_FILE_BYTES, &text, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_parse(out, text.data ? text.data : "", text.size, path, error);
    sonde_buf_finish(&text);
    return status;
}

/* tokenizer.json, else vocab.json and merges.txt; names of special tokens from the files beside. */
static enum sonde_status open_folder(struct sonde_tokenizer **out, const char *folder,
                                     struct sonde_error *error)
{
    bool json = false, vocab = false, merges = false;
    struct sonde_tokenizer *t = NULL;

    enum sonde_status status = find_beside(&json, folder, "tokenizer.json", error);
    if (status == SONDE_STATUS_OK)
        status = find_beside(&vocab, folder, "vocab.json", error);
    if (status == SONDE_STATUS_OK)
        status = find_beside(&merges, folder, "merges.txt", error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (json) {
        char *path = sonde_path_join(folder, "tokenizer.json");
        status = path ? open_json(&t, path, error) : sonde_error_memory(error, "a path");
        free(path);
    } else if (vocab && merges) {
        status = sonde_tokenizer_open_gpt2(&t, folder, error);
    } else {
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                                 "%s: no tokenizer.json, nor vocab.json with merges.txt", folder);
    }
    if (status == SONDE_STATUS_OK)
        status = sonde_tokenizer_read_config(t, folder, error);
    if (status == SONDE_STATUS_OK)
        *out = t;
    else
        sonde_tokenizer_close(&t);
    return status;
}

enum sonde_status sonde_tokenizer_open(struct sonde_tokenizer **out, const char *path,
                                       int64_t vocab_size, struct sonde_error *error)
{
    if (!path || !sonde_path_exists(path))
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: no such file",
                               path ? path : "(no path)");
    if (sonde_path_is_directory(path))
        return open_folder(out, path, error);
    if (sonde_str_ends(path, ".bin"))
        return sonde_tokenizer_open_llama2c(out, path, vocab_size, error);
    if (sonde_str_ends(path, ".model"))
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: a SentencePiece model; a tokenizer.json of it is needed", path);
    return open_json(out, path, error);
}
