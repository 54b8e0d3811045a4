#include "tools/bench/bench_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/tensor/safetensors.h"

enum { TENSORS_MAX = 256, BLOCK = 65536 };

/* Sizes that tensors have; ONE: a vector. */
enum size { ONE, WIDTH, QKV, KEYS, MLP, VOCAB, CONTEXT, N_SIZES };

struct form {
    const char *name; /* "%d" stands for the layer */
    enum size rows, columns;
};

struct shape {
    int layers, heads;
    int key_heads; /* 0: GPT-2's form, else Llama's */
    int size[N_SIZES];
    const struct form *before, *layer, *after; /* name NULL ends */
};

static const struct form gpt2_before[] = {
    { "wte.weight", VOCAB, WIDTH },
    { "wpe.weight", CONTEXT, WIDTH },
    { .name = NULL },
};
static const struct form gpt2_layer[] = {
    { "h.%d.ln_1.weight", ONE, WIDTH },
    { "h.%d.ln_1.bias", ONE, WIDTH },
    { "h.%d.attn.c_attn.weight", WIDTH, QKV },
    { "h.%d.attn.c_attn.bias", ONE, QKV },
    { "h.%d.attn.c_proj.weight", WIDTH, WIDTH },
    { "h.%d.attn.c_proj.bias", ONE, WIDTH },
    { "h.%d.ln_2.weight", ONE, WIDTH },
    { "h.%d.ln_2.bias", ONE, WIDTH },
    { "h.%d.mlp.c_fc.weight", WIDTH, MLP },
    { "h.%d.mlp.c_fc.bias", ONE, MLP },
    { "h.%d.mlp.c_proj.weight", MLP, WIDTH },
    { "h.%d.mlp.c_proj.bias", ONE, WIDTH },
    { .name = NULL },
};
static const struct form gpt2_after[] = {
    { "ln_f.weight", ONE, WIDTH },
    { "ln_f.bias", ONE, WIDTH },
    { .name = NULL },
};
static const struct form llama_before[] = {
    { "model.embed_tokens.weight", VOCAB, WIDTH },
    { .name = NULL },
};
static const struct form llama_layer[] = {
    { "model.layers.%d.input_layernorm.weight", ONE, WIDTH },
    { "model.layers.%d.self_attn.q_proj.weight", WIDTH, WIDTH },
    { "model.layers.%d.self_attn.k_proj.weight", KEYS, WIDTH },
    { "model.layers.%d.self_attn.v_proj.weight", KEYS, WIDTH },
    { "model.layers.%d.self_attn.o_proj.weight", WIDTH, WIDTH },
    { "model.layers.%d.post_attention_layernorm.weight", ONE, WIDTH },
    { "model.layers.%d.mlp.gate_proj.weight", MLP, WIDTH },
    { "model.layers.%d.mlp.up_proj.weight", MLP, WIDTH },
    { "model.layers.%d.mlp.down_proj.weight", WIDTH, MLP },
    { .name = NULL },
};
static const struct form llama_after[] = {
    { "model.norm.weight", ONE, WIDTH },
    { "lm_head.weight", VOCAB, WIDTH },
    { .name = NULL },
};

static const struct shape shapes[] = {
    [SONDE_BENCH_GPT2] = { .layers = 12,
                           .heads = 12,
                           .size = { 1, 768, 3 * 768, 0, 4 * 768, 50257, 1024 },
                           .before = gpt2_before,
                           .layer = gpt2_layer,
                           .after = gpt2_after },
    [SONDE_BENCH_LLAMA] = { .layers = 12,
                            .heads = 12,
                            .key_heads = 4,
                            .size = { 1, 768, 0, 256, 2048, 32000, 1024 },
                            .before = llama_before,
                            .layer = llama_layer,
                            .after = llama_after },
    [SONDE_BENCH_TINY] = { .layers = 2,
                           .heads = 2,
                           .size = { 1, 64, 3 * 64, 0, 4 * 64, 8, 256 },
                           .before = gpt2_before,
                           .layer = gpt2_layer,
                           .after = gpt2_after },
    [SONDE_BENCH_LENS] = { .layers = 2,
                           .heads = 2,
                           .size = { 1, 64, 3 * 64, 0, 4 * 64, 4096, 256 },
                           .before = gpt2_before,
                           .layer = gpt2_layer,
                           .after = gpt2_after },
};

char *sonde_bench_temporary_template(void)
{
    const char *folder = getenv("TMPDIR");
    return sonde_path_join(folder && *folder ? folder : "/tmp", "sonde-XXXXXX");
}

struct listing {
    char name[TENSORS_MAX][64];
    struct sonde_safetensors_item item[TENSORS_MAX];
    int64_t n;
};

static void list_tensors(struct listing *list, const struct shape *shape, const struct form *form,
                         int layer)
{
    for (; form->name; form++) {
        struct sonde_safetensors_item *item = &list->item[list->n];
        bool vector = form->rows == ONE;
        int64_t rows = shape->size[form->rows], columns = shape->size[form->columns];
        char *name = list->name[list->n++];
        /* The layer's number takes the place of "%d": the format itself is no literal. */
        const char *mark = strstr(form->name, "%d");
        if (mark)
            snprintf(name, sizeof(list->name[0]), "%.*s%d%s", (int)(mark - form->name), form->name,
                     layer, mark + 2);
        else
            snprintf(name, sizeof(list->name[0]), "%s", form->name);
        *item = (struct sonde_safetensors_item){
            .name = name,
            .dtype = SONDE_DTYPE_F32,
            .rank = vector ? 1 : 2,
            .dim = { vector ? columns : rows, vector ? 0 : columns },
        };
    }
}

/* Uniform numbers of GPT-2's own spread: the values do not matter, but they must not be zeros or
 * denormals. A tensor has a stream of its own. */
static enum sonde_status write_tensor(struct sonde_safetensors_writer *w,
                                      const struct sonde_safetensors_item *t, uint64_t seed,
                                      float *block, struct sonde_error *error)
{
    int64_t n = t->rank == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
    bool gain = t->rank == 1 && strstr(t->name, "weight");
    struct sonde_rng rng = sonde_rng_make(seed, sonde_rng_stream(t->name));
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t at = 0; !status && at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        for (int64_t i = 0; i < count; i++) {
            float noise = ((float)(sonde_rng_u32(&rng) >> 8) / 8388608.0f - 1.0f) * 0.035f;
            block[i] = gain ? 1.0f + noise : noise;
        }
        status = sonde_safetensors_append(w, block, count * (int64_t)sizeof(*block), error);
    }
    return status;
}

static enum sonde_status write_weights(const char *path, const struct shape *shape, uint64_t seed,
                                       struct sonde_error *error)
{
    struct listing *list = calloc(1, sizeof(*list));
    float *block = calloc(BLOCK, sizeof(*block));
    struct sonde_safetensors_writer writer = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!list || !block)
        status = sonde_error_memory(error, path);
    if (!status) {
        list_tensors(list, shape, shape->before, 0);
        for (int l = 0; l < shape->layers; l++)
            list_tensors(list, shape, shape->layer, l);
        list_tensors(list, shape, shape->after, 0);
        status = sonde_safetensors_begin(&writer, path, list->item, list->n, NULL, 0, error);
    }
    if (!status) {
        for (int64_t i = 0; !status && i < list->n; i++)
            status = write_tensor(&writer, &list->item[i], seed, block, error);
        enum sonde_status ended = sonde_safetensors_end(&writer, !status, status ? NULL : error);
        status = status ? status : ended;
    }
    free(list);
    free(block);
    return status;
}

static enum sonde_status write_config(const char *path, const struct shape *s,
                                      struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    if (s->key_heads)
        sonde_buf_printf(&text,
                         "{\"model_type\": \"llama\", \"num_key_value_heads\": %d,"
                         " \"num_attention_heads\": %d, \"num_hidden_layers\": %d,"
                         " \"hidden_size\": %d, \"intermediate_size\": %d, \"vocab_size\": %d,"
                         " \"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-5,"
                         " \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
                         " \"tie_word_embeddings\": false}\n",
                         s->key_heads, s->heads, s->layers, s->size[WIDTH], s->size[MLP],
                         s->size[VOCAB], s->size[CONTEXT]);
    else
        sonde_buf_printf(&text,
                         "{\"model_type\": \"gpt2\", \"n_head\": %d, \"n_layer\": %d,"
                         " \"n_embd\": %d, \"n_inner\": %d, \"vocab_size\": %d,"
                         " \"n_positions\": %d, \"activation_function\": \"gelu_new\","
                         " \"layer_norm_epsilon\": 1e-5}\n",
                         s->heads, s->layers, s->size[WIDTH], s->size[MLP], s->size[VOCAB],
                         s->size[CONTEXT]);
    enum sonde_status status = sonde_buf_status(&text, error);
    if (!status)
        status = sonde_file_save(path, text.data, text.size, error);
    sonde_buf_finish(&text);
    return status;
}

enum sonde_status sonde_bench_write_model(const char *folder, enum sonde_bench_shape shape,
                                          uint64_t seed, struct sonde_error *error)
{
    char *config = sonde_path_join(folder, "config.json");
    char *weights = sonde_path_join(folder, "model.safetensors");
    enum sonde_status status =
        config && weights ? SONDE_STATUS_OK : sonde_error_memory(error, "the model's files");
    if (!status)
        status = write_config(config, &shapes[shape], error);
    if (!status)
        status = write_weights(weights, &shapes[shape], seed, error);
    free(config);
    free(weights);
    return status;
}

static void remove_file(const char *folder, const char *name)
{
    char *path = sonde_path_join(folder, name);
    if (path)
        unlink(path);
    free(path);
}

enum sonde_status sonde_bench_open_model(struct sonde_model **out, enum sonde_bench_shape shape,
                                         uint64_t seed, struct sonde_error *error)
{
    char *folder = sonde_bench_temporary_template();
    if (!folder)
        return sonde_error_memory(error, "a temporary folder");
    if (!mkdtemp(folder)) {
        enum sonde_status status = sonde_error_set(error, SONDE_STATUS_IO, "%s: cannot create: %s",
                                                   folder, strerror(errno));
        free(folder);
        return status;
    }
    struct sonde_model_options options = { .allow_missing_tokenizer = true };
    enum sonde_status status = sonde_bench_write_model(folder, shape, seed, error);
    if (!status)
        status = sonde_model_open(out, folder, &options, error);
    remove_file(folder, "config.json");
    remove_file(folder, "model.safetensors");
    rmdir(folder);
    free(folder);
    return status;
}
