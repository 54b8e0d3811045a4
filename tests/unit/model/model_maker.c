#include "tests/unit/model/model_maker.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/model/create.h"
#include "core/tensor/safetensors.h"
#include "tests/support/check.h"

enum { ITEMS_MAX = 512 };

struct maker {
    const struct model_recipe *r;
    const char *prefix;
    struct sonde_safetensors_item item[ITEMS_MAX];
    char *name[ITEMS_MAX];
    void *data[ITEMS_MAX];
    int n;
    struct sonde_rng rng;
};

static void add_item(struct maker *m, const char *name, enum sonde_dtype dtype, int rank,
                     const int64_t *dim, void *data)
{
    assert_true(m->n < ITEMS_MAX);
    m->name[m->n] = sonde_strdup(name);
    m->data[m->n] = data;
    m->item[m->n] = (struct sonde_safetensors_item){
        .name = m->name[m->n], .dtype = dtype, .rank = rank, .data = data
    };
    memcpy(m->item[m->n].dim, dim, (size_t)rank * sizeof *dim);
    m->n++;
}

/* Random values mean + spread * N(0, 1), in the recipe's dtype. columns 0: a vector of rows. */
static void add(struct maker *m, int64_t rows, int64_t columns, double mean, double spread,
                const char *format, ...) SONDE_PRINTF(6, 7);
static void add(struct maker *m, int64_t rows, int64_t columns, double mean, double spread,
                const char *format, ...)
{
    enum sonde_dtype dtype = m->r->dtype ? m->r->dtype : SONDE_DTYPE_F32;
    int64_t n = rows * (columns ? columns : 1), dim[2] = { rows, columns };
    char name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    float *wide = malloc((size_t)n * sizeof *wide);
    void *data = malloc((size_t)n * sonde_dtype_size(dtype));
    assert_non_null(wide);
    assert_non_null(data);
    for (int64_t i = 0; i < n; i++) {
        wide[i] = (float)(mean + spread * sonde_rng_normal(&m->rng));
    }
    if (m->r->poison != 0.0f && m->n == 0) {
        wide[0] = m->r->poison;
    }
    sonde_dtype_narrow(dtype, wide, data, n);
    free(wide);
    add_item(m, name, dtype, columns ? 2 : 1, dim, data);
}

static double spread(int64_t n_in)
{
    return 1.0 / sqrt((double)n_in);
}

/* Gain and bias of a norm, or the gain alone. */
static void add_norm(struct maker *m, bool bias, const char *name)
{
    bool old = m->r->old_norm_names;
    add(m, m->r->D, 0, 1.0, 0.2, "%s.%s", name, old ? "gamma" : "weight");
    if (bias) {
        add(m, m->r->D, 0, 0.0, 0.2, "%s.%s", name, old ? "beta" : "bias");
    }
}

/* An nn.Linear [out, in], or a Conv1D [in, out]. */
static void add_linear(struct maker *m, int64_t in, int64_t out, bool conv1d, bool bias,
                       const char *name)
{
    add(m, conv1d ? in : out, conv1d ? out : in, 0.0, spread(in), "%s.weight", name);
    if (bias) {
        add(m, out, 0, 0.0, 0.3, "%s.bias", name);
    }
}

static void add_buffers(struct maker *m, const char *attention)
{
    int64_t dim[4] = { 1, 1, m->r->n_ctx, m->r->n_ctx };
    char name[256];
    snprintf(name, sizeof name, "%s.bias", attention);
    add_item(m, name, SONDE_DTYPE_BOOL, 4, dim, calloc((size_t)(dim[2] * dim[3]), 1));
    snprintf(name, sizeof name, "%s.masked_bias", attention);
    add_item(m, name, SONDE_DTYPE_F32, 0, dim, calloc(1, sizeof(float)));
}

static void add_llama(struct maker *m)
{
    const struct model_recipe *r = m->r;
    char layer[64], name[128];
    const struct {
        const char *name;
        int64_t in, out;
        bool bias;
    } maps[] = {
        { "self_attn.q_proj", r->D, r->H * r->E, r->attention_bias },
        { "self_attn.k_proj", r->D, r->G * r->E, r->attention_bias },
        { "self_attn.v_proj", r->D, r->G * r->E, r->attention_bias },
        { "self_attn.o_proj", r->H * r->E, r->D, r->attention_bias },
        { "mlp.gate_proj", r->D, r->F, r->mlp_bias },
        { "mlp.up_proj", r->D, r->F, r->mlp_bias },
        { "mlp.down_proj", r->F, r->D, r->mlp_bias },
    };
    for (int64_t l = 0; l < r->L; l++) {
        snprintf(layer, sizeof layer, "%slayers.%d", m->prefix, (int)l);
        for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
            snprintf(name, sizeof name, "%s.%s", layer, maps[i].name);
            add_linear(m, maps[i].in, maps[i].out, false, maps[i].bias, name);
        }
        snprintf(name, sizeof name, "%s.input_layernorm", layer);
        add_norm(m, false, name);
        snprintf(name, sizeof name, "%s.post_attention_layernorm", layer);
        add_norm(m, false, name);
    }
    snprintf(name, sizeof name, "%snorm", m->prefix);
    add_norm(m, false, name);
    if (!r->only_head) {
        add(m, r->V, r->D, 0.0, 0.5, "%sembed_tokens.weight", m->prefix);
    }
    if (r->untied || r->only_head) {
        add(m, r->V, r->D, 0.0, 0.5, "lm_head.weight");
    }
}

static void add_gpt2(struct maker *m)
{
    const struct model_recipe *r = m->r;
    int64_t F = r->n_inner_null ? 4 * r->D : r->F;
    char layer[64], name[128];
    for (int64_t l = 0; l < r->L; l++) {
        snprintf(layer, sizeof layer, "%sh.%d", m->prefix, (int)l);
        snprintf(name, sizeof name, "%s.ln_1", layer);
        add_norm(m, true, name);
        snprintf(name, sizeof name, "%s.ln_2", layer);
        add_norm(m, true, name);
        snprintf(name, sizeof name, "%s.attn.c_attn", layer);
        add_linear(m, r->D, 3 * r->D, true, true, name);
        snprintf(name, sizeof name, "%s.attn.c_proj", layer);
        add_linear(m, r->D, r->D, true, true, name);
        snprintf(name, sizeof name, "%s.mlp.c_fc", layer);
        add_linear(m, r->D, F, true, true, name);
        snprintf(name, sizeof name, "%s.mlp.c_proj", layer);
        add_linear(m, F, r->D, true, true, name);
        snprintf(name, sizeof name, "%s.attn", layer);
        if (r->mask_buffers) {
            add_buffers(m, name);
        }
    }
    snprintf(name, sizeof name, "%sln_f", m->prefix);
    add_norm(m, true, name);
    add(m, r->n_ctx, r->D, 0.0, 0.3, "%swpe.weight", m->prefix);
    if (!r->only_head) {
        add(m, r->V, r->D, 0.0, 0.5, "%swte.weight", m->prefix);
    }
    if (r->untied || r->only_head) {
        add(m, r->V, r->D, 0.0, 0.5, "lm_head.weight");
    }
}

static void add_neox(struct maker *m)
{
    const struct model_recipe *r = m->r;
    char layer[64], name[128];
    for (int64_t l = 0; l < r->L; l++) {
        snprintf(layer, sizeof layer, "%slayers.%d", m->prefix, (int)l);
        snprintf(name, sizeof name, "%s.input_layernorm", layer);
        add_norm(m, true, name);
        snprintf(name, sizeof name, "%s.post_attention_layernorm", layer);
        add_norm(m, true, name);
        snprintf(name, sizeof name, "%s.attention.query_key_value", layer);
        add_linear(m, r->D, 3 * r->D, false, true, name);
        snprintf(name, sizeof name, "%s.attention.dense", layer);
        add_linear(m, r->D, r->D, false, true, name);
        snprintf(name, sizeof name, "%s.mlp.dense_h_to_4h", layer);
        add_linear(m, r->D, r->F, false, true, name);
        snprintf(name, sizeof name, "%s.mlp.dense_4h_to_h", layer);
        add_linear(m, r->F, r->D, false, true, name);
        snprintf(name, sizeof name, "%s.attention", layer);
        if (r->mask_buffers) {
            add_buffers(m, name);
        }
    }
    snprintf(name, sizeof name, "%sfinal_layer_norm", m->prefix);
    add_norm(m, true, name);
    add(m, r->V, r->D, 0.0, 0.5, "%sembed_in.weight", m->prefix);
    if (r->untied) {
        add(m, r->V, r->D, 0.0, 0.5, "embed_out.weight");
    }
}

static void add_bert(struct maker *m)
{
    const struct model_recipe *r = m->r;
    static const char *const maps[] = { "attention.self.query", "attention.self.key",
                                        "attention.self.value", "attention.output.dense" };
    char layer[64], name[128];
    add(m, r->V, r->D, 0.0, 0.5, "%sembeddings.word_embeddings.weight", m->prefix);
    add(m, r->n_ctx, r->D, 0.0, 0.3, "%sembeddings.position_embeddings.weight", m->prefix);
    add(m, 2, r->D, 0.0, 0.3, "%sembeddings.token_type_embeddings.weight", m->prefix);
    snprintf(name, sizeof name, "%sembeddings.LayerNorm", m->prefix);
    add_norm(m, true, name);
    for (int64_t l = 0; l < r->L; l++) {
        snprintf(layer, sizeof layer, "%sencoder.layer.%d", m->prefix, (int)l);
        for (size_t i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "%s.%s", layer, maps[i]);
            add_linear(m, r->D, r->D, false, true, name);
        }
        snprintf(name, sizeof name, "%s.attention.output.LayerNorm", layer);
        add_norm(m, true, name);
        snprintf(name, sizeof name, "%s.intermediate.dense", layer);
        add_linear(m, r->D, r->F, false, true, name);
        snprintf(name, sizeof name, "%s.output.dense", layer);
        add_linear(m, r->F, r->D, false, true, name);
        snprintf(name, sizeof name, "%s.output.LayerNorm", layer);
        add_norm(m, true, name);
    }
    if (!r->no_head) {
        add_linear(m, r->D, r->D, false, true, "cls.predictions.transform.dense");
        add_norm(m, true, "cls.predictions.transform.LayerNorm");
        add(m, r->V, 0, 0.0, 0.3, "cls.predictions.bias");
    }
}

/* Writes items [first, last) as they come, after one odd byte where unaligned. */
static void write_file(const struct maker *m, const char *path, int first, int last)
{
    struct sonde_error error = { 0 };
    struct sonde_safetensors_writer writer;
    struct sonde_safetensors_item items[ITEMS_MAX + 1];
    const int8_t odd[1] = { 1 };
    char odd_name[64];
    int n = 0;
    snprintf(odd_name, sizeof odd_name, "odd.%d", first);
    if (m->r->unaligned) {
        items[n++] = (struct sonde_safetensors_item){
            .name = odd_name, .dtype = SONDE_DTYPE_I8, .rank = 1, .dim = { 1 }, .data = odd
        };
    }
    for (int i = first; i < last; i++) {
        items[n++] = m->item[i];
    }
    char embed[64];
    const char *names[] = { "embed_tokens.weight", "wte.weight" };
    snprintf(embed, sizeof embed, "%s%s", m->prefix, names[strcmp(m->r->family, "gpt2") == 0]);
    const struct sonde_safetensors_pair metadata[] = { { "format", "pt" },
                                                       { embed, "lm_head.weight" } };
    check_ok(
        sonde_safetensors_begin(&writer, path, items, n, metadata, m->r->alias ? 2 : 1, &error),
        &error);
    for (int i = 0; i < n; i++) {
        int64_t bytes = (int64_t)sonde_dtype_size(items[i].dtype);
        for (int d = 0; d < items[i].rank; d++) {
            bytes *= items[i].dim[d];
        }
        check_ok(sonde_safetensors_append(&writer, items[i].data, bytes, &error), &error);
    }
    check_ok(sonde_safetensors_end(&writer, true, &error), &error);
}

static void write_weights(const struct maker *m, const char *folder)
{
    enum { SHARDS = 3 };
    char path[1024];
    if (!m->r->shards) {
        snprintf(path, sizeof path, "%s/model.safetensors", folder);
        write_file(m, path, 0, m->n);
        return;
    }
    struct sonde_buf index = { 0 };
    sonde_buf_puts(&index, "{\"metadata\": {}, \"weight_map\": {");
    for (int s = 0; s < SHARDS; s++) {
        int first = m->n * s / SHARDS, last = m->n * (s + 1) / SHARDS;
        snprintf(path, sizeof path, "%s/model-%05d.safetensors", folder, s + 1);
        write_file(m, path, first, last);
        for (int i = first; i < last; i++) {
            sonde_buf_printf(&index, "%s\"%s\": \"%s\"", i ? ", " : "", m->name[i],
                             sonde_path_base(path));
        }
    }
    sonde_buf_puts(&index, "}}");
    model_write_text(folder, "model.safetensors.index.json", index.data);
    sonde_buf_finish(&index);
}

static void write_config(const struct model_recipe *r, const char *folder)
{
    struct sonde_buf text = { 0 };
    bool gpt2 = strcmp(r->family, "gpt2") == 0;
    sonde_buf_printf(&text, "{\"model_type\": \"%s\", %s", r->family,
                     r->more_config ? r->more_config : "");
    sonde_buf_printf(&text, "\"%s\": %lld, ", gpt2 ? "n_embd" : "hidden_size", (long long)r->D);
    sonde_buf_printf(&text, "\"%s\": %lld, ", gpt2 ? "n_head" : "num_attention_heads",
                     (long long)r->H);
    sonde_buf_printf(&text, "\"%s\": %lld, ", gpt2 ? "n_layer" : "num_hidden_layers",
                     (long long)r->L);
    sonde_buf_printf(&text, "\"%s\": %lld, ", gpt2 ? "n_positions" : "max_position_embeddings",
                     (long long)r->n_ctx);
    if (r->n_inner_null) {
        sonde_buf_puts(&text, "\"n_inner\": null, ");
    } else {
        sonde_buf_printf(&text, "\"%s\": %lld, ", gpt2 ? "n_inner" : "intermediate_size",
                         (long long)r->F);
    }
    if (strcmp(r->family, "llama") == 0 || strcmp(r->family, "sonde") == 0) {
        sonde_buf_printf(&text, "\"num_key_value_heads\": %lld, ", (long long)r->G);
        if (r->E * r->H != r->D) {
            sonde_buf_printf(&text, "\"head_dim\": %lld, ", (long long)r->E);
        }
    }
    if (strcmp(r->family, "llama") == 0) {
        sonde_buf_printf(&text, "\"attention_bias\": %s, \"mlp_bias\": %s, ",
                         r->attention_bias ? "true" : "false", r->mlp_bias ? "true" : "false");
    }
    if (strcmp(r->family, "gpt_neox") == 0) {
        sonde_buf_printf(&text, "\"use_parallel_residual\": %s, ", r->serial ? "false" : "true");
    }
    if (!r->tie_absent) {
        sonde_buf_printf(&text, "\"tie_word_embeddings\": %s, ", r->untied ? "false" : "true");
    }
    sonde_buf_printf(&text, "\"vocab_size\": %lld}", (long long)r->V);
    model_write_text(folder, "config.json", text.data);
    sonde_buf_finish(&text);
}

void model_write_text(const char *folder, const char *name, const char *text)
{
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(folder, name);
    check_ok(sonde_file_save(path, text, strlen(text), &error), &error);
    free(path);
}

/* The family of models that are made here makes itself; its values are drawn as for the others. */
static void make_sonde(const struct model_recipe *r, const char *folder)
{
    char path[1024];
    struct sonde_json *config = NULL;
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    struct sonde_rng rng = sonde_rng_make(r->seed ? r->seed : 1, 0);
    int64_t n = 0;
    snprintf(path, sizeof path, "%s/config.json", folder);
    check_ok(sonde_json_load(&config, path, 100000, &error), &error);
    check_ok(sonde_model_create(&model, config, path, NULL, &error), &error);
    const struct sonde_parameter *p = sonde_model_parameter_list(model, &n);
    for (int64_t i = 0; i < n; i++) {
        double mean = p[i].rank == 1 && p[i].data[0] > 0.5f ? 1.0 : 0.0;
        double width = p[i].rank == 1 ? 0.2 : spread(p[i].columns);
        for (int64_t j = 0; j < p[i].rows * p[i].columns; j++) {
            p[i].data[j] = (float)(mean + width * sonde_rng_normal(&rng));
        }
    }
    check_ok(sonde_model_save(model, folder, r->dtype ? r->dtype : SONDE_DTYPE_F32, &error),
             &error);
    sonde_model_close(&model);
    sonde_json_destroy(&config);
}

char *model_make(const struct model_recipe *recipe)
{
    struct model_recipe r = *recipe;
    const char *base = getenv("TMPDIR");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/sonde-model-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    r.G = r.G ? r.G : r.H;
    r.E = r.E ? r.E : r.D / r.H;
    if (strcmp(r.family, "sonde") == 0) {
        write_config(&r, folder);
        make_sonde(&r, folder);
        return sonde_strdup(folder);
    }
    struct maker *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->r = &r;
    m->rng = sonde_rng_make(r.seed ? r.seed : 1, 0);
    m->prefix = "";
    if (strcmp(r.family, "llama") == 0) {
        m->prefix = r.no_prefix ? "" : "model.";
        add_llama(m);
    } else if (strcmp(r.family, "gpt2") == 0) {
        m->prefix = r.no_prefix ? "" : "transformer.";
        add_gpt2(m);
    } else if (strcmp(r.family, "gpt_neox") == 0) {
        m->prefix = r.no_prefix ? "" : "gpt_neox.";
        add_neox(m);
    } else {
        m->prefix = r.no_prefix ? "" : "bert.";
        add_bert(m);
    }
    write_config(&r, folder);
    write_weights(m, folder);
    for (int i = 0; i < m->n; i++) {
        free(m->name[i]);
        free(m->data[i]);
    }
    free(m);
    return sonde_strdup(folder);
}

void model_remove(char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char *path = sonde_path_join(folder, entry->d_name);
        if (path && entry->d_name[0] != '.') {
            unlink(path);
        }
        free(path);
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(folder);
    free(folder);
}
