#include "core/model/model.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/model/create_internal.h"
#include "core/model/family.h"
#include "core/model/model_internal.h"

enum { CONFIG_BYTES_MAX = 10000000 };

void sonde_model_close(struct sonde_model **model)
{
    if (!model || !*model) {
        return;
    }
    sonde_gemm_plan_destroy(&(*model)->plan);
    sonde_tokenizer_close(&(*model)->tokenizer);
    sonde_tensor_table_close(&(*model)->table);
    sonde_file_close(&(*model)->bin);
    sonde_creation_destroy(&(*model)->creation);
    sonde_arena_destroy(&(*model)->arena);
    pthread_mutex_destroy(&(*model)->hash_mutex);
    free((*model)->path);
    free((*model)->config_text);
    free(*model);
    *model = NULL;
}

void sonde_model_note_unused(struct sonde_model *model)
{
    enum { SHOWN = 4 };
    const char *name[SHOWN] = { NULL };
    int64_t n = 0;
    for (const char *unused; (unused = sonde_tensor_table_unused(model->table, n)); n++) {
        if (n < SHOWN) {
            name[n] = unused;
        }
        if (n == 1000) {
            break;
        }
    }
    if (n > 0) {
        sonde_notes_add(&model->notes, "%lld tensor%s not used: %.80s%s%.80s%s%.80s%s%.80s%s",
                        (long long)n, n == 1 ? " was" : "s were", name[0], name[1] ? ", " : "",
                        name[1] ? name[1] : "", name[2] ? ", " : "", name[2] ? name[2] : "",
                        name[3] ? ", " : "", name[3] ? name[3] : "", n > SHOWN ? ", ..." : "");
    }
}

enum sonde_status sonde_model_bind(struct sonde_model *model, const struct sonde_family *family,
                                   const struct sonde_config *config, struct sonde_binder *binder)
{
    model->weights.layer =
        sonde_arena_zalloc(model->arena, model->spec.n_layers, sizeof *model->weights.layer);
    if (!model->weights.layer) {
        return sonde_error_memory(binder->error, "the layer table");
    }
    family->bind(binder, config, &model->spec, &model->weights);
    model->n_parameters = binder->n_parameters;
    model->dtypes = binder->dtypes;
    return binder->status;
}

static enum sonde_status bind_weights(struct sonde_model *model, const struct sonde_family *family,
                                      const struct sonde_config *config,
                                      const struct sonde_model_options *options,
                                      struct sonde_error *error)
{
    struct sonde_binder binder = { .table = model->table,
                                   .arena = model->arena,
                                   .notes = &model->notes,
                                   .prefix = "",
                                   .random = options->random_weights,
                                   .seed = options->seed,
                                   .error = error };
    enum sonde_status status = sonde_model_bind(model, family, config, &binder);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    model->file_bytes = sonde_tensor_table_bytes(model->table);
    sonde_model_note_unused(model);
    if (binder.n_nonfinite > 0) {
        sonde_notes_add(&model->notes, "%lld weights are not finite",
                        (long long)binder.n_nonfinite);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status find_family(const struct sonde_config *config,
                                     const struct sonde_family **out, struct sonde_error *error)
{
    const char *type = NULL;
    enum sonde_status status =
        sonde_json_read_string(config->root, "model_type", NULL, &type, error);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "%s", config->name);
        return status;
    }
    if (!type) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: model_type is missing",
                               config->name);
    }
    *out = sonde_family_find(type);
    if (*out) {
        return SONDE_STATUS_OK;
    }
    char known[256] = "";
    int n = 0;
    const struct sonde_family_info *info = sonde_families(&n);
    for (int i = 0; i < n; i++) {
        size_t used = strlen(known);
        if (!info[i].family) {
            continue;
        }
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", info[i].model_types);
    }
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "%s: model_type \"%.80s\" is not supported; supported are %s",
                           config->name, type, known);
}

enum sonde_status sonde_model_read_spec(struct sonde_model *model,
                                        const struct sonde_config *config,
                                        const struct sonde_family **family,
                                        struct sonde_error *error)
{
    if (sonde_json_type(config->root) != SONDE_JSON_OBJECT) {
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: is %s, expected an object",
                               config->name, sonde_json_type_name(sonde_json_type(config->root)));
    }
    enum sonde_status status = find_family(config, family, error);
    if (status == SONDE_STATUS_OK && *family) {
        model->spec.embed_scale = 1.0f;
        model->spec.family = (*family)->name;
        status = (*family)->read_config(config, &model->spec, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_spec_validate(&model->spec, config->name, error);
    }
    return status;
}

static enum sonde_status read_model(struct sonde_model *model, const struct sonde_json *root,
                                    const char *name, const struct sonde_model_options *options,
                                    struct sonde_error *error)
{
    struct sonde_config config = { root, name, &model->notes };
    const struct sonde_family *family = NULL;
    enum sonde_status status = sonde_model_read_spec(model, &config, &family, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_tensor_table_open(&model->table, model->path, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = bind_weights(model, family, &config, options, error);
    }
    return status;
}

static enum sonde_status open_folder(struct sonde_model *model, struct sonde_json **root,
                                     const struct sonde_model_options *options,
                                     struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    char *name = sonde_path_join(model->path, "config.json");
    if (!name) {
        return sonde_error_memory(error, "a path");
    }
    enum sonde_status status = sonde_file_load(name, CONFIG_BYTES_MAX, &text, error);
    if (status == SONDE_STATUS_OK) {
        status = sonde_json_parse(root, text.data ? text.data : "", text.size, error);
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "%s", name);
        }
    }
    if (status == SONDE_STATUS_OK) {
        status = read_model(model, *root, name, options, error);
    }
    if (status == SONDE_STATUS_OK) {
        model->config_text = text.data;
        text = (struct sonde_buf){ 0 };
    }
    sonde_buf_finish(&text);
    free(name);
    return status;
}

/* tok<V>.bin, else tokenizer.bin, else the only tok*.bin beside a llama2.c file. NULL = none. */
static char *find_bin_tokenizer(const char *path, int64_t d_vocab)
{
    char name[64], only[256] = "";
    const char *base = sonde_path_base(path);
    char *folder = base == path ? sonde_strdup(".") : sonde_strdup(path);
    char *found = NULL;
    int n = 0;
    if (!folder) {
        return NULL;
    }
    if (base != path) {
        folder[base - path] = '\0';
    }
    snprintf(name, sizeof name, "tok%lld.bin", (long long)d_vocab);
    const char *const names[] = { name, "tokenizer.bin" };
    for (int i = 0; i < 2 && !found; i++) {
        found = sonde_path_join(folder, names[i]);
        if (found && !sonde_path_exists(found)) {
            free(found);
            found = NULL;
        }
    }
    DIR *dir = found ? NULL : opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (sonde_str_starts(entry->d_name, "tok") && sonde_str_ends(entry->d_name, ".bin")) {
            snprintf(only, sizeof only, "%s", entry->d_name);
            n++;
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (n == 1) {
        found = sonde_path_join(folder, only);
    }
    free(folder);
    return found;
}

static int32_t config_id(const struct sonde_json *root, const char *key)
{
    const struct sonde_json *value = sonde_json_get(root, key);
    if (sonde_json_type(value) == SONDE_JSON_ARRAY) { /* several ends: the first */
        value = sonde_json_at(value, 0);
    }
    int64_t id = sonde_json_integer(value, -1);
    return id >= 0 && id <= INT32_MAX ? (int32_t)id : -1;
}

/* The folder, where it holds tokenizer.json or vocab.json with merges.txt; *out NULL = neither. */
static enum sonde_status find_folder_tokenizer(const char *folder, char **out,
                                               struct sonde_error *error)
{
    static const char *const names[] = { "tokenizer.json", "vocab.json", "merges.txt" };
    bool exists[3] = { false, false, false };
    for (int i = 0; i < 3; i++) {
        char *path = sonde_path_join(folder, names[i]);
        if (!path) {
            return sonde_error_memory(error, "a path");
        }
        exists[i] = sonde_path_exists(path);
        free(path);
    }
    if (exists[0] || (exists[1] && exists[2])) {
        *out = sonde_strdup(folder);
        return *out ? SONDE_STATUS_OK : sonde_error_memory(error, "a path");
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status open_tokenizer(struct sonde_model *model, const struct sonde_json *root,
                                        const struct sonde_model_options *options,
                                        struct sonde_error *error)
{
    char *path = NULL;
    enum sonde_status status = SONDE_STATUS_OK;
    if (options->tokenizer_path) {
        path = sonde_strdup(options->tokenizer_path);
        status = path ? status : sonde_error_memory(error, "a path");
    } else if (model->bin) {
        path = find_bin_tokenizer(model->path, model->spec.d_vocab);
    } else {
        status = find_folder_tokenizer(model->path, &path, error);
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (!path) {
        return options->allow_missing_tokenizer
                   ? SONDE_STATUS_OK
                   : sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                                     "%s: no tokenizer beside the weights (%s)", model->path,
                                     model->bin ? "tokenizer.bin or tok*.bin" : "tokenizer.json");
    }
    status = sonde_tokenizer_open(&model->tokenizer, path, model->spec.d_vocab, error);
    free(path);
    if (status == SONDE_STATUS_UNSUPPORTED && options->allow_missing_tokenizer && error) {
        sonde_notes_add(&model->notes, "no tokenizer: %s", error->text);
        *error = (struct sonde_error){ 0 };
        return SONDE_STATUS_OK;
    }
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    sonde_tokenizer_set_special(
        model->tokenizer,
        sonde_tokenizer_bos(model->tokenizer) < 0 ? config_id(root, "bos_token_id") : -1,
        sonde_tokenizer_eos(model->tokenizer) < 0 ? config_id(root, "eos_token_id") : -1);
    if (sonde_tokenizer_size(model->tokenizer) > model->spec.d_vocab) {
        sonde_notes_add(&model->notes, "the tokenizer has %lld ids, the model %lld",
                        (long long)sonde_tokenizer_size(model->tokenizer),
                        (long long)model->spec.d_vocab);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status fill_inv_freq(struct sonde_model *model, struct sonde_error *error)
{
    const struct sonde_spec *spec = &model->spec;
    if (spec->position != SONDE_POSITION_ROTARY) {
        return SONDE_STATUS_OK;
    }
    int64_t n = spec->rotary_dims / 2;
    model->inv_freq = sonde_arena_alloc(model->arena, n, sizeof *model->inv_freq);
    if (!model->inv_freq) {
        return sonde_error_memory(error, "rotary frequencies");
    }
    /* Rounded to f32, in which transformers and llama2.c keep them: at position 2000 the difference
     * is an angle of up to 6e-5. */
    for (int64_t i = 0; i < n; i++) {
        model->inv_freq[i] =
            (double)(float)pow(spec->rotary_base, -2.0 * (double)i / (double)spec->rotary_dims);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_model_complete(struct sonde_model *model, struct sonde_error *error)
{
    enum sonde_status status = fill_inv_freq(model, error);
    sonde_spec_sites(&model->spec, &model->sites);
    return status;
}

static enum sonde_status open_weights(struct sonde_model *model, struct sonde_json **root,
                                      const struct sonde_model_options *options,
                                      struct sonde_error *error)
{
    const char *path = model->path;
    if (sonde_path_is_directory(path)) {
        return open_folder(model, root, options, error);
    }
    if (!sonde_path_exists(path)) {
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: no such file or folder", path);
    }
    if (sonde_str_ends(path, ".safetensors") || sonde_str_ends(path, ".json")) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: give the model's folder, which holds config.json and the "
                               "weights",
                               path);
    }
    if (sonde_str_ends(path, ".pt") || sonde_str_ends(path, ".pth")) {
        return sonde_torch_model_open(model, options, error);
    }
    if (!sonde_str_ends(path, ".bin")) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s: neither a folder with config.json nor a llama2.c .bin or a "
                               "PyTorch .pt file",
                               path);
    }
    return sonde_llama2c_open(model, options, error);
}

enum sonde_status sonde_model_begin(struct sonde_model **out, const char *path,
                                    struct sonde_error *error)
{
    struct sonde_model *model = calloc(1, sizeof *model);
    if (!model) {
        return sonde_error_memory(error, "a model");
    }
    pthread_mutex_init(&model->hash_mutex, NULL);
    model->arena = sonde_arena_create(0);
    model->notes.arena = model->arena;
    model->path = sonde_strdup(path);
    if (!model->arena || !model->path) {
        sonde_model_close(&model);
        return sonde_error_memory(error, "a model");
    }
    *out = model;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_model_open(struct sonde_model **out, const char *path,
                                   const struct sonde_model_options *options,
                                   struct sonde_error *error)
{
    struct sonde_model_options chosen = options ? *options : (struct sonde_model_options){ 0 };
    struct sonde_model *model = NULL;
    struct sonde_json *root = NULL;
    chosen.seed = chosen.seed ? chosen.seed : SONDE_SEED_DEFAULT;
    enum sonde_status status = sonde_model_begin(&model, path, error);
    if (status == SONDE_STATUS_OK) {
        status = open_weights(model, &root, &chosen, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_model_complete(model, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_model_make_plan(model, &chosen, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = open_tokenizer(model, root, &chosen, error);
    }
    sonde_json_destroy(&root);
    if (status != SONDE_STATUS_OK) {
        sonde_model_close(&model);
        return status;
    }
    if (model->bin) {
        model->file_bytes = sonde_file_size(model->bin);
    }
    *out = model;
    return SONDE_STATUS_OK;
}

const struct sonde_spec *sonde_model_spec(const struct sonde_model *model)
{
    return &model->spec;
}

const struct sonde_weights *sonde_model_weights(const struct sonde_model *model)
{
    return &model->weights;
}

const struct sonde_tokenizer *sonde_model_tokenizer(const struct sonde_model *model)
{
    return model->tokenizer;
}

const char *sonde_model_path(const struct sonde_model *model)
{
    return model->path;
}

const char *sonde_model_config_json(const struct sonde_model *model)
{
    return model->config_text ? model->config_text : "";
}

int64_t sonde_model_parameters(const struct sonde_model *model)
{
    return model->n_parameters;
}

int64_t sonde_model_file_bytes(const struct sonde_model *model)
{
    return model->file_bytes;
}

const char *sonde_model_dtype_name(const struct sonde_model *model)
{
    for (int d = 0; d < 32; d++) {
        if (model->dtypes == 1u << d) {
            return sonde_dtype_name((enum sonde_dtype)d);
        }
    }
    return "mixed";
}

int sonde_model_n_warnings(const struct sonde_model *model)
{
    return model->notes.n;
}

const char *sonde_model_warning(const struct sonde_model *model, int i)
{
    return i >= 0 && i < model->notes.n ? model->notes.line[i] : "";
}

const struct sonde_site_set *sonde_model_sites(const struct sonde_model *model)
{
    return &model->sites;
}

static enum sonde_status compute_hash(struct sonde_model *model, struct sonde_error *error)
{
    const char *single = model->path;
    if (model->creation) {
        return sonde_creation_hash(model->creation, model->hash, error);
    }
    if (model->bin) {
        return sonde_hash_files(&single, 1, model->hash, error);
    }
    int n = sonde_tensor_table_n_files(model->table);
    const char **paths = calloc((size_t)n, sizeof *paths);
    if (!paths) {
        return sonde_error_memory(error, "hashing");
    }
    for (int i = 0; i < n; i++) {
        paths[i] = sonde_tensor_table_file(model->table, i);
    }
    enum sonde_status status = sonde_hash_files(paths, n, model->hash, error);
    free(paths);
    return status;
}

enum sonde_status sonde_model_hash(const struct sonde_model *model, const char **hex,
                                   struct sonde_error *error)
{
    /* The model is immutable but for this value, which the mutex guards. */
    union {
        const struct sonde_model *shared;
        struct sonde_model *mine;
    } m = { model };
    pthread_mutex_lock(&m.mine->hash_mutex);
    bool known = m.mine->hash[0] && !model->creation; /* weights made here may have changed */
    enum sonde_status status = known ? SONDE_STATUS_OK : compute_hash(m.mine, error);
    pthread_mutex_unlock(&m.mine->hash_mutex);
    if (status == SONDE_STATUS_OK) {
        *hex = model->hash;
    }
    return status;
}
