/* sonde report: everything in a store on one page. */
#include <stdlib.h>

#include "core/base/file.h"
#include "storage/store.h"
#include "tools/commands.h"
#include "tools/store_info.h"

struct report_options {
    const char *output;
};

static const struct sonde_cli_option options[] = {
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct report_options, output), "FILE.html",
      "the page; - is standard output", NULL, 0, 0 },
    { 0 },
};

/* The stored results, restored. */
struct collection {
    struct sonde_result **result;
    char **time;
    int64_t n, capacity, time_capacity;
};

static enum sonde_status add(struct collection *c, struct sonde_result *result, const char *created,
                             struct sonde_error *error)
{
    char *time = created ? sonde_strdup(created) : NULL;
    if ((created && !time) ||
        !sonde_grow((void **)&c->result, &c->capacity, c->n + 1, sizeof(struct sonde_result *),
                    INT32_MAX) ||
        !sonde_grow((void **)&c->time, &c->time_capacity, c->n + 1, sizeof(char *), INT32_MAX)) {
        free(time);
        sonde_result_destroy(&result);
        return sonde_error_memory(error, "the results");
    }
    c->time[c->n] = time;
    c->result[c->n++] = result;
    return SONDE_STATUS_OK;
}

static enum sonde_status visit(void *ctx, int64_t id, const char *created, const char *command,
                               const char *command_line, const char *archive, int64_t archive_bytes,
                               struct sonde_error *error)
{
    struct sonde_result *result = NULL;
    (void)command;
    enum sonde_status status = sonde_result_restore(&result, archive, (size_t)archive_bytes, error);
    if (status) {
        sonde_error_prepend(error, "result %lld", (long long)id);
        return status;
    }
    sonde_result_parameter_text(result, "command line", command_line);
    return add(ctx, result, created, error);
}

/* The model's hash where all runs agree on it, for the page's provenance. */
static enum sonde_status find_hash(struct sonde_store *store, char **out, struct sonde_error *error)
{
    struct sonde_store_runs runs = { 0 };
    enum sonde_status status = sonde_store_list_runs(store, &runs, error);
    bool same = runs.n > 0;
    for (int64_t i = 1; i < runs.n; i++)
        same = same && sonde_str_equal(runs.run[i].model_hash, runs.run[0].model_hash);
    if (!status && same)
        *out = sonde_strdup(runs.run[0].model_hash);
    sonde_store_runs_finish(&runs);
    return status;
}

static enum sonde_status write_page(const struct sonde_cli *cli, const struct collection *c,
                                    const char *hash, int64_t *n_bytes, struct sonde_error *error)
{
    const struct report_options *o = cli->options;
    struct sonde_buf html = { .max = (size_t)1 << 32 };
    struct sonde_html_page page = {
        .title = sonde_path_base(cli->arg[0]),
        .subtitle = "activation store",
        .result = (const struct sonde_result *const *)c->result,
        .result_time = (const char *const *)c->time,
        .n_results = c->n,
        .provenance = { .command = cli->command_line,
                        .model_hash = hash,
                        .version = SONDE_VERSION },
    };
    enum sonde_status status = sonde_render_html(&page, &html, error);
    if (!status)
        status = sonde_buf_status(&html, error);
    if (!status)
        status = sonde_file_save(o->output, html.data, html.size, error);
    *n_bytes = (int64_t)html.size;
    sonde_buf_finish(&html);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct report_options *o = cli->options;
    struct sonde_store *store = NULL;
    struct collection c = { 0 };
    struct sonde_result *info = NULL, *result = NULL;
    char *hash = NULL;
    int64_t n_bytes = 0;
    enum sonde_status status = SONDE_STATUS_OK;
    if (!o->output)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "where to? -o FILE.html");
    if (!status)
        status = sonde_store_open(&store, cli->arg[0], SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_info(store, cli->arg[0], &info, error);
    if (!status)
        status = add(&c, info, NULL, error);
    if (!status)
        status = sonde_store_visit_results(store, visit, &c, error);
    if (!status)
        status = find_hash(store, &hash, error);
    if (!status)
        status = write_page(cli, &c, hash, &n_bytes, error);
    bool to_stdout = !status && sonde_str_equal(o->output, "-");
    if (!status && !to_stdout && (result = sonde_result_create("report")) != NULL) {
        sonde_result_parameter_text(result, "store", cli->arg[0]);
        sonde_result_parameter_text(result, "file", o->output);
        sonde_result_scalar_i64(result, "results", c.n - 1);
        sonde_result_scalar_i64(result, "bytes", n_bytes);
    }
    for (int64_t i = 0; i < c.n; i++) {
        sonde_result_destroy(&c.result[i]);
        free(c.time[i]);
    }
    free(c.result);
    free(c.time);
    free(hash);
    sonde_store_close(&store);
    return to_stdout ? SONDE_EXIT_OK : sonde_cli_finish(cli, &result, status, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_report = {
    .name = "report",
    .synopsis = "STORE -o FILE.html",
    .summary = "put everything in a store on one self-contained page",
    .description = "What the store holds, then every stored result with its parameters, tables, "
                   "checks and pictures, and a table of contents. Neither the model nor the "
                   "network is needed.",
    .options = options,
    .options_size = sizeof(struct report_options),
    .args = "STORE",
    .run = run,
};
