/* The host side of the plugin ABI: a vtable over source, model and result. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/rng.h"
#include "probes/probe_options.h"
#include "probes/registry.h"
#include "probes/select.h"

struct probe_host {
    struct sonde_probe_host vtable;
    const struct sonde_probe *probe;
    const struct sonde_probe_values *values;
    const struct sonde_probe_run_args *args;
    struct sonde_result *result;
    struct sonde_probe_internals internals;
    struct sonde_rng rng;
    struct sonde_arena *scratch; /* of readout */
    struct sonde_buf text;       /* of vocabulary_text */
    char broken[160];            /* the first rule that the probe broke */
};

static int32_t give_error(struct sonde_probe_error *out, const struct sonde_error *error)
{
    if (out) {
        size_t n = strlen(error->text);
        if (n >= sizeof(out->text))
            for (n = sizeof(out->text) - 1; n > 0 && (error->text[n] & 0xC0) == 0x80; n--)
                continue;
        memcpy(out->text, error->text, n);
        out->text[n] = '\0';
    }
    switch (error->status) {
    case SONDE_STATUS_OK:
        return SONDE_PROBE_OK;
    case SONDE_STATUS_ARGUMENT:
    case SONDE_STATUS_NOT_FOUND:
        return SONDE_PROBE_ARGUMENT;
    case SONDE_STATUS_MEMORY:
        return SONDE_PROBE_MEMORY;
    case SONDE_STATUS_CANCELLED:
        return SONDE_PROBE_CANCELLED;
    default:
        return SONDE_PROBE_FAILED;
    }
}

static const char *host_option(void *ctx, const char *name)
{
    const struct probe_host *host = ctx;
    return sonde_probe_options_value(host->probe, host->values, name);
}

static int64_t host_option_integer(void *ctx, const char *name, int64_t fallback)
{
    const char *text = host_option(ctx, name);
    int64_t value = fallback;
    if (text)
        (void)sonde_parse_i64(text, strlen(text), &value);
    return value;
}

static double host_option_real(void *ctx, const char *name, double fallback)
{
    const char *text = host_option(ctx, name);
    double value = fallback;
    if (text)
        (void)sonde_parse_f64(text, strlen(text), &value);
    return value;
}

static struct sonde_source *source_of(void *ctx)
{
    const struct probe_host *host = ctx;
    return host->args ? host->args->source : NULL;
}

static int64_t host_n_streams(void *ctx)
{
    const struct sonde_source *source = source_of(ctx);
    return source ? source->n_streams : 0;
}

static int32_t host_stream(void *ctx, int64_t index, struct sonde_probe_stream *out)
{
    const struct sonde_source *source = source_of(ctx);
    if (!source || index < 0 || index >= source->n_streams)
        return SONDE_PROBE_ARGUMENT;
    const struct sonde_stream *stream = &source->streams[index];
    *out = (struct sonde_probe_stream){
        .name = stream->name,
        .layer = stream->layer,
        .space = (uint32_t)stream->space,
        .width = stream->width,
        .n_rows = stream->n_rows,
    };
    return SONDE_PROBE_OK;
}

static int32_t host_stream_matches(void *ctx, int64_t index, const char *pattern)
{
    const struct sonde_source *source = source_of(ctx);
    if (!source || index < 0 || index >= source->n_streams)
        return 0;
    return sonde_select_matches(pattern, source->streams[index].name,
                                sonde_select_n_layers(source));
}

static int32_t host_read_rows(void *ctx, int64_t stream, int64_t first, int64_t n, float *out,
                              struct sonde_probe_error *error)
{
    struct sonde_source *source = source_of(ctx);
    struct sonde_error why = { 0 };
    if (!source || stream < 0 || stream >= source->n_streams ||
        source->streams[stream].space == SONDE_ROWS_MAP)
        sonde_error_set(&why, SONDE_STATUS_ARGUMENT, "no stream %lld of rows", (long long)stream);
    else if (first < 0 || n < 0 || first > source->streams[stream].n_rows ||
             n > source->streams[stream].n_rows - first)
        sonde_error_set(&why, SONDE_STATUS_ARGUMENT, "%s: rows %lld and %lld more, it has %lld",
                        source->streams[stream].name, (long long)first, (long long)n,
                        (long long)source->streams[stream].n_rows);
    else
        why.status = source->read_rows(source, stream, first, n, out, &why);
    return give_error(error, &why);
}

static int32_t host_read_map(void *ctx, int64_t stream, int64_t sequence, float *out,
                             struct sonde_probe_error *error)
{
    struct sonde_source *source = source_of(ctx);
    struct sonde_error why = { 0 };
    if (!source || stream < 0 || stream >= source->n_streams ||
        source->streams[stream].space != SONDE_ROWS_MAP)
        sonde_error_set(&why, SONDE_STATUS_ARGUMENT, "no stream %lld of maps", (long long)stream);
    else if (sequence < 0 || sequence >= source->n_sequences)
        sonde_error_set(&why, SONDE_STATUS_ARGUMENT, "no sequence %lld", (long long)sequence);
    else
        why.status = source->read_map(source, stream, sequence, out, &why);
    return give_error(error, &why);
}

static int64_t host_n_sequences(void *ctx)
{
    const struct sonde_source *source = source_of(ctx);
    return source ? source->n_sequences : 0;
}

static int32_t host_sequence(void *ctx, int64_t index, struct sonde_probe_sequence *out)
{
    const struct sonde_source *source = source_of(ctx);
    if (!source || index < 0 || index >= source->n_sequences)
        return SONDE_PROBE_ARGUMENT;
    const struct sonde_source_sequence *sequence = &source->sequences[index];
    *out = (struct sonde_probe_sequence){
        .first_row = sequence->first_row,
        .n_tokens = sequence->n_tokens,
        .group = sequence->group,
        .name = sequence->name,
        .text = sequence->text,
    };
    return SONDE_PROBE_OK;
}

static int64_t host_n_tokens(void *ctx)
{
    const struct sonde_source *source = source_of(ctx);
    return source ? source->n_tokens : 0;
}

static int32_t host_token_id(void *ctx, int64_t row)
{
    const struct sonde_source *source = source_of(ctx);
    return source && row >= 0 && row < source->n_tokens ? source->token_id[row] : -1;
}

static const char *host_token_text(void *ctx, int64_t row)
{
    struct sonde_source *source = source_of(ctx);
    return source && row >= 0 && row < source->n_tokens ? source->token_text(source, row) : NULL;
}

static int32_t host_labels(void *ctx, const char *set, struct sonde_probe_labels *out,
                           struct sonde_probe_error *error)
{
    struct sonde_source *source = source_of(ctx);
    struct sonde_error why = { 0 };
    const struct sonde_labels *labels = NULL;
    if (!source || !set)
        sonde_error_set(&why, SONDE_STATUS_ARGUMENT, "no label set without a store and a name");
    else
        why.status = source->labels(source, set, &labels, &why);
    if (!why.status && labels &&
        (labels->space != SONDE_ROWS_TOKEN ||
         (labels->kind != SONDE_LABEL_CLASS && labels->kind != SONDE_LABEL_REAL)))
        sonde_error_set(&why, SONDE_STATUS_UNSUPPORTED,
                        "label set %s: %s labels of a %s, expected class or real of a token", set,
                        sonde_label_kind_name(labels->kind), sonde_row_space_name(labels->space));
    if (!why.status && labels)
        *out = (struct sonde_probe_labels){
            .kind = labels->kind == SONDE_LABEL_REAL,
            .n_rows = labels->n_rows,
            .class_of = labels->class_of,
            .real = labels->real,
            .n_classes = labels->n_classes,
            .class_name = labels->class_name,
        };
    return give_error(error, &why);
}

static int64_t host_d_model(void *ctx)
{
    const struct probe_host *host = ctx;
    return host->args && host->args->model ? sonde_model_spec(host->args->model)->d_model : 0;
}

static int64_t host_n_vocabulary(void *ctx)
{
    const struct probe_host *host = ctx;
    return host->args && host->args->model ? sonde_model_spec(host->args->model)->d_vocab : 0;
}

static int32_t host_readout(void *ctx, const float *x, int64_t n, float *logits,
                            struct sonde_probe_error *error)
{
    struct probe_host *host = ctx;
    struct sonde_error why = { 0 };
    if (!host->args || !host->args->model)
        sonde_error_set(&why, SONDE_STATUS_ARGUMENT, "there is no model to read out with");
    else if (n < 0)
        sonde_error_set(&why, SONDE_STATUS_ARGUMENT, "%lld rows to read out", (long long)n);
    else if (!host->scratch && !(host->scratch = sonde_arena_create(0)))
        sonde_error_memory(&why, "scratch of the readout");
    else if (n > 0)
        why.status =
            sonde_model_readout(host->args->model, host->scratch, x, n, 0, 0, logits, &why);
    return give_error(error, &why);
}

static const char *host_vocabulary_text(void *ctx, int64_t id)
{
    struct probe_host *host = ctx;
    const struct sonde_model *model = host->args ? host->args->model : NULL;
    sonde_buf_clear(&host->text);
    if (!sonde_select_vocabulary_text(model, id, &host->text))
        return NULL;
    return host->text.data;
}

static uint64_t host_random(void *ctx)
{
    struct probe_host *host = ctx;
    return sonde_rng_u64(&host->rng);
}

static int32_t host_progress(void *ctx, const char *what, int64_t done, int64_t total)
{
    const struct probe_host *host = ctx;
    const struct sonde_progress *progress = host->args ? host->args->progress : NULL;
    return !sonde_progress_update(progress, what ? what : "", done, total, "");
}

/* Only the first fault is kept: what follows may come of it. */
static void break_rule(struct probe_host *host, const char *text)
{
    if (!host->broken[0])
        snprintf(host->broken, sizeof(host->broken), "%s", text);
}

static struct sonde_table *host_table(struct probe_host *host, int32_t table)
{
    if (!host->result || table < 0 || table >= host->result->n_tables) {
        break_rule(host, "it wrote to a table that it did not add");
        return NULL;
    }
    return host->result->table[table];
}

static struct sonde_table *host_cell(struct probe_host *host, int32_t table, int32_t column)
{
    struct sonde_table *t = host_table(host, table);
    if (!t)
        return NULL;
    if (t->n_rows == 0 || column < 0 || column >= t->n_columns) {
        break_rule(host, "it set a cell outside of its table");
        return NULL;
    }
    return t;
}

static void host_scalar(void *ctx, const char *name, double value)
{
    struct probe_host *host = ctx;
    if (!name || !host->result)
        break_rule(host, "it gave a scalar without a name");
    else
        sonde_result_scalar_f64(host->result, name, value);
}

static int32_t host_add_table(void *ctx, const char *name, const char *const *columns)
{
    struct probe_host *host = ctx;
    if (!name || !columns || !columns[0] || !host->result) {
        break_rule(host, "it added a table without a name or columns");
        return -1;
    }
    if (!sonde_result_add_table(host->result, name, columns))
        return -1;
    return (int32_t)(host->result->n_tables - 1);
}

static void host_add_row(void *ctx, int32_t table)
{
    struct sonde_table *t = host_table(ctx, table);
    if (t)
        sonde_table_add_row(t);
}

static void host_cell_text(void *ctx, int32_t table, int32_t column, const char *value)
{
    struct sonde_table *t = host_cell(ctx, table, column);
    if (t && value)
        sonde_table_text(t, column, value);
}

static void host_cell_integer(void *ctx, int32_t table, int32_t column, int64_t value)
{
    struct sonde_table *t = host_cell(ctx, table, column);
    if (t)
        sonde_table_i64(t, column, value);
}

static void host_cell_real(void *ctx, int32_t table, int32_t column, double value)
{
    struct sonde_table *t = host_cell(ctx, table, column);
    if (t)
        sonde_table_f64(t, column, value);
}

static void host_warn(void *ctx, const char *text)
{
    struct probe_host *host = ctx;
    if (text && host->result)
        sonde_result_warn(host->result, "%s", text);
}

static void host_heatmap(void *ctx, const char *name, const char *title, int64_t rows,
                         int64_t columns, const float *value, const char *const *row_labels,
                         const char *const *column_labels, int32_t diverging)
{
    struct probe_host *host = ctx;
    if (!name || !title || !value || rows < 1 || columns < 1 || !host->result) {
        break_rule(host, "it gave a heatmap without a name, a title or cells");
        return;
    }
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, name, title);
    if (f) {
        sonde_figure_set_matrix(f, rows, columns, value);
        if (row_labels)
            sonde_figure_set_ticks(f, &f->y, row_labels, rows);
        if (column_labels)
            sonde_figure_set_ticks(f, &f->x, column_labels, columns);
        sonde_figure_set_scale(f, diverging ? SONDE_COLORMAP_DIVERGING : SONDE_COLORMAP_SEQUENTIAL,
                               NULL, false, 0, 0);
    }
    sonde_result_add_figure(host->result, f);
}

static void host_line(void *ctx, const char *name, const char *title, const char *x_title,
                      const char *y_title, int64_t n, const double *x, const double *y)
{
    struct probe_host *host = ctx;
    if (!name || !title || !x || !y || n < 1 || !host->result) {
        break_rule(host, "it gave a line without a name, a title or points");
        return;
    }
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_LINE, name, title);
    if (f) {
        sonde_figure_set_axes(f, x_title, y_title);
        sonde_figure_add_series(f, name, n, x, y, NULL, NULL);
    }
    sonde_result_add_figure(host->result, f);
}

static void fill_vtable(struct probe_host *host)
{
    host->vtable = (struct sonde_probe_host){
        .abi = SONDE_PROBE_ABI,
        .struct_size = sizeof(struct sonde_probe_host),
        .ctx = host,
        .option = host_option,
        .option_integer = host_option_integer,
        .option_real = host_option_real,
        .n_streams = host_n_streams,
        .stream = host_stream,
        .stream_matches = host_stream_matches,
        .read_rows = host_read_rows,
        .read_map = host_read_map,
        .n_sequences = host_n_sequences,
        .sequence = host_sequence,
        .n_tokens = host_n_tokens,
        .token_id = host_token_id,
        .token_text = host_token_text,
        .labels = host_labels,
        .d_model = host_d_model,
        .n_vocabulary = host_n_vocabulary,
        .readout = host_readout,
        .vocabulary_text = host_vocabulary_text,
        .random = host_random,
        .progress = host_progress,
        .scalar = host_scalar,
        .add_table = host_add_table,
        .add_row = host_add_row,
        .cell_text = host_cell_text,
        .cell_integer = host_cell_integer,
        .cell_real = host_cell_real,
        .warn = host_warn,
        .heatmap = host_heatmap,
        .line = host_line,
    };
}

static bool is_builtin(const struct sonde_probe *probe)
{
    for (int64_t i = 0; sonde_probe_builtin(i); i++)
        if (sonde_probe_builtin(i) == probe)
            return true;
    return false;
}

static enum sonde_status check_needs(const struct sonde_probe *probe,
                                     const struct sonde_probe_run_args *args,
                                     struct sonde_error *error)
{
    const uint32_t streams = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS;
    if ((probe->needs & streams) && !args->source)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "probe %s: needs recorded activations: give a store", probe->name);
    if ((probe->needs & SONDE_PROBE_NEEDS_MODEL) && !args->model)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "probe %s: needs a model",
                               probe->name);
    return SONDE_STATUS_OK;
}

static void put_parameters(struct sonde_result *result, const struct sonde_probe *probe,
                           const struct sonde_probe_run_args *args)
{
    for (uint32_t i = 0; i < probe->n_options; i++) {
        const char *value = sonde_probe_options_value(probe, &args->values, probe->options[i].name);
        if (value)
            sonde_result_parameter_text(result, probe->options[i].name, value);
    }
    sonde_result_parameter_i64(result, "seed", (int64_t)args->seed);
    if (args->source && args->source->run_name)
        sonde_result_parameter_text(result, "run", args->source->run_name);
    if (args->source && args->source->model_hash && args->source->model_hash[0])
        sonde_result_parameter_text(result, "model_hash", args->source->model_hash);
}

/* Counts what is not finite in a plugin's answer. NULL cells are not asked for. */
static void warn_not_finite(struct sonde_result *result, const struct sonde_probe *probe)
{
    int64_t n = 0;
    const char *where = NULL;
    for (int64_t i = 0; i < result->n_scalars; i++) {
        const struct sonde_cell *cell = &result->scalar[i].value;
        if (cell->kind == SONDE_CELL_REAL && !isfinite(cell->real)) {
            where = where ? where : result->scalar[i].name;
            n++;
        }
    }
    for (int64_t t = 0; t < result->n_tables; t++) {
        const struct sonde_table *table = result->table[t];
        for (int64_t i = 0; i < table->n_rows * table->n_columns; i++) {
            if (table->cell[i].kind == SONDE_CELL_REAL && !isfinite(table->cell[i].real)) {
                where = where ? where : table->name;
                n++;
            }
        }
    }
    if (n > 0)
        sonde_result_warn(result, "probe %s: %lld value%s not finite (first in %s)", probe->name,
                          (long long)n, n == 1 ? " is" : "s are", where);
}

static enum sonde_status status_of_code(int32_t code)
{
    switch (code) {
    case SONDE_PROBE_ARGUMENT:
        return SONDE_STATUS_ARGUMENT;
    case SONDE_PROBE_CANCELLED:
        return SONDE_STATUS_CANCELLED;
    case SONDE_PROBE_MEMORY:
        return SONDE_STATUS_MEMORY;
    default:
        return SONDE_STATUS_FORMAT;
    }
}

static enum sonde_status judge(struct probe_host *host, int32_t code,
                               struct sonde_probe_error *said, const struct sonde_error *full,
                               struct sonde_error *error)
{
    const char *name = host->probe->name;
    said->text[sizeof(said->text) - 1] = '\0';
    if (code != SONDE_PROBE_OK && full->status != SONDE_STATUS_OK)
        return sonde_error_set(error, full->status, "probe %s: %s", name, full->text);
    if (code < SONDE_PROBE_OK || code > SONDE_PROBE_MEMORY)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "probe %s: run returned %d, which is no code", name, code);
    if (code != SONDE_PROBE_OK)
        return sonde_error_set(error, status_of_code(code), "probe %s: %s", name,
                               said->text[0] ? said->text : "failed without a reason");
    if (host->broken[0])
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "probe %s: %s", name, host->broken);
    return sonde_result_status(host->result, error);
}

enum sonde_status sonde_probe_run(const struct sonde_probe *probe,
                                  const struct sonde_probe_run_args *args,
                                  struct sonde_result **out, struct sonde_error *error)
{
    enum sonde_status status = sonde_probe_options_check(probe, &args->values, error);
    if (!status)
        status = check_needs(probe, args, error);
    if (status)
        return status;

    char command[96];
    snprintf(command, sizeof(command), "probe %s", probe->name);
    struct sonde_error full = { 0 };
    struct sonde_probe_error said = { 0 };
    struct probe_host host = {
        .probe = probe,
        .values = &args->values,
        .args = args,
        .result = sonde_result_create(command),
        .rng = sonde_rng_make(args->seed, sonde_rng_stream(probe->name)),
    };
    if (!host.result)
        return sonde_error_memory(error, "the result");
    fill_vtable(&host);
    put_parameters(host.result, probe, args);
    host.internals = (struct sonde_probe_internals){
        .args = args,
        .result = host.result,
        .error = &full,
    };
    if (is_builtin(probe))
        host.vtable.internals = &host.internals;

    int32_t code = probe->run(&host.vtable, &said);
    status = judge(&host, code, &said, &full, error);
    if (!status) {
        if (!is_builtin(probe))
            warn_not_finite(host.result, probe);
        *out = host.result;
        host.result = NULL;
    }
    sonde_result_destroy(&host.result);
    sonde_arena_destroy(&host.scratch);
    sonde_buf_finish(&host.text);
    return status;
}

enum sonde_status sonde_probe_sites(const struct sonde_probe *probe,
                                    const struct sonde_probe_values *values, struct sonde_buf *out,
                                    struct sonde_error *error)
{
    enum sonde_status status = sonde_probe_options_check(probe, values, error);
    if (status)
        return status;
    if (!probe->select_sites) {
        sonde_buf_puts(out, probe->sites ? probe->sites : "");
        return sonde_buf_status(out, error);
    }
    struct probe_host host = { .probe = probe, .values = values };
    fill_vtable(&host);
    char text[4096] = "";
    int32_t code = probe->select_sites(&host.vtable, text, sizeof(text));
    text[sizeof(text) - 1] = '\0';
    if (code != SONDE_PROBE_OK)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "probe %s: the sites for these options cannot be named",
                               probe->name);
    sonde_buf_puts(out, text);
    return sonde_buf_status(out, error);
}
