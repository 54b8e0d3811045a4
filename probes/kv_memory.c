/* Key-value memory readout: tables and pictures over the layers; the reading is in kv_read.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/builtin.h"
#include "probes/kv_read.h"
#include "probes/select.h"

enum { TOP_MAX = 100, NEURONS_DEFAULT = 20, VALUE_FIGURES_MAX = 8, VALUE_FIGURE_ROWS = 20 };

static const struct sonde_probe_option kv_options[] = {
    { "layers", SONDE_PROBE_TEXT, "all", NULL, "layers to read: 0,2-5,-1 or all" },
    { "neurons", SONDE_PROBE_TEXT, NULL, NULL,
      "neurons that the tables list: 0,2-5 or all; default: the 20 with the largest activation, "
      "without activations the first 20" },
    { "top", SONDE_PROBE_INTEGER, "10", NULL, "tokens and triggers of a neuron" },
    { "keep-special", SONDE_PROBE_FLAG, NULL, NULL, "special and BOS tokens are triggers too" },
};

struct kv {
    const struct sonde_builtin *run;
    const struct sonde_model *model;
    struct sonde_source *source; /* NULL: values alone */
    int64_t k, n_value_figures;
    bool *layer, *neuron; /* [L], [F]; neuron: the tables' for the present layer */
    bool neurons_given;
    struct sonde_table *values, *values_down, *keys, *neurons, *summary, *histogram;
    double *agreement; /* [3, L]: first, any, shuffled; NaN where not known */
    struct sonde_figure *activations;
    struct sonde_buf text;
};

static void add_tables(struct kv *kv)
{
    static const char *const value_columns[] = { "layer", "neuron", "rank", "token_id",
                                                 "token", "score",  NULL };
    static const char *const key_columns[] = { "layer",      "neuron",   "rank",
                                               "activation", "sequence", "position",
                                               "token",      "context",  NULL };
    static const char *const neuron_columns[] = { "layer", "neuron", "value_norm", "active_share",
                                                  "mean",  "max",    "agrees",     NULL };
    static const char *const summary_columns[] = { "layer",
                                                   "neurons",
                                                   "value_norm",
                                                   "agreement_neurons",
                                                   "agreement",
                                                   "agreement_any",
                                                   "agreement_shuffled",
                                                   "active_share",
                                                   "dead_share",
                                                   "mean_activation",
                                                   NULL };
    static const char *const bin_columns[] = { "layer", "low", "high", "count", NULL };
    struct sonde_result *r = kv->run->result;
    kv->summary = sonde_result_add_table(r, "summary", summary_columns);
    kv->values = sonde_result_add_table(r, "values", value_columns);
    kv->values_down = sonde_result_add_table(r, "values_down", value_columns);
    kv->neurons = sonde_result_add_table(r, "neurons", neuron_columns);
    if (!kv->source)
        return;
    kv->keys = sonde_result_add_table(r, "keys", key_columns);
    kv->histogram = sonde_result_add_table(r, "histogram", bin_columns);
}

static const char *vocabulary_text(struct kv *kv, int64_t id)
{
    sonde_buf_clear(&kv->text);
    return sonde_select_vocabulary_text(kv->model, id, &kv->text) ? kv->text.data : "";
}

static void put_values(struct kv *kv, struct sonde_table *t, int layer, int64_t neuron,
                       const struct sonde_top_entry *entry, double sign)
{
    for (int64_t i = 0; i < kv->k; i++) {
        sonde_table_add_row(t);
        sonde_table_i64(t, 0, layer);
        sonde_table_i64(t, 1, neuron);
        sonde_table_i64(t, 2, i + 1);
        sonde_table_i64(t, 3, entry[i].index);
        sonde_table_text(t, 4, vocabulary_text(kv, entry[i].index));
        sonde_table_f64(t, 5, sign * (double)entry[i].value);
    }
}

/* Eight tokens before, the trigger in «», three after. */
static const char *context_text(struct kv *kv, int64_t row)
{
    struct sonde_source *source = kv->source;
    const struct sonde_source_sequence *s = &source->sequences[source->token_sequence[row]];
    int64_t first = row - 8 > s->first_row ? row - 8 : s->first_row;
    int64_t end = row + 4 < s->first_row + s->n_tokens ? row + 4 : s->first_row + s->n_tokens;
    sonde_buf_clear(&kv->text);
    sonde_buf_puts(&kv->text, first > s->first_row ? "\u2026" : "");
    for (int64_t i = first; i < end; i++) {
        const char *token = source->token_text(source, i);
        sonde_buf_puts(&kv->text, i == row ? "\u00ab" : "");
        sonde_buf_puts(&kv->text, token ? token : "");
        sonde_buf_puts(&kv->text, i == row ? "\u00bb" : "");
    }
    return kv->text.data ? kv->text.data : "";
}

static void put_keys(struct kv *kv, int layer, int64_t neuron, const struct sonde_kv_keys *keys)
{
    struct sonde_table *t = kv->keys;
    for (int64_t i = 0; i < keys->n_top[neuron]; i++) {
        const struct sonde_top_entry *entry = &keys->top[neuron * keys->k + i];
        int64_t sequence = kv->source->token_sequence[entry->index];
        sonde_table_add_row(t);
        sonde_table_i64(t, 0, layer);
        sonde_table_i64(t, 1, neuron);
        sonde_table_i64(t, 2, i + 1);
        sonde_table_f64(t, 3, (double)entry->value);
        sonde_table_i64(t, 4, sequence);
        sonde_table_i64(t, 5, entry->index - kv->source->sequences[sequence].first_row);
        sonde_table_text(t, 6, kv->source->token_text(kv->source, entry->index));
        sonde_table_text(t, 7, context_text(kv, entry->index));
    }
}

static void put_neuron(struct kv *kv, int layer, int64_t f, const struct sonde_kv_values *values,
                       const struct sonde_kv_keys *keys)
{
    struct sonde_table *t = kv->neurons;
    put_values(kv, kv->values, layer, f, values->up + f * values->k, 1.0);
    put_values(kv, kv->values_down, layer, f, values->down + f * values->k, -1.0);
    sonde_table_add_row(t);
    sonde_table_i64(t, 0, layer);
    sonde_table_i64(t, 1, f);
    sonde_table_f64(t, 2, values->norm[f]);
    if (!keys)
        return;
    put_keys(kv, layer, f, keys);
    sonde_table_f64(t, 3, (double)keys->n_active[f] / (double)keys->n_rows);
    sonde_table_f64(t, 4, keys->sum[f] / (double)keys->n_rows);
    if (keys->n_top[f] == 0)
        return;
    sonde_table_f64(t, 5, (double)keys->largest[f]);
    int32_t next = sonde_kv_next_token(kv->source, keys->top[f * keys->k].index);
    if (next >= 0)
        sonde_table_bool(t, 6, next == values->up[f * values->k].index);
}

struct ranked {
    float value;
    int64_t neuron;
};

static int larger_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->neuron > y->neuron) - (x->neuron < y->neuron);
}

/* Without --neurons: the most strongly active, or the first ones. */
static enum sonde_status choose_neurons(struct kv *kv, const struct sonde_kv_keys *keys, int64_t F,
                                        struct sonde_error *error)
{
    if (kv->neurons_given)
        return SONDE_STATUS_OK;
    struct ranked *ranked = malloc((size_t)(F + 1) * sizeof(*ranked));
    if (!ranked)
        return sonde_error_memory(error, "the neurons");
    for (int64_t f = 0; f < F; f++) {
        ranked[f] = (struct ranked){ .value = keys ? keys->largest[f] : 0.0f, .neuron = f };
        kv->neuron[f] = false;
    }
    qsort(ranked, (size_t)F, sizeof(*ranked), larger_first);
    for (int64_t i = 0; i < F && i < NEURONS_DEFAULT; i++)
        kv->neuron[ranked[i].neuron] = true;
    free(ranked);
    return SONDE_STATUS_OK;
}

/* Neurons by rank: the token in the cell, its score as the colour. */
static enum sonde_status draw_values(struct kv *kv, int layer, const struct sonde_kv_values *values,
                                     struct sonde_error *error)
{
    if (kv->n_value_figures == VALUE_FIGURES_MAX)
        return SONDE_STATUS_OK;
    kv->n_value_figures++;
    int64_t neuron[VALUE_FIGURE_ROWS], n = 0;
    for (int64_t f = 0; f < values->F && n < VALUE_FIGURE_ROWS; f++)
        if (kv->neuron[f])
            neuron[n++] = f;
    int64_t columns = kv->k < 10 ? kv->k : 10;
    char name[48], title[96], label[VALUE_FIGURE_ROWS][24];
    const char *tick[VALUE_FIGURE_ROWS],
        *rank[10] = { "1", "2", "3", "4", "5", "6", "7", "8", "9", "10" };
    snprintf(name, sizeof(name), "values-layer-%d", layer);
    snprintf(title, sizeof(title), "Layer %d: tokens that each neuron's value raises", layer);
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_TEXT, name, title);
    float *value = malloc((size_t)(n * columns + 1) * sizeof(float));
    if (!f || !value) {
        sonde_figure_destroy(&f);
        free(value);
        return sonde_error_memory(error, "the picture of the values");
    }
    for (int64_t i = 0; i < n; i++) {
        snprintf(label[i], sizeof(label[i]), "%lld", (long long)neuron[i]);
        tick[i] = label[i];
        for (int64_t c = 0; c < columns; c++)
            value[i * columns + c] = values->up[neuron[i] * values->k + c].value;
    }
    f->y_from_top = true;
    sonde_figure_set_axes(f, "rank", "neuron");
    sonde_figure_set_matrix(f, n, columns, value);
    sonde_figure_set_ticks(f, &f->y, tick, n);
    sonde_figure_set_ticks(f, &f->x, rank, columns);
    sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "score on the vocabulary", false, 0, 0);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c = 0; c < columns; c++) {
            struct sonde_buf shown = { 0 };
            sonde_select_show_token(
                vocabulary_text(kv, values->up[neuron[i] * values->k + c].index), &shown);
            sonde_figure_set_cell_text(f, i, c, shown.data);
            sonde_buf_finish(&shown);
        }
    }
    free(value);
    sonde_result_add_figure(kv->run->result, f);
    return SONDE_STATUS_OK;
}

static void put_histogram(struct kv *kv, int layer, const struct sonde_kv_keys *keys)
{
    double low = (double)keys->low, step = ((double)keys->high - low) / SONDE_KV_BINS;
    double total = (double)keys->n_rows * (double)keys->F, x[SONDE_KV_BINS], y[SONDE_KV_BINS];
    for (int b = 0; b < SONDE_KV_BINS; b++) {
        sonde_table_add_row(kv->histogram);
        sonde_table_i64(kv->histogram, 0, layer);
        sonde_table_f64(kv->histogram, 1, low + step * b);
        sonde_table_f64(kv->histogram, 2, low + step * (b + 1));
        sonde_table_i64(kv->histogram, 3, keys->bin[b]);
        x[b] = low + step * (b + 0.5);
        y[b] = keys->bin[b] > 0 ? log10((double)keys->bin[b] / total) : (double)NAN;
    }
    char name[24];
    snprintf(name, sizeof(name), "layer %d", layer);
    if (kv->activations)
        sonde_figure_add_series(kv->activations, name, SONDE_KV_BINS, x, y, NULL, NULL);
}

static void put_summary(struct kv *kv, int layer, const struct sonde_kv_values *values,
                        const struct sonde_kv_keys *keys)
{
    struct sonde_table *t = kv->summary;
    double norm = 0.0, active = 0.0, dead = 0.0, sum = 0.0, F = (double)values->F;
    for (int64_t f = 0; f < values->F; f++)
        norm += values->norm[f] / F;
    sonde_table_add_row(t);
    sonde_table_i64(t, 0, layer);
    sonde_table_i64(t, 1, values->F);
    sonde_table_f64(t, 2, norm);
    if (!keys)
        return;
    for (int64_t f = 0; f < keys->F; f++) {
        active += (double)keys->n_active[f];
        dead += keys->n_active[f] == 0;
        sum += keys->sum[f];
    }
    struct sonde_kv_agreement agreement;
    sonde_kv_agree(values, keys, kv->source, &agreement);
    sonde_table_i64(t, 3, agreement.n);
    const double shares[3] = { agreement.first, agreement.any, agreement.shuffled };
    int n_layers = sonde_model_spec(kv->model)->n_layers;
    for (int i = 0; i < 3; i++) {
        if (!isnan(shares[i]))
            sonde_table_f64(t, 4 + i, shares[i]);
        kv->agreement[i * n_layers + layer] = shares[i];
    }
    double n = (double)keys->n_rows * F;
    sonde_table_f64(t, 7, active / n);
    sonde_table_f64(t, 8, dead / F);
    sonde_table_f64(t, 9, sum / n);
    put_histogram(kv, layer, keys);
    if (keys->n_nonfinite > 0)
        sonde_result_warn(kv->run->result, "layer %d: %lld activations are not finite, left out",
                          layer, (long long)keys->n_nonfinite);
}

/* The stream of the layer's activations, or -1. */
static enum sonde_status find_keys(const struct kv *kv, int layer, int64_t *out,
                                   struct sonde_error *error)
{
    char name[SONDE_SITE_NAME_MAX];
    sonde_site_format((struct sonde_site){ .kind = SONDE_SITE_MLP_POST, .layer = layer }, name);
    *out = kv->source ? sonde_source_find_stream(kv->source, name) : -1;
    if (*out < 0)
        return SONDE_STATUS_OK;
    const struct sonde_stream *stream = &kv->source->streams[*out];
    int64_t F = sonde_model_spec(kv->model)->d_mlp;
    if (stream->space != SONDE_ROWS_TOKEN || stream->width != F ||
        stream->n_rows != kv->source->n_tokens)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: %lld values a row, expected the model's %lld", stream->name,
                               (long long)stream->width, (long long)F);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_layer(struct kv *kv, int layer, bool *has_keys,
                                    struct sonde_error *error)
{
    const struct sonde_probe_run_args *args = kv->run->args;
    const uint32_t special = SONDE_TOKEN_BOS | SONDE_TOKEN_EOS | SONDE_TOKEN_SPECIAL;
    uint32_t skip = sonde_builtin_flag(kv->run, "keep-special") ? 0 : special;
    struct sonde_kv_values values = { 0 };
    struct sonde_kv_keys keys = { 0 };
    int64_t stream;
    enum sonde_status status = find_keys(kv, layer, &stream, error);
    if (!status)
        status = sonde_kv_values_read(&values, kv->model, layer, kv->k,
                                      sonde_builtin_mem_bytes(kv->run), args->pool, error);
    if (!status && stream >= 0)
        status = sonde_kv_keys_read(&keys, kv->source, stream, kv->k, skip,
                                    sonde_builtin_mem_bytes(kv->run), args->progress, error);
    const struct sonde_kv_keys *seen = stream >= 0 ? &keys : NULL;
    if (!status)
        status = choose_neurons(kv, seen, values.F, error);
    for (int64_t f = 0; f < values.F && !status; f++)
        if (kv->neuron[f])
            put_neuron(kv, layer, f, &values, seen);
    if (!status) {
        put_summary(kv, layer, &values, seen);
        status = draw_values(kv, layer, &values, error);
    }
    *has_keys = *has_keys || seen;
    sonde_kv_values_finish(&values);
    sonde_kv_keys_finish(&keys);
    return status;
}

static enum sonde_status prepare(struct kv *kv, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(kv->model);
    const char *neurons = sonde_builtin_text(kv->run, "neurons");
    enum sonde_status status = sonde_builtin_integer(kv->run, "top", 1, TOP_MAX, &kv->k, error);
    if (!status && kv->source)
        status = sonde_select_same_model(kv->model, kv->source, error);
    if (status)
        return status;
    kv->k = kv->k < spec->d_vocab ? kv->k : spec->d_vocab;
    kv->neurons_given = neurons != NULL;
    kv->layer = calloc((size_t)spec->n_layers + 1, sizeof(bool));
    kv->neuron = calloc((size_t)spec->d_mlp + 1, sizeof(bool));
    kv->agreement = malloc((size_t)(3 * spec->n_layers + 1) * sizeof(double));
    if (!kv->layer || !kv->neuron || !kv->agreement)
        return sonde_error_memory(error, "the layers");
    for (int i = 0; i < 3 * spec->n_layers; i++)
        kv->agreement[i] = (double)NAN;
    status = sonde_select_numbers(sonde_builtin_text(kv->run, "layers"), "layer", spec->n_layers,
                                  kv->layer, error);
    if (!status && neurons)
        status = sonde_select_numbers(neurons, "neuron", spec->d_mlp, kv->neuron, error);
    return status;
}

static enum sonde_status draw_summary(struct kv *kv, struct sonde_error *error)
{
    static const char *const names[] = { "top value = next token of the strongest trigger",
                                         "... of any top trigger",
                                         "chance (another neuron's trigger)" };
    int n_layers = sonde_model_spec(kv->model)->n_layers;
    double *x = malloc((size_t)(n_layers + 1) * sizeof(double));
    if (!x)
        return sonde_error_memory(error, "the picture of the agreement");
    struct sonde_figure *f =
        sonde_figure_create(SONDE_FIGURE_LINE, "agreement", "Key-value agreement by layer");
    if (f) {
        sonde_figure_set_axes(f, "layer", "share of neurons");
        for (int i = 0; i < 3; i++) {
            for (int layer = 0; layer < n_layers; layer++)
                x[layer] = layer;
            sonde_figure_add_series(f, names[i], n_layers, x, kv->agreement + (int64_t)i * n_layers,
                                    NULL, NULL);
        }
    }
    free(x);
    sonde_result_add_figure(kv->run->result, f);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_layers(struct kv *kv, struct sonde_error *error)
{
    int n_layers = sonde_model_spec(kv->model)->n_layers;
    bool has_keys = false;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int layer = 0; layer < n_layers && !status; layer++) {
        if (!kv->layer[layer])
            continue;
        status = read_layer(kv, layer, &has_keys, error);
        if (!status && !sonde_progress_update(kv->run->args->progress, "layers", layer + 1,
                                              n_layers, "layers"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    if (status || !has_keys) {
        if (!status && kv->source)
            sonde_result_warn(kv->run->result, "no mlp.hook_post is recorded for these layers: "
                                               "values alone (record --sites ffn)");
        return status;
    }
    sonde_result_add_figure(kv->run->result, kv->activations);
    kv->activations = NULL;
    return draw_summary(kv, error);
}

static enum sonde_status kv_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    struct kv kv = { .run = run, .model = run->args->model, .source = run->args->source };
    enum sonde_status status = prepare(&kv, error);
    if (!status) {
        kv.activations = sonde_figure_create(SONDE_FIGURE_LINE, "activations",
                                             "Activations of the feed-forward neurons");
        if (kv.activations)
            sonde_figure_set_axes(kv.activations, "activation (mlp.hook_post)",
                                  "log10 of the share of tokens x neurons");
        add_tables(&kv);
        status = read_layers(&kv, error);
    }
    sonde_figure_destroy(&kv.activations);
    free(kv.layer);
    free(kv.neuron);
    free(kv.agreement);
    sonde_buf_finish(&kv.text);
    return status;
}

static int32_t kv_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, kv_body);
}

static int32_t kv_sites(const struct sonde_probe_host *host, char *out, size_t n)
{
    return sonde_select_layer_sites(host->option(host->ctx, "layers"), "mlp.hook_post", out, n)
               ? SONDE_PROBE_OK
               : SONDE_PROBE_ARGUMENT;
}

const struct sonde_probe sonde_probe_kv_memory = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "kv-memory",
    .version = "1",
    .summary = "feed-forward layers as key-value memory: what neurons write, what triggers them",
    .description =
        "Values: each neuron's column of the down projection through the final norm's gain and the "
        "unembedding; the tokens it raises and lowers most. Keys: from recorded mlp.hook_post the "
        "tokens that drive it most, the share of tokens on which it is active (above zero), and "
        "the distribution of activations. Summary by layer: the share of neurons whose top value "
        "token is the next token of its strongest trigger (Geva et al., EMNLP 2021), beside what "
        "another neuron's trigger gives. All neurons count in the summary; the tables list "
        "those of --neurons.",
    .options = kv_options,
    .n_options = sizeof(kv_options) / sizeof(kv_options[0]),
    .needs = SONDE_PROBE_NEEDS_MODEL | SONDE_PROBE_USES_STREAMS,
    .sites = "ffn",
    .select_sites = kv_sites,
    .run = kv_run,
};
