/* sonde generate: continues a prompt, greedily or by sampling, with a key-value cache. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "core/model/model.h"
#include "core/tensor/gemm.h"
#include "tools/bundled.h"
#include "tools/commands.h"
#include "tools/compute_input.h"
#include "tools/edit_input.h"
#include "tools/input.h"

struct generate_options {
    const char *prompt;
    int64_t max_tokens, top_k;
    double temperature, top_p;
    int bos;
    bool ignore_eos;
    struct sonde_edit_options edit;
    struct sonde_compute_options compute;
    int64_t edit_control;
};

static const struct generate_options defaults = { .max_tokens = 100, .top_p = 1 };

static const struct sonde_cli_option options[] = {
    { "prompt", 0, SONDE_CLI_TEXT, offsetof(struct generate_options, prompt), "TEXT",
      "the text to continue (may be empty)", NULL, 0, 0 },
    { "max-tokens", 0, SONDE_CLI_INTEGER, offsetof(struct generate_options, max_tokens), "N",
      "new tokens at most (default 100)", NULL, 1, INT64_MAX },
    { "temperature", 0, SONDE_CLI_REAL, offsetof(struct generate_options, temperature), "X",
      "0 is greedy, the default; 1 samples from the model's own distribution", NULL, 0, 1000 },
    { "top-k", 0, SONDE_CLI_INTEGER, offsetof(struct generate_options, top_k), "N",
      "sample among the N most likely tokens only", NULL, 1, INT64_MAX },
    { "top-p", 0, SONDE_CLI_REAL, offsetof(struct generate_options, top_p), "X",
      "sample among the fewest tokens whose probabilities add up to X", NULL, 0, 1 },
    { "bos", 0, SONDE_CLI_CHOICE, offsetof(struct generate_options, bos), NULL,
      "token at the beginning (default auto: as the tokenizer's files say)", sonde_input_bos_names,
      0, 0 },
    { "ignore-eos", 0, SONDE_CLI_FLAG, offsetof(struct generate_options, ignore_eos), NULL,
      "do not stop at the end-of-text token", NULL, 0, 0 },
    SONDE_COMPUTE_OPTIONS(struct generate_options, compute),
    SONDE_EDIT_OPTIONS(struct generate_options, edit),
    { "edit-control", 0, SONDE_CLI_INTEGER, offsetof(struct generate_options, edit_control), "N",
      "beside it without edits, and N times with random directions of the same norm, or as many "
      "random neurons or heads, in place of those of the edits",
      NULL, 1, 1000 },
    { 0 },
};

/* A token with its probability, for sorting. */
struct candidate {
    double p;
    int32_t id;
};

struct generator {
    struct sonde_cli *cli;
    const struct generate_options *options;
    const struct sonde_model *model;
    const struct sonde_tokenizer *tokenizer;
    struct sonde_session *session;
    struct sonde_edits *edits; /* NULL = none */
    struct sonde_rng rng;
    float *logits;               /* [V] */
    struct candidate *candidate; /* [V] */
    int64_t d_vocab;
    struct sonde_buf text;  /* all that was printed */
    struct sonde_buf piece; /* of the token in hand */
    struct sonde_table *table;
    int64_t n_new;
    bool context_full, at_eos;
    double logprob;       /* sum over the new tokens */
    int32_t *ids, *plain; /* [n_ctx] new tokens; those without edits, or NULL */
    int64_t n_plain;
    bool silent;                /* nothing to standard output, no table of tokens */
    struct sonde_table *beside; /* of --edit-control */
};

static int by_probability(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->p != y->p)
        return x->p > y->p ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int32_t argmax(const struct generator *g)
{
    int64_t best = 0;
    for (int64_t i = 1; i < g->d_vocab; i++)
        if (g->logits[i] > g->logits[best])
            best = i;
    return (int32_t)best;
}

/* log p of every token is logits - this. */
static double log_sum_exp(const struct generator *g)
{
    double most = (double)g->logits[argmax(g)], sum = 0;
    for (int64_t i = 0; i < g->d_vocab; i++)
        sum += exp((double)g->logits[i] - most);
    return most + log(sum);
}

/* Temperature, then top-k, then top-p, as is usual; then one draw. */
static int32_t sample(struct generator *g)
{
    const struct generate_options *o = g->options;
    if (o->temperature == 0)
        return argmax(g);
    double most = (double)g->logits[argmax(g)], sum = 0;
    for (int64_t i = 0; i < g->d_vocab; i++) {
        double p = exp(((double)g->logits[i] - most) / o->temperature);
        g->candidate[i] = (struct candidate){ .p = p, .id = (int32_t)i };
    }
    qsort(g->candidate, (size_t)g->d_vocab, sizeof(*g->candidate), by_probability);
    int64_t n = o->top_k && o->top_k < g->d_vocab ? o->top_k : g->d_vocab;
    for (int64_t i = 0; i < n; i++)
        sum += g->candidate[i].p;
    double kept = 0;
    int64_t m = 0;
    while (m < n && (m == 0 || kept < o->top_p * sum))
        kept += g->candidate[m++].p;
    double draw = sonde_rng_uniform(&g->rng) * kept;
    for (int64_t i = 0; i < m; i++) {
        draw -= g->candidate[i].p;
        if (draw < 0)
            return g->candidate[i].id;
    }
    return g->candidate[m - 1].id;
}

static enum sonde_status print_token(struct generator *g, int32_t previous, int32_t id,
                                     struct sonde_error *error)
{
    sonde_buf_clear(&g->piece);
    enum sonde_status status =
        sonde_tokenizer_decode_next(g->tokenizer, previous, id, &g->piece, error);
    if (status || g->piece.size == 0)
        return status;
    sonde_buf_append(&g->text, g->piece.data, g->piece.size);
    if (g->cli->common.json || g->silent)
        return SONDE_STATUS_OK;
    if (fwrite(g->piece.data, 1, g->piece.size, stdout) != g->piece.size || fflush(stdout) != 0)
        return sonde_error_set(error, SONDE_STATUS_IO, "standard output: %s", strerror(errno));
    return SONDE_STATUS_OK;
}

static enum sonde_status add_row(struct generator *g, int32_t id, struct sonde_error *error)
{
    double logprob = (double)g->logits[id] - log_sum_exp(g);
    g->logprob += logprob;
    g->ids[g->n_new] = id;
    if (g->silent)
        return SONDE_STATUS_OK;
    sonde_buf_clear(&g->piece);
    enum sonde_status status = sonde_tokenizer_token_text(g->tokenizer, id, &g->piece, error);
    sonde_table_add_row(g->table);
    sonde_table_i64(g->table, 0, g->n_new);
    sonde_table_i64(g->table, 1, id);
    sonde_table_text(g->table, 2, g->piece.data ? g->piece.data : "");
    sonde_table_f64(g->table, 3, logprob);
    return status;
}

static enum sonde_status feed(struct generator *g, const int32_t *ids, int64_t n,
                              struct sonde_error *error)
{
    struct sonde_edit_pass pass = { .edits = g->edits, .first = sonde_session_cached(g->session) };
    struct sonde_hook hook = { 0 };
    if (g->edits)
        hook = sonde_edits_hook(&pass);
    struct sonde_forward_args args = { .ids = ids,
                                       .n_tokens = n,
                                       .hooks = &hook,
                                       .n_hooks = g->edits != NULL,
                                       .no_logits = true,
                                       .logits_last = g->logits };
    return sonde_forward(g->session, &args, error);
}

static bool ends(const struct generator *g, int32_t id)
{
    return !g->options->ignore_eos &&
           (id == sonde_tokenizer_eos(g->tokenizer) || id == sonde_tokenizer_bos(g->tokenizer));
}

static enum sonde_status continue_text(struct generator *g, int32_t last, struct sonde_error *error)
{
    int64_t n_ctx = sonde_model_spec(g->model)->n_ctx;
    while (g->n_new < g->options->max_tokens) {
        int32_t id = sample(g);
        if (ends(g, id)) {
            g->at_eos = true;
            break;
        }
        enum sonde_status status = add_row(g, id, error);
        if (!status)
            status = print_token(g, last, id, error);
        if (status)
            return status;
        g->n_new++;
        last = id;
        /* The last token is not fed: nobody reads what would follow. */
        if (g->n_new == g->options->max_tokens)
            break;
        if (sonde_session_cached(g->session) >= n_ctx) {
            g->context_full = true;
            break;
        }
        status = feed(g, &id, 1, error);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status run_prompt(struct generator *g, struct sonde_error *error)
{
    struct sonde_encoding encoding = { 0 };
    const char *prompt = g->options->prompt;
    int64_t n_ctx = sonde_model_spec(g->model)->n_ctx;
    enum sonde_status status =
        sonde_tokenizer_encode(g->tokenizer, prompt, strlen(prompt),
                               (enum sonde_bos_policy)g->options->bos, &encoding, error);
    int32_t *ids = calloc((size_t)encoding.n + 1, sizeof(*ids));
    if (!status && !ids)
        status = sonde_error_memory(error, "the prompt");
    if (!status && encoding.n == 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "an empty prompt needs a token to begin with: this tokenizer adds "
                                 "none (try --bos always)");
    if (!status && encoding.n > n_ctx)
        status = sonde_error_set(error, SONDE_STATUS_LIMIT,
                                 "the prompt has %lld tokens, the context %lld",
                                 (long long)encoding.n, (long long)n_ctx);
    for (int64_t i = 0; !status && i < encoding.n; i++) {
        ids[i] = encoding.tokens[i].id;
        bool has_text = encoding.tokens[i].end > encoding.tokens[i].begin;
        if (has_text)
            status = print_token(g, i ? ids[i - 1] : -1, ids[i], error);
    }
    if (!status)
        status = feed(g, ids, encoding.n, error);
    if (!status)
        status = continue_text(g, ids[encoding.n - 1], error);
    sonde_encoding_finish(&encoding);
    free(ids);
    return status;
}

/* What is to be compared: how the text went on, and how far it is the one without edits. */
static enum sonde_status add_beside(struct generator *g, const char *name,
                                    struct sonde_error *error)
{
    int64_t n_same = 0;
    while (n_same < g->n_new && n_same < g->n_plain && g->ids[n_same] == g->plain[n_same])
        n_same++;
    sonde_table_add_row(g->beside);
    sonde_table_text(g->beside, 0, name);
    sonde_table_i64(g->beside, 1, g->n_new);
    sonde_table_f64(g->beside, 2, g->n_new ? g->logprob / (double)g->n_new : (double)NAN);
    sonde_table_i64(g->beside, 3, n_same);
    sonde_table_text(g->beside, 4, g->text.data ? g->text.data : "");
    if (g->cli->common.json || !g->silent)
        return SONDE_STATUS_OK;
    if (printf("\n\n[%s: %lld of %lld new tokens as without edits]\n%s", name, (long long)n_same,
               (long long)g->n_new, g->text.data ? g->text.data : "") < 0 ||
        fflush(stdout) != 0)
        return sonde_error_set(error, SONDE_STATUS_IO, "standard output: %s", strerror(errno));
    return SONDE_STATUS_OK;
}

/* The same prompt once more: without edits (control 0) or with those of a control. */
static enum sonde_status run_beside(struct generator *g, int64_t control, struct sonde_error *error)
{
    struct generator c = *g;
    const int64_t n_ctx = sonde_model_spec(g->model)->n_ctx;
    char name[48] = "unedited";
    c.edits = NULL;
    c.silent = true;
    c.text = c.piece = (struct sonde_buf){ 0 };
    c.n_new = 0;
    c.logprob = 0;
    c.rng = sonde_rng_make((uint64_t)g->cli->common.seed, sonde_rng_stream("generate"));
    c.ids = calloc((size_t)n_ctx + 1, sizeof(*c.ids));
    enum sonde_status status = c.ids ? SONDE_STATUS_OK : sonde_error_memory(error, "the tokens");
    if (!status && control > 0) {
        snprintf(name, sizeof(name), "control-%lld", (long long)control);
        status = sonde_edit_input_open(&c.edits, &g->options->edit, g->model, NULL, control,
                                       (uint64_t)g->cli->common.seed, error);
    }
    sonde_session_reset(g->session);
    if (!status)
        status = run_prompt(&c, error);
    if (!status && control == 0) {
        g->plain = c.plain = c.ids;
        g->n_plain = c.n_plain = c.n_new;
    }
    /* On a terminal the text that was asked for comes first. */
    if (!status && (control > 0 || g->cli->common.json))
        status = add_beside(&c, name, error);
    sonde_edits_destroy(&c.edits);
    sonde_buf_finish(&c.text);
    sonde_buf_finish(&c.piece);
    if (c.ids != g->plain)
        free(c.ids);
    return status;
}

static enum sonde_status run_all(struct generator *g, struct sonde_error *error)
{
    const int64_t n = g->options->edit_control;
    enum sonde_status status = SONDE_STATUS_OK;
    if (n) {
        status = sonde_edit_input_check_control(g->edits, error);
        if (!status)
            status = run_beside(g, 0, error);
        sonde_session_reset(g->session);
    }
    if (!status)
        status = run_prompt(g, error);
    if (!status && n)
        status = add_beside(g, "edited", error);
    for (int64_t k = 1; !status && k <= n; k++)
        status = run_beside(g, k, error);
    return status;
}

static enum sonde_status generate(struct generator *g, struct sonde_error *error)
{
    struct sonde_session_options session_options = { .cache = true };
    g->d_vocab = sonde_model_spec(g->model)->d_vocab;
    g->tokenizer = sonde_model_tokenizer(g->model);
    g->rng = sonde_rng_make((uint64_t)g->cli->common.seed, sonde_rng_stream("generate"));
    g->logits = calloc((size_t)g->d_vocab, sizeof(*g->logits));
    g->candidate = calloc((size_t)g->d_vocab, sizeof(*g->candidate));
    g->ids = calloc((size_t)sonde_model_spec(g->model)->n_ctx + 1, sizeof(*g->ids));
    if (!g->logits || !g->candidate || !g->ids)
        return sonde_error_memory(error, "the logits");
    if (!sonde_model_spec(g->model)->causal)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: %s models look both ways and cannot continue a text",
                               sonde_model_path(g->model), sonde_model_spec(g->model)->family);
    /* Before anything is printed. */
    enum sonde_status status = sonde_spec_check_vocabulary(sonde_model_spec(g->model), error);
    if (!status)
        status = sonde_edit_input_open(&g->edits, &g->options->edit, g->model, NULL, 0,
                                       (uint64_t)g->cli->common.seed, error);
    int one = 1;
    if (!status)
        status = sonde_gemm_check_room(&one, error);
    if (!status)
        status = sonde_session_create(&g->session, g->model, &session_options, error);
    return status ? status : run_all(g, error);
}

/* On the terminal the text is the result; only there does it get a final newline, so that what a
 * pipe or a file receives is the text to the byte. */
static int finish(struct generator *g, struct sonde_result **result, enum sonde_status status,
                  double seconds, struct sonde_error *error)
{
    if (!status && g->context_full)
        sonde_result_warn(*result, "stopped at the end of the context of %lld tokens",
                          (long long)sonde_model_spec(g->model)->n_ctx);
    if (g->cli->common.json) {
        sonde_result_parameter_text(*result, "text", g->text.data ? g->text.data : "");
        sonde_result_parameter_bool(*result, "stopped_at_eos", g->at_eos);
        sonde_result_scalar_i64(*result, "tokens", g->n_new);
        sonde_result_scalar_f64(*result, "seconds", seconds);
        sonde_result_scalar_f64(*result, "tokens_per_second",
                                seconds > 0 ? (double)g->n_new / seconds : (double)NAN);
        return sonde_cli_finish(g->cli, result, status, SONDE_EXIT_OK, error);
    }
    if (isatty(STDOUT_FILENO))
        putchar('\n');
    for (int64_t i = 0; !status && i < (*result)->n_warnings; i++)
        sonde_cli_warn(g->cli, "%s", (*result)->warning[i]);
    sonde_result_destroy(result);
    return status ? SONDE_EXIT_FAILED : SONDE_EXIT_OK;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    static const char *const columns[] = { "index", "id", "text", "logprob", NULL };
    static const char *const beside_columns[] = { "run",         "tokens", "logprob",
                                                  "as_unedited", "text",   NULL };
    const struct generate_options *given = cli->options;
    if (!given->prompt) {
        sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                        "a prompt is needed: --prompt TEXT (it may be empty: --prompt '')");
        return SONDE_EXIT_FAILED;
    }
    struct sonde_model *model = NULL;
    struct sonde_model_options model_options = { 0 };
    if (sonde_compute_input_take(&given->compute, &model_options, error) != SONDE_STATUS_OK ||
        sonde_bundled_open(&model, cli->arg[0], &model_options, error) != SONDE_STATUS_OK)
        return SONDE_EXIT_FAILED;
    struct generator g = { .cli = cli, .options = given, .model = model };
    struct sonde_result *result = sonde_result_create("generate");
    int code = SONDE_EXIT_FAILED;
    if (result) {
        sonde_result_parameter_text(result, "model", cli->arg[0]);
        sonde_result_parameter_text(result, "prompt", given->prompt);
        sonde_result_parameter_f64(result, "temperature", given->temperature);
        sonde_result_parameter_i64(result, "top_k", given->top_k);
        sonde_result_parameter_f64(result, "top_p", given->top_p);
        sonde_result_parameter_i64(result, "seed", cli->common.seed);
        sonde_compute_input_parameter(model, result);
        sonde_edit_input_parameter(&given->edit, result);
        g.table = sonde_result_add_table(result, "tokens", columns);
        if (given->edit_control) {
            sonde_result_parameter_i64(result, "edit_control", given->edit_control);
            g.beside = sonde_result_add_table(result, "edit_control", beside_columns);
        }
        double begin = sonde_cli_seconds();
        enum sonde_status status = generate(&g, error);
        code = finish(&g, &result, status, sonde_cli_seconds() - begin, error);
    } else {
        sonde_error_memory(error, "the result");
    }
    sonde_session_destroy(&g.session);
    sonde_edits_destroy(&g.edits);
    free(g.logits);
    free(g.candidate);
    free(g.ids);
    free(g.plain);
    sonde_buf_finish(&g.text);
    sonde_buf_finish(&g.piece);
    sonde_model_close(&model);
    return code;
}

const struct sonde_command sonde_command_generate = {
    .name = "generate",
    .synopsis = "MODEL --prompt TEXT [--max-tokens N] [--temperature X] [--top-k N] [--top-p X]",
    .summary = "continue a text, greedily or by sampling",
    .description =
        "Prints the prompt and its continuation as it comes. Greedy unless --temperature is "
        "given; sampling is repeatable: --seed decides. Stops at the end-of-text token, after "
        "--max-tokens new tokens, or at the end of the context. With --json: the table `tokens` "
        "with each new token's log-probability. Edits hold for the prompt and all that follows; "
        "positions count from the prompt's first token. --edit-control shows beside them what "
        "random edits of the same kind do.\n"
        "\n"
        "  sonde generate MODEL --prompt 'Once upon a time' --temperature 0.8 --top-p 0.9\n"
        "  sonde generate MODEL --prompt 'Once upon a time' --edit 'skip 0.mlp'",
    .options = options,
    .options_size = sizeof(struct generate_options),
    .defaults = &defaults,
    .args = "MODEL",
    .run = run,
};
