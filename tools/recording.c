#include "tools/recording.h"

#include <stdlib.h>

#include "core/base/json.h"
#include "core/base/num.h"
#include "core/model/edit_tape.h"
#include "core/tensor/gemm.h"
#include "core/tensor/target.h"

#define QUEUE_BYTES_MAX ((int64_t)64 << 20)
/* What else the process takes: libraries, SQLite's page cache and the chunks under way (measured at
 * up to 105 MiB), and what the allocator loses between pieces of different size (a fifth of the
 * rest). */
#define OVERHEAD_BYTES ((int64_t)112 << 20)

static const char *sites_text(const struct sonde_recording *r)
{
    return r->options->sites ? r->options->sites : "resid";
}

static int64_t mem_bytes(const struct sonde_recording *r)
{
    return r->options->mem_bytes ? r->options->mem_bytes : SONDE_RECORDING_MEM_DEFAULT;
}

/* How --mem is shared out: what the process takes anyway (edits too), the writer's queue, the rest
 * for the forward passes. */
struct budget {
    int64_t overhead, queue, forward;
};

static struct budget share_out(const struct sonde_recording *r, const struct sonde_edits *edits)
{
    int64_t mem = mem_bytes(r) - (edits ? sonde_edits_bytes(edits) : 0);
    mem -= r->loss.n_targets * (int64_t)sizeof(*r->loss.targets);
    mem = mem > 0 ? mem : 0;
    struct budget b = { .overhead = OVERHEAD_BYTES + mem / 4 };
    if (b.overhead > mem / 4 * 3)
        b.overhead = mem / 4 * 3;
    int64_t rest = mem - b.overhead;
    b.queue = rest / 4 < QUEUE_BYTES_MAX ? rest / 4 : QUEUE_BYTES_MAX;
    b.forward = rest - b.queue;
    return b;
}

bool sonde_recording_has_gradients(const struct sonde_recording *r)
{
    return !sonde_site_set_is_empty(&r->sites[1]);
}

static enum sonde_status open_loss(struct sonde_recording *r, struct sonde_error *error)
{
    if (!sonde_recording_has_gradients(r))
        return r->options->loss
                   ? sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                     "--loss goes with gradients: --sites grad:resid, ..")
                   : SONDE_STATUS_OK;
    enum sonde_status status = sonde_loss_input_open(&r->loss, r->options->loss, error);
    return status ? status
                  : sonde_recorder_check_loss(r->model, &r->loss.loss, r->loss.n_targets, error);
}

enum sonde_status sonde_recording_open(struct sonde_recording *r, const struct sonde_cli *cli,
                                       const struct sonde_model *model,
                                       const struct sonde_recording_options *options,
                                       struct sonde_error *error)
{
    r->cli = cli;
    r->options = options;
    r->model = model;
    r->sites = calloc(2, sizeof(*r->sites));
    if (!r->sites)
        return sonde_error_memory(error, "the sites");
    enum sonde_status status = sonde_site_set_parse_both(&r->sites[0], &r->sites[1], sites_text(r),
                                                         sonde_model_sites(model),
                                                         sonde_model_spec(model)->n_layers, error);
    if (!status)
        status = open_loss(r, error);
    if (status)
        return status;
    int64_t n_values = sonde_site_set_count(&r->sites[0]);
    r->n_streams = n_values + sonde_site_set_count(&r->sites[1]);
    r->streams = calloc((size_t)r->n_streams, sizeof(*r->streams));
    if (!r->streams)
        return sonde_error_memory(error, "the streams");
    sonde_recorder_streams(model, &r->sites[0], options->dtype, r->streams);
    sonde_recorder_gradient_streams(model, &r->sites[1], options->dtype, r->streams + n_values);
    return SONDE_STATUS_OK;
}

void sonde_recording_close(struct sonde_recording *r)
{
    sonde_store_close(&r->store);
    sonde_loss_input_finish(&r->loss);
    free(r->sites);
    free(r->streams);
    r->sites = NULL;
    r->streams = NULL;
    r->n_streams = 0;
}

struct sonde_store_model sonde_recording_describe_model(const struct sonde_model *model,
                                                        const char *hash)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(model);
    return (struct sonde_store_model){
        .path = sonde_model_path(model),
        .family = spec->family,
        .config_json = sonde_model_config_json(model),
        .hash = hash,
        .tokenizer = tokenizer ? sonde_tokenizer_kind(tokenizer) : "",
        .n_layers = spec->n_layers,
        .d_model = spec->d_model,
        .n_heads = spec->n_heads,
        .d_vocab = spec->d_vocab,
        .n_ctx = spec->n_ctx,
    };
}

/* The options that decide what a run holds; a resumed run must agree in them. */
static enum sonde_status describe_options(const struct sonde_recording *r, struct sonde_buf *out,
                                          struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out };
    sonde_json_begin_object(&w, NULL);
    sonde_json_put_string(&w, "sites", sites_text(r));
    sonde_json_put_string(&w, "dtype", sonde_dtype_name(r->options->dtype));
    sonde_json_put_string(&w, "bos", r->options->bos);
    sonde_json_put_i64(&w, "max_tokens", r->options->max_tokens);
    sonde_json_put_i64(&w, "context", sonde_model_spec(r->model)->n_ctx);
    if (sonde_model_compute_name(r->model))
        sonde_json_put_string(&w, "compute", sonde_model_compute_name(r->model));
    if (sonde_recording_has_gradients(r)) {
        sonde_json_put_string(&w, "loss", r->options->loss ? r->options->loss : "next-token");
        if (r->loss.n_targets)
            sonde_json_put_string(&w, "targets_sha256", r->loss.sha256);
    }
    sonde_json_end_object(&w);
    return sonde_buf_status(out, error);
}

/* What bits depend on: the BLAS and its kernel, what computes products instead of it, the vectors,
 * and whether several sequences share a pass. */
static void describe_machine(struct sonde_recording *r, struct sonde_buf *out)
{
    const char *compute = sonde_model_compute_name(r->model);
    if (r->packing == SONDE_PACKING_AUTO)
        r->packing =
            sonde_model_rows_stand_alone(r->model) ? SONDE_PACKING_ALWAYS : SONDE_PACKING_NEVER;
    sonde_buf_printf(out, "%s kernels, %s vectors, %s, %s%s%s", sonde_gemm_kernels(),
                     sonde_target_name(sonde_target_here()),
                     r->packing == SONDE_PACKING_ALWAYS ? "packs" : "no packs",
                     compute ? compute : "", compute ? ", " : "", sonde_gemm_library());
}

static enum sonde_status begin_run(struct sonde_recording *r, const char *name, const char *input,
                                   const struct sonde_edits *edits, struct sonde_store_load *load,
                                   struct sonde_sink **sink, struct sonde_error *error)
{
    struct sonde_buf parameters = { 0 }, edit_list = { 0 }, machine = { 0 };
    const char *hash = NULL;
    enum sonde_status status = sonde_model_hash(r->model, &hash, error);
    if (!status)
        status = describe_options(r, &parameters, error);
    if (!status && edits)
        status = sonde_edits_describe(edits, &edit_list, error);
    int n_threads = (int)r->cli->common.threads;
    if (!status) /* before the first product, which would wait for room for ever */
        status = sonde_gemm_check_room(&n_threads, error);
    if (!status)
        describe_machine(r, &machine);
    if (!status)
        status = sonde_buf_status(&machine, error);
    if (!status && !r->store)
        status = sonde_store_open(&r->store, r->options->store, SONDE_STORE_CREATE, error);
    if (!status) {
        struct sonde_store_model model = sonde_recording_describe_model(r->model, hash);
        struct sonde_run_info info = {
            .name = name,
            .command_line = r->cli->command_line,
            .input = input,
            .options_json = parameters.data,
            .edits_json = edit_list.data ? edit_list.data : "[]",
            .machine = machine.data,
            .seed = (uint64_t)r->cli->common.seed,
            .codec = r->options->codec,
            .resume = r->options->resume,
            .n_threads = n_threads,
            .load = load,
        };
        status = sonde_store_begin_run(r->store, &model, &info, r->streams, r->n_streams,
                                       share_out(r, edits).queue, sink, &r->n_done, error);
    }
    sonde_buf_finish(&parameters);
    sonde_buf_finish(&edit_list);
    sonde_buf_finish(&machine);
    return status;
}

/* What to do about a failed pass. */
static void explain(const struct sonde_recording *r, enum sonde_status status, int64_t forward,
                    struct sonde_error *error)
{
    if (status == SONDE_STATUS_LIMIT) {
        char all[SONDE_FORMAT_F64_MAX], taken[SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(all, mem_bytes(r));
        sonde_format_bytes(taken, mem_bytes(r) - forward);
        sonde_error_prepend(error, "of --mem %s, %s are for the program and its queue", all, taken);
    }
    if (status == SONDE_STATUS_CANCELLED)
        sonde_error_set(error, status, "stopped; the same command with --resume goes on from here");
}

enum sonde_status sonde_recording_run(struct sonde_recording *r, const char *name,
                                      const char *input, const struct sonde_edits *edits,
                                      const struct sonde_sequence_reader *reader,
                                      struct sonde_error *error)
{
    struct sonde_sink *sink = NULL;
    struct sonde_store_load load = { 0 };
    const double began = sonde_cli_seconds();
    r->bounded_by = NULL;
    r->n_done = 0;
    r->was_complete = false;
    r->stats = (struct sonde_recorder_stats){ 0 };
    struct sonde_edit_pass pass = { .edits = edits };
    struct sonde_hook hook = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (edits) {
        hook = sonde_edits_hook(&pass);
        if (sonde_recording_has_gradients(r))
            status = sonde_edit_tape_check(&hook, 1, error);
    }
    if (!status)
        status = begin_run(r, name, input, edits, &load, &sink, error);
    if (status)
        return status;
    if (!sink) {
        r->was_complete = true;
        return SONDE_STATUS_OK;
    }
    struct sonde_recorder_options recorder = {
        .sites = &r->sites[0],
        .gradients = &r->sites[1],
        .loss = r->loss.loss,
        .n_targets = r->loss.n_targets,
        .dtype = r->options->dtype,
        .n_threads = (int)r->cli->common.threads,
        .mem_bytes = share_out(r, edits).forward,
        .skip_sequences = r->n_done,
        .hooks = &hook,
        .n_hooks = edits != NULL,
        .packing = r->packing,
        .progress = &r->cli->progress,
    };
    status = sonde_recorder_run(r->model, reader, sink, &recorder, &r->stats, error);
    if (status) {
        sink->abandon(sink);
        explain(r, status, recorder.mem_bytes, error);
        return status;
    }
    status = sink->finish(sink, error);
    if (!status)
        r->bounded_by = sonde_store_load_bound(&load, sonde_cli_seconds() - began);
    return status;
}
