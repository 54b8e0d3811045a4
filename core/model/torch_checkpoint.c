/*
 * A language model out of PyTorch's nn.TransformerEncoder, as a checkpoint stores it: an embedding
 * "encoder" times sqrt(D), post-norm layers with ReLU and a causal mask, a linear "decoder" to any
 * number of outputs (Bhattamishra et al. 2020, "On the ability and limitations of transformers to
 * recognize formal languages", and what grew from it). Sizes come from the shapes. Two things are
 * in no shape, and PATH.json may say them: "n_heads" (else 1), and "position": "none" (else this,
 * whatever table lies beside: these authors' models store one and run without), "sinusoidal" or
 * "cosine" (computed; a table that is stored must agree), or "learned" (the stored table).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/model/model_internal.h"

enum { SETTINGS_BYTES_MAX = 100000, CONTEXT_DEFAULT = 4096, PREFIX_MAX = 64 };
#define FIRST_LAYER "transformer_encoder.layers.0.self_attn.in_proj_weight"
#define IN_LAYER "transformer_encoder.layers.%d."
#define POSITIONS "pos_encoder.pe"

/* What comes before the names: "model.", "module.model.", nothing. False: another model. */
static bool find_prefix(const struct sonde_tensor_table *table, char prefix[PREFIX_MAX])
{
    char name[PREFIX_MAX + sizeof FIRST_LAYER];
    static const char *const prefixes[] = { "", "model.", "module.", "module.model." };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        snprintf(name, sizeof name, "%s%s", prefixes[i], FIRST_LAYER);
        if (sonde_tensor_table_has(table, name)) {
            snprintf(prefix, PREFIX_MAX, "%s", prefixes[i]);
            return true;
        }
    }
    return false;
}

static enum sonde_status refuse_family(const struct sonde_model *model, struct sonde_error *error)
{
    const char *first = sonde_tensor_table_unused(model->table, 0);
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "%s: a state dict (%.100s, ...) that no family binds; of PyTorch "
                           "checkpoints those of nn.TransformerEncoder are read "
                           "(" FIRST_LAYER ")",
                           model->path, first ? first : "no tensors");
}

/* Sizes of a tensor of rank 2; 0 where there is none such. */
static int64_t size_of(const struct sonde_binder *b, int i, const char *name)
{
    char full[PREFIX_MAX + 128];
    struct sonde_tensor_ref ref;
    snprintf(full, sizeof full, "%s%s", b->prefix, name);
    bool found = sonde_tensor_table_find(b->table, full, &ref);
    return found && ref.entry->rank == 2 ? ref.entry->dim[i] : 0;
}

static enum sonde_status read_position(struct sonde_spec *spec, const struct sonde_config *config,
                                       struct sonde_error *error)
{
    static const struct {
        const char *name;
        enum sonde_position_kind kind;
    } kinds[] = {
        { "none", SONDE_POSITION_NONE },
        { "sinusoidal", SONDE_POSITION_SINUSOIDAL },
        { "cosine", SONDE_POSITION_COSINE },
        { "learned", SONDE_POSITION_LEARNED },
    };
    const char *name = NULL;
    enum sonde_status status =
        sonde_json_read_string(config->root, "position", "none", &name, error);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "%s", config->name);
        return status;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            spec->position = kinds[i].kind;
            return SONDE_STATUS_OK;
        }
    }
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "%s: position \"%.60s\" is not supported, only none, sinusoidal, cosine "
                           "and learned are",
                           config->name, name);
}

/* What PATH.json says, where it is there. */
static enum sonde_status read_settings(struct sonde_model *model, struct sonde_json **root,
                                       struct sonde_error *error)
{
    struct sonde_spec *spec = &model->spec;
    enum sonde_status status = SONDE_STATUS_OK;
    size_t n = strlen(model->path) + sizeof ".json";
    char *path = malloc(n);
    if (!path) {
        return sonde_error_memory(error, "a path");
    }
    snprintf(path, n, "%s.json", model->path);
    spec->n_heads = 1;
    if (sonde_path_exists(path)) {
        static const char *const read[] = { "n_heads", "position", NULL };
        status = sonde_json_load(root, path, SETTINGS_BYTES_MAX, error);
        const struct sonde_config config = { *root, path, &model->notes };
        if (status == SONDE_STATUS_OK) {
            status = sonde_config_size(&config, "n_heads", NULL, 1, SONDE_SPEC_HEADS_MAX,
                                       &spec->n_heads, error);
        }
        if (status == SONDE_STATUS_OK) {
            status = read_position(spec, &config, error);
        }
        if (status == SONDE_STATUS_OK) {
            status = sonde_config_check_keys(&config, read, error);
        }
    } else {
        sonde_notes_add(&model->notes,
                        "a checkpoint does not say how many heads attention has: 1 is taken "
                        "({\"n_heads\": N} in %.100s.json says another number)",
                        sonde_path_base(model->path));
    }
    free(path);
    return status;
}

/* Rows of the stored table [n, 1, D]; 0 where there is none of this form. */
static int64_t stored_positions(const struct sonde_binder *b)
{
    char full[PREFIX_MAX + 128];
    struct sonde_tensor_ref ref;
    snprintf(full, sizeof full, "%s" POSITIONS, b->prefix);
    bool found = sonde_tensor_table_find(b->table, full, &ref);
    return found && ref.entry->rank == 3 && ref.entry->dim[1] == 1 ? ref.entry->dim[0] : 0;
}

static enum sonde_status read_spec(struct sonde_model *model, const struct sonde_binder *b,
                                   struct sonde_error *error)
{
    struct sonde_spec *spec = &model->spec;
    struct sonde_json *root = NULL;
    enum sonde_status status = read_settings(model, &root, error);
    sonde_json_destroy(&root);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    spec->family = "torch_encoder";
    while (spec->n_layers < SONDE_LAYERS_MAX &&
           sonde_bind_has(b, IN_LAYER "self_attn.in_proj_weight", spec->n_layers)) {
        spec->n_layers++;
    }
    spec->d_vocab = size_of(b, 0, "encoder.weight");
    spec->d_model = size_of(b, 1, "encoder.weight");
    spec->d_mlp = size_of(b, 0, "transformer_encoder.layers.0.linear1.weight");
    spec->d_out = size_of(b, 0, "decoder.weight");
    spec->headless = spec->d_out == 0;
    spec->n_kv_heads = spec->n_heads;
    if (spec->d_model % spec->n_heads) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "%s: %lld heads do not divide the width %lld", model->path,
                               (long long)spec->n_heads, (long long)spec->d_model);
    }
    spec->d_head = spec->d_model / spec->n_heads;
    spec->rotary_base = 10000.0; /* of a sinusoidal table */
    spec->n_ctx = stored_positions(b);
    spec->n_ctx =
        spec->position == SONDE_POSITION_LEARNED && spec->n_ctx ? spec->n_ctx : CONTEXT_DEFAULT;
    spec->norm = SONDE_NORM_LAYER;
    spec->norm_place = SONDE_NORM_POST;
    spec->norm_eps = 1e-5; /* nn.TransformerEncoderLayer's default, as all below */
    spec->activation = SONDE_ACTIVATION_RELU;
    spec->causal = true;
    spec->embed_scale = (float)sqrt((double)spec->d_model);
    status = sonde_spec_validate(spec, model->path, error);
    spec->attention_scale =
        status == SONDE_STATUS_OK ? (float)(1.0 / sqrt((double)spec->d_head)) : 0.0f;
    return status;
}

static void bind_layer(struct sonde_binder *b, const struct sonde_spec *spec,
                       struct sonde_layer_weights *w, int i)
{
    int64_t D = spec->d_model, F = spec->d_mlp;
    const struct sonde_bind_split split = { .n_out = { D, D, D }, .n_in = D };
    struct sonde_weight *const maps[] = { &w->w_q, &w->w_k, &w->w_v };
    struct sonde_weight *const biases[] = { &w->b_q, &w->b_k, &w->b_v };
    sonde_bind_fused(b, maps, &split, IN_LAYER "self_attn.in_proj_weight", i);
    sonde_bind_fused_bias(b, biases, &split, IN_LAYER "self_attn.in_proj_bias", i);
    sonde_bind_matrix(b, &w->w_o, D, D, false, IN_LAYER "self_attn.out_proj.weight", i);
    sonde_bind_vector(b, &w->b_o, D, SONDE_BIND_BIAS, IN_LAYER "self_attn.out_proj.bias", i);
    sonde_bind_matrix(b, &w->w_up, F, D, false, IN_LAYER "linear1.weight", i);
    sonde_bind_vector(b, &w->b_up, F, SONDE_BIND_BIAS, IN_LAYER "linear1.bias", i);
    sonde_bind_matrix(b, &w->w_down, D, F, false, IN_LAYER "linear2.weight", i);
    sonde_bind_vector(b, &w->b_down, D, SONDE_BIND_BIAS, IN_LAYER "linear2.bias", i);
    sonde_bind_vector(b, &w->ln1_gain, D, SONDE_BIND_GAIN, IN_LAYER "norm1.weight", i);
    sonde_bind_vector(b, &w->ln1_bias, D, SONDE_BIND_BIAS, IN_LAYER "norm1.bias", i);
    sonde_bind_vector(b, &w->ln2_gain, D, SONDE_BIND_GAIN, IN_LAYER "norm2.weight", i);
    sonde_bind_vector(b, &w->ln2_bias, D, SONDE_BIND_BIAS, IN_LAYER "norm2.bias", i);
}

/* The stored table must be the one that PATH.json names. PyTorch computes the angles in float32:
 * they are off by a few roundings (6e-8) of at most n. */
static bool table_agrees(const struct sonde_spec *spec, const float *table, int64_t n)
{
    const double tolerance = 1e-5 + 3e-7 * (double)n;
    double worst = 0.0;
    float *row = malloc((size_t)spec->d_model * sizeof *row);
    for (int64_t t = 0; row && t < n; t++) {
        if (spec->position == SONDE_POSITION_COSINE) {
            sonde_cosine_fill(row, t, 1, spec->d_model);
        } else {
            sonde_sinusoidal_fill(row, t, 1, spec->d_model, spec->rotary_base);
        }
        for (int64_t d = 0; d < spec->d_model; d++) {
            double off = fabs((double)row[d] - (double)table[t * spec->d_model + d]);
            worst = off <= worst ? worst : off; /* NaN stays */
        }
    }
    bool known = row != NULL;
    free(row);
    return known && worst <= tolerance;
}

/* The stored table as [n, D] floats in the arena. */
static float *read_positions(struct sonde_binder *b, const struct sonde_spec *spec, int64_t *n)
{
    char full[PREFIX_MAX + 128];
    struct sonde_tensor_ref ref;
    snprintf(full, sizeof full, "%s" POSITIONS, b->prefix);
    if (!sonde_tensor_table_find(b->table, full, &ref)) {
        return NULL;
    }
    const struct sonde_safetensors_entry *entry = ref.entry;
    if (entry->rank != 3 || entry->dim[1] != 1 || entry->dim[2] != spec->d_model ||
        entry->dim[0] < 1 || entry->dtype != SONDE_DTYPE_F32) {
        b->status = sonde_error_set(b->error, SONDE_STATUS_UNSUPPORTED,
                                    "%s: %s is no table of positions, expected F32 [n, 1, %lld]",
                                    sonde_tensor_ref_path(&ref), full, (long long)spec->d_model);
        return NULL;
    }
    float *table = sonde_arena_alloc(b->arena, entry->n_elements, sizeof *table);
    b->status = table ? sonde_tensor_ref_read(&ref, table, b->error)
                      : sonde_error_memory(b->error, "weights");
    *n = entry->dim[0];
    return b->status == SONDE_STATUS_OK ? table : NULL;
}

static void bind_positions(struct sonde_binder *b, const struct sonde_spec *spec,
                           struct sonde_weights *w)
{
    int64_t n = 0, D = spec->d_model;
    if (spec->position == SONDE_POSITION_NONE) {
        if (sonde_bind_has(b, POSITIONS)) {
            sonde_notes_add(b->notes,
                            "the table of positions %s" POSITIONS " is stored and not used: these "
                            "models run without positions (\"position\" of the .json says "
                            "otherwise)",
                            b->prefix);
        }
        return;
    }
    float *table = b->status == SONDE_STATUS_OK ? read_positions(b, spec, &n) : NULL;
    if (b->status != SONDE_STATUS_OK) {
        return;
    }
    if (spec->position == SONDE_POSITION_LEARNED) {
        if (!table) {
            b->status = sonde_error_set(b->error, SONDE_STATUS_FORMAT, "%s: no tensor %s" POSITIONS,
                                        sonde_tensor_table_file(b->table, 0), b->prefix);
            return;
        }
        w->pos_embed = (struct sonde_weight){ sonde_bind_raw(b, table, SONDE_BIND_MATRIX, n * D, 0),
                                              SONDE_DTYPE_F32, n, D, false };
    } else if (table && !table_agrees(spec, table, n)) {
        b->status =
            sonde_error_set(b->error, SONDE_STATUS_FORMAT,
                            "%s: the table of positions %s" POSITIONS " is not the %s one",
                            sonde_tensor_table_file(b->table, 0), b->prefix,
                            spec->position == SONDE_POSITION_COSINE ? "cosine" : "sinusoidal");
    }
}

static void bind_all(struct sonde_model *model, struct sonde_binder *b)
{
    struct sonde_weights *w = &model->weights;
    const struct sonde_spec *spec = &model->spec;
    for (int i = 0; i < spec->n_layers && b->status == SONDE_STATUS_OK; i++) {
        bind_layer(b, spec, &w->layer[i], i);
    }
    sonde_bind_matrix(b, &w->embed, spec->d_vocab, spec->d_model, false, "encoder.weight");
    if (!spec->headless) {
        sonde_bind_matrix(b, &w->unembed, spec->d_out, spec->d_model, false, "decoder.weight");
        sonde_bind_vector(b, &w->unembed_bias, spec->d_out, SONDE_BIND_BIAS, "decoder.bias");
    }
    bind_positions(b, spec, w);
}

enum sonde_status sonde_torch_model_open(struct sonde_model *model,
                                         const struct sonde_model_options *options,
                                         struct sonde_error *error)
{
    char prefix[PREFIX_MAX];
    enum sonde_status status = sonde_tensor_table_open_torch(&model->table, model->path, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (!find_prefix(model->table, prefix)) {
        return refuse_family(model, error);
    }
    struct sonde_binder binder = { .table = model->table,
                                   .arena = model->arena,
                                   .notes = &model->notes,
                                   .prefix = prefix,
                                   .random = options->random_weights,
                                   .seed = options->seed,
                                   .error = error };
    status = read_spec(model, &binder, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    model->weights.layer =
        sonde_arena_zalloc(model->arena, model->spec.n_layers, sizeof *model->weights.layer);
    if (!model->weights.layer) {
        return sonde_error_memory(error, "the layer table");
    }
    bind_all(model, &binder);
    model->n_parameters = binder.n_parameters;
    model->dtypes = binder.dtypes;
    model->file_bytes = sonde_tensor_table_bytes(model->table);
    if (binder.status == SONDE_STATUS_OK) {
        sonde_model_note_unused(model);
    }
    if (binder.n_nonfinite > 0) {
        sonde_notes_add(&model->notes, "%lld weights are not finite",
                        (long long)binder.n_nonfinite);
    }
    return binder.status;
}
