/* sonde record: the forward pass into the store. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/num.h"
#include "storage/store.h"
#include "tools/bundled.h"
#include "tools/commands.h"
#include "tools/compute_input.h"
#include "tools/edit_input.h"
#include "tools/input.h"
#include "tools/recording.h"
#include "tools/store_info.h"

struct record_options {
    struct sonde_input_options input;
    struct sonde_edit_options edit;
    struct sonde_compute_options compute;
    const char *store, *sites, *loss, *run;
    int dtype, compress;
    int64_t mem, edit_control;
    bool resume, dry_run;
};

static const char *const dtype_names[] = { "f32", "f16", "bf16", NULL };
static const enum sonde_dtype dtypes[] = { SONDE_DTYPE_F32, SONDE_DTYPE_F16, SONDE_DTYPE_BF16 };
static const char *const codec_names[] = { "none", "zlib", NULL };
static const enum sonde_codec codecs[] = { SONDE_CODEC_NONE, SONDE_CODEC_ZLIB };

static const struct sonde_cli_option options[] = {
    { "output", 'o', SONDE_CLI_TEXT, offsetof(struct record_options, store), "STORE",
      "the store; made where it is absent, else a run is added", NULL, 0, 0 },
    { "sites", 0, SONDE_CLI_TEXT, offsetof(struct record_options, sites), "PATTERN,..",
      "what to record (default resid): site names, where * stands for anything and layers may be "
      "ranges (blocks.2-5.hook_mlp_out), or resid, attn, mlp, ffn, qkv, all; grad: before one "
      "(grad:resid) means the gradient of the loss with respect to the value there",
      NULL, 0, 0 },
    { "loss", 0, SONDE_CLI_TEXT, offsetof(struct record_options, loss), "LOSS",
      "of gradients, for each sequence its own: next-token (default), logit:ID[@ROW] (of the last "
      "token or of that at ROW), targets:FILE.npy (an integer for every token of the run, below 0: "
      "none)",
      NULL, 0, 0 },
    { "dtype", 0, SONDE_CLI_CHOICE, offsetof(struct record_options, dtype), NULL,
      "of what is stored (default f32)", dtype_names, 0, 0 },
    { "compress", 0, SONDE_CLI_CHOICE, offsetof(struct record_options, compress), NULL,
      "zlib: byte-shuffled and deflated (default none)", codec_names, 0, 0 },
    { "run", 0, SONDE_CLI_TEXT, offsetof(struct record_options, run), "NAME",
      "name of the run (default run-1, run-2, ..)", NULL, 0, 0 },
    { "resume", 0, SONDE_CLI_FLAG, offsetof(struct record_options, resume), NULL,
      "go on where an interrupted run of the same command ended", NULL, 0, 0 },
    { "dry-run", 0, SONDE_CLI_FLAG, offsetof(struct record_options, dry_run), NULL,
      "print sites, rows and bytes; write nothing", NULL, 0, 0 },
    { "mem", 0, SONDE_CLI_BYTES, offsetof(struct record_options, mem), "BYTES",
      "memory budget, the weights apart (default 1G)", NULL, 1, INT64_MAX },
    SONDE_COMPUTE_OPTIONS(struct record_options, compute),
    SONDE_INPUT_OPTIONS(struct record_options, input),
    SONDE_EDIT_OPTIONS(struct record_options, edit),
    { "edit-control", 0, SONDE_CLI_INTEGER, offsetof(struct record_options, edit_control), "N",
      "record N further runs, NAME-control-1 .. (of --run NAME), with random directions of the "
      "same norm, or as many random neurons or heads, in place of those of the edits",
      NULL, 1, 1000 },
    { 0 },
};

struct job {
    struct sonde_cli *cli;
    const struct record_options *options;
    struct sonde_recording_options record;
    struct sonde_recording recording;
    struct sonde_model *model;
    struct sonde_input *input;
    struct sonde_edits *edits;    /* NULL = none */
    struct sonde_buf description; /* of the input */
    /* Of all runs that were recorded. */
    bool was_complete;
    int64_t n_nonfinite;
    /* Of the first one: its controls take the same input. */
    const char *bounded_by; /* see recording.h */
    int64_t n_done;
    struct sonde_recorder_stats stats;
    double began;
};

static int64_t peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

/* Those of the run itself (0) or of its control-th control. */
static enum sonde_status open_edits(struct job *r, int64_t control, struct sonde_edits **out,
                                    struct sonde_error *error)
{
    const struct record_options *o = r->options;
    enum sonde_status status = sonde_edit_input_open(out, &o->edit, r->model, o->store, control,
                                                     (uint64_t)r->cli->common.seed, error);
    if (status || !o->edit_control)
        return status;
    status = sonde_edit_input_check_control(*out, error);
    if (status)
        return status;
    if (!o->run)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--edit-control needs a name for the run: --run NAME");
    return SONDE_STATUS_OK;
}

static enum sonde_status open_all(struct job *r, struct sonde_error *error)
{
    const struct record_options *o = r->options;
    struct sonde_model_options model_options = { .allow_missing_tokenizer =
                                                     o->input.ids || o->input.formal };
    enum sonde_status status = sonde_input_check(&o->input, error);
    if (status)
        return status;
    if (!o->store && !o->dry_run)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "where to? -o STORE");
    status = sonde_compute_input_take(&o->compute, &model_options, error);
    if (!status)
        status = sonde_bundled_open(&r->model, r->cli->arg[0], &model_options, error);
    if (status)
        return status;
    r->record = (struct sonde_recording_options){
        .store = o->store,
        .sites = o->sites,
        .loss = o->loss,
        .bos = sonde_input_bos_names[o->input.bos],
        .max_tokens = o->input.max_tokens,
        .dtype = dtypes[o->dtype],
        .codec = codecs[o->compress],
        .mem_bytes = o->mem,
        .resume = o->resume,
    };
    status = sonde_recording_open(&r->recording, r->cli, r->model, &r->record, error);
    if (status)
        return status;
    status = open_edits(r, 0, &r->edits, error);
    return status ? status : sonde_input_open(&r->input, &o->input, r->model, error);
}

static enum sonde_status record(struct job *r, struct sonde_error *error)
{
    enum sonde_status status = sonde_input_describe(&r->options->input, &r->description, error);
    if (!status)
        status = sonde_recording_run(&r->recording, r->options->run, r->description.data, r->edits,
                                     sonde_input_reader(r->input), error);
    r->n_done = r->recording.n_done;
    r->stats = r->recording.stats;
    r->bounded_by = r->recording.bounded_by;
    r->was_complete = r->recording.was_complete;
    r->n_nonfinite = r->recording.stats.n_nonfinite;
    return status;
}

/* The same input once more for every draw, into runs of their own. */
static enum sonde_status record_controls(struct job *r, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t k = 1; !status && k <= r->options->edit_control; k++) {
        struct sonde_buf name = { 0 };
        struct sonde_edits *edits = NULL;
        struct sonde_input *input = NULL;
        sonde_buf_printf(&name, "%s-control-%lld", r->options->run, (long long)k);
        status = sonde_buf_status(&name, error);
        if (!status)
            status = open_edits(r, k, &edits, error);
        if (!status)
            status = sonde_input_open(&input, &r->options->input, r->model, error);
        if (!status)
            status = sonde_recording_run(&r->recording, name.data, r->description.data, edits,
                                         sonde_input_reader(input), error);
        if (status)
            sonde_error_prepend(error, "control %lld", (long long)k);
        r->was_complete = r->was_complete && r->recording.was_complete;
        r->n_nonfinite += r->recording.stats.n_nonfinite;
        sonde_input_close(&input);
        sonde_edits_destroy(&edits);
        sonde_buf_finish(&name);
    }
    return status;
}

static void add_parameters(const struct job *r, struct sonde_result *result)
{
    const struct record_options *o = r->options;
    sonde_result_parameter_text(result, "model", r->cli->arg[0]);
    if (o->store)
        sonde_result_parameter_text(result, "store", o->store);
    sonde_result_parameter_text(result, "sites", o->sites ? o->sites : "resid");
    if (sonde_recording_has_gradients(&r->recording))
        sonde_result_parameter_text(result, "loss", o->loss ? o->loss : "next-token");
    sonde_result_parameter_text(result, "dtype", dtype_names[o->dtype]);
    sonde_result_parameter_text(result, "compress", codec_names[o->compress]);
    sonde_result_parameter_text(result, "bos", sonde_input_bos_names[o->input.bos]);
    if (o->input.max_tokens)
        sonde_result_parameter_i64(result, "max_tokens", o->input.max_tokens);
    if (r->model)
        sonde_compute_input_parameter(r->model, result);
    sonde_edit_input_parameter(&o->edit, result);
    if (o->edit_control)
        sonde_result_parameter_i64(result, "edit_control", o->edit_control);
    sonde_result_parameter_i64(result, "mem", o->mem ? o->mem : SONDE_RECORDING_MEM_DEFAULT);
    sonde_result_parameter_bool(result, "dry_run", o->dry_run);
}

/* Scripts rely on these names; NaN where a dry run knows nothing. */
struct totals {
    int64_t sequences, tokens, rows, bytes_raw, bytes_stored;
    double seconds_forward, seconds_total;
    int64_t tokens_now; /* that went through the model in this process */
};

static void add_scalars(struct sonde_result *result, const struct totals *t)
{
    sonde_result_scalar_i64(result, "sequences", t->sequences);
    sonde_result_scalar_i64(result, "tokens", t->tokens);
    sonde_result_scalar_i64(result, "rows", t->rows);
    sonde_result_scalar_i64(result, "bytes_raw", t->bytes_raw);
    sonde_result_scalar_i64(result, "bytes_stored", t->bytes_stored);
    sonde_result_scalar_f64(result, "seconds_forward", t->seconds_forward);
    sonde_result_scalar_f64(result, "seconds_total", t->seconds_total);
    sonde_result_scalar_f64(result, "tokens_per_second",
                            t->seconds_total > 0 ? (double)t->tokens_now / t->seconds_total
                                                 : (double)NAN);
    sonde_result_scalar_i64(result, "peak_rss_bytes", peak_rss_bytes());
}

/* Of the sequences that went through the model in this process. */
static void add_loss(const struct job *r, struct sonde_result *result)
{
    const struct sonde_recorder_stats *stats = &r->stats;
    if (!sonde_recording_has_gradients(&r->recording))
        return;
    sonde_result_scalar_f64(result, "loss_mean",
                            stats->n_sequences ? stats->loss_sum / (double)stats->n_sequences
                                               : (double)NAN);
    sonde_result_scalar_i64(result, "sequences_by_layer", stats->n_by_layer);
}

static struct sonde_table *add_stream_table(struct sonde_result *result)
{
    static const char *const columns[] = { "stream", "space", "dtype", "width",
                                           "rows",   "bytes", NULL };
    return sonde_result_add_table(result, "streams", columns);
}

static void add_stream_row(struct sonde_table *table, const struct sonde_stream *s, int64_t rows,
                           int64_t bytes)
{
    sonde_table_add_row(table);
    sonde_table_text(table, 0, s->name);
    sonde_table_text(table, 1, sonde_row_space_name(s->space));
    sonde_table_text(table, 2, sonde_dtype_name(s->dtype));
    sonde_table_i64(table, 3, s->width);
    sonde_table_i64(table, 4, rows);
    sonde_table_i64(table, 5, bytes);
}

static enum sonde_status add_values(int64_t *values, int64_t count, int64_t width,
                                    struct sonde_error *error)
{
    int64_t product, sum;
    if (!sonde_mul_i64(count, width, &product) || !sonde_add_i64(*values, product, &sum))
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "the run would be too large to count");
    *values = sum;
    return SONDE_STATUS_OK;
}

/* Counts values of every stream by tokenizing the input and running nothing. */
static enum sonde_status count_input(struct job *r, int64_t *n_values, struct sonde_error *error)
{
    const struct sonde_sequence_reader *reader = sonde_input_reader(r->input);
    for (;;) {
        const struct sonde_sequence *sequence = NULL;
        enum sonde_status status = reader->next(reader->self, &sequence, error);
        if (status || !sequence)
            return status;
        int64_t n = sequence->n_tokens;
        for (int64_t s = 0; !status && s < r->recording.n_streams; s++)
            status = add_values(&n_values[s],
                                r->recording.streams[s].space == SONDE_ROWS_MAP ? n * n : n,
                                r->recording.streams[s].width, error);
        if (status)
            return status;
        int64_t done, total;
        sonde_input_position(r->input, &done, &total);
        if (!sonde_progress_update(&r->cli->progress, "count", done, total, "bytes"))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
}

static enum sonde_status dry_run(struct job *r, struct sonde_result *result,
                                 struct sonde_error *error)
{
    int64_t *n_values = calloc((size_t)r->recording.n_streams, sizeof(*n_values));
    if (!n_values)
        return sonde_error_memory(error, "the estimate");
    enum sonde_status status = count_input(r, n_values, error);
    if (!status) {
        const struct sonde_input_counts *counts = sonde_input_get_counts(r->input);
        struct totals t = { .sequences = counts->sequences,
                            .tokens = counts->tokens,
                            .seconds_forward = NAN,
                            .seconds_total = NAN };
        struct sonde_table *table = add_stream_table(result);
        for (int64_t s = 0; s < r->recording.n_streams; s++) {
            int64_t rows = r->recording.streams[s].space == SONDE_ROWS_MAP ? counts->sequences
                                                                           : counts->tokens;
            int64_t bytes = n_values[s] * (int64_t)sonde_dtype_size(r->recording.streams[s].dtype);
            add_stream_row(table, &r->recording.streams[s], rows, bytes);
            t.rows += rows;
            t.bytes_raw += bytes;
        }
        t.bytes_stored =
            sonde_store_estimate_bytes(r->recording.streams, n_values, r->recording.n_streams,
                                       counts->sequences, counts->tokens, counts->text_bytes);
        add_scalars(result, &t);
        if (r->options->edit_control)
            sonde_result_warn(result, "each of the %lld control runs takes as much again",
                              (long long)r->options->edit_control);
        if (r->options->compress)
            sonde_result_warn(result, "bytes_stored is estimated without --compress zlib, which "
                                      "makes the store smaller");
    }
    free(n_values);
    return status;
}

/* The run that was written: the newest one, or the one of the given name. */
static const struct sonde_store_run *find_run(const struct job *r,
                                              const struct sonde_store_runs *runs)
{
    const struct sonde_store_run *found = NULL;
    for (int64_t i = 0; i < runs->n; i++)
        if (r->options->run ? strcmp(runs->run[i].name, r->options->run) == 0
                            : !found || runs->run[i].id > found->id)
            found = &runs->run[i];
    return found;
}

/* What the store holds of the run now; for a resumed one that is more than this process did. */
static enum sonde_status report(struct job *r, struct sonde_result *result,
                                struct sonde_error *error)
{
    struct sonde_store_runs runs = { 0 };
    struct sonde_store_stream *streams = NULL;
    int64_t n = 0;
    enum sonde_status status = sonde_store_list_runs(r->recording.store, &runs, error);
    const struct sonde_store_run *run = status ? NULL : find_run(r, &runs);
    if (run)
        status = sonde_store_list_streams(r->recording.store, run->id, &streams, &n, error);
    if (!status && run) {
        struct totals t = { .sequences = run->n_sequences,
                            .tokens = run->n_tokens,
                            .bytes_raw = run->bytes_raw,
                            .bytes_stored = run->bytes_stored,
                            .seconds_forward = r->stats.seconds_forward,
                            .tokens_now = r->stats.n_tokens };
        struct sonde_table *table = add_stream_table(result);
        for (int64_t s = 0; s < n; s++) {
            add_stream_row(table, &streams[s].stream, streams[s].stream.n_rows,
                           streams[s].bytes_stored);
            t.rows += streams[s].stream.n_rows;
        }
        sonde_result_parameter_text(result, "run", run->name);
        if (r->bounded_by)
            sonde_result_parameter_text(result, "bounded_by", r->bounded_by);
        if (r->options->resume)
            sonde_result_parameter_i64(result, "resumed_at", r->n_done);
        bool alone = runs.n == 1;
        sonde_store_close(&r->recording.store);
        /* Alone in its store, a run takes the whole file. */
        if (alone)
            t.bytes_stored = sonde_store_file_bytes(r->options->store);
        t.seconds_total = sonde_cli_seconds() - r->began;
        add_scalars(result, &t);
        add_loss(r, result);
    }
    free(streams);
    sonde_store_runs_finish(&runs);
    return status;
}

static enum sonde_status run_all(struct job *r, struct sonde_result **result,
                                 struct sonde_error *error)
{
    enum sonde_status status = open_all(r, error);
    if (!status && !r->options->dry_run)
        status = record(r, error);
    if (!status && !r->options->dry_run)
        status = record_controls(r, error);
    if (status)
        return status;
    *result = sonde_result_create("record");
    if (!*result)
        return sonde_error_memory(error, "the result");
    add_parameters(r, *result);
    status = r->options->dry_run ? dry_run(r, *result, error) : report(r, *result, error);
    sonde_input_warn(r->input, *result);
    if (r->was_complete)
        sonde_result_warn(*result, "the run was complete; nothing was done");
    if (r->n_nonfinite)
        sonde_result_warn(*result, "%lld recorded values are not finite",
                          (long long)r->n_nonfinite);
    for (int i = 0; i < sonde_model_n_warnings(r->model); i++)
        sonde_result_warn(*result, "%s", sonde_model_warning(r->model, i));
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    struct job r = { .cli = cli, .options = cli->options, .began = sonde_cli_seconds() };
    struct sonde_result *result = NULL;
    enum sonde_status status = run_all(&r, &result, error);
    int code = sonde_cli_finish(cli, &result, status, SONDE_EXIT_OK, error);
    sonde_recording_close(&r.recording);
    sonde_input_close(&r.input);
    sonde_edits_destroy(&r.edits);
    sonde_model_close(&r.model);
    sonde_buf_finish(&r.description);
    return code;
}

const struct sonde_command sonde_command_record = {
    .name = "record",
    .synopsis = "MODEL -o STORE INPUT [--sites PATTERN,..] [--dtype f32|f16|bf16] [--resume]",
    .summary = "run texts through a model and store what its sites saw",
    .description =
        "Every input item is one sequence; items longer than the context are cut into windows. "
        "What is stored does not depend on --threads or --mem, and an interrupted run that is "
        "resumed ends in the same bytes as an uninterrupted one. Edits are kept with the run "
        "(`sonde info`); what is recorded is what the rest of the pass used. Gradients are of "
        "each sequence's own loss, go through edits, and take more memory: where --mem does not "
        "hold a whole backward pass, it goes block by block, with the same bits. bounded_by says "
        "what the time went to: the model, zlib or the disk.\n"
        "\n"
        "  sonde record MODEL -o s.db --jsonl stories.jsonl --sites resid,attn\n"
        "  sonde record MODEL -o s.db --conllu x.conllu --sites 'blocks.*.hook_mlp_out'\n"
        "  sonde record MODEL -o s.db --text 'Once upon a time' --sites all --dry-run\n"
        "  sonde record MODEL -o s.db --text 'Once upon a time' --sites resid,grad:resid\n"
        "  sonde record MODEL -o s.db --file t --sites grad:ffn --loss logit:42\n"
        "  sonde record MODEL -o s.db --text 'Once upon a time' --edit 'skip 1.attn'\n"
        "  sonde record MODEL -o s.db --file t --run out --edit-control 10 \\\n"
        "    --edit 'project-out blocks.*.hook_resid_post v.npy'",
    .options = options,
    .options_size = sizeof(struct record_options),
    .args = "MODEL",
    .run = run,
};
