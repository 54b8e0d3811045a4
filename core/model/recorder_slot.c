/* Slots of the recorder: the sequence's own copy, and the records that its sites fill. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/model/recorder_internal.h"
#include "core/model/session_internal.h"

/* Floats that the record of one stream takes for T tokens; false where that overflows. */
static bool record_values(const struct sonde_recorder *r, int64_t stream, int64_t T, int64_t *out)
{
    enum sonde_site_kind kind = r->site[stream].kind;
    int64_t n = sonde_spec_site_width(r->spec, kind);
    return sonde_mul_i64(n, T, &n) && (!sonde_site_is_map(kind) || sonde_mul_i64(n, T, &n)) &&
           (*out = n, true);
}

bool sonde_recorder_sequence_bytes(const struct sonde_recorder *r, int64_t T, int64_t *out)
{
    int64_t sum = 0, n = 0;
    for (int64_t i = 0; i < r->n_streams; i++) {
        if (!record_values(r, i, T, &n) || !sonde_add_i64(sum, n, &sum)) {
            return false;
        }
    }
    return sonde_mul_i64(sum, (int64_t)sizeof(float), out);
}

int16_t *sonde_recorder_stream_place(const struct sonde_recorder *r, struct sonde_site site,
                                     bool gradient)
{
    int64_t kind = (int64_t)site.kind + (gradient ? SONDE_SITE_KINDS : 0);
    return &r->stream_of[kind * (r->spec->n_layers + 1) + site.layer + 1];
}

/* Copies and, while the piece is in the cache, counts what is not finite. */
static int64_t copy_counting(float *to, const float *from, int64_t n)
{
    const int64_t piece = 4096;
    int64_t n_nonfinite = 0;
    for (int64_t first = 0; first < n; first += piece) {
        const int64_t count = n - first < piece ? n - first : piece;
        memcpy(to + first, from + first, (size_t)count * sizeof *to);
        n_nonfinite += sonde_count_nonfinite(from + first, count);
    }
    return n_nonfinite;
}

static enum sonde_status keep_record(struct sonde_recorder_slot *slot, struct sonde_site site,
                                     bool gradient, const struct sonde_tensor *value,
                                     struct sonde_error *error)
{
    int16_t stream = *sonde_recorder_stream_place(slot->recorder, site, gradient);
    const struct sonde_record *record = &slot->records[stream];
    int64_t n = sonde_tensor_elements(value);
    if (n != record->n_values) {
        char name[SONDE_SITE_NAME_MAX];
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s gave %lld values, expected %lld",
                               sonde_site_format(site, name), (long long)n,
                               (long long)record->n_values);
    }
    float *to = slot->values + (record->value - slot->values);
    if (gradient || site.kind != SONDE_SITE_ATTN_SCORES) {
        slot->n_nonfinite += copy_counting(to, value->data, n);
    } else { /* -inf is what masked scores are */
        memcpy(to, value->data, (size_t)n * sizeof *to);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_recorder_capture(void *ctx, struct sonde_site site,
                                         const struct sonde_tensor *value,
                                         struct sonde_error *error)
{
    return keep_record(ctx, site, false, value, error);
}

enum sonde_status sonde_recorder_capture_gradient(void *ctx, struct sonde_site site,
                                                  const struct sonde_tensor *gradient,
                                                  struct sonde_error *error)
{
    return keep_record(ctx, site, true, gradient, error);
}

static const char *keep_text(struct sonde_arena *arena, const char *text, bool *ok)
{
    char *copy = text ? sonde_arena_strndup(arena, text, strlen(text)) : NULL;
    *ok = *ok && (!text || copy);
    return copy;
}

/* The tokens and their ids; their texts one behind the other, as short ones would each take a line
 * of the cache. */
static bool keep_tokens(struct sonde_recorder_slot *slot, const struct sonde_sequence *from)
{
    struct sonde_token *tokens = sonde_arena_alloc(slot->arena, from->n_tokens, sizeof *tokens);
    slot->ids = sonde_arena_alloc(slot->arena, from->n_tokens, sizeof *slot->ids);
    size_t n_bytes = 0;
    for (int64_t t = 0; t < from->n_tokens; t++) {
        n_bytes += from->tokens[t].text ? strlen(from->tokens[t].text) + 1 : 0;
    }
    char *text = sonde_arena_alloc(slot->arena, (int64_t)n_bytes, 1);
    if (!tokens || !slot->ids || !text) {
        return false;
    }
    for (int64_t t = 0; t < from->n_tokens; t++) {
        tokens[t] = from->tokens[t];
        slot->ids[t] = tokens[t].id;
        if (tokens[t].text) {
            const size_t length = strlen(tokens[t].text) + 1;
            tokens[t].text = memcpy(text, tokens[t].text, length);
            text += length;
        }
    }
    slot->sequence.tokens = tokens;
    return true;
}

enum sonde_status sonde_recorder_fill_slot(struct sonde_recorder *r,
                                           struct sonde_recorder_slot *slot,
                                           const struct sonde_sequence *from, int64_t bytes,
                                           struct sonde_error *error)
{
    bool ok = true;
    sonde_arena_reset(slot->arena);
    slot->recorder = r;
    slot->sequence = *from;
    slot->sequence.name = keep_text(slot->arena, from->name, &ok);
    slot->sequence.text = keep_text(slot->arena, from->text, &ok);
    slot->sequence.group = keep_text(slot->arena, from->group, &ok);
    slot->records = sonde_arena_alloc(slot->arena, r->n_streams, sizeof *slot->records);
    slot->done = false;
    slot->values = malloc((size_t)bytes + 1);
    if (!ok || !keep_tokens(slot, from) || !slot->records || !slot->values) {
        return sonde_error_memory(error, "a recorded sequence");
    }
    slot->bytes = bytes;
    slot->n_nonfinite = 0;
    slot->status = SONDE_STATUS_OK;
    float *at = slot->values;
    for (int64_t i = 0; i < r->n_streams; i++) {
        int64_t n = 0;
        (void)record_values(r, i, from->n_tokens, &n); /* fitted when bytes were summed */
        slot->records[i] = (struct sonde_record){ at, n };
        at += n;
    }
    return SONDE_STATUS_OK;
}
