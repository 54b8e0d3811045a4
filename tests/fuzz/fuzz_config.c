/*
 * Any bytes as a whole model folder: up to the first zero byte config.json, after it
 * model.safetensors (without one: no weights). Where the model opens, two tokens are run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int write_file(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    int ok = file && fwrite(data, 1, size, file) == size;
    if (file) {
        ok = fclose(file) == 0 && ok;
    }
    return ok;
}

static void run(const struct sonde_model *model)
{
    const int32_t ids[] = { 0, 0 };
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    const struct sonde_forward_args args = { .ids = ids, .n_tokens = 2 };
    if (sonde_session_create(&session, model, NULL, &error) == SONDE_STATUS_OK) {
        enum sonde_status status = sonde_forward(session, &args, &error);
        if (status != SONDE_STATUS_OK && !error.text[0]) {
            abort();
        }
    }
    sonde_session_destroy(&session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char folder[64], config[96], weights[96];
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    const uint8_t *split = size ? memchr(data, 0, size) : NULL;
    size_t n = split ? (size_t)(split - data) : size;
    struct stat info;
    snprintf(folder, sizeof folder, "%s/sonde-fuzz-%ld",
             stat("/dev/shm", &info) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
    snprintf(config, sizeof config, "%s/config.json", folder);
    snprintf(weights, sizeof weights, "%s/model.safetensors", folder);
    if (mkdir(folder, 0700) != 0 && access(folder, W_OK) != 0) {
        return 0;
    }
    if (write_file(config, data, n) && (!split || write_file(weights, split + 1, size - n - 1))) {
        if (sonde_model_open(&model, folder, &options, &error) == SONDE_STATUS_OK) {
            run(model);
        } else if (!error.text[0]) {
            abort(); /* a refusal without words */
        }
    }
    sonde_model_close(&model);
    unlink(config);
    unlink(weights);
    rmdir(folder);
    return 0;
}
