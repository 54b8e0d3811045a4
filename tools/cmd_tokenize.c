/* sonde tokenize: text to ids, with the pieces and the bytes that they cover. */
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/model/model.h"
#include "tools/bundled.h"
#include "tools/commands.h"
#include "tools/input.h"

#define TEXT_BYTES_MAX ((int64_t)1 << 30)

struct tokenize_options {
    int bos;
};

static const struct sonde_cli_option options[] = {
    { "bos", 0, SONDE_CLI_CHOICE, offsetof(struct tokenize_options, bos), NULL,
      "token at the beginning (default auto: as the tokenizer's files say)", sonde_input_bos_names,
      0, 0 },
    { 0 },
};

struct tokenized {
    const struct sonde_tokenizer *tokenizer;
    struct sonde_table *table;
    bool several; /* texts: the table says which */
    int64_t n_tokens, n_unknown;
};

static enum sonde_status add_rows(struct tokenized *to, int64_t index,
                                  const struct sonde_encoding *encoding, struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < encoding->n; i++) {
        const struct sonde_encoded_token *token = &encoding->tokens[i];
        int64_t c = 0;
        sonde_buf_clear(&text);
        status = sonde_tokenizer_token_text(to->tokenizer, token->id, &text, error);
        sonde_table_add_row(to->table);
        if (to->several)
            sonde_table_i64(to->table, c++, index);
        sonde_table_i64(to->table, c++, i);
        sonde_table_i64(to->table, c++, token->id);
        sonde_table_text(to->table, c++, sonde_tokenizer_piece(to->tokenizer, token->id));
        if (token->end > token->begin) {
            sonde_table_i64(to->table, c, token->begin);
            sonde_table_i64(to->table, c + 1, token->end);
        }
        sonde_table_text(to->table, c + 2, text.data ? text.data : "");
        to->n_unknown += (token->flags & SONDE_TOKEN_UNKNOWN) != 0;
    }
    to->n_tokens += encoding->n;
    sonde_buf_finish(&text);
    return status;
}

static enum sonde_status tokenize_text(struct tokenized *to, int64_t index, const char *text,
                                       size_t n, enum sonde_bos_policy bos,
                                       struct sonde_error *error)
{
    struct sonde_encoding encoding = { 0 };
    enum sonde_status status =
        sonde_tokenizer_encode(to->tokenizer, text, n, bos, &encoding, error);
    if (!status)
        status = add_rows(to, index, &encoding, error);
    sonde_encoding_finish(&encoding);
    return status;
}

static enum sonde_status tokenize_all(const struct sonde_cli *cli, struct tokenized *to,
                                      struct sonde_error *error)
{
    const struct tokenize_options *given = cli->options;
    enum sonde_bos_policy bos = (enum sonde_bos_policy)given->bos;
    if (cli->n_args == 1) {
        struct sonde_buf text = { .max = (size_t)TEXT_BYTES_MAX };
        enum sonde_status status = sonde_file_load("-", TEXT_BYTES_MAX, &text, error);
        if (!status)
            status = tokenize_text(to, 0, text.data ? text.data : "", text.size, bos, error);
        sonde_buf_finish(&text);
        return status;
    }
    for (int64_t i = 1; i < cli->n_args; i++) {
        enum sonde_status status =
            tokenize_text(to, i - 1, cli->arg[i], strlen(cli->arg[i]), bos, error);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    static const char *const columns[] = { "sequence", "index", "id",   "piece",
                                           "begin",    "end",   "text", NULL };
    struct sonde_model *model = NULL;
    struct sonde_result *result = NULL;
    enum sonde_status status = sonde_bundled_open(&model, cli->arg[0], NULL, error);
    if (!status) {
        const struct tokenize_options *given = cli->options;
        struct tokenized to = { .tokenizer = sonde_model_tokenizer(model),
                                .several = cli->n_args > 2 };
        result = sonde_result_create("tokenize");
        if (result) {
            sonde_result_parameter_text(result, "model", cli->arg[0]);
            sonde_result_parameter_text(result, "bos", sonde_input_bos_names[given->bos]);
            to.table = sonde_result_add_table(result, "tokens", columns + !to.several);
            status = tokenize_all(cli, &to, error);
            sonde_result_scalar_i64(result, "tokens", to.n_tokens);
            if (to.n_unknown)
                sonde_result_warn(result, "%lld of %lld tokens are the tokenizer's unknown token",
                                  (long long)to.n_unknown, (long long)to.n_tokens);
        }
    }
    int code = sonde_cli_finish(cli, &result, status, SONDE_EXIT_OK, error);
    sonde_model_close(&model);
    return code;
}

const struct sonde_command sonde_command_tokenize = {
    .name = "tokenize",
    .synopsis = "MODEL [TEXT..] [--bos auto|always|never]",
    .summary = "show ids, pieces and byte spans of a text",
    .description = "Prints the tokens that the model would be fed. Without TEXT the text is read "
                   "from standard input.\n"
                   "\n"
                   "  sonde tokenize MODEL 'Once upon a time'",
    .options = options,
    .options_size = sizeof(struct tokenize_options),
    .args = "MODEL [TEXT..]",
    .run = run,
};
