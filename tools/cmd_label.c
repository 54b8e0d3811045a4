/* sonde label: attaches labels to the tokens or sequences of a run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/corpus/formal.h"
#include "tools/commands.h"
#include "tools/input.h"
#include "tools/label/labelling.h"

struct label_options {
    const char *set, *run, *builtin, *language, *from, *conllu, *column, *sql;
    int align, kind;
    bool replace;
};

static const char *const align_names[] = { "last", "first", "all", NULL };
static const char *const kind_names[] = { "auto", "class", "real", "span", "pair", NULL };

static const struct sonde_cli_option options[] = {
    { "set", 0, SONDE_CLI_TEXT, offsetof(struct label_options, set), "NAME",
      "name of the label set", NULL, 0, 0 },
    { "builtin", 0, SONDE_CLI_TEXT, offsetof(struct label_options, builtin), "KIND",
      "token-id, token, previous-token, previous-token-id, position, relative-position, length, "
      "sequence; depth, depth:TYPE, depth/length, stack-top, state of a formal language; or a "
      "CoNLL-U column, read from the file that was recorded",
      NULL, 0, 0 },
    { "language", 0, SONDE_CLI_TEXT, offsetof(struct label_options, language), "NAME",
      "the formal language of the text (default: that of the run's --formal)", NULL, 0, 0 },
    { "from", 0, SONDE_CLI_TEXT, offsetof(struct label_options, from), "FILE",
      "TSV or CSV with rows of sequence, position, value; or sequence, value; or sequence, begin, "
      "end, value (a span of tokens)",
      NULL, 0, 0 },
    { "conllu", 0, SONDE_CLI_TEXT, offsetof(struct label_options, conllu), "FILE",
      "the CoNLL-U file that was recorded", NULL, 0, 0 },
    { "column", 0, SONDE_CLI_TEXT, offsetof(struct label_options, column), "NAME",
      "of --conllu: upos, xpos, lemma, form, deprel, head, feats.NAME, misc.NAME", NULL, 0, 0 },
    { "sql", 0, SONDE_CLI_TEXT, offsetof(struct label_options, sql), "SELECT",
      "read-only statement on the store that gives token, value or sequence, value", NULL, 0, 0 },
    { "align", 0, SONDE_CLI_CHOICE, offsetof(struct label_options, align), NULL,
      "which tokens of a word carry its label (default last)", align_names, 0, 0 },
    { "kind", 0, SONDE_CLI_CHOICE, offsetof(struct label_options, kind), NULL,
      "of the values of --from, --column or a depth (default auto: real where all are numbers and "
      "one has a fraction, else class)",
      kind_names, 0, 0 },
    { "run", 0, SONDE_CLI_TEXT, offsetof(struct label_options, run), "NAME",
      "the run to label, where the store holds several", NULL, 0, 0 },
    { "replace", 0, SONDE_CLI_FLAG, offsetof(struct label_options, replace), NULL,
      "put a set of the same name aside", NULL, 0, 0 },
    { 0 },
};

static enum sonde_status check_options(const struct label_options *o, struct sonde_error *error)
{
    int n = (o->builtin != NULL) + (o->from != NULL) + (o->conllu != NULL) + (o->sql != NULL);
    if (!o->set || !*o->set)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "a name is needed: --set NAME");
    if (n != 1)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "give one of --builtin, --from, --conllu and --sql");
    if (o->conllu && !o->column)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--conllu needs --column: upos, xpos, feats.Number, deprel, ..");
    if (o->column && !o->conllu)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--column goes with --conllu");
    if (o->language && !(o->builtin && sonde_formal_is_label(o->builtin)))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--language goes with --builtin depth, depth:TYPE, depth/length, "
                               "stack-top or state");
    return SONDE_STATUS_OK;
}

static bool is_builtin(const char *name)
{
    for (int i = 0; sonde_label_builtins[i]; i++)
        if (strcmp(sonde_label_builtins[i], name) == 0)
            return true;
    return false;
}

static bool is_column(const char *name)
{
    static const char *const columns[] = {
        "upos", "xpos", "lemma", "form", "deprel", "head", NULL
    };
    for (int i = 0; columns[i]; i++)
        if (strcmp(columns[i], name) == 0)
            return true;
    return sonde_str_starts(name, "feats.") || sonde_str_starts(name, "misc.");
}

/* The CoNLL-U file that the run says it was recorded from; its bytes must be the same. */
static enum sonde_status find_recorded(struct sonde_labelling *l, char **path,
                                       struct sonde_error *error)
{
    struct sonde_store_runs runs = { 0 };
    struct sonde_json *input = NULL;
    enum sonde_status status = sonde_store_list_runs(l->store, &runs, error);
    for (int64_t i = 0; !status && i < runs.n; i++)
        if (strcmp(runs.run[i].name, l->source->run_name) == 0)
            status = sonde_json_parse(&input, runs.run[i].input, strlen(runs.run[i].input), error);
    const char *kind = sonde_json_string(sonde_json_get(input, "kind"), "");
    const char *name = sonde_json_string(sonde_json_get(input, "path"), "");
    const char *expected = sonde_json_string(sonde_json_get(input, "sha256"), "");
    char hex[65] = "";
    if (!status && strcmp(kind, "conllu") != 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "run '%s' was not recorded from CoNLL-U, so it has no such column",
                                 l->source->run_name);
    if (!status)
        status = sonde_input_hash_file(name, hex, error);
    if (!status && strcmp(hex, expected) != 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%s: has changed since run '%s' was recorded from it", name,
                                 l->source->run_name);
    if (!status && !(*path = sonde_strdup(name)))
        status = sonde_error_memory(error, name);
    sonde_json_destroy(&input);
    sonde_store_runs_finish(&runs);
    return status;
}

static enum sonde_status label_builtin(struct sonde_labelling *l, const char *kind,
                                       struct sonde_error *error)
{
    if (is_builtin(kind))
        return sonde_label_builtin(l, kind, error);
    if (!is_column(kind)) {
        struct sonde_buf names = { 0 };
        for (int i = 0; sonde_label_builtins[i]; i++)
            sonde_buf_printf(&names, "%s, ", sonde_label_builtins[i]);
        enum sonde_status status =
            sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                            "--builtin '%s': expected %sdepth, depth:TYPE, depth/length, "
                            "stack-top, state, or a CoNLL-U column (upos, xpos, lemma, form, "
                            "deprel, head, feats.NAME, misc.NAME)",
                            kind, names.data ? names.data : "");
        sonde_buf_finish(&names);
        return status;
    }
    char *path = NULL;
    enum sonde_status status = find_recorded(l, &path, error);
    if (!status)
        status = sonde_label_conllu(l, path, kind, error);
    free(path);
    return status;
}

static enum sonde_status attach(struct sonde_labelling *l, const struct label_options *o,
                                struct sonde_error *error)
{
    if (o->builtin && sonde_formal_is_label(o->builtin))
        return sonde_label_formal(l, o->builtin, o->language, error);
    if (o->builtin)
        return label_builtin(l, o->builtin, error);
    if (o->from)
        return sonde_label_rows(l, o->from, error);
    if (o->conllu)
        return sonde_label_conllu(l, o->conllu, o->column, error);
    return sonde_store_label_sql(l->store, l->source->run_name, l->set, o->sql, l->replace,
                                 &l->n_labelled, error);
}

struct class_count {
    const char *name;
    int64_t n;
};

static int by_count(const void *a, const void *b)
{
    const struct class_count *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return strcmp(x->name, y->name);
}

static enum sonde_status add_classes(struct sonde_result *r, const struct sonde_labels *labels,
                                     struct sonde_error *error)
{
    static const char *const columns[] = { "value", "n", "share", NULL };
    struct class_count *count = calloc((size_t)labels->n_classes + 1, sizeof(*count));
    if (!count)
        return sonde_error_memory(error, "the classes");
    int64_t n = labels->kind == SONDE_LABEL_SPAN ? labels->n_spans : labels->n_rows, total = 0;
    for (int64_t c = 0; c < labels->n_classes; c++)
        count[c].name = labels->class_name[c];
    for (int64_t i = 0; i < n; i++)
        if (labels->class_of[i] >= 0) {
            count[labels->class_of[i]].n++;
            total++;
        }
    qsort(count, (size_t)labels->n_classes, sizeof(*count), by_count);
    struct sonde_table *t = sonde_result_add_table(r, "values", columns);
    for (int64_t c = 0; c < labels->n_classes; c++) {
        sonde_table_add_row(t);
        sonde_table_text(t, 0, count[c].name);
        sonde_table_i64(t, 1, count[c].n);
        sonde_table_f64(t, 2, total ? (double)count[c].n / (double)total : (double)NAN);
    }
    sonde_result_scalar_i64(r, "classes", labels->n_classes);
    free(count);
    return SONDE_STATUS_OK;
}

static void add_reals(struct sonde_result *r, const struct sonde_labels *labels)
{
    double low = INFINITY, high = -INFINITY, sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < labels->n_rows; i++) {
        double x = labels->real[i];
        if (isnan(x))
            continue;
        low = x < low ? x : low;
        high = x > high ? x : high;
        sum += x;
        n++;
    }
    sonde_result_scalar_f64(r, "min", low);
    sonde_result_scalar_f64(r, "max", high);
    sonde_result_scalar_f64(r, "mean", n ? sum / (double)n : (double)NAN);
}

/* What was attached, as the store gives it back. */
static enum sonde_status report(struct sonde_labelling *l, struct sonde_error *error)
{
    const struct sonde_labels *labels = NULL;
    enum sonde_status status = l->source->labels(l->source, l->set, &labels, error);
    if (status)
        return status;
    struct sonde_result *r = l->result;
    sonde_result_parameter_text(r, "run", l->source->run_name);
    sonde_result_parameter_text(r, "set", l->set);
    sonde_result_parameter_text(r, "kind", sonde_label_kind_name(labels->kind));
    sonde_result_parameter_text(r, "space", sonde_row_space_name(labels->space));
    sonde_result_scalar_i64(r, "labelled", l->n_labelled);
    if (labels->kind != SONDE_LABEL_SPAN)
        sonde_result_scalar_i64(r, "masked", labels->n_rows - l->n_labelled);
    if (l->n_labelled == 0)
        sonde_result_warn(r, "nothing got a label");
    if (labels->kind == SONDE_LABEL_REAL && l->n_labelled)
        add_reals(r, labels);
    else if (labels->kind == SONDE_LABEL_CLASS || labels->kind == SONDE_LABEL_SPAN)
        status = add_classes(r, labels, error);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct label_options *o = cli->options;
    struct sonde_labelling l = { .cli = cli,
                                 .set = o->set,
                                 .kind = (enum sonde_label_choice)o->kind,
                                 .align = (enum sonde_align)o->align,
                                 .replace = o->replace };
    enum sonde_status status = check_options(o, error);
    if (!status)
        status = sonde_store_open(&l.store, cli->arg[0], SONDE_STORE_WRITE, error);
    if (!status)
        status = sonde_store_open_source(l.store, o->run, 0, &l.source, error);
    if (!status && !(l.result = sonde_result_create("label")))
        status = sonde_error_memory(error, "the result");
    if (!status)
        status = attach(&l, o, error);
    if (!status)
        status = report(&l, error);
    int code = sonde_cli_finish(cli, &l.result, status, SONDE_EXIT_OK, error);
    if (l.source)
        l.source->destroy(&l.source);
    sonde_store_close(&l.store);
    return code;
}

const struct sonde_command sonde_command_label = {
    .name = "label",
    .synopsis =
        "STORE --set NAME --builtin KIND|--from FILE|--conllu FILE --column NAME|--sql SELECT",
    .summary = "attach labels to the tokens or sequences of a run",
    .description =
        "A word that was split into several tokens carries its label on the last of them, unless "
        "--align says otherwise. Tokens without a label are masked: no probe counts them as "
        "samples.\n"
        "\n"
        "  sonde label s.db --set upos --conllu en.conllu --column upos\n"
        "  sonde label s.db --set previous --builtin previous-token\n"
        "  sonde label s.db --set depth --builtin depth --language dyck-1\n"
        "  sonde label s.db --set long --sql \"SELECT token, length(text) > 4 FROM tokens\"",
    .options = options,
    .options_size = sizeof(struct label_options),
    .args = "STORE",
    .run = run,
};
