#include "core/model/bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/model/create_internal.h"

enum { NAME_MAX_BYTES = 256 };

SONDE_PRINTF(3, 0)
static void full_name(const struct sonde_binder *b, char out[NAME_MAX_BYTES], const char *format,
                      va_list args)
{
    int n = snprintf(out, NAME_MAX_BYTES, "%s", b->prefix ? b->prefix : "");
    vsnprintf(out + n, (size_t)(NAME_MAX_BYTES - n), format, args);
}

static void fail_memory(struct sonde_binder *b)
{
    b->status = sonde_error_memory(b->error, "weights");
}

/* NaN and infinities have all exponent bits set. */
static int64_t count_nonfinite(enum sonde_dtype dtype, const void *data, int64_t n)
{
    int64_t count = 0;
    if (dtype == SONDE_DTYPE_F32) {
        const uint32_t *bits = data;
        for (int64_t i = 0; i < n; i++) {
            count += (bits[i] & 0x7f800000u) == 0x7f800000u;
        }
        return count;
    }
    const uint16_t *bits = data;
    uint16_t mask = dtype == SONDE_DTYPE_F16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0; i < n; i++) {
        count += (bits[i] & mask) == mask;
    }
    return count;
}

static float *random_values(struct sonde_binder *b, const char *name, enum sonde_bind_kind kind,
                            int64_t n)
{
    float *data = sonde_arena_alloc(b->arena, n, sizeof *data);
    if (!data) {
        fail_memory(b);
        return NULL;
    }
    struct sonde_rng rng = sonde_rng_make(b->seed, sonde_rng_stream(name));
    for (int64_t i = 0; i < n; i++) {
        data[i] = kind == SONDE_BIND_MATRIX ? (float)(0.02 * sonde_rng_normal(&rng))
                  : kind == SONDE_BIND_GAIN ? 1.0f
                                            : 0.0f;
    }
    return data;
}

const float *sonde_bind_raw(struct sonde_binder *b, const float *data, enum sonde_bind_kind kind,
                            int64_t n, int64_t at)
{
    char name[32];
    b->n_parameters += n;
    if (b->random) {
        snprintf(name, sizeof name, "at %lld", (long long)at);
        return random_values(b, name, kind, n);
    }
    b->n_nonfinite += count_nonfinite(SONDE_DTYPE_F32, data, n);
    return data;
}

static void refuse_shape(struct sonde_binder *b, const struct sonde_tensor_ref *ref, int rank,
                         int64_t rows, int64_t columns)
{
    struct sonde_buf found = { 0 };
    for (int i = 0; i < ref->entry->rank; i++) {
        sonde_buf_printf(&found, "%s%lld", i ? ", " : "", (long long)ref->entry->dim[i]);
    }
    const char *text = found.data ? found.data : "";
    if (rank == 1) {
        b->status = sonde_error_set(
            b->error, SONDE_STATUS_FORMAT, "%s: %.160s: shape [%s], expected [%lld]",
            sonde_tensor_ref_path(ref), ref->entry->name, text, (long long)columns);
    } else {
        b->status = sonde_error_set(b->error, SONDE_STATUS_FORMAT,
                                    "%s: %.160s: shape [%s], expected [%lld, %lld]",
                                    sonde_tensor_ref_path(ref), ref->entry->name, text,
                                    (long long)rows, (long long)columns);
    }
    sonde_buf_finish(&found);
}

/* The tensor's data where it lies, or an aligned copy. */
static const void *aligned_data(struct sonde_binder *b, const struct sonde_tensor_ref *ref)
{
    const uint8_t *mapped = NULL;
    size_t size = sonde_dtype_size(ref->entry->dtype);
    b->status = sonde_tensor_ref_map(ref, &mapped, b->error);
    if (b->status != SONDE_STATUS_OK || (mapped && (uintptr_t)mapped % size == 0)) {
        return mapped;
    }
    void *copy = sonde_arena_alloc(b->arena, ref->entry->n_elements, size);
    if (!copy) {
        fail_memory(b);
        return NULL;
    }
    b->status = sonde_tensor_ref_read(ref, copy, b->error);
    return copy;
}

/* Finds, checks and gives the weight of shape [rows, columns] (rank 1: [columns]). */
static void bind_tensor(struct sonde_binder *b, struct sonde_weight *out, const char *name,
                        enum sonde_bind_kind kind, int64_t rows, int64_t columns, bool transposed)
{
    struct sonde_tensor_ref ref;
    int rank = kind == SONDE_BIND_MATRIX ? 2 : 1;
    if (b->status != SONDE_STATUS_OK) {
        return;
    }
    if (b->creation) {
        const struct sonde_made_tensor made = {
            .name = name, .rank = rank, .rows = rows, .columns = columns, .n_parts = 1
        };
        struct sonde_weight *const parts[] = { out };
        sonde_creation_add(b, &made, parts, kind, transposed);
        return;
    }
    if (!sonde_tensor_table_find(b->table, name, &ref)) {
        b->status = sonde_error_set(b->error, SONDE_STATUS_FORMAT, "%s: no tensor %s",
                                    sonde_tensor_table_file(b->table, 0), name);
        return;
    }
    const struct sonde_safetensors_entry *entry = ref.entry;
    if (entry->rank != rank || entry->dim[rank - 1] != columns ||
        (rank == 2 && entry->dim[0] != rows)) {
        refuse_shape(b, &ref, rank, rows, columns);
        return;
    }
    if (!sonde_dtype_is_weight(entry->dtype)) {
        b->status = sonde_error_set(b->error, SONDE_STATUS_UNSUPPORTED,
                                    "%s: %.160s: dtype %s, weights are F32, F16 or BF16",
                                    sonde_tensor_ref_path(&ref), entry->name, entry->dtype_name);
        return;
    }
    struct sonde_weight weight = { NULL, entry->dtype, rows, columns, transposed };
    if (b->random) {
        weight.dtype = SONDE_DTYPE_F32;
        weight.data = random_values(b, name, kind, entry->n_elements);
    } else {
        weight.data = aligned_data(b, &ref);
        if (weight.data) {
            b->n_nonfinite += count_nonfinite(entry->dtype, weight.data, entry->n_elements);
        }
    }
    if (b->status == SONDE_STATUS_OK) {
        b->n_parameters += entry->n_elements;
        b->dtypes |= kind == SONDE_BIND_MATRIX ? 1u << weight.dtype : 0;
        *out = weight;
    }
}

void sonde_bind_matrix(struct sonde_binder *b, struct sonde_weight *out, int64_t rows,
                       int64_t columns, bool transposed, const char *name, ...)
{
    char full[NAME_MAX_BYTES];
    va_list args;
    va_start(args, name);
    full_name(b, full, name, args);
    va_end(args);
    bind_tensor(b, out, full, SONDE_BIND_MATRIX, rows, columns, transposed);
}

void sonde_bind_vector(struct sonde_binder *b, struct sonde_weight *out, int64_t n,
                       enum sonde_bind_kind kind, const char *name, ...)
{
    char full[NAME_MAX_BYTES];
    va_list args;
    va_start(args, name);
    full_name(b, full, name, args);
    va_end(args);
    bind_tensor(b, out, full, kind, 1, n, false);
}

bool sonde_bind_has(const struct sonde_binder *b, const char *name, ...)
{
    char full[NAME_MAX_BYTES];
    va_list args;
    va_start(args, name);
    full_name(b, full, name, args);
    va_end(args);
    return !b->creation && sonde_tensor_table_has(b->table, full);
}

const char *sonde_bind_prefix(struct sonde_binder *b, const char *prefix)
{
    b->prefix = b->creation || sonde_tensor_table_has_prefix(b->table, prefix) ? prefix : "";
    return b->prefix;
}

void sonde_bind_ignore(struct sonde_binder *b, const char *name, ...)
{
    char full[NAME_MAX_BYTES];
    struct sonde_tensor_ref ref;
    va_list args;
    va_start(args, name);
    full_name(b, full, name, args);
    va_end(args);
    if (!b->creation) {
        (void)sonde_tensor_table_find(b->table, full, &ref);
    }
}

static void copy_run(uint8_t *fused, uint8_t *of_part, int64_t n, bool back)
{
    memcpy(back ? fused : of_part, back ? of_part : fused, (size_t)n);
}

void sonde_bind_split_copy(const struct sonde_bind_split *split, int part, int64_t size,
                           uint8_t *fused, uint8_t *of_part, bool back)
{
    int64_t n_all = split->n_out[0] + split->n_out[1] + split->n_out[2], n_in = split->n_in;
    int64_t n_out = split->n_out[part], run = split->run ? split->run : n_out;
    int64_t first = part * run, step = 3 * run;
    if (split->run == 0) {
        first = 0;
        for (int p = 0; p < part; p++) {
            first += split->n_out[p];
        }
    }
    for (int64_t o = 0; o < n_out; o += run, first += step) {
        if (!split->transposed) {
            copy_run(fused + first * n_in * size, of_part + o * n_in * size, run * n_in * size,
                     back);
            continue;
        }
        for (int64_t i = 0; i < n_in; i++) {
            copy_run(fused + (i * n_all + first) * size, of_part + (i * n_out + o) * size,
                     run * size, back);
        }
    }
}

static void split_parts(struct sonde_binder *b, struct sonde_weight *const out[3],
                        const struct sonde_bind_split *split, const struct sonde_weight *fused)
{
    union {
        const void *mapped;
        uint8_t *bytes;
    } from = { fused->data }; /* only read: the copy goes out of it */
    for (int p = 0; p < 3 && b->status == SONDE_STATUS_OK; p++) {
        int64_t n_out = split->n_out[p], n_in = split->n_in;
        size_t size = sonde_dtype_size(fused->dtype);
        uint8_t *data = sonde_arena_alloc(b->arena, n_out * n_in, size);
        if (!data) {
            fail_memory(b);
            return;
        }
        sonde_bind_split_copy(split, p, (int64_t)size, from.bytes, data, false);
        *out[p] = (struct sonde_weight){ data, fused->dtype, split->transposed ? n_in : n_out,
                                         split->transposed ? n_out : n_in, split->transposed };
    }
}

static void bind_parts(struct sonde_binder *b, struct sonde_weight *const out[3],
                       const struct sonde_bind_split *split, const char *name,
                       enum sonde_bind_kind kind)
{
    int64_t n_all = split->n_out[0] + split->n_out[1] + split->n_out[2];
    int64_t rows = split->transposed ? split->n_in : n_all;
    int64_t columns = split->transposed ? n_all : split->n_in;
    if (b->creation && b->status == SONDE_STATUS_OK) {
        const struct sonde_made_tensor made = {
            name, kind == SONDE_BIND_MATRIX ? 2 : 1, rows, columns, 0, 3, *split
        };
        sonde_creation_add(b, &made, out, kind, split->transposed);
        return;
    }
    struct sonde_weight fused = { 0 };
    bind_tensor(b, &fused, name, kind, rows, columns, split->transposed);
    if (b->status == SONDE_STATUS_OK) {
        split_parts(b, out, split, &fused);
        sonde_tensor_table_forget(b->table, fused.data,
                                  rows * columns * (int64_t)sonde_dtype_size(fused.dtype));
    }
}

void sonde_bind_fused(struct sonde_binder *b, struct sonde_weight *const out[3],
                      const struct sonde_bind_split *split, const char *name, ...)
{
    char full[NAME_MAX_BYTES];
    va_list args;
    va_start(args, name);
    full_name(b, full, name, args);
    va_end(args);
    bind_parts(b, out, split, full, SONDE_BIND_MATRIX);
}

void sonde_bind_fused_bias(struct sonde_binder *b, struct sonde_weight *const out[3],
                           const struct sonde_bind_split *split, const char *name, ...)
{
    char full[NAME_MAX_BYTES];
    struct sonde_bind_split row = *split; /* a bias is a map with one input, stored in a row */
    va_list args;
    va_start(args, name);
    full_name(b, full, name, args);
    va_end(args);
    row.n_in = 1;
    row.transposed = true;
    bind_parts(b, out, &row, full, SONDE_BIND_BIAS);
    for (int p = 0; p < 3 && b->status == SONDE_STATUS_OK; p++) {
        out[p]->transposed = false;
    }
}

/* The untied unembedding, whose rows are the outputs. */
static void bind_unembedding(struct sonde_binder *b, const struct sonde_spec *spec,
                             struct sonde_weights *weights, const char *name)
{
    bind_tensor(b, &weights->unembed, name, SONDE_BIND_MATRIX, sonde_spec_outputs(spec),
                spec->d_model, false);
}

void sonde_bind_embedding(struct sonde_binder *b, const struct sonde_config *config,
                          struct sonde_spec *spec, struct sonde_weights *weights, const char *embed,
                          const char *unembed)
{
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "%s%s", b->prefix, embed);
    bool has_embed = b->creation || sonde_tensor_table_has(b->table, name);
    bool has_unembed = b->creation ? !spec->tied : sonde_tensor_table_has(b->table, unembed);
    bool given =
        sonde_json_type(sonde_json_get(config->root, "tie_word_embeddings")) == SONDE_JSON_BOOL;
    if (b->status != SONDE_STATUS_OK) {
        return;
    }
    if (!spec->tied && !has_unembed && has_embed && !given) {
        sonde_notes_add(b->notes, "no tensor %s: the embedding is used in its place", unembed);
        spec->tied = true;
    } else if (!spec->tied && has_unembed && !has_embed && !given) {
        sonde_notes_add(b->notes, "no tensor %s: %s is used in its place", name, unembed);
        spec->tied = true;
    }
    bind_tensor(b, &weights->embed, has_embed || !spec->tied || !has_unembed ? name : unembed,
                SONDE_BIND_MATRIX, spec->d_vocab, spec->d_model, false);
    if (!spec->tied) {
        bind_unembedding(b, spec, weights, unembed);
        return;
    }
    weights->unembed = weights->embed;
    struct sonde_tensor_ref ref;
    if (!b->creation) { /* stored twice: not an extra */
        (void)sonde_tensor_table_find(b->table, unembed, &ref);
    }
}
