/* sonde import: activations made elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "storage/store.h"
#include "tools/array_file.h"
#include "tools/commands.h"
#include "tools/delimited.h"

struct import_options {
    const char *stream, *rows, *run, *array;
    int compress;
};

static const char *const codec_names[] = { "none", "zlib", NULL };

static const struct sonde_cli_option options[] = {
    { "stream", 0, SONDE_CLI_TEXT, offsetof(struct import_options, stream), "NAME",
      "name that the stream gets; a site's name says what it is", NULL, 0, 0 },
    { "rows", 0, SONDE_CLI_TEXT, offsetof(struct import_options, rows), "FILE.csv",
      "one line a row of the matrix: sequence, position, and id and token where the run is new",
      NULL, 0, 0 },
    { "run", 0, SONDE_CLI_TEXT, offsetof(struct import_options, run), "NAME",
      "the run; made where it is absent (default: the one that --rows names)", NULL, 0, 0 },
    { "array", 0, SONDE_CLI_TEXT, offsetof(struct import_options, array), "NAME",
      "of an .npz or .safetensors (default: the stream's name)", NULL, 0, 0 },
    { "compress", 0, SONDE_CLI_CHOICE, offsetof(struct import_options, compress), NULL,
      "zlib: byte-shuffled and deflated (default none)", codec_names, 0, 0 },
    { 0 },
};

struct rows {
    struct sonde_import_row *row;
    int64_t n, capacity;
    char *run; /* that the file names, or NULL */
};

static void rows_finish(struct rows *rows)
{
    for (int64_t i = 0; i < rows->n; i++)
        free((void *)(uintptr_t)rows->row[i].token);
    free(rows->row);
    free(rows->run);
}

static enum sonde_status take_run(struct rows *rows, const struct sonde_delimited *f, int column,
                                  struct sonde_error *error)
{
    if (column < 0)
        return SONDE_STATUS_OK;
    if (!rows->run) {
        rows->run = sonde_strdup(f->field[column]);
        return rows->run ? SONDE_STATUS_OK : sonde_error_memory(error, f->path);
    }
    if (strcmp(rows->run, f->field[column]) == 0)
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_FORMAT,
                           "%s: line %lld: run '%.60s', but the lines before say '%.60s'", f->path,
                           (long long)f->line, f->field[column], rows->run);
}

static enum sonde_status take_row(struct rows *rows, const struct sonde_delimited *f,
                                  const int column[5], struct sonde_error *error)
{
    struct sonde_import_row row = { .id = -1 };
    int64_t id = -1;
    enum sonde_status status = take_run(rows, f, column[0], error);
    if (!status)
        status = sonde_delimited_i64(f, column[1], "sequence", 0, INT64_MAX, &row.sequence, error);
    if (!status)
        status = sonde_delimited_i64(f, column[2], "position", 0, INT32_MAX, &row.position, error);
    if (!status && column[3] >= 0)
        status = sonde_delimited_i64(f, column[3], "id", 0, INT32_MAX, &id, error);
    if (status)
        return status;
    row.id = (int32_t)id;
    if (!sonde_grow((void **)&rows->row, &rows->capacity, rows->n + 1, sizeof(*rows->row),
                    (int64_t)1 << 40))
        return sonde_error_memory(error, f->path);
    if (column[4] >= 0 && !(row.token = sonde_strdup(f->field[column[4]])))
        return sonde_error_memory(error, f->path);
    rows->row[rows->n++] = row;
    return SONDE_STATUS_OK;
}

static enum sonde_status load_rows(struct rows *rows, const char *path, struct sonde_error *error)
{
    struct sonde_delimited *f = calloc(1, sizeof(*f));
    if (!f)
        return sonde_error_memory(error, path);
    bool more = true;
    enum sonde_status status = sonde_delimited_open(f, path, error);
    if (!status)
        status = sonde_delimited_next(f, &more, error);
    int column[5] = { -1, -1, -1, -1, -1 }, n_fields = f->n_fields;
    if (!status) {
        static const char *const names[] = { "run", "sequence", "position", "id", "token" };
        for (int i = 0; more && i < 5; i++)
            column[i] = sonde_delimited_find(f, names[i]);
        if (!more || column[1] < 0 || column[2] < 0)
            status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                     "%s: the first line must name the columns; sequence and "
                                     "position are needed",
                                     path);
    }
    while (!status) {
        status = sonde_delimited_next(f, &more, error);
        if (status || !more)
            break;
        if (f->n_fields != n_fields)
            status =
                sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: line %lld: %d fields, expected %d",
                                path, (long long)f->line, f->n_fields, n_fields);
        else
            status = take_row(rows, f, column, error);
    }
    sonde_delimited_finish(f);
    free(f);
    return status;
}

static enum sonde_status import_array(const struct sonde_cli *cli, const struct rows *rows,
                                      const struct sonde_array *array, const void *data,
                                      struct sonde_error *error)
{
    const struct import_options *o = cli->options;
    if (array->dim[0] != rows->n)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s has %lld rows, %s names %lld",
                               cli->arg[1], (long long)array->dim[0], o->rows, (long long)rows->n);
    struct sonde_buf origin = { 0 };
    sonde_buf_printf(&origin, "imported from %s", cli->arg[1]);
    struct sonde_import import = {
        .run = o->run ? o->run : rows->run,
        .stream = o->stream,
        .dtype = array->dtype,
        .data = data,
        .n_rows = rows->n,
        .width = array->dim[1],
        .row = rows->row,
        .codec = o->compress ? SONDE_CODEC_ZLIB : SONDE_CODEC_NONE,
        .origin = origin.data,
    };
    struct sonde_store *store = NULL;
    enum sonde_status status = sonde_buf_status(&origin, error);
    if (!status)
        status = sonde_store_open(&store, cli->arg[0], SONDE_STORE_CREATE, error);
    if (!status)
        status = sonde_store_import(store, &import, error);
    sonde_store_close(&store);
    sonde_buf_finish(&origin);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct import_options *o = cli->options;
    struct sonde_result *result = NULL;
    struct rows rows = { 0 };
    struct sonde_array array = { 0 };
    void *data = NULL;
    enum sonde_status status = SONDE_STATUS_OK;
    if (!o->stream || !o->rows)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "--stream NAME and --rows FILE.csv "
                                 "are needed");
    if (!status)
        status = load_rows(&rows, o->rows, error);
    if (!status)
        status = sonde_array_file_load(cli->arg[1], o->array ? o->array : o->stream, &array, &data,
                                       error);
    if (!status)
        status = import_array(cli, &rows, &array, data, error);
    if (!status && (result = sonde_result_create("import")) != NULL) {
        sonde_result_parameter_text(result, "stream", o->stream);
        sonde_result_parameter_text(result, "file", cli->arg[1]);
        sonde_result_parameter_text(result, "dtype", sonde_dtype_name(array.dtype));
        sonde_result_scalar_i64(result, "rows", array.dim[0]);
        sonde_result_scalar_i64(result, "width", array.dim[1]);
    }
    free(data);
    rows_finish(&rows);
    return sonde_cli_finish(cli, &result, status, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_import = {
    .name = "import",
    .synopsis = "STORE --stream NAME FILE --rows ROWS.csv [--run NAME] [--compress none|zlib]",
    .summary = "take in activations that were made elsewhere",
    .description =
        "FILE is an .npy matrix [rows, width], or an .npz or .safetensors that holds one. Every "
        "token of the run must be covered exactly once. Where the run is absent it is made from "
        "the ids and tokens of --rows.\n"
        "\n"
        "  sonde import s.db --stream blocks.1.hook_resid_post x.npy --rows rows.csv",
    .options = options,
    .options_size = sizeof(struct import_options),
    .args = "STORE FILE",
    .run = run,
};
