/* sonde tokenizer train: a byte-level BPE vocabulary from text. */
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/corpus/corpus.h"
#include "core/text/bpe_train.h"
#include "core/text/tokenizer.h"
#include "tools/commands.h"

struct tokenizer_options {
    const char *file, *jsonl, *field, *bos, *output;
    bool whole, replace;
    int64_t vocab_size, min_frequency;
    struct sonde_cli_texts special;
};

static const struct tokenizer_options defaults = { .vocab_size = 2048, .min_frequency = 2 };

static const struct sonde_cli_option options[] = {
    { "file", 0, SONDE_CLI_TEXT, offsetof(struct tokenizer_options, file), "FILE",
      "learn from this text, a line at a time", NULL, 0, 0 },
    { "whole", 0, SONDE_CLI_FLAG, offsetof(struct tokenizer_options, whole), NULL,
      "the whole of --file is one text, line ends included", NULL, 0, 0 },
    { "jsonl", 0, SONDE_CLI_TEXT, offsetof(struct tokenizer_options, jsonl), "FILE",
      "learn from a JSON object a line; --field holds the text", NULL, 0, 0 },
    { "field", 0, SONDE_CLI_TEXT, offsetof(struct tokenizer_options, field), "NAME",
      "field of --jsonl (default text)", NULL, 0, 0 },
    { "vocab-size", 0, SONDE_CLI_INTEGER, offsetof(struct tokenizer_options, vocab_size), "N",
      "ids in all: 256 bytes, the special tokens and what is learned (default 2048)", NULL, 256,
      SONDE_BPE_TRAIN_MAX_VOCAB },
    { "min-frequency", 0, SONDE_CLI_INTEGER, offsetof(struct tokenizer_options, min_frequency), "N",
      "merge no pair that is seen less often (default 2)", NULL, 1, INT64_MAX },
    { "special", 0, SONDE_CLI_TEXTS, offsetof(struct tokenizer_options, special), "TEXT",
      "a special token (repeatable); they get the first ids", NULL, 0, 0 },
    { "bos", 0, SONDE_CLI_TEXT, offsetof(struct tokenizer_options, bos), "TEXT",
      "the special token that stands before every text", NULL, 0, 0 },
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct tokenizer_options, output), "FILE|DIR",
      "where to write: a .json file, or a folder for its tokenizer.json", NULL, 0, 0 },
    { "replace", 0, SONDE_CLI_FLAG, offsetof(struct tokenizer_options, replace), NULL,
      "write over a file, or into a model's folder", NULL, 0, 0 },
    { 0 },
};

/* A file is not written over, nor put where a model lies: its ids mean what its own tokenizer says.
 */
static enum sonde_status check_output(const char *output, struct sonde_error *error)
{
    static const char *const names[] = { "tokenizer.json", "config.json", "model.safetensors" };
    const bool folder = sonde_path_is_directory(output) || !sonde_str_ends(output, ".json");
    const size_t n = folder ? strlen(output) : (size_t)(sonde_path_base(output) - output);
    const char *name = folder ? names[0] : sonde_path_base(output);
    const size_t n_names = strcmp(name, names[0]) == 0 ? sizeof(names) / sizeof(*names) : 1;

    for (size_t i = 0; i < n_names; i++) {
        struct sonde_buf path = { 0 };
        sonde_buf_append(&path, output, n);
        if (n > 0 && output[n - 1] != '/')
            sonde_buf_putc(&path, '/');
        sonde_buf_puts(&path, i == 0 ? name : names[i]);
        enum sonde_status status = sonde_buf_status(&path, error);
        if (!status && sonde_path_exists(path.data))
            status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                     "%s is there already: --replace writes the tokenizer all the "
                                     "same, or name another place",
                                     path.data);
        sonde_buf_finish(&path);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status check_options(const struct sonde_cli *cli, struct sonde_error *error)
{
    const struct tokenizer_options *given = cli->options;

    if (strcmp(cli->arg[0], "train") != 0)
        return sonde_error_set(
            error, SONDE_STATUS_ARGUMENT,
            "'%s' is nothing that can be done with a tokenizer, expected 'train'", cli->arg[0]);
    if (!given->file == !given->jsonl)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "give one of --file and --jsonl");
    if (given->field && !given->jsonl)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--field goes with --jsonl");
    if (given->whole && !given->file)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--whole goes with --file");
    if (!given->output || !*given->output)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "say with -o where to write");
    return given->replace ? SONDE_STATUS_OK : check_output(given->output, error);
}

static enum sonde_status read_texts(const struct sonde_cli *cli, struct sonde_bpe_trainer *trainer,
                                    struct sonde_error *error)
{
    const struct tokenizer_options *given = cli->options;
    struct sonde_corpus *corpus = NULL;
    const struct sonde_corpus_item *item;
    enum sonde_corpus_format format = given->jsonl   ? SONDE_CORPUS_JSONL
                                      : given->whole ? SONDE_CORPUS_WHOLE
                                                     : SONDE_CORPUS_LINES;
    enum sonde_status status = sonde_corpus_open(&corpus, given->jsonl ? given->jsonl : given->file,
                                                 format, given->field, error);
    while (!status) {
        int64_t done, total;
        status = sonde_corpus_next(corpus, &item, error);
        if (status || !item)
            break;
        status = sonde_bpe_trainer_add(trainer, item->text, (size_t)item->text_bytes, error);
        sonde_corpus_position(corpus, &done, &total);
        if (!status && !sonde_progress_update(&cli->progress, "read", done, total, "bytes"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    sonde_corpus_close(&corpus);
    return status;
}

/* *path: heap. A folder is made where it is missing. */
static enum sonde_status place_output(const char *output, char **path, struct sonde_error *error)
{
    if (!sonde_path_is_directory(output) && sonde_str_ends(output, ".json")) {
        *path = sonde_strdup(output);
    } else {
        enum sonde_status status = sonde_path_make_directory(output, error);
        if (status)
            return status;
        *path = sonde_path_join(output, "tokenizer.json");
    }
    return *path ? SONDE_STATUS_OK : sonde_error_memory(error, "a path");
}

static enum sonde_status save(const struct sonde_cli *cli, const struct sonde_bpe_trainer *trainer,
                              struct sonde_result *result, struct sonde_error *error)
{
    const struct tokenizer_options *given = cli->options;
    struct sonde_tokenizer *tokenizer = NULL;
    struct sonde_buf text = { 0 };
    char *path = NULL;

    enum sonde_status status = sonde_bpe_trainer_write(trainer, &text, error);
    /* What is written must be what our own reader takes. */
    if (!status)
        status =
            sonde_tokenizer_parse(&tokenizer, text.data, text.size, "the new tokenizer", error);
    if (!status)
        status = place_output(given->output, &path, error);
    if (!status)
        status = sonde_file_save(path, text.data, text.size, error);
    if (!status)
        sonde_result_parameter_text(result, "output", path);
    free(path);
    sonde_tokenizer_close(&tokenizer);
    sonde_buf_finish(&text);
    return status;
}

static void report_on(struct sonde_result *result, const struct tokenizer_options *given,
                      const struct sonde_bpe_train_report *report)
{
    sonde_result_scalar_i64(result, "texts", report->n_texts);
    sonde_result_scalar_i64(result, "bytes", report->n_bytes);
    sonde_result_scalar_i64(result, "words", report->n_words);
    sonde_result_scalar_i64(result, "different_words", report->n_different);
    sonde_result_scalar_i64(result, "vocab_size", report->vocab_size);
    sonde_result_scalar_i64(result, "merges", report->n_merges);
    sonde_result_scalar_i64(result, "tokens", report->n_tokens);
    sonde_result_scalar_f64(result, "bytes_per_token",
                            (double)report->n_bytes / (double)report->n_tokens);
    if (report->exhausted)
        sonde_result_warn(result,
                          "the vocabulary has %lld ids, fewer than the %lld asked for: no pair is "
                          "left that is seen %lld times or more",
                          (long long)report->vocab_size, (long long)given->vocab_size,
                          (long long)given->min_frequency);
}

static enum sonde_status train(const struct sonde_cli *cli, struct sonde_result *result,
                               struct sonde_error *error)
{
    const struct tokenizer_options *given = cli->options;
    struct sonde_bpe_trainer *trainer = NULL;
    struct sonde_bpe_train_report report = { 0 };
    const struct sonde_bpe_train_options options_of_trainer = {
        .vocab_size = given->vocab_size,
        .min_frequency = given->min_frequency,
        .special = given->special.item,
        .n_special = given->special.n,
        .bos = given->bos,
    };
    enum sonde_status status = check_options(cli, error);

    if (!status)
        status = sonde_bpe_trainer_create(&trainer, &options_of_trainer, error);
    if (!status)
        status = read_texts(cli, trainer, error);
    if (!status)
        status = sonde_bpe_trainer_run(trainer, &cli->progress, &report, error);
    if (status == SONDE_STATUS_ARGUMENT && trainer)
        sonde_error_prepend(error, "%s", given->jsonl ? given->jsonl : given->file);
    if (!status) {
        sonde_result_parameter_text(result, "input", given->jsonl ? given->jsonl : given->file);
        sonde_result_parameter_i64(result, "vocab_size", given->vocab_size);
        sonde_result_parameter_i64(result, "min_frequency", given->min_frequency);
        if (given->bos)
            sonde_result_parameter_text(result, "bos", given->bos);
        status = save(cli, trainer, result, error);
        report_on(result, given, &report);
    }
    sonde_bpe_trainer_destroy(&trainer);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    struct sonde_result *result = sonde_result_create("tokenizer train");
    enum sonde_status status = result ? train(cli, result, error) : SONDE_STATUS_OK;

    return sonde_cli_finish(cli, &result, status, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_tokenizer = {
    .name = "tokenizer",
    .synopsis = "train --file FILE|--jsonl FILE [--field NAME] [--vocab-size N] -o FILE|DIR",
    .summary = "train a tokenizer",
    .description =
        "Learns a byte-level BPE vocabulary and writes it as a tokenizer.json that Sonde and "
        "Hugging Face's tokenizers read. Texts are split as for GPT-2; the pair of neighbouring "
        "symbols that is seen most often becomes a symbol, of equals the pair with the smaller "
        "ids. Every text can be encoded: all 256 bytes are in the vocabulary. A file "
        "that is there, and a model's folder, stay as they are unless --replace is given.\n"
        "\n"
        "  sonde tokenizer train --jsonl glosses.jsonl --vocab-size 2048 \\\n"
        "      --special '<|endoftext|>' --bos '<|endoftext|>' -o tokenizer.json",
    .options = options,
    .options_size = sizeof(struct tokenizer_options),
    .defaults = &defaults,
    .args = "train",
    .run = run,
};
