/* sonde study: published experiments, re-run end to end. */
#include "core/base/file.h"
#include "tools/commands.h"
#include "tools/probing.h"
#include "tools/studies/lab.h"
#include "tools/studies/study.h"

struct study_options {
    const char *folder, *weights;
    bool quick;
};

static const struct sonde_cli_option options[] = {
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct study_options, folder), "DIR",
      "folder for report.html, pictures, tables and the store study.db (default: the study's name)",
      NULL, 0, 0 },
    { "weights", 0, SONDE_CLI_TEXT, offsetof(struct study_options, weights), "DIR",
      "published checkpoints instead of models trained here", NULL, 0, 0 },
    { "quick", 0, SONDE_CLI_FLAG, offsetof(struct study_options, quick), NULL,
      "small sizes, for a first look; the checks are the same, not all can hold", NULL, 0, 0 },
    { 0 },
};

static int list(const struct sonde_cli *cli, struct sonde_error *error)
{
    static const char *const columns[] = { "study", "paper", "time", NULL };
    static const char *const about[] = { "study", "what it does", "weights", NULL };
    struct sonde_result *result = sonde_result_create("study");
    struct sonde_table *papers = result ? sonde_result_add_table(result, "studies", columns) : NULL;
    struct sonde_table *t = result ? sonde_result_add_table(result, "contents", about) : NULL;
    for (int64_t i = 0; sonde_studies[i]; i++) {
        const struct sonde_study *study = sonde_studies[i];
        sonde_table_add_row(papers);
        sonde_table_text(papers, 0, study->name);
        sonde_table_text(papers, 1, study->paper);
        sonde_table_text(papers, 2, study->time);
        sonde_table_add_row(t);
        sonde_table_text(t, 0, study->name);
        sonde_table_text(t, 1, study->summary);
        if (study->weights)
            sonde_table_text(t, 2, study->weights);
    }
    return sonde_cli_finish(cli, &result, SONDE_STATUS_OK, SONDE_EXIT_OK, error);
}

static enum sonde_status run_study(struct sonde_lab *lab, const struct sonde_cli *cli,
                                   const struct sonde_study *study, struct sonde_error *error)
{
    const struct study_options *given = cli->options;
    struct sonde_buf command = { 0 };
    if (given->weights && !study->weights)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s trains its own models: it has no use for --weights",
                               study->name);
    if (given->weights && !sonde_path_is_directory(given->weights))
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "--weights %s: no such folder",
                               given->weights);
    lab->weights = given->weights;
    lab->quick = given->quick;
    sonde_buf_printf(&command, "study %s", study->name);
    enum sonde_status status = sonde_buf_status(&command, error);
    if (!status)
        status = sonde_lab_open(lab, cli, command.data, given->folder ? given->folder : study->name,
                                error);
    sonde_buf_finish(&command);
    if (!status) {
        sonde_result_parameter_text(lab->summary, "paper", study->paper);
        sonde_result_parameter_text(lab->summary, "folder", lab->folder);
        if (given->weights)
            sonde_result_parameter_text(lab->summary, "weights", given->weights);
        sonde_result_parameter_bool(lab->summary, "quick", given->quick);
        sonde_result_parameter_i64(lab->summary, "seed", cli->common.seed);
        status = study->run(lab, error);
    }
    if (!status)
        status = sonde_lab_write(lab, study->name, study->paper, error);
    if (!status)
        status = sonde_cli_emit(cli, lab->summary, lab->folder, NULL, error);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct study_options *given = cli->options;
    const struct sonde_study *study = NULL;
    struct sonde_lab lab = { 0 };
    if (cli->n_args == 0 && (given->folder || given->weights || given->quick)) {
        sonde_error_set(error, SONDE_STATUS_ARGUMENT, "which study? `sonde study` lists them");
        return SONDE_EXIT_FAILED;
    }
    if (cli->n_args == 0)
        return list(cli, error);
    enum sonde_status status = sonde_study_find(cli->arg[0], &study, error);
    if (!status)
        status = run_study(&lab, cli, study, error);
    if (status)
        sonde_lab_abandon(&lab);
    int code = status != SONDE_STATUS_OK                ? SONDE_EXIT_FAILED
               : sonde_probing_checks_hold(lab.summary) ? SONDE_EXIT_OK
                                                        : SONDE_EXIT_NO;
    sonde_lab_close(&lab);
    return code;
}

const struct sonde_command sonde_command_study = {
    .name = "study",
    .synopsis = "[NAME] [-o DIR] [--weights DIR] [--quick]",
    .summary = "re-run a published study, with its claims as checks",
    .description =
        "Without NAME: the studies there are. A study trains its models, or takes published "
        "weights, records and probes them, and writes one page, report.html. The exit status is 0 "
        "where every check holds, 1 where one does not, 2 where the study could not run.\n"
        "\n"
        "  sonde study\n"
        "  sonde study emergent-stack -o stack\n"
        "  sonde study emergent-stack -o published --weights counter-languages/models",
    .options = options,
    .options_size = sizeof(struct study_options),
    .args = "[NAME]",
    .run = run,
};
