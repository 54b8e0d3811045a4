/* sonde score: how good a model is on an input, as it is, edited, and under random edits. */
#include <math.h>
#include <stdlib.h>

#include "tools/bundled.h"
#include "tools/commands.h"
#include "tools/compute_input.h"
#include "tools/edit_input.h"
#include "tools/input.h"
#include "tools/scoring.h"

struct score_options {
    struct sonde_input_options input;
    struct sonde_edit_options edit;
    struct sonde_compute_options compute;
    const char *directory;
    int64_t edit_control;
};

static const struct sonde_cli_option options[] = {
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct score_options, directory), "DIR",
      "write the picture, result.json and a CSV per table there", NULL, 0, 0 },
    SONDE_COMPUTE_OPTIONS(struct score_options, compute),
    SONDE_INPUT_OPTIONS(struct score_options, input),
    SONDE_EDIT_OPTIONS(struct score_options, edit),
    { "edit-control", 0, SONDE_CLI_INTEGER, offsetof(struct score_options, edit_control), "N",
      "score N more times, with random directions of the same norm in place of those of the edits",
      NULL, 1, 1000 },
    { 0 },
};

struct job {
    struct sonde_cli *cli;
    const struct score_options *options;
    struct sonde_model *model;
    struct sonde_formal *formal; /* of a model with a sigmoid an output; else NULL */
    struct sonde_result *result;
    struct sonde_table *table;
    double *share; /* [n_rows] of sequences right, or the nats a token */
    int64_t n_rows;
};

static double ratio(double a, int64_t b)
{
    return b > 0 ? a / (double)b : (double)NAN;
}

static void add_row(struct job *j, const char *name, const struct sonde_score *s)
{
    sonde_table_add_row(j->table);
    sonde_table_text(j->table, 0, name);
    sonde_table_i64(j->table, 1, s->sequences);
    sonde_table_i64(j->table, 2, s->positions);
    sonde_table_f64(j->table, 3, ratio((double)s->positions_right, s->positions));
    if (j->formal) {
        sonde_table_f64(j->table, 4, ratio((double)s->sequences_right, s->sequences));
        j->share[j->n_rows++] = ratio((double)s->sequences_right, s->sequences);
    } else {
        sonde_table_f64(j->table, 4, ratio(s->nats, s->positions));
        sonde_table_f64(j->table, 5, ratio(s->nats / log(2.0), s->bytes));
        j->share[j->n_rows++] = ratio(s->nats, s->positions);
    }
}

/* edits NULL: as it is. Every score takes the same input from its beginning. */
static enum sonde_status score(struct job *j, const char *name, const struct sonde_edits *edits,
                               struct sonde_error *error)
{
    struct sonde_input *input = NULL;
    struct sonde_score s = { 0 };
    struct sonde_scoring what = { .formal = j->formal,
                                  .edits = edits,
                                  .n_threads = (int)j->cli->common.threads,
                                  .progress = &j->cli->progress };
    enum sonde_status status = sonde_input_open(&input, &j->options->input, j->model, error);
    if (!status)
        status = sonde_scoring_run(j->model, sonde_input_reader(input), &what, &s, error);
    if (!status) {
        add_row(j, name, &s);
        if (j->n_rows == 1)
            sonde_input_warn(input, j->result);
    }
    sonde_input_close(&input);
    return status;
}

static enum sonde_status score_edited(struct job *j, int64_t control, struct sonde_error *error)
{
    struct sonde_edits *edits = NULL;
    char name[48];
    snprintf(name, sizeof(name), control ? "control-%lld" : "edited", (long long)control);
    enum sonde_status status =
        sonde_edit_input_open(&edits, &j->options->edit, j->model, j->options->edit.store, control,
                              (uint64_t)j->cli->common.seed, error);
    if (!status && control == 0 && j->options->edit_control)
        status = sonde_edit_input_check_control(edits, error);
    if (!status)
        status = score(j, name, edits, error);
    sonde_edits_destroy(&edits);
    return status;
}

static enum sonde_status open_language(struct job *j, struct sonde_error *error)
{
    struct sonde_formal_spec language;
    const struct sonde_spec *spec = sonde_model_spec(j->model);
    /* a published checkpoint does not say what its outputs mean: their number does */
    if (spec->head != SONDE_HEAD_SIGMOID && sonde_spec_outputs(spec) == spec->d_vocab)
        return SONDE_STATUS_OK;
    if (!j->options->input.formal)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s says which symbols can follow: its score needs --formal",
                               sonde_model_path(j->model));
    enum sonde_status status = sonde_formal_parse_spec(j->options->input.formal, &language, error);
    return status ? status : sonde_formal_create(&j->formal, language.name, error);
}

/* Edited and controls beside the model as it is. */
static void add_figure(struct job *j)
{
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_BAR, "scores",
                            j->formal ? "Strings right at every symbol" : "Loss on the next token");
    if (f) {
        const char *names[3] = { "unchanged", "edited", "random, mean" };
        double x[3] = { 0, 1, 2 }, y[3] = { j->share[0], j->share[1], 0 };
        double low[3] = { y[0], y[1], HUGE_VAL }, high[3] = { y[0], y[1], -HUGE_VAL };
        int64_t n_controls = j->n_rows - 2;
        for (int64_t i = 2; i < j->n_rows; i++) {
            y[2] += j->share[i] / (double)n_controls;
            low[2] = fmin(low[2], j->share[i]);
            high[2] = fmax(high[2], j->share[i]);
        }
        int64_t n = n_controls > 0 ? 3 : 2;
        sonde_figure_set_axes(f, NULL, j->formal ? "share of the strings" : "nats a token");
        sonde_figure_set_ticks(f, &f->x, names, n);
        sonde_figure_add_series(f, "score", n, x, y, low, high);
        if (n_controls > 0)
            sonde_figure_set_caption(f,
                                     "The line at the controls goes from the least to the most.");
    }
    sonde_result_add_figure(j->result, f);
}

static void add_scalars(struct job *j)
{
    const char *what = j->formal ? "sequences_right" : "nats";
    char name[64];
    sonde_result_scalar_f64(j->result, what, j->share[0]);
    if (j->n_rows < 2)
        return;
    snprintf(name, sizeof(name), "%s_edited", what);
    sonde_result_scalar_f64(j->result, name, j->share[1]);
    if (j->n_rows < 3)
        return;
    double sum = 0.0;
    for (int64_t i = 2; i < j->n_rows; i++)
        sum += j->share[i];
    snprintf(name, sizeof(name), "%s_control", what);
    sonde_result_scalar_f64(j->result, name, sum / (double)(j->n_rows - 2));
}

static enum sonde_status score_all(struct job *j, struct sonde_error *error)
{
    static const char *const columns[] = { "run", "sequences", "positions", "positions_right",
                                           NULL,  NULL,        NULL };
    const char *names[7];
    for (int i = 0; i < 7; i++)
        names[i] = columns[i];
    names[4] = j->formal ? "sequences_right" : "nats";
    names[5] = j->formal ? NULL : "bits_per_byte";
    j->result = sonde_result_create("score");
    if (!j->result)
        return sonde_error_memory(error, "the result");
    sonde_result_parameter_text(j->result, "model", j->cli->arg[0]);
    sonde_compute_input_parameter(j->model, j->result);
    sonde_edit_input_parameter(&j->options->edit, j->result);
    if (j->options->edit_control)
        sonde_result_parameter_i64(j->result, "edit_control", j->options->edit_control);
    j->table = sonde_result_add_table(j->result, "scores", names);
    enum sonde_status status = score(j, "unchanged", NULL, error);
    bool edited = j->options->edit.edit.n > 0;
    if (!status && edited)
        status = score_edited(j, 0, error);
    for (int64_t k = 1; !status && k <= j->options->edit_control; k++)
        status = score_edited(j, k, error);
    if (!status) {
        add_scalars(j);
        if (edited)
            add_figure(j);
    }
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct score_options *o = cli->options;
    struct job j = { .cli = cli, .options = o };
    struct sonde_model_options model_options = { .allow_missing_tokenizer =
                                                     o->input.ids || o->input.formal };
    const char *hash = NULL;
    j.share = calloc((size_t)o->edit_control + 2, sizeof(*j.share));
    enum sonde_status status = j.share ? SONDE_STATUS_OK : sonde_error_memory(error, "the scores");
    if (!status)
        status = sonde_input_check(&o->input, error);
    if (!status && o->edit_control && o->edit.edit.n == 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "--edit-control needs an --edit to replace");
    if (!status)
        status = sonde_compute_input_take(&o->compute, &model_options, error);
    if (!status)
        status = sonde_bundled_open(&j.model, cli->arg[0], &model_options, error);
    if (!status)
        status = open_language(&j, error);
    if (!status)
        status = score_all(&j, error);
    if (!status)
        status = sonde_model_hash(j.model, &hash, error);
    if (!status)
        status = sonde_cli_emit(cli, j.result, o->directory, hash, error);
    sonde_result_destroy(&j.result);
    sonde_formal_destroy(&j.formal);
    sonde_model_close(&j.model);
    free(j.share);
    return status ? SONDE_EXIT_FAILED : SONDE_EXIT_OK;
}

const struct sonde_command sonde_command_score = {
    .name = "score",
    .synopsis = "MODEL INPUT [--edit EDIT [--edit-control N]] [-o DIR]",
    .summary = "measure how good a model is on an input, and under edits",
    .description =
        "The loss on the next token, in nats and in bits a byte; of a model that says which "
        "symbols of a formal language can follow, the share of strings where all of them are right "
        "at every symbol. With --edit the same once more with the edits, and with --edit-control "
        "under random ones.\n"
        "\n"
        "  sonde score english --jsonl texts.jsonl\n"
        "  sonde score counter --formal shuffle-2:n=1000,generator=walk\n"
        "  sonde score counter --formal shuffle-2 --edit-control 20 \\\n"
        "    --edit 'project-out blocks.0.hook_resid_post v.npy'",
    .options = options,
    .options_size = sizeof(struct score_options),
    .args = "MODEL",
    .run = run,
};
