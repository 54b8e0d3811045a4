/* Any bytes as the state of a training that is to go on: refused with words, the weights as they
 * were, or taken, and then a step follows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/train/trainer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config_text[] =
    "{\"model_type\": \"sonde\", \"hidden_size\": 2, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 1, \"intermediate_size\": 2, \"vocab_size\": 3, \"position\": "
    "\"none\", \"bias\": false, \"tie_word_embeddings\": true}";

static void try_state(struct sonde_trainer *trainer, const struct sonde_model *model,
                      const char *path)
{
    struct sonde_error error = { 0 };
    int64_t n = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(model, &n);
    float before[16];
    const size_t bytes = (size_t)(p[0].rows * p[0].columns) * sizeof(float);
    if (bytes > sizeof before) {
        abort();
    }
    memcpy(before, p[0].data, bytes);
    if (sonde_trainer_load(trainer, path, "note", &error) == SONDE_STATUS_OK) {
        const enum sonde_status status = sonde_trainer_step(trainer, NULL, &error);
        if (status != SONDE_STATUS_OK && !error.text[0]) {
            abort();
        }
    } else if (!error.text[0] || memcmp(before, p[0].data, bytes) != 0) {
        abort(); /* a refusal without words, or one that left something behind */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct stat info;
    struct sonde_json *config = NULL;
    struct sonde_model *model = NULL;
    struct sonde_examples *examples = NULL;
    struct sonde_trainer *trainer = NULL;
    const struct sonde_init init = { .seed = 1 };
    const struct sonde_example example = { .ids = (int32_t[]){ 1, 2, 0 }, .n_tokens = 3 };
    const struct sonde_trainer_options options = { .rule = sonde_update_defaults(SONDE_UPDATE_SGD),
                                                   .batch_sequences = 2 };
    (void)snprintf(path, sizeof path, "%s/sonde-fuzz-state-%ld",
                   stat("/dev/shm", &info) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
    if (sonde_json_parse(&config, config_text, strlen(config_text), NULL) == SONDE_STATUS_OK &&
        sonde_model_create(&model, config, "config", &init, NULL) == SONDE_STATUS_OK &&
        sonde_examples_create(&examples, 0, NULL) == SONDE_STATUS_OK &&
        sonde_examples_add(examples, &example, NULL) == SONDE_STATUS_OK) {
        const struct sonde_example_source source = sonde_examples_source(examples);
        if (sonde_trainer_create(&trainer, model, &source, &options, NULL) != SONDE_STATUS_OK) {
            abort();
        }
        if (sonde_file_save(path, data, size, NULL) == SONDE_STATUS_OK) {
            try_state(trainer, model, path);
        }
        unlink(path);
    }
    sonde_trainer_destroy(&trainer);
    sonde_examples_destroy(&examples);
    sonde_model_close(&model);
    sonde_json_destroy(&config);
    return 0;
}
