/* sonde demo: a tour of the bundled models, as one page. */
#include <stdlib.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tools/bundled.h"
#include "tools/commands.h"
#include "tools/demo/demo.h"

#define FOLDER_DEFAULT "sonde-demo"

struct demo_options {
    const char *folder;
    bool replace;
};

static const struct sonde_cli_option options[] = {
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct demo_options, folder), "DIR",
      "where to put the page and all that it is made of (default " FOLDER_DEFAULT ")", NULL, 0, 0 },
    { "replace", 0, SONDE_CLI_FLAG, offsetof(struct demo_options, replace), NULL,
      "write over a demo that lies there already", NULL, 0, 0 },
    { 0 },
};

/* Stores take runs in addition, so those of an earlier demo must go; the rest is written over. */
static enum sonde_status make_room(struct sonde_demo *demo, bool replace, struct sonde_error *error)
{
    static const char *const names[] = { "report.html", "counter.db", "english.db" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *path = sonde_demo_path(demo, names[i]);
        if (!sonde_path_exists(path))
            continue;
        if (!replace)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s is there already: --replace writes over it, -o DIR goes "
                                   "elsewhere",
                                   path);
        if (unlink(path) != 0)
            return sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot be replaced", path);
    }
    return sonde_path_make_directory(demo->folder, error);
}

/* A demo that did not end leaves DIR free for the next attempt. */
static void abandon(struct sonde_demo *demo)
{
    unlink(sonde_demo_path(demo, "counter.db"));
    unlink(sonde_demo_path(demo, "english.db"));
}

/* Told before anything is made. */
static enum sonde_status find_models(struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (const struct sonde_bundled_model *m = sonde_bundled_models; !status && m->name; m++) {
        char *folder = NULL;
        status = sonde_bundled_folder(m->name, &folder, error);
        free(folder);
    }
    return status;
}

static bool checks_hold(const struct sonde_result *result)
{
    for (int64_t i = 0; i < result->n_checks; i++) {
        if (!result->check[i].ok)
            return false;
    }
    return true;
}

static enum sonde_status tour(struct sonde_demo *demo, struct sonde_error *error)
{
    static const char *const columns[] = { "section", "command", NULL };
    double began = sonde_cli_seconds();
    demo->commands = sonde_result_add_table(demo->result, "commands", columns);
    enum sonde_status status = sonde_demo_counter(demo, error);
    if (!status)
        status = sonde_demo_english(demo, error);
    if (!status) {
        sonde_demo_next(demo);
        status = sonde_demo_write(demo, error);
    }

    if (!status) {
        sonde_result_parameter_text(demo->result, "page", sonde_demo_path(demo, "report.html"));
        sonde_result_scalar_f64(demo->result, "seconds", sonde_cli_seconds() - began);
    }
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct demo_options *o = cli->options;
    struct sonde_demo *demo = calloc(1, sizeof(*demo));
    enum sonde_status status = demo ? SONDE_STATUS_OK : sonde_error_memory(error, "the demo");
    bool hold = false;
    if (!status) {
        demo->cli = cli;
        demo->folder = o->folder ? o->folder : FOLDER_DEFAULT;
        demo->arena = sonde_arena_create(0);
        demo->result = sonde_result_create("demo");
        if (!demo->arena || !demo->result)
            status = sonde_error_memory(error, "the demo");
    }
    if (!status)
        status = find_models(error);
    if (!status)
        status = make_room(demo, o->replace, error);
    bool begun = !status;
    if (begun)
        status = tour(demo, error);
    if (begun && status)
        abandon(demo);
    if (!status)
        status = sonde_cli_emit(cli, demo->result, demo->folder, NULL, error);
    if (!status)
        hold = checks_hold(demo->result);
    if (demo) {
        sonde_result_destroy(&demo->result);
        sonde_arena_destroy(&demo->arena);
    }
    free(demo);
    return status ? SONDE_EXIT_FAILED : hold ? SONDE_EXIT_OK : SONDE_EXIT_NO;
}

const struct sonde_command sonde_command_demo = {
    .name = "demo",
    .synopsis = "[-o DIR] [--replace]",
    .summary = "show on one page what the bundled models know, and where",
    .description =
        "Records the bundled models on strings and sentences whose properties are known, probes "
        "them, takes a direction away, reads lenses and neurons, and writes DIR/report.html with "
        "the commands that made each part. DIR also holds the stores, the pictures, a CSV per "
        "table and result.json. A demo that lies there is not written over unless --replace is "
        "given.",
    .options = options,
    .options_size = sizeof(struct demo_options),
    .args = "",
    .run = run,
};
