#include "tools/bench/bench_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/tensor/safetensors.h"

enum { LAYERS = 4, WIDTH = 768, HEADS = 12, VOCAB = 4096, CONTEXT = 1024, PER_LAYER = 12 };
enum { N_TENSORS = LAYERS * PER_LAYER + 4, BLOCK = 65536 };

char *sonde_bench_temporary_template(void)
{
    const char *folder = getenv("TMPDIR");
    return sonde_path_join(folder && *folder ? folder : "/tmp", "sonde-XXXXXX");
}

struct tensor {
    char name[48];
    int rank;
    int64_t dim[2];
};

static void list_tensors(struct tensor out[N_TENSORS])
{
    static const struct {
        const char *name;
        int rows, columns; /* rows 0: a vector */
    } layer[PER_LAYER] = {
        { "ln_1.weight", 0, WIDTH },
        { "ln_1.bias", 0, WIDTH },
        { "attn.c_attn.weight", WIDTH, 3 * WIDTH },
        { "attn.c_attn.bias", 0, 3 * WIDTH },
        { "attn.c_proj.weight", WIDTH, WIDTH },
        { "attn.c_proj.bias", 0, WIDTH },
        { "ln_2.weight", 0, WIDTH },
        { "ln_2.bias", 0, WIDTH },
        { "mlp.c_fc.weight", WIDTH, 4 * WIDTH },
        { "mlp.c_fc.bias", 0, 4 * WIDTH },
        { "mlp.c_proj.weight", 4 * WIDTH, WIDTH },
        { "mlp.c_proj.bias", 0, WIDTH },
    };
    int n = 0;
    out[n++] = (struct tensor){ "wte.weight", 2, { VOCAB, WIDTH } };
    out[n++] = (struct tensor){ "wpe.weight", 2, { CONTEXT, WIDTH } };
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < PER_LAYER; i++, n++) {
            bool vector = layer[i].rows == 0;
            out[n] = (struct tensor){ .rank = vector ? 1 : 2,
                                      .dim = { vector ? layer[i].columns : layer[i].rows,
                                               vector ? 0 : layer[i].columns } };
            snprintf(out[n].name, sizeof(out[n].name), "h.%d.%s", l, layer[i].name);
        }
    out[n++] = (struct tensor){ "ln_f.weight", 1, { WIDTH, 0 } };
    out[n++] = (struct tensor){ "ln_f.bias", 1, { WIDTH, 0 } };
}

/* Uniform numbers of GPT-2's own spread: the values do not matter, but they must not be zeros or
 * denormals. */
static enum sonde_status write_tensor(struct sonde_safetensors_writer *w, const struct tensor *t,
                                      struct sonde_rng *rng, float *block,
                                      struct sonde_error *error)
{
    int64_t n = t->rank == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
    bool gain = strstr(t->name, "ln_") && strstr(t->name, "weight");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t at = 0; !status && at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        for (int64_t i = 0; i < count; i++) {
            float noise = ((float)(sonde_rng_u32(rng) >> 8) / 8388608.0f - 1.0f) * 0.035f;
            block[i] = gain ? 1.0f + noise : noise;
        }
        status = sonde_safetensors_append(w, block, count * (int64_t)sizeof(*block), error);
    }
    return status;
}

static enum sonde_status write_weights(const char *path, uint64_t seed, struct sonde_error *error)
{
    struct tensor *tensor = calloc(N_TENSORS, sizeof(*tensor));
    struct sonde_safetensors_item *item = calloc(N_TENSORS, sizeof(*item));
    float *block = calloc(BLOCK, sizeof(*block));
    enum sonde_status status = SONDE_STATUS_OK;
    struct sonde_safetensors_writer writer = { 0 };
    if (!tensor || !item || !block)
        status = sonde_error_memory(error, path);
    if (!status) {
        list_tensors(tensor);
        for (int i = 0; i < N_TENSORS; i++)
            item[i] =
                (struct sonde_safetensors_item){ .name = tensor[i].name,
                                                 .dtype = SONDE_DTYPE_F32,
                                                 .rank = tensor[i].rank,
                                                 .dim = { tensor[i].dim[0], tensor[i].dim[1] } };
        status = sonde_safetensors_begin(&writer, path, item, N_TENSORS, NULL, 0, error);
    }
    if (!status) {
        struct sonde_rng rng = sonde_rng_make(seed, sonde_rng_stream("bench model"));
        for (int i = 0; !status && i < N_TENSORS; i++)
            status = write_tensor(&writer, &tensor[i], &rng, block, error);
        enum sonde_status ended = sonde_safetensors_end(&writer, !status, status ? NULL : error);
        status = status ? status : ended;
    }
    free(tensor);
    free(item);
    free(block);
    return status;
}

static enum sonde_status write_config(const char *path, struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    sonde_buf_printf(&text,
                     "{\"model_type\": \"gpt2\", \"n_embd\": %d, \"n_head\": %d, \"n_layer\": %d,"
                     " \"n_positions\": %d, \"n_ctx\": %d, \"vocab_size\": %d,"
                     " \"activation_function\": \"gelu_new\", \"layer_norm_epsilon\": 1e-5}\n",
                     WIDTH, HEADS, LAYERS, CONTEXT, CONTEXT, VOCAB);
    enum sonde_status status = sonde_buf_status(&text, error);
    if (!status)
        status = sonde_file_save(path, text.data, text.size, error);
    sonde_buf_finish(&text);
    return status;
}

enum sonde_status sonde_bench_open_model(struct sonde_model **out, uint64_t seed,
                                         struct sonde_error *error)
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
    char *config = sonde_path_join(folder, "config.json");
    char *weights = sonde_path_join(folder, "model.safetensors");
    enum sonde_status status =
        config && weights ? SONDE_STATUS_OK : sonde_error_memory(error, "a temporary folder");
    struct sonde_model_options options = { .allow_missing_tokenizer = true };
    if (!status)
        status = write_config(config, error);
    if (!status)
        status = write_weights(weights, seed, error);
    if (!status)
        status = sonde_model_open(out, folder, &options, error);
    if (config)
        unlink(config);
    if (weights)
        unlink(weights);
    rmdir(folder);
    free(config);
    free(weights);
    free(folder);
    return status;
}
