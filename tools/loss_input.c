#include "tools/loss_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/tensor/npy.h"

/* 2^31 targets are more tokens than a run can hold in memory as ids. */
#define TARGETS_MAX ((int64_t)1 << 31)

static int64_t widen(const void *data, enum sonde_dtype dtype, int64_t i)
{
    switch (dtype) {
    case SONDE_DTYPE_I64:
        return ((const int64_t *)data)[i];
    case SONDE_DTYPE_I32:
        return ((const int32_t *)data)[i];
    case SONDE_DTYPE_I16:
        return ((const int16_t *)data)[i];
    case SONDE_DTYPE_I8:
        return ((const int8_t *)data)[i];
    default:
        return ((const uint8_t *)data)[i];
    }
}

static enum sonde_status narrow(int32_t *out, const void *raw, enum sonde_dtype dtype, int64_t n,
                                const char *path, struct sonde_error *error)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t target = widen(raw, dtype, i);
        if (target > INT32_MAX || target < INT32_MIN)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: target %lld is %lld", path,
                                   (long long)i, (long long)target);
        out[i] = (int32_t)target;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status hash_targets(struct sonde_loss_input *out, struct sonde_error *error)
{
    uint8_t digest[SONDE_SHA256_BYTES];
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash)
        return sonde_error_memory(error, "a hash");
    sonde_sha256_update(hash, out->targets, (size_t)out->n_targets * sizeof(*out->targets));
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, out->sha256);
    sonde_sha256_destroy(&hash);
    return SONDE_STATUS_OK;
}

static bool is_integer(enum sonde_dtype dtype)
{
    return dtype == SONDE_DTYPE_I64 || dtype == SONDE_DTYPE_I32 || dtype == SONDE_DTYPE_I16 ||
           dtype == SONDE_DTYPE_I8 || dtype == SONDE_DTYPE_U8;
}

static enum sonde_status read_targets(struct sonde_loss_input *out, const char *path,
                                      struct sonde_error *error)
{
    struct sonde_npy *npy = NULL;
    enum sonde_status status = sonde_npy_open(&npy, path, error);
    if (status)
        return status;
    const struct sonde_npy_shape *shape = sonde_npy_get_shape(npy);
    const int64_t n = shape->n_elements;
    const enum sonde_dtype dtype = shape->dtype;
    if (!is_integer(dtype) || n < 1 || n > TARGETS_MAX) {
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%s holds %lld values of type %s; targets are integers, one for "
                                 "each token",
                                 path, (long long)n, sonde_dtype_name(dtype));
        sonde_npy_close(&npy);
        return status;
    }
    void *raw = malloc((size_t)n * sizeof(int64_t));
    out->targets = malloc((size_t)n * sizeof(*out->targets));
    out->n_targets = n;
    out->loss = (struct sonde_loss){ .kind = SONDE_LOSS_TARGETS, .targets = out->targets };
    status = raw && out->targets ? sonde_npy_read(npy, 0, n, raw, error)
                                 : sonde_error_memory(error, "the targets");
    if (!status)
        status = narrow(out->targets, raw, dtype, n, path, error);
    if (!status)
        status = hash_targets(out, error);
    free(raw);
    sonde_npy_close(&npy);
    return status;
}

/* What stands behind "NAME:"; NULL where text begins otherwise. */
static const char *behind(const char *text, const char *name)
{
    size_t n = strlen(name);
    return strncmp(text, name, n) == 0 ? text + n : NULL;
}

static bool read_logit(const char *text, struct sonde_loss *out)
{
    const char *at = strchr(text, '@');
    size_t n = at ? (size_t)(at - text) : strlen(text);
    *out = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = -1 };
    return sonde_parse_i64(text, n, &out->id) && out->id >= 0 &&
           (!at || (sonde_parse_i64(at + 1, strlen(at + 1), &out->row) && out->row >= 0));
}

enum sonde_status sonde_loss_input_open(struct sonde_loss_input *out, const char *text,
                                        struct sonde_error *error)
{
    const char *rest;
    *out = (struct sonde_loss_input){ .loss = { .kind = SONDE_LOSS_NEXT_TOKEN } };
    if (!text || strcmp(text, "next-token") == 0)
        return SONDE_STATUS_OK;
    if ((rest = behind(text, "logit:")) && read_logit(rest, &out->loss))
        return SONDE_STATUS_OK;
    if ((rest = behind(text, "targets:")) && *rest) {
        enum sonde_status status = read_targets(out, rest, error);
        if (status) {
            sonde_error_prepend(error, "--loss");
            sonde_loss_input_finish(out);
        }
        return status;
    }
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "--loss '%.100s': expected next-token, logit:ID, logit:ID@ROW or "
                           "targets:FILE.npy",
                           text);
}

void sonde_loss_input_finish(struct sonde_loss_input *input)
{
    free(input->targets);
    *input = (struct sonde_loss_input){ 0 };
}
