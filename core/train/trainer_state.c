/* Weights, states and position as a file, and back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/num.h"
#include "core/tensor/safetensors.h"
#include "core/train/train_internal.h"

#define STATE_FORMAT "sonde-train-1"

enum {
    NAME_MAX_BYTES = 320,
    POSITION_MAX_BYTES = 512,
};

static const char *rule_name(enum sonde_update_kind kind)
{
    switch (kind) {
    case SONDE_UPDATE_SGD:
        return "sgd";
    case SONDE_UPDATE_RMSPROP:
        return "rmsprop";
    case SONDE_UPDATE_ADAM:
        return "adam";
    case SONDE_UPDATE_ADAMW:
        return "adamw";
    }
    return "?";
}

/* "weight.NAME", "state0.NAME", ..: kind 0 are the weights. */
static void tensor_name(char *out, int kind, const char *parameter)
{
    if (kind == 0) {
        (void)snprintf(out, NAME_MAX_BYTES, "weight.%s", parameter);
    } else {
        (void)snprintf(out, NAME_MAX_BYTES, "state%d.%s", kind - 1, parameter);
    }
}

static enum sonde_status write_tensors(const struct sonde_trainer *t, const char *path,
                                       const struct sonde_safetensors_pair *pairs, int64_t n_pairs,
                                       struct sonde_error *error)
{
    const int64_t n_kinds = t->n_states + 1, n = n_kinds * t->n_parameters;
    struct sonde_safetensors_item *items = calloc((size_t)n, sizeof *items);
    char *names = malloc((size_t)n * NAME_MAX_BYTES);
    enum sonde_status status =
        items && names ? SONDE_STATUS_OK : sonde_error_memory(error, "the names of a checkpoint");
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < n; i++) {
        const int kind = (int)(i % n_kinds);
        const int64_t at = i / n_kinds;
        const struct sonde_parameter *p = &t->parameter[at];
        char *name = names + i * NAME_MAX_BYTES;
        tensor_name(name, kind, p->name);
        items[i] = (struct sonde_safetensors_item){
            .name = name,
            .dtype = SONDE_DTYPE_F32,
            .rank = 2,
            .dim = { p->rows, p->columns },
            .data = kind == 0 ? p->data : t->state[kind - 1] + t->offset[at],
        };
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_safetensors_write(path, items, n, pairs, n_pairs, error);
    }
    free(items);
    free(names);
    return status;
}

/* Of all values in the order of the file: kind 0 of a parameter are its weights, then its states.
 */
struct values {
    const struct sonde_trainer *trainer;
    const float *read; /* [n_kinds, n_flat] as read_tensors leaves them; NULL = the trainer's own */
};

static const float *values_of(const struct values *v, int64_t parameter, int kind)
{
    const struct sonde_trainer *t = v->trainer;
    if (v->read) {
        return v->read + kind * t->n_flat + t->offset[parameter];
    }
    return kind == 0 ? t->parameter[parameter].data : t->state[kind - 1] + t->offset[parameter];
}

static enum sonde_status hash_values(const struct values *v, char hex[SONDE_SHA256_HEX],
                                     struct sonde_error *error)
{
    uint8_t digest[SONDE_SHA256_BYTES];
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash) {
        return sonde_error_memory(error, "hashing");
    }
    for (int64_t i = 0; i < v->trainer->n_parameters; i++) {
        const struct sonde_parameter *p = &v->trainer->parameter[i];
        for (int kind = 0; kind <= v->trainer->n_states; kind++) {
            sonde_sha256_update(hash, values_of(v, i, kind),
                                (size_t)(p->rows * p->columns) * sizeof(float));
        }
    }
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, hex);
    sonde_sha256_destroy(&hash);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_trainer_save(const struct sonde_trainer *t, const char *path,
                                     const char *note, struct sonde_error *error)
{
    const struct sonde_train_position *p = &t->position;
    char position[POSITION_MAX_BYTES], sum[SONDE_FORMAT_F64_MAX], hash[SONDE_SHA256_HEX];
    enum sonde_status status = hash_values(&(struct values){ .trainer = t }, hash, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    sonde_format_f64_exact(sum, p->loss_sum);
    (void)snprintf(position, sizeof position,
                   "{\"step\": %" PRId64 ", \"epoch\": %" PRId64 ", \"taken\": %" PRId64
                   ", \"tokens\": %" PRId64 ", \"rows\": %" PRId64 ", \"loss_sum\": %s}",
                   p->step, p->epoch, p->taken, p->tokens, p->rows, sum);
    const struct sonde_safetensors_pair pairs[] = {
        { "format", STATE_FORMAT }, { "rule", rule_name(t->options.rule.kind) },
        { "position", position },   { "note", note ? note : "" },
        { "sha256", hash },
    };
    return write_tensors(t, path, pairs, (int64_t)(sizeof pairs / sizeof *pairs), error);
}

static enum sonde_status expect(const struct sonde_safetensors *file, const char *key,
                                const char *expected, struct sonde_error *error)
{
    const char *found = sonde_safetensors_metadata(file, key);
    if (found && strcmp(found, expected) == 0) {
        return SONDE_STATUS_OK;
    }
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "%s: %s is \"%.80s\", expected \"%.80s\": not a state of this training",
                           sonde_safetensors_path(file), key, found ? found : "", expected);
}

static enum sonde_status read_position(const struct sonde_trainer *t,
                                       const struct sonde_safetensors *file,
                                       struct sonde_train_position *out, struct sonde_error *error)
{
    const char *text = sonde_safetensors_metadata(file, "position");
    struct sonde_train_position p = { 0 };
    struct sonde_json *root = NULL;
    const struct {
        const char *key;
        int64_t *value;
        int64_t most;
    } integers[] = {
        { "step", &p.step, INT64_C(1) << 52 }, { "epoch", &p.epoch, INT64_C(1) << 52 },
        { "taken", &p.taken, t->source.n },    { "tokens", &p.tokens, INT64_C(1) << 60 },
        { "rows", &p.rows, INT64_C(1) << 60 },
    };
    enum sonde_status status =
        sonde_json_parse(&root, text ? text : "", text ? strlen(text) : 0, error);
    for (size_t i = 0; i < sizeof integers / sizeof *integers && status == SONDE_STATUS_OK; i++) {
        status = sonde_json_read_i64(root, integers[i].key, 0, 0, integers[i].most,
                                     integers[i].value, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_json_read_f64(root, "loss_sum", 0.0, -1e300, 1e300, &p.loss_sum, error);
    }
    if (status == SONDE_STATUS_OK) {
        *out = p;
    } else {
        sonde_error_prepend(error, "%s: position", sonde_safetensors_path(file));
    }
    sonde_json_destroy(&root);
    return status;
}

/* All tensors into to[n_kinds][n_flat], so that a fault in the last one changes nothing. */
static enum sonde_status read_tensors(const struct sonde_trainer *t,
                                      const struct sonde_safetensors *file, float *to,
                                      struct sonde_error *error)
{
    const int n_kinds = t->n_states + 1;
    char name[NAME_MAX_BYTES];
    if (sonde_safetensors_count(file) != n_kinds * t->n_parameters) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: %lld tensors, expected %lld: not a state of this training",
                               sonde_safetensors_path(file),
                               (long long)sonde_safetensors_count(file),
                               (long long)(n_kinds * t->n_parameters));
    }
    for (int64_t i = 0; i < n_kinds * t->n_parameters; i++) {
        const int kind = (int)(i % n_kinds);
        const int64_t at = i / n_kinds;
        const struct sonde_parameter *p = &t->parameter[at];
        tensor_name(name, kind, p->name);
        const struct sonde_safetensors_entry *entry = sonde_safetensors_find(file, name);
        if (!entry || entry->dtype != SONDE_DTYPE_F32 || entry->rank != 2 ||
            entry->dim[0] != p->rows || entry->dim[1] != p->columns) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s: %s %s, expected F32 [%lld, %lld]",
                                   sonde_safetensors_path(file), name,
                                   entry ? "has another shape or type" : "is missing",
                                   (long long)p->rows, (long long)p->columns);
        }
        enum sonde_status status = sonde_safetensors_read_f32(
            file, entry, 0, entry->n_elements, to + kind * t->n_flat + t->offset[at], error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
    }
    return SONDE_STATUS_OK;
}

/* A state that was damaged on the disk must not be trained on. */
static enum sonde_status check_values(const struct sonde_trainer *t,
                                      const struct sonde_safetensors *file, const float *all,
                                      struct sonde_error *error)
{
    const char *expected = sonde_safetensors_metadata(file, "sha256");
    char hash[SONDE_SHA256_HEX];
    enum sonde_status status =
        hash_values(&(struct values){ .trainer = t, .read = all }, hash, error);
    if (status == SONDE_STATUS_OK && expected && strcmp(expected, hash) != 0) {
        status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                 "%s: the values are not those that were written",
                                 sonde_safetensors_path(file));
    }
    return status;
}

static void take_over(struct sonde_trainer *t, const float *from)
{
    for (int64_t i = 0; i < t->n_parameters; i++) {
        const struct sonde_parameter *p = &t->parameter[i];
        const size_t bytes = (size_t)(p->rows * p->columns) * sizeof *from;
        memcpy(p->data, from + t->offset[i], bytes);
        for (int s = 0; s < t->n_states; s++) {
            memcpy(t->state[s] + t->offset[i], from + (s + 1) * t->n_flat + t->offset[i], bytes);
        }
    }
}

enum sonde_status sonde_trainer_load(struct sonde_trainer *t, const char *path, const char *note,
                                     struct sonde_error *error)
{
    struct sonde_safetensors *file = NULL;
    struct sonde_train_position position;
    float *all = NULL;
    enum sonde_status status = sonde_safetensors_open(&file, path, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    status = expect(file, "format", STATE_FORMAT, error);
    if (status == SONDE_STATUS_OK) {
        status = expect(file, "rule", rule_name(t->options.rule.kind), error);
    }
    if (status == SONDE_STATUS_OK) {
        status = expect(file, "note", note ? note : "", error);
    }
    if (status == SONDE_STATUS_OK) {
        status = read_position(t, file, &position, error);
    }
    if (status == SONDE_STATUS_OK) {
        all = calloc((size_t)(t->n_flat * (t->n_states + 1)), sizeof *all);
        status = all ? read_tensors(t, file, all, error)
                     : sonde_error_memory(error, "the state of a training");
    }
    if (status == SONDE_STATUS_OK) {
        status = check_values(t, file, all, error);
    }
    if (status == SONDE_STATUS_OK) {
        take_over(t, all);
        t->position = position;
    }
    free(all);
    sonde_safetensors_close(&file);
    return status;
}
