/* sonde info: what a model or a store is. */
#include "core/base/file.h"
#include "core/model/model.h"
#include "tools/bundled.h"
#include "tools/commands.h"
#include "tools/probe_input.h"
#include "tools/store_info.h"

/* "[T, 4 x 16]": the shape that a sequence of T tokens gives at the site. */
static void site_shape(const struct sonde_spec *spec, enum sonde_axes axes, struct sonde_buf *out)
{
    sonde_buf_clear(out);
    switch (axes) {
    case SONDE_AXES_D:
        sonde_buf_printf(out, "[T, %lld]", (long long)spec->d_model);
        break;
    case SONDE_AXES_ONE:
        sonde_buf_puts(out, "[T, 1]");
        break;
    case SONDE_AXES_HE:
        sonde_buf_printf(out, "[T, %lld, %lld]", (long long)spec->n_heads, (long long)spec->d_head);
        break;
    case SONDE_AXES_GE:
        sonde_buf_printf(out, "[T, %lld, %lld]", (long long)spec->n_kv_heads,
                         (long long)spec->d_head);
        break;
    case SONDE_AXES_HD:
        sonde_buf_printf(out, "[T, %lld, %lld]", (long long)spec->n_heads,
                         (long long)spec->d_model);
        break;
    case SONDE_AXES_F:
        sonde_buf_printf(out, "[T, %lld]", (long long)spec->d_mlp);
        break;
    case SONDE_AXES_V:
        sonde_buf_printf(out, "[T, %lld]", (long long)sonde_spec_outputs(spec));
        break;
    case SONDE_AXES_HTT:
        sonde_buf_printf(out, "[%lld, T, T]", (long long)spec->n_heads);
        break;
    }
}

/* One row a kind: "blocks.{i}.hook_resid_post" with the layers that have it. */
static void add_sites(const struct sonde_model *model, struct sonde_result *r)
{
    static const char *const columns[] = { "site", "layers", "width", "shape", NULL };
    static const char *const meanings[] = { "site", "meaning", NULL };
    const struct sonde_spec *spec = sonde_model_spec(model);
    const struct sonde_site_set *sites = sonde_model_sites(model);
    struct sonde_table *t = sonde_result_add_table(r, "sites", columns);
    struct sonde_table *m = sonde_result_add_table(r, "meanings", meanings);
    struct sonde_buf text = { 0 };
    for (int kind = 0; kind < SONDE_SITE_KINDS; kind++) {
        const struct sonde_site_description *d = sonde_site_describe((enum sonde_site_kind)kind);
        int64_t n = 0;
        for (int layer = d->per_layer ? 0 : -1; layer < (d->per_layer ? spec->n_layers : 0);
             layer++)
            n += sonde_site_set_has(sites, (struct sonde_site){ d->kind, layer });
        if (n == 0)
            continue;
        sonde_table_add_row(t);
        sonde_buf_clear(&text);
        sonde_buf_printf(&text, "%s%s", d->per_layer ? "blocks.{i}." : "", d->name);
        sonde_table_text(t, 0, text.data);
        sonde_table_add_row(m);
        sonde_table_text(m, 0, text.data);
        sonde_table_text(m, 1, d->meaning);
        if (d->per_layer)
            sonde_table_i64(t, 1, n);
        sonde_table_i64(t, 2, sonde_spec_site_width(spec, d->kind));
        site_shape(spec, d->axes, &text);
        sonde_table_text(t, 3, text.data);
    }
    sonde_buf_finish(&text);
}

static const char *position_name(const struct sonde_spec *spec)
{
    switch (spec->position) {
    case SONDE_POSITION_NONE:
        return "none";
    case SONDE_POSITION_LEARNED:
        return "learned";
    case SONDE_POSITION_ROTARY:
        return spec->rotary_style == SONDE_ROTARY_INTERLEAVED ? "rotary, interleaved"
                                                              : "rotary, half-split";
    case SONDE_POSITION_SINUSOIDAL:
        return "sinusoidal";
    case SONDE_POSITION_COSINE:
        return "cosine, cos(t pi)";
    case SONDE_POSITION_RELATIVE:
        return "relative keys";
    case SONDE_POSITION_T5:
        return "T5 bias";
    case SONDE_POSITION_ALIBI:
        return "ALiBi";
    }
    return "";
}

static const char *activation_name(enum sonde_activation activation)
{
    switch (activation) {
    case SONDE_ACTIVATION_GELU:
        return "gelu (erf)";
    case SONDE_ACTIVATION_GELU_TANH:
        return "gelu (tanh)";
    case SONDE_ACTIVATION_SILU:
        return "silu";
    case SONDE_ACTIVATION_RELU:
        return "relu";
    case SONDE_ACTIVATION_TANH:
        return "tanh";
    case SONDE_ACTIVATION_SIGMOID:
        return "sigmoid";
    case SONDE_ACTIVATION_QUICK_GELU:
        return "quick gelu";
    case SONDE_ACTIVATION_RELU_SQUARED:
        return "relu squared";
    }
    return "";
}

static void add_shape(const struct sonde_model *model, struct sonde_result *r)
{
    static const char *const columns[] = { "property", "value", NULL };
    const struct sonde_spec *spec = sonde_model_spec(model);
    struct sonde_table *t = sonde_result_add_table(r, "traits", columns);
    const struct {
        const char *name, *value;
    } traits[] = {
        { "family", spec->family },
        { "weights", sonde_model_dtype_name(model) },
        { "norm", spec->norm == SONDE_NORM_RMS ? "RMSNorm" : "LayerNorm" },
        { "norm place",
          spec->norm_place == SONDE_NORM_PRE ? "before each part" : "after each sum" },
        { "positions", position_name(spec) },
        { "attention", spec->causal ? "causal" : "both ways" },
        { "residual", spec->parallel ? "parallel" : "serial" },
        { "activation", activation_name(spec->activation) },
        { "mlp", spec->gated ? "gated" : "plain" },
        { "unembedding", spec->tied ? "tied to the embedding" : "its own" },
    };
    for (size_t i = 0; i < sizeof(traits) / sizeof(traits[0]); i++) {
        sonde_table_add_row(t);
        sonde_table_text(t, 0, traits[i].name);
        sonde_table_text(t, 1, traits[i].value);
    }
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(model);
    if (spec->head == SONDE_HEAD_SIGMOID) {
        sonde_table_add_row(t);
        sonde_table_text(t, 0, "head");
        sonde_table_text(t, 1, "sigmoid: any of the outputs");
    }
    sonde_table_add_row(t);
    sonde_table_text(t, 0, "tokenizer");
    sonde_table_text(t, 1, tokenizer ? sonde_tokenizer_kind(tokenizer) : "none");
}

static void add_scalars(const struct sonde_model *model, struct sonde_result *r)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(model);
    sonde_result_scalar_i64(r, "parameters", sonde_model_parameters(model));
    sonde_result_scalar_i64(r, "bytes_file", sonde_model_file_bytes(model));
    sonde_result_scalar_i64(r, "n_layers", spec->n_layers);
    sonde_result_scalar_i64(r, "d_model", spec->d_model);
    sonde_result_scalar_i64(r, "n_heads", spec->n_heads);
    sonde_result_scalar_i64(r, "n_kv_heads", spec->n_kv_heads);
    sonde_result_scalar_i64(r, "d_head", spec->d_head);
    sonde_result_scalar_i64(r, "d_mlp", spec->d_mlp);
    sonde_result_scalar_i64(r, "d_vocab", spec->d_vocab);
    sonde_result_scalar_i64(r, "n_ctx", spec->n_ctx);
    sonde_result_scalar_f64(r, "norm_eps", spec->norm_eps);
    if (spec->position == SONDE_POSITION_ROTARY) {
        sonde_result_scalar_i64(r, "rotary_dims", spec->rotary_dims);
        sonde_result_scalar_f64(r, "rotary_base", spec->rotary_base);
    }
    if (spec->window)
        sonde_result_scalar_i64(r, "window", spec->window);
    if (tokenizer) {
        sonde_result_scalar_i64(r, "tokenizer_size", sonde_tokenizer_size(tokenizer));
        sonde_result_scalar_i64(r, "bos_id", sonde_tokenizer_bos(tokenizer));
        sonde_result_scalar_i64(r, "eos_id", sonde_tokenizer_eos(tokenizer));
        sonde_result_scalar_i64(r, "unk_id", sonde_tokenizer_unk(tokenizer));
    }
}

static enum sonde_status model_info(const char *path, struct sonde_result **out,
                                    struct sonde_error *error)
{
    struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    const char *hash = NULL;
    enum sonde_status status = sonde_bundled_open(&model, path, &options, error);
    if (!status)
        status = sonde_model_hash(model, &hash, error);
    if (!status) {
        struct sonde_result *r = sonde_result_create("info");
        if (r) {
            sonde_result_parameter_text(r, "model", path);
            sonde_result_parameter_text(r, "sha256", hash);
            add_scalars(model, r);
            add_shape(model, r);
            add_sites(model, r);
            for (int i = 0; i < sonde_model_n_warnings(model); i++)
                sonde_result_warn(r, "%s", sonde_model_warning(model, i));
        }
        *out = r;
    }
    sonde_model_close(&model);
    return status;
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    struct sonde_result *result = NULL;
    enum sonde_status status;
    if (sonde_probe_input_is_store(cli->arg[0])) {
        struct sonde_store *store = NULL;
        status = sonde_store_open(&store, cli->arg[0], SONDE_STORE_READ, error);
        if (!status)
            status = sonde_store_info(store, cli->arg[0], &result, error);
        sonde_store_close(&store);
    } else {
        status = model_info(cli->arg[0], &result, error);
    }
    return sonde_cli_finish(cli, &result, status, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_info = {
    .name = "info",
    .synopsis = "MODEL|STORE",
    .summary = "show what a model or a store is",
    .description = "Of a model: shape, parameters, dtypes, tokenizer, and the sites that can be "
                   "recorded with their widths. Of a store: runs, streams, labels, results and "
                   "sizes.",
    .args = "MODEL|STORE",
    .run = run,
};
