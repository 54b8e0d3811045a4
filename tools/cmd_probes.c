/* sonde probes: the plugins, or one plugin's options. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/registry.h"
#include "tools/cli.h"
#include "tools/commands.h"

struct probes_options {
    struct sonde_cli_texts plugin;
};

static const struct sonde_cli_option options[] = {
    { "plugin", 0, SONDE_CLI_TEXTS, offsetof(struct probes_options, plugin), "FILE",
      "load the probes of this shared object too (repeatable)", NULL, 0, 0 },
    { 0 },
};

static const char *option_type_name(uint32_t type)
{
    switch (type) {
    case SONDE_PROBE_INTEGER:
        return "integer";
    case SONDE_PROBE_REAL:
        return "real";
    case SONDE_PROBE_FLAG:
        return "flag";
    case SONDE_PROBE_CHOICE:
        return "choice";
    case SONDE_PROBE_PATH:
        return "path";
    default:
        return "text";
    }
}

static void describe_needs(uint32_t needs, struct sonde_buf *out)
{
    static const struct {
        uint32_t bit;
        const char *text;
    } names[] = {
        { SONDE_PROBE_NEEDS_STREAMS, "streams" }, { SONDE_PROBE_NEEDS_LABELS, "labels" },
        { SONDE_PROBE_NEEDS_MODEL, "model" },     { SONDE_PROBE_USES_STREAMS, "(streams)" },
        { SONDE_PROBE_USES_MODEL, "(model)" },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (needs & names[i].bit)
            sonde_buf_printf(out, "%s%s", out->size ? " " : "", names[i].text);
    }
}

static void list_probes(const struct sonde_probe_registry *registry, struct sonde_result *result)
{
    static const char *const columns[] = { "name", "version", "needs", "summary", NULL };
    struct sonde_table *table = sonde_result_add_table(result, "probes", columns);
    for (int64_t i = 0; i < sonde_probe_registry_count(registry); i++) {
        const struct sonde_probe *probe = sonde_probe_registry_at(registry, i);
        struct sonde_buf needs = { 0 };
        describe_needs(probe->needs, &needs);
        sonde_table_add_row(table);
        sonde_table_text(table, 0, probe->name);
        sonde_table_text(table, 1, probe->version);
        sonde_table_text(table, 2, needs.data ? needs.data : "");
        sonde_table_text(table, 3, probe->summary);
        sonde_buf_finish(&needs);
    }
}

static void describe_probe(const struct sonde_probe *probe, struct sonde_result *result)
{
    static const char *const columns[] = { "option", "type", "default", "help", NULL };
    struct sonde_buf needs = { 0 };
    describe_needs(probe->needs, &needs);
    sonde_result_parameter_text(result, "name", probe->name);
    sonde_result_parameter_text(result, "version", probe->version);
    sonde_result_parameter_text(result, "summary", probe->summary);
    sonde_result_parameter_text(result, "needs", needs.data ? needs.data : "");
    if (probe->description)
        sonde_result_parameter_text(result, "description", probe->description);
    struct sonde_table *table = sonde_result_add_table(result, "options", columns);
    for (uint32_t i = 0; i < probe->n_options; i++) {
        const struct sonde_probe_option *option = &probe->options[i];
        sonde_table_add_row(table);
        sonde_table_text(table, 0, option->name);
        sonde_table_text(table, 1,
                         option->choices ? option->choices : option_type_name(option->type));
        if (option->default_value)
            sonde_table_text(table, 2, option->default_value);
        sonde_table_text(table, 3, option->help);
    }
    sonde_buf_finish(&needs);
}

/* What a probe reads, as arguments of `sonde probe NAME`. */
static const char *synopsis_of(uint32_t needs)
{
    if (needs & SONDE_PROBE_NEEDS_LABELS)
        return "STORE --labels SET [OPTION..]";
    if (needs & SONDE_PROBE_NEEDS_MODEL)
        return needs & (SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_USES_STREAMS)
                   ? "[MODEL] [STORE] [--text T] [OPTION..]"
                   : "MODEL [OPTION..]";
    return "[MODEL] STORE|--text T [OPTION..]";
}

/* The descriptor's text with a blank line between its paragraphs, and the help of its options with
 * their defaults, each ended by a zero byte. */
static void put_texts(const struct sonde_probe *probe, struct sonde_buf *description,
                      struct sonde_buf *help)
{
    for (const char *at = probe->description ? probe->description : ""; *at; at++) {
        sonde_buf_putc(description, *at);
        if (*at == '\n')
            sonde_buf_putc(description, '\n');
    }
    sonde_buf_puts(description,
                   "\n\nOptions of all probes (-o, --run, --mem, --text, ..) are told by "
                   "`sonde probe --help`.");
    for (uint32_t i = 0; i < probe->n_options; i++) {
        const struct sonde_probe_option *option = &probe->options[i];
        sonde_buf_puts(help, option->help);
        if (option->default_value && *option->default_value)
            sonde_buf_printf(help, " (default %s)", option->default_value);
        sonde_buf_putc(help, '\0');
    }
}

/* One probe as --help tells a command. */
static enum sonde_status print_probe(const struct sonde_probe *probe, struct sonde_error *error)
{
    struct sonde_cli_option *table = calloc((size_t)probe->n_options + 1, sizeof(*table));
    struct sonde_buf description = { 0 }, help = { 0 }, name = { 0 }, text = { 0 };
    enum sonde_status status = table ? SONDE_STATUS_OK : sonde_error_memory(error, "the options");
    put_texts(probe, &description, &help);
    sonde_buf_printf(&name, "probe %s", probe->name);
    if (!status)
        status = sonde_buf_status(&description, error);
    if (!status && probe->n_options > 0)
        status = sonde_buf_status(&help, error);
    const char *at = help.data;
    for (uint32_t i = 0; i < probe->n_options && !status; i++) {
        const struct sonde_probe_option *option = &probe->options[i];
        table[i] = (struct sonde_cli_option){ .name = option->name, .help = at };
        if (option->type != SONDE_PROBE_FLAG)
            table[i].value_name =
                option->choices ? option->choices : option_type_name(option->type);
        at += strlen(at) + 1;
    }
    struct sonde_command command = { .name = name.data ? name.data : probe->name,
                                     .synopsis = synopsis_of(probe->needs),
                                     .summary = probe->summary,
                                     .description = description.data,
                                     .options = table };
    if (!status)
        sonde_cli_command_help(&command, &text);
    if (!status)
        status = sonde_buf_status(&text, error);
    if (!status)
        fwrite(text.data, 1, text.size, stdout); /* main looks at stdout's state */
    sonde_buf_finish(&description);
    sonde_buf_finish(&help);
    sonde_buf_finish(&name);
    sonde_buf_finish(&text);
    free(table);
    return status;
}

static enum sonde_status run_probes(const struct sonde_cli *cli,
                                    struct sonde_probe_registry *registry,
                                    struct sonde_error *error)
{
    const struct probes_options *given = cli->options;
    for (int64_t i = 0; i < given->plugin.n; i++) {
        enum sonde_status status =
            sonde_probe_registry_load(registry, given->plugin.item[i], error);
        if (status != SONDE_STATUS_OK)
            return status;
    }
    const struct sonde_probe *probe = NULL;
    enum sonde_status status = SONDE_STATUS_OK;
    if (cli->n_args > 0)
        status = sonde_probe_registry_find(registry, cli->arg[0], &probe, error);
    if (status == SONDE_STATUS_OK && probe && !cli->common.json && !cli->taken)
        return print_probe(probe, error);
    if (status != SONDE_STATUS_OK)
        return status;
    struct sonde_result *result = sonde_result_create("probes");
    if (!result)
        return sonde_error_memory(error, "the result");
    if (probe)
        describe_probe(probe, result);
    else
        list_probes(registry, result);
    status = sonde_cli_emit(cli, result, NULL, NULL, error);
    sonde_result_destroy(&result);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    if (cli->n_args > 1) {
        sonde_error_set(error, SONDE_STATUS_ARGUMENT, "one probe's name at most, found %lld",
                        (long long)cli->n_args);
        return SONDE_EXIT_FAILED;
    }
    struct sonde_probe_registry *registry = NULL;
    if (sonde_probe_registry_create(&registry, error) != SONDE_STATUS_OK)
        return SONDE_EXIT_FAILED;
    enum sonde_status status = run_probes(cli, registry, error);
    sonde_probe_registry_destroy(&registry);
    return status == SONDE_STATUS_OK ? SONDE_EXIT_OK : SONDE_EXIT_FAILED;
}

const struct sonde_command sonde_command_probes = {
    .name = "probes",
    .synopsis = "[NAME] [--plugin FILE]",
    .summary = "list the probes, or one probe's options",
    .description =
        "Without NAME: every probe, built in or loaded with --plugin, with what it needs.\n"
        "Needs in brackets are used where they are given. With NAME: its method and its\n"
        "options; --json gives both as a result.",
    .options = options,
    .options_size = sizeof(struct probes_options),
    .run = run,
};
