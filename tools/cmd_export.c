/* sonde export: streams, token rows and labels to files that other programs read. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/tensor/dtype.h"
#include "storage/store.h"
#include "tools/array_file.h"
#include "tools/commands.h"

#define BLOCK_BYTES ((int64_t)4 << 20)

struct export_options {
    const char *stream, *streams, *labels, *run, *output;
    bool rows;
    int64_t sequence;
};

static const struct export_options defaults = { .sequence = -1 };

static const struct sonde_cli_option options[] = {
    { "stream", 0, SONDE_CLI_TEXT, offsetof(struct export_options, stream), "NAME",
      "one stream, to .npy, .npz, .safetensors or .csv", NULL, 0, 0 },
    { "streams", 0, SONDE_CLI_TEXT, offsetof(struct export_options, streams), "PATTERN",
      "several, to .npz or .safetensors", NULL, 0, 0 },
    { "rows", 0, SONDE_CLI_FLAG, offsetof(struct export_options, rows), NULL,
      "the tokens, to .csv: run, sequence, position, id, token", NULL, 0, 0 },
    { "labels", 0, SONDE_CLI_TEXT, offsetof(struct export_options, labels), "NAME",
      "a label set, to .csv, as `sonde label --from` reads it", NULL, 0, 0 },
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct export_options, output), "FILE",
      "the file; its ending says the format", NULL, 0, 0 },
    { "run", 0, SONDE_CLI_TEXT, offsetof(struct export_options, run), "NAME",
      "the run, where the store holds several", NULL, 0, 0 },
    { "sequence", 0, SONDE_CLI_INTEGER, offsetof(struct export_options, sequence), "K",
      "this sequence alone; maps (attention patterns) to .npy need it", NULL, 0, INT64_MAX },
    { 0 },
};

struct exporter {
    struct sonde_cli *cli;
    const struct export_options *options;
    struct sonde_source *source;
    struct sonde_array *array;
    int64_t n_arrays, capacity;
    int64_t *stream, *sequence; /* [n_arrays] where an array comes from; sequence -1 = all */
    int64_t stream_capacity, sequence_capacity;
    int64_t n_bytes, done_bytes;
};

/* What is written: the stored type, but NumPy knows no bf16. */
static enum sonde_dtype array_dtype(const struct sonde_stream *s, const char *path)
{
    return s->dtype == SONDE_DTYPE_BF16 && !sonde_str_ends(path, ".safetensors") ? SONDE_DTYPE_F32
                                                                                 : s->dtype;
}

static enum sonde_status add_array(struct exporter *e, int64_t stream, int64_t sequence, bool map,
                                   struct sonde_error *error)
{
    const struct sonde_stream *s = &e->source->streams[stream];
    if (!sonde_grow((void **)&e->array, &e->capacity, e->n_arrays + 1, sizeof(*e->array),
                    INT32_MAX) ||
        !sonde_grow((void **)&e->stream, &e->stream_capacity, e->n_arrays + 1, sizeof(*e->stream),
                    INT32_MAX) ||
        !sonde_grow((void **)&e->sequence, &e->sequence_capacity, e->n_arrays + 1,
                    sizeof(*e->sequence), INT32_MAX))
        return sonde_error_memory(error, "the arrays");
    struct sonde_array *a = &e->array[e->n_arrays];
    *a = (struct sonde_array){ .dtype = array_dtype(s, e->options->output) };
    struct sonde_buf name = { 0 };
    sonde_buf_puts(&name, s->name);
    if (map && e->options->sequence < 0)
        sonde_buf_printf(&name, "/%lld", (long long)sequence);
    if (name.failed || name.size >= sizeof(a->name)) {
        sonde_buf_finish(&name);
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: the name is too long", s->name);
    }
    memcpy(a->name, name.data, name.size + 1);
    sonde_buf_finish(&name);
    if (map) {
        int64_t t = e->source->sequences[sequence].n_tokens;
        a->rank = 3;
        a->dim[0] = s->width;
        a->dim[1] = a->dim[2] = t;
    } else {
        a->rank = 2;
        a->dim[0] = sequence < 0                      ? s->n_rows
                    : s->space == SONDE_ROWS_SEQUENCE ? 1
                                                      : e->source->sequences[sequence].n_tokens;
        a->dim[1] = s->width;
    }
    e->n_bytes += sonde_array_bytes(a);
    e->stream[e->n_arrays] = stream;
    e->sequence[e->n_arrays++] = sequence;
    return SONDE_STATUS_OK;
}

static enum sonde_status add_stream(struct exporter *e, int64_t stream, struct sonde_error *error)
{
    const struct sonde_stream *s = &e->source->streams[stream];
    int64_t sequence = e->options->sequence;
    if (s->space != SONDE_ROWS_MAP)
        return add_array(e, stream, sequence, false, error);
    if (sequence >= 0)
        return add_array(e, stream, sequence, true, error);
    if (sonde_str_ends(e->options->output, ".npy"))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s holds one map a sequence: choose one with --sequence K, or "
                               "write an .npz or .safetensors",
                               s->name);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < e->source->n_sequences; i++)
        status = add_array(e, stream, i, true, error);
    return status;
}

static enum sonde_status unknown_stream(const struct exporter *e, const char *name,
                                        struct sonde_error *error)
{
    struct sonde_buf names = { .max = 600 };
    for (int64_t i = 0; i < e->source->n_streams; i++)
        sonde_buf_printf(&names, "%s%s", i ? ", " : "", e->source->streams[i].name);
    enum sonde_status status = sonde_error_set(
        error, SONDE_STATUS_NOT_FOUND, "no stream '%s' in run '%s'; it holds: %s%s", name,
        e->source->run_name, names.size ? names.data : "none", names.failed ? " .." : "");
    sonde_buf_finish(&names);
    return status;
}

static int count_layers(const struct sonde_source *source)
{
    int n = 0;
    for (int64_t i = 0; i < source->n_streams; i++)
        n = source->streams[i].layer >= n ? source->streams[i].layer + 1 : n;
    return n;
}

/* Whether a stream matches one of the comma-separated patterns. */
static bool matches(const char *patterns, const char *name, int n_layers)
{
    char one[SONDE_SITE_NAME_MAX * 2];
    while (*patterns) {
        size_t n = strcspn(patterns, ",");
        if (n < sizeof(one)) {
            memcpy(one, patterns, n);
            one[n] = '\0';
            if (sonde_site_pattern_matches(one, name, n_layers))
                return true;
        }
        patterns += n + (patterns[n] == ',');
    }
    return false;
}

static enum sonde_status choose_streams(struct exporter *e, struct sonde_error *error)
{
    const struct export_options *o = e->options;
    if (o->sequence >= e->source->n_sequences)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--sequence %lld: the run holds sequences 0 to %lld",
                               (long long)o->sequence, (long long)e->source->n_sequences - 1);
    if (o->stream) {
        int64_t stream = sonde_source_find_stream(e->source, o->stream);
        return stream < 0 ? unknown_stream(e, o->stream, error) : add_stream(e, stream, error);
    }
    int n_layers = count_layers(e->source);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < e->source->n_streams; i++)
        if (matches(o->streams, e->source->streams[i].name, n_layers))
            status = add_stream(e, i, error);
    if (!status && e->n_arrays == 0)
        status = unknown_stream(e, o->streams, error);
    return status;
}

static enum sonde_status read_block(struct exporter *e, int64_t i, int64_t first, int64_t n,
                                    void *block, struct sonde_error *error)
{
    struct sonde_source *s = e->source;
    const struct sonde_stream *stream = &s->streams[e->stream[i]];
    int64_t sequence = e->sequence[i];
    if (e->array[i].rank == 3) {
        int64_t t = e->array[i].dim[1];
        float *values = malloc((size_t)(n * t) * sizeof(*values) + 1);
        if (!values)
            return sonde_error_memory(error, e->array[i].name);
        enum sonde_status status =
            s->read_map_rows(s, e->stream[i], sequence, first / t, first % t, n, values, error);
        if (!status) /* exact where the stored type is the array's */
            sonde_dtype_narrow(e->array[i].dtype, values, block, n * t);
        free(values);
        return status;
    }
    int64_t base = sequence < 0                           ? 0
                   : stream->space == SONDE_ROWS_SEQUENCE ? sequence
                                                          : s->sequences[sequence].first_row;
    if (e->array[i].dtype == stream->dtype)
        return sonde_store_read_raw(s, e->stream[i], base + first, n, block, error);
    return s->read_rows(s, e->stream[i], base + first, n, block, error);
}

/* Rows are those of the matrix, or the queries of all heads of a map one after another. */
static enum sonde_status write_array(struct exporter *e, struct sonde_array_file *file, int64_t i,
                                     struct sonde_error *error)
{
    const struct sonde_array *a = &e->array[i];
    bool map = a->rank == 3;
    int64_t width = a->dim[a->rank - 1];
    int64_t n_rows = map ? a->dim[0] * a->dim[1] : a->dim[0];
    int64_t row_bytes = width * (int64_t)sonde_dtype_size(a->dtype);
    int64_t step = row_bytes && BLOCK_BYTES / row_bytes > 1 ? BLOCK_BYTES / row_bytes : 1;
    void *block = malloc((size_t)(step * row_bytes) + 1);
    if (!block)
        return sonde_error_memory(error, a->name);
    enum sonde_status status = sonde_array_file_add(file, a, error);
    for (int64_t first = 0; !status && first < n_rows;) {
        int64_t n = n_rows - first < step ? n_rows - first : step;
        /* A block of a map stays within one head. */
        if (map && n > a->dim[1] - first % a->dim[1])
            n = a->dim[1] - first % a->dim[1];
        status = read_block(e, i, first, n, block, error);
        if (!status)
            status = sonde_array_file_append(file, block, n * row_bytes, error);
        first += n;
        e->done_bytes += n * row_bytes;
        if (!status &&
            !sonde_progress_update(&e->cli->progress, "export", e->done_bytes, e->n_bytes, "bytes"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    free(block);
    return status;
}

static enum sonde_status export_streams(struct exporter *e, struct sonde_error *error)
{
    struct sonde_array_file file = { 0 };
    enum sonde_status status = choose_streams(e, error);
    if (!status)
        status = sonde_array_file_begin(&file, e->options->output, e->array, e->n_arrays, error);
    if (status)
        return status;
    for (int64_t i = 0; !status && i < e->n_arrays; i++)
        status = write_array(e, &file, i, error);
    enum sonde_status ended = sonde_array_file_end(&file, !status, status ? NULL : error);
    return status ? status : ended;
}

static void put_csv(struct sonde_buf *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        sonde_buf_puts(out, text);
        return;
    }
    sonde_buf_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            sonde_buf_putc(out, '"');
        sonde_buf_putc(out, *text);
    }
    sonde_buf_putc(out, '"');
}

static enum sonde_status flush_csv(struct sonde_file_writer *w, struct sonde_buf *line,
                                   const char *path, struct sonde_error *error)
{
    enum sonde_status status = sonde_buf_status(line, error);
    if (!status && line->size && fwrite(line->data, 1, line->size, w->stream) != line->size)
        status =
            sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot write: %s", path, strerror(errno));
    sonde_buf_clear(line);
    return status;
}

static enum sonde_status rows_csv(struct exporter *e, struct sonde_file_writer *w,
                                  struct sonde_error *error)
{
    struct sonde_source *s = e->source;
    struct sonde_buf line = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    sonde_buf_puts(&line, "run,sequence,position,id,token\n");
    for (int64_t row = 0; !status && row < s->n_tokens; row++) {
        int64_t sequence = s->token_sequence[row];
        if (e->options->sequence >= 0 && sequence != e->options->sequence)
            continue;
        const char *text = s->token_text(s, row);
        put_csv(&line, s->run_name);
        sonde_buf_printf(&line, ",%lld,%d,%d,", (long long)sequence, (int)s->token_position[row],
                         (int)s->token_id[row]);
        put_csv(&line, text ? text : "");
        sonde_buf_putc(&line, '\n');
        if (line.size > 65536)
            status = flush_csv(w, &line, e->options->output, error);
    }
    if (!status)
        status = flush_csv(w, &line, e->options->output, error);
    sonde_buf_finish(&line);
    return status;
}

static void put_label(struct sonde_buf *line, const struct sonde_labels *l, int64_t row)
{
    if (l->kind == SONDE_LABEL_REAL)
        sonde_buf_put_f64(line, l->real[row]);
    else if (l->kind == SONDE_LABEL_PAIR)
        sonde_buf_printf(line, "%d", (int)l->partner[row]);
    else
        put_csv(line, l->class_name[l->class_of[row]]);
    sonde_buf_putc(line, '\n');
}

static bool is_labelled(const struct sonde_labels *l, int64_t row)
{
    if (l->kind == SONDE_LABEL_REAL)
        return !isnan(l->real[row]);
    return l->kind == SONDE_LABEL_PAIR ? l->partner[row] >= 0 : l->class_of[row] >= 0;
}

static enum sonde_status labels_csv(struct exporter *e, struct sonde_file_writer *w,
                                    struct sonde_error *error)
{
    struct sonde_source *s = e->source;
    const struct sonde_labels *l = NULL;
    struct sonde_buf line = { 0 };
    enum sonde_status status = s->labels(s, e->options->labels, &l, error);
    if (status)
        return status;
    bool spans = l->kind == SONDE_LABEL_SPAN, tokens = l->space == SONDE_ROWS_TOKEN;
    sonde_buf_puts(&line, spans    ? "sequence,begin,end,value\n"
                          : tokens ? "sequence,position,value\n"
                                   : "sequence,value\n");
    for (int64_t i = 0; !status && i < (spans ? l->n_spans : l->n_rows); i++) {
        if (!is_labelled(l, i))
            continue;
        if (spans)
            sonde_buf_printf(&line, "%lld,%lld,%lld,", (long long)l->span[i].sequence,
                             (long long)l->span[i].begin, (long long)l->span[i].end);
        else if (tokens)
            sonde_buf_printf(&line, "%d,%d,", (int)s->token_sequence[i], (int)s->token_position[i]);
        else
            sonde_buf_printf(&line, "%lld,", (long long)i);
        put_label(&line, l, i);
        if (line.size > 65536)
            status = flush_csv(w, &line, e->options->output, error);
    }
    if (!status)
        status = flush_csv(w, &line, e->options->output, error);
    sonde_buf_finish(&line);
    return status;
}

/* A token stream as numbers: sequence, position, then one column a value. */
static enum sonde_status stream_csv(struct exporter *e, struct sonde_file_writer *w,
                                    struct sonde_error *error)
{
    struct sonde_source *s = e->source;
    int64_t stream = sonde_source_find_stream(s, e->options->stream);
    if (stream < 0)
        return unknown_stream(e, e->options->stream, error);
    const struct sonde_stream *from = &s->streams[stream];
    if (from->space != SONDE_ROWS_TOKEN)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s has rows per %s; only token streams go to .csv", from->name,
                               sonde_row_space_name(from->space));
    struct sonde_buf line = { 0 };
    float *row = malloc((size_t)from->width * sizeof(*row) + 1);
    enum sonde_status status = row ? SONDE_STATUS_OK : sonde_error_memory(error, from->name);
    sonde_buf_puts(&line, "sequence,position");
    for (int64_t c = 0; c < from->width; c++)
        sonde_buf_printf(&line, ",v%lld", (long long)c);
    sonde_buf_putc(&line, '\n');
    for (int64_t r = 0; !status && r < s->n_tokens; r++) {
        if (e->options->sequence >= 0 && s->token_sequence[r] != e->options->sequence)
            continue;
        status = s->read_rows(s, stream, r, 1, row, error);
        sonde_buf_printf(&line, "%d,%d", (int)s->token_sequence[r], (int)s->token_position[r]);
        for (int64_t c = 0; !status && c < from->width; c++) {
            sonde_buf_putc(&line, ',');
            sonde_buf_put_f64(&line, (double)row[c]);
        }
        sonde_buf_putc(&line, '\n');
        if (!status && line.size > 65536)
            status = flush_csv(w, &line, e->options->output, error);
    }
    if (!status)
        status = flush_csv(w, &line, e->options->output, error);
    free(row);
    sonde_buf_finish(&line);
    return status;
}

static enum sonde_status export_csv(struct exporter *e, struct sonde_error *error)
{
    struct sonde_file_writer w = { 0 };
    enum sonde_status status = sonde_file_writer_begin(&w, e->options->output, error);
    if (status)
        return status;
    status = e->options->rows     ? rows_csv(e, &w, error)
             : e->options->labels ? labels_csv(e, &w, error)
                                  : stream_csv(e, &w, error);
    enum sonde_status ended = sonde_file_writer_end(&w, !status, status ? NULL : error);
    return status ? status : ended;
}

static enum sonde_status check_options(const struct export_options *o, bool *csv,
                                       struct sonde_error *error)
{
    int n = (o->stream != NULL) + (o->streams != NULL) + (o->labels != NULL) + o->rows;
    if (n != 1)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "give one of --stream, --streams, --rows and --labels");
    if (!o->output)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "where to? -o FILE");
    *csv = o->rows || o->labels || sonde_str_ends(o->output, ".csv");
    if ((o->rows || o->labels) && !sonde_str_ends(o->output, ".csv") && strcmp(o->output, "-") != 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: --%s goes to a .csv file",
                               o->output, o->rows ? "rows" : "labels");
    if (o->streams && *csv)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: several streams go to .npz or .safetensors; one goes to .csv "
                               "with --stream",
                               o->output);
    return SONDE_STATUS_OK;
}

/* With -o - the data is what goes to standard output, and nothing else does. */
static int report(struct exporter *e, enum sonde_status status, struct sonde_error *error)
{
    static const char *const columns[] = { "array", "dtype", "shape", "bytes", NULL };
    struct sonde_result *r = NULL;
    if (!status && strcmp(e->options->output, "-") == 0)
        return SONDE_EXIT_OK;
    if (!status && (r = sonde_result_create("export")) != NULL) {
        sonde_result_parameter_text(r, "run", e->source->run_name);
        sonde_result_parameter_text(r, "file", e->options->output);
        if (e->n_arrays) {
            struct sonde_table *t = sonde_result_add_table(r, "arrays", columns);
            for (int64_t i = 0; i < e->n_arrays; i++) {
                const struct sonde_array *a = &e->array[i];
                struct sonde_buf shape = { 0 };
                for (int d = 0; d < a->rank; d++)
                    sonde_buf_printf(&shape, "%s%lld", d ? ", " : "[", (long long)a->dim[d]);
                sonde_buf_putc(&shape, ']');
                sonde_table_add_row(t);
                sonde_table_text(t, 0, a->name);
                sonde_table_text(t, 1, sonde_dtype_name(a->dtype));
                sonde_table_text(t, 2, shape.data);
                sonde_table_i64(t, 3, sonde_array_bytes(a));
                sonde_buf_finish(&shape);
            }
            sonde_result_scalar_i64(r, "arrays", e->n_arrays);
            sonde_result_scalar_i64(r, "bytes", e->n_bytes);
        }
    }
    return sonde_cli_finish(e->cli, &r, status, SONDE_EXIT_OK, error);
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    struct exporter e = { .cli = cli, .options = cli->options };
    struct sonde_store *store = NULL;
    bool csv = false;
    enum sonde_status status = check_options(e.options, &csv, error);
    if (!status)
        status = sonde_store_open(&store, cli->arg[0], SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_open_source(store, e.options->run, 0, &e.source, error);
    if (!status)
        status = csv ? export_csv(&e, error) : export_streams(&e, error);
    int code = report(&e, status, error);
    if (e.source)
        e.source->destroy(&e.source);
    sonde_store_close(&store);
    free(e.array);
    free(e.stream);
    free(e.sequence);
    return code;
}

const struct sonde_command sonde_command_export = {
    .name = "export",
    .synopsis = "STORE --stream NAME|--streams PATTERN|--rows|--labels NAME -o FILE [--run NAME]",
    .summary = "write streams, rows and labels to npy, npz, safetensors and csv",
    .description =
        "A token stream is a matrix [rows, width] in the order of --rows, little-endian, in the "
        "type that is stored; bf16 becomes f32 where the file is NumPy's. A map stream gives one "
        "array [heads, T, T] a sequence, named NAME/K.\n"
        "\n"
        "  sonde export s.db --stream blocks.1.hook_resid_post -o x.npy\n"
        "  sonde export s.db --rows -o rows.csv\n"
        "  sonde export s.db --streams 'blocks.*.hook_resid_post' -o x.safetensors",
    .options = options,
    .options_size = sizeof(struct export_options),
    .defaults = &defaults,
    .args = "STORE",
    .run = run,
};
