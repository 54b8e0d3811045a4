#include "tools/bench/bench_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/model/create.h"

static const char *const config_text[] = {
    [SONDE_BENCH_GPT2] =
        "{\"model_type\": \"gpt2\", \"n_embd\": 768, \"n_head\": 12, \"n_layer\": 12,"
        " \"n_positions\": 1024, \"n_ctx\": 1024, \"vocab_size\": 50257,"
        " \"activation_function\": \"gelu_new\", \"layer_norm_epsilon\": 1e-5}",
    [SONDE_BENCH_LLAMA] =
        "{\"model_type\": \"llama\", \"hidden_size\": 768, \"num_hidden_layers\": 12,"
        " \"num_attention_heads\": 12, \"num_key_value_heads\": 4, \"intermediate_size\": 2048,"
        " \"vocab_size\": 32000, \"max_position_embeddings\": 1024, \"rms_norm_eps\": 1e-5,"
        " \"rope_theta\": 10000.0, \"hidden_act\": \"silu\", \"tie_word_embeddings\": false}",
    [SONDE_BENCH_TINY] =
        "{\"model_type\": \"sonde\", \"hidden_size\": 64, \"num_hidden_layers\": 2,"
        " \"num_attention_heads\": 2, \"intermediate_size\": 256, \"vocab_size\": 8,"
        " \"max_position_embeddings\": 256, \"position\": \"learned\", \"hidden_act\": \"gelu\"}",
};

char *sonde_bench_temporary_template(void)
{
    const char *folder = getenv("TMPDIR");
    return sonde_path_join(folder && *folder ? folder : "/tmp", "sonde-XXXXXX");
}

enum sonde_status sonde_bench_write_model(const char *folder, enum sonde_bench_shape shape,
                                          uint64_t seed, struct sonde_error *error)
{
    const char *text = config_text[shape];
    const struct sonde_init init = { .kind = SONDE_INIT_NORMAL, .seed = seed };
    struct sonde_json *config = NULL;
    struct sonde_model *model = NULL;
    enum sonde_status status = sonde_json_parse(&config, text, strlen(text), error);
    if (!status)
        status = sonde_model_create(&model, config, "the model", &init, error);
    if (!status)
        status = sonde_model_save(model, folder, SONDE_DTYPE_F32, error);
    sonde_model_close(&model);
    sonde_json_destroy(&config);
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
