/* sonde probe: wires a probe to a model, a store or a text, and keeps the result in the store. */
#include <stddef.h>
#include <stdlib.h>

#include "tools/bundled.h"
#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/edit_control.h"
#include "tools/edit_input.h"
#include "tools/input.h"
#include "tools/probing.h"

struct probe_options {
    struct sonde_cli_texts plugin;
    const char *run;
    const char *model;
    const char *directory;
    int64_t mem;
    bool no_store;
    struct sonde_input_options input;
    struct sonde_edit_options edit;
    int64_t edit_control;
};

static const struct sonde_cli_option options[] = {
    { "plugin", 0, SONDE_CLI_TEXTS, offsetof(struct probe_options, plugin), "FILE",
      "load the probes of this shared object too (repeatable)", NULL, 0, 0 },
    { "run", 0, SONDE_CLI_TEXT, offsetof(struct probe_options, run), "NAME",
      "the run to read, where the store holds several", NULL, 0, 0 },
    { "model", 0, SONDE_CLI_TEXT, offsetof(struct probe_options, model), "MODEL",
      "the model, where it is not where the store says", NULL, 0, 0 },
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct probe_options, directory), "DIR",
      "write pictures, result.json and a CSV per table there", NULL, 0, 0 },
    { "mem", 0, SONDE_CLI_BYTES, offsetof(struct probe_options, mem), "BYTES",
      "memory budget (default 1G)", NULL, 1 << 20, INT64_MAX },
    { "no-store", 0, SONDE_CLI_FLAG, offsetof(struct probe_options, no_store), NULL,
      "do not keep the result in the store", NULL, 0, 0 },
    SONDE_INPUT_OPTIONS(struct probe_options, input),
    SONDE_EDIT_OPTIONS(struct probe_options, edit),
    { "edit-control", 0, SONDE_CLI_INTEGER, offsetof(struct probe_options, edit_control), "N",
      "beside every table that keeps its rows what it says under N draws of random directions of "
      "the same norm, or of as many random neurons or heads, in place of those of the edits: mean, "
      "least, most",
      NULL, 1, 1000 },
    { 0 },
};

/* The words of the command line behind the probe's name: at most a model and a store. */
struct places {
    const char *model, *store;
};

static enum sonde_status find_places(const struct sonde_cli *cli, struct places *out,
                                     struct sonde_error *error)
{
    const struct probe_options *given = cli->options;
    *out = (struct places){ .model = given->model };
    for (int64_t i = 1; i < cli->n_args; i++) {
        bool is_store = sonde_probe_input_is_store(cli->arg[i]);
        const char **place = is_store ? &out->store : &out->model;
        if (*place)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "two %ss given: %s and %s",
                                   is_store ? "store" : "model", *place, cli->arg[i]);
        *place = cli->arg[i];
    }
    return SONDE_STATUS_OK;
}

/* Runs the given text through the model at the sites that the probe asks for, with the edits or
 * those of a control. *text stays open for what it has to say of the input. */
static enum sonde_status record_text(struct sonde_probe_input *input,
                                     const struct sonde_probe *probe,
                                     const struct sonde_probe_values *values, int64_t control,
                                     struct sonde_input **text, struct sonde_error *error)
{
    const struct probe_options *given = input->cli->options;
    if (!input->model)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "a text needs a model to run it: sonde probe %s MODEL ..",
                               probe->name);
    struct sonde_buf patterns = { 0 };
    struct sonde_edits *edits = NULL;
    enum sonde_status status =
        sonde_edit_input_open(&edits, &given->edit, input->model, NULL, control,
                              (uint64_t)input->cli->common.seed, error);
    sonde_probe_input_set_edits(input, edits);
    if (status == SONDE_STATUS_OK && given->edit_control)
        status = sonde_edit_input_check_control(edits, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_probe_sites(probe, values, &patterns, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_input_open(text, &given->input, input->model, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_probe_input_record(input, input->model, sonde_input_reader(*text),
                                          patterns.data, &input->source, error);
    sonde_buf_finish(&patterns);
    return status;
}

static enum sonde_status open_input(struct sonde_probe_input *input,
                                    const struct sonde_probe *probe,
                                    const struct sonde_probe_values *values,
                                    struct sonde_input **text, struct sonde_error *error)
{
    const struct probe_options *given = input->cli->options;
    struct places places;
    enum sonde_status status = find_places(input->cli, &places, error);
    if (status == SONDE_STATUS_OK &&
        (given->edit.edit.n || given->edit.store || given->edit_control) &&
        (places.store || !sonde_input_is_given(&given->input)))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--edit goes with a text that MODEL runs now (--text, --file, ..); "
                               "for a store: sonde record --edit");
    if (status == SONDE_STATUS_OK && places.model) {
        struct sonde_model_options model_options = { .allow_missing_tokenizer = true };
        status = sonde_bundled_open(&input->model, places.model, &model_options, error);
    }
    if (status == SONDE_STATUS_OK && places.store) {
        status = sonde_store_open(&input->store, places.store,
                                  given->no_store ? SONDE_STORE_READ : SONDE_STORE_WRITE, error);
        if (status == SONDE_STATUS_OK)
            status = sonde_store_open_source(input->store, given->run,
                                             sonde_probe_input_cache_bytes(input), &input->source,
                                             error);
    }
    bool wants_model = (probe->needs & (SONDE_PROBE_NEEDS_MODEL | SONDE_PROBE_USES_MODEL)) != 0;
    if (status == SONDE_STATUS_OK && input->source && (input->model || wants_model))
        status = sonde_probe_input_open_model(input, error);
    if (status != SONDE_STATUS_OK || input->source)
        return status;
    if (sonde_input_is_given(&given->input))
        return record_text(input, probe, values, 0, text, error);
    if (probe->needs & SONDE_PROBE_NEEDS_STREAMS)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s needs activations: a STORE, or MODEL with --text or --file",
                               probe->name);
    return SONDE_STATUS_OK;
}

/* The probe over the same text once more, under the edits of one control. */
static enum sonde_status run_control(const struct sonde_probe_input *input,
                                     const struct sonde_probe *probe,
                                     const struct sonde_probe_values *values, int64_t control,
                                     struct sonde_result **out, struct sonde_error *error)
{
    struct sonde_probe_input own = { .cli = input->cli,
                                     .mem_bytes = input->mem_bytes,
                                     .model = input->model };
    struct sonde_input *text = NULL;
    enum sonde_status status = record_text(&own, probe, values, control, &text, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_probing_run(&own, probe, values, out, error);
    if (status != SONDE_STATUS_OK)
        sonde_error_prepend(error, "control %lld", (long long)control);
    sonde_input_close(&text);
    own.model = NULL; /* the caller's */
    sonde_probe_input_finish(&own);
    return status;
}

static enum sonde_status run_controls(const struct sonde_probe_input *input,
                                      const struct sonde_probe *probe,
                                      const struct sonde_probe_values *values,
                                      struct sonde_result *result, struct sonde_error *error)
{
    const struct probe_options *given = input->cli->options;
    const int64_t n = given->edit_control;
    struct sonde_result **control = calloc((size_t)n + 1, sizeof(*control));
    enum sonde_status status =
        control ? SONDE_STATUS_OK : sonde_error_memory(error, "the controls");
    for (int64_t k = 0; status == SONDE_STATUS_OK && k < n; k++)
        status = run_control(input, probe, values, k + 1, &control[k], error);
    if (status == SONDE_STATUS_OK && n) {
        sonde_result_parameter_i64(result, "edit_control", n);
        sonde_edit_control_compare(result, control, n);
    }
    for (int64_t k = 0; control && k < n; k++)
        sonde_result_destroy(&control[k]);
    free(control);
    return status;
}

static enum sonde_status run_probe(struct sonde_probe_input *input, const struct sonde_probe *probe,
                                   struct sonde_result **out, struct sonde_error *error)
{
    const struct sonde_cli *cli = input->cli;
    struct sonde_probe_values values = { cli->rest_name, cli->rest_value, cli->n_rest };
    struct sonde_input *text = NULL;
    enum sonde_status status = open_input(input, probe, &values, &text, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_probing_run(input, probe, &values, out, error);
    if (status == SONDE_STATUS_OK && text) {
        const struct probe_options *given = cli->options;
        sonde_input_warn(text, *out);
        sonde_edit_input_parameter(&given->edit, *out);
        status = run_controls(input, probe, &values, *out, error);
    }
    sonde_input_close(&text);
    return status;
}

static enum sonde_status show_result(const struct sonde_probe_input *input,
                                     struct sonde_result *result, struct sonde_error *error)
{
    const struct probe_options *given = input->cli->options;
    const char *hash = input->source ? input->source->model_hash : NULL;
    enum sonde_status status = SONDE_STATUS_OK;
    if (!hash && input->model)
        status = sonde_model_hash(input->model, &hash, error);
    if (status == SONDE_STATUS_OK && input->store && !given->no_store)
        status = sonde_probing_keep(input, result, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_cli_emit(input->cli, result, given->directory, hash, error);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct probe_options *given = cli->options;
    if (cli->n_args < 1) {
        sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                        "which probe? `sonde probes` lists them: sonde probe NAME [MODEL] [STORE]");
        return SONDE_EXIT_FAILED;
    }
    struct sonde_probe_registry *registry = NULL;
    enum sonde_status status = sonde_probe_registry_create(&registry, error);
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < given->plugin.n; i++)
        status = sonde_probe_registry_load(registry, given->plugin.item[i], error);
    const struct sonde_probe *probe = NULL;
    if (status == SONDE_STATUS_OK)
        status = sonde_probe_registry_find(registry, cli->arg[0], &probe, error);
    struct sonde_probe_input input = { .cli = cli,
                                       .mem_bytes =
                                           given->mem ? given->mem : SONDE_PROBING_MEM_DEFAULT };
    struct sonde_result *result = NULL;
    if (status == SONDE_STATUS_OK)
        status = run_probe(&input, probe, &result, error);
    if (status == SONDE_STATUS_OK)
        status = show_result(&input, result, error);
    int code = status != SONDE_STATUS_OK           ? SONDE_EXIT_FAILED
               : sonde_probing_checks_hold(result) ? SONDE_EXIT_OK
                                                   : SONDE_EXIT_NO;
    sonde_result_destroy(&result);
    sonde_probe_input_finish(&input);
    sonde_probe_registry_destroy(&registry);
    return code;
}

/* Options that are not in the table above belong to the probe. Built-in probes agree on the type of
 * an option of the same name; a plugin's own option is read by its looks. */
static int rest_takes_value(const char *option_name)
{
    const struct sonde_probe *probe;
    for (int64_t i = 0; (probe = sonde_probe_builtin(i)) != NULL; i++) {
        for (uint32_t j = 0; j < probe->n_options; j++) {
            if (sonde_str_equal(probe->options[j].name, option_name))
                return probe->options[j].type != SONDE_PROBE_FLAG;
        }
    }
    return -1;
}

const struct sonde_command sonde_command_probe = {
    .name = "probe",
    .synopsis = "NAME [MODEL] [STORE] [PROBE OPTIONS] [-o DIR]",
    .summary = "run a probe on stored activations, or on a text",
    .description =
        "Reads activations from STORE, or runs MODEL over --text, --file, .. on the spot.\n"
        "`sonde probes NAME` shows the options of one probe. The result is kept in the\n"
        "store, for `sonde report`, unless --no-store is given.\n"
        "\n"
        "  sonde probe linear s.db --streams 'blocks.*.hook_resid_post' --labels upos\n"
        "  sonde probe logit-lens MODEL --text 'Once upon a time' -o lens\n"
        "  sonde probe logit-lens MODEL --text 'Once upon a time' --edit 'skip 0.mlp'\n"
        "  sonde probe attention s.db --sequence 3 --layers 0 --heads 2",
    .options = options,
    .options_size = sizeof(struct probe_options),
    .rest_takes_value = rest_takes_value,
    .run = run,
};
