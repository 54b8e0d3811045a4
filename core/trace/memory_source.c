/* A source over arrays in memory, and the sink that fills it. */
#include "core/trace/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"

enum { ROWS_MAX = INT32_MAX };
#define VALUES_MAX (INT64_C(1) << 40)

struct values {
    float *data; /* token streams [n_tokens, width]; maps one [heads, T, T] after another */
    int64_t n, capacity;
};

struct memory {
    struct sonde_source source;
    struct sonde_arena *arena; /* strings and labels */
    struct sonde_stream *streams;
    struct values *values; /* [n_streams] */
    struct sonde_source_sequence *sequences;
    int64_t sequence_capacity;
    int32_t *id, *position, *sequence_of;
    uint32_t *flags;
    const char **text;
    int64_t id_capacity, position_capacity, sequence_of_capacity, flags_capacity, text_capacity;
    /* Groups seen: open addressing over their keys. */
    struct group_slot {
        const char *key; /* NULL = free */
        int64_t number;
    } * groups;
    int64_t n_slots, n_groups;
    struct sonde_labels **labels;
    int64_t n_labels, label_capacity;
};

struct memory_sink {
    struct sonde_sink base;
    struct memory *memory; /* owned by the source */
};

static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text; text++) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    }
    return hash;
}

static struct group_slot *find_slot(struct group_slot *slots, int64_t n, const char *key)
{
    uint64_t i = hash_text(key) & (uint64_t)(n - 1);
    while (slots[i].key && strcmp(slots[i].key, key) != 0) {
        i = (i + 1) & (uint64_t)(n - 1);
    }
    return &slots[i];
}

/* The dense number of a group; -1 when memory is out. */
static int64_t group_number(struct memory *m, const struct sonde_sequence *sequence)
{
    char own[40];
    const char *key = sequence->group;
    if (!key) { /* no group name holds this control character */
        snprintf(own, sizeof own, "\001%lld", (long long)sequence->source);
        key = own;
    }
    if (2 * (m->n_groups + 1) > m->n_slots) {
        int64_t n = m->n_slots ? 2 * m->n_slots : 64;
        struct group_slot *slots = calloc((size_t)n, sizeof *slots);
        if (!slots) {
            return -1;
        }
        for (int64_t i = 0; i < m->n_slots; i++) {
            if (m->groups[i].key) {
                *find_slot(slots, n, m->groups[i].key) = m->groups[i];
            }
        }
        free(m->groups);
        m->groups = slots;
        m->n_slots = n;
    }
    struct group_slot *slot = find_slot(m->groups, m->n_slots, key);
    if (!slot->key) {
        slot->key = sonde_arena_strndup(m->arena, key, strlen(key));
        if (!slot->key) {
            return -1;
        }
        slot->number = m->n_groups++;
    }
    return slot->number;
}

/* NULL stays NULL. false when memory is out. */
static bool copy_text(struct memory *m, const char *text, const char **out)
{
    *out = text ? sonde_arena_strndup(m->arena, text, strlen(text)) : NULL;
    return !text || *out;
}

static bool grow_rows(struct memory *m, int64_t n)
{
    return sonde_grow((void **)&m->id, &m->id_capacity, n, sizeof *m->id, ROWS_MAX) &&
           sonde_grow((void **)&m->position, &m->position_capacity, n, sizeof *m->position,
                      ROWS_MAX) &&
           sonde_grow((void **)&m->sequence_of, &m->sequence_of_capacity, n, sizeof *m->sequence_of,
                      ROWS_MAX) &&
           sonde_grow((void **)&m->flags, &m->flags_capacity, n, sizeof *m->flags, ROWS_MAX) &&
           sonde_grow((void **)&m->text, &m->text_capacity, n, sizeof *m->text, ROWS_MAX);
}

/* The source's pointers follow the arrays, which growing may have moved. */
static void refresh(struct memory *m)
{
    m->source.sequences = m->sequences;
    m->source.token_id = m->id;
    m->source.token_position = m->position;
    m->source.token_sequence = m->sequence_of;
    m->source.token_flags = m->flags;
}

static enum sonde_status check_records(const struct memory *m, int64_t n_tokens,
                                       const struct sonde_record *records,
                                       struct sonde_error *error)
{
    for (int64_t i = 0; i < m->source.n_streams; i++) {
        const struct sonde_stream *stream = &m->streams[i];
        int64_t expected = stream->width * n_tokens;
        if (stream->space == SONDE_ROWS_MAP) {
            expected *= n_tokens;
        } else if (stream->space == SONDE_ROWS_SEQUENCE) {
            expected = stream->width;
        }
        if (records[i].n_values != expected) {
            return sonde_error_set(
                error, SONDE_STATUS_ARGUMENT, "stream %s: a record of %lld values, expected %lld",
                stream->name, (long long)records[i].n_values, (long long)expected);
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status memory_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                    const struct sonde_record *records, struct sonde_error *error)
{
    struct memory *m = ((struct memory_sink *)sink)->memory;
    int64_t first = m->source.n_tokens, n = sequence->n_tokens, s = m->source.n_sequences;
    enum sonde_status status = check_records(m, n, records, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    struct sonde_source_sequence entry = {
        .first_row = first, .n_tokens = n, .source = sequence->source, .window = sequence->window
    };
    entry.group = group_number(m, sequence);
    bool ok = entry.group >= 0 && copy_text(m, sequence->name, &entry.name) &&
              copy_text(m, sequence->text, &entry.text) && grow_rows(m, first + n) &&
              sonde_grow((void **)&m->sequences, &m->sequence_capacity, s + 1, sizeof *m->sequences,
                         ROWS_MAX);
    for (int64_t i = 0; ok && i < m->source.n_streams; i++) {
        struct values *v = &m->values[i];
        ok = sonde_grow((void **)&v->data, &v->capacity, v->n + records[i].n_values,
                        sizeof *v->data, VALUES_MAX);
    }
    for (int64_t t = 0; ok && t < n; t++) {
        const struct sonde_token *token = &sequence->tokens[t];
        m->id[first + t] = token->id;
        m->position[first + t] = token->position;
        m->sequence_of[first + t] = (int32_t)s;
        m->flags[first + t] = token->flags;
        ok = copy_text(m, token->text, &m->text[first + t]);
    }
    refresh(m);
    if (!ok) {
        return sonde_error_memory(error, "recorded values");
    }
    for (int64_t i = 0; i < m->source.n_streams; i++) {
        struct values *v = &m->values[i];
        memcpy(v->data + v->n, records[i].value, (size_t)records[i].n_values * sizeof *v->data);
        v->n += records[i].n_values;
        m->streams[i].n_rows += m->streams[i].space == SONDE_ROWS_TOKEN ? n : 1;
    }
    m->sequences[s] = entry;
    m->source.n_sequences++;
    m->source.n_tokens += n;
    return SONDE_STATUS_OK;
}

static enum sonde_status memory_commit(struct sonde_sink *sink, struct sonde_error *error)
{
    (void)sink, (void)error;
    return SONDE_STATUS_OK;
}

static enum sonde_status memory_finish(struct sonde_sink *sink, struct sonde_error *error)
{
    (void)error;
    free(sink);
    return SONDE_STATUS_OK;
}

static void memory_abandon(struct sonde_sink *sink)
{
    free(sink);
}

static const char *memory_token_text(struct sonde_source *source, int64_t row)
{
    struct memory *m = source->self;
    return row >= 0 && row < source->n_tokens && m->text[row] ? m->text[row] : "";
}

static enum sonde_status memory_read_rows(struct sonde_source *source, int64_t stream,
                                          int64_t first, int64_t n, float *out,
                                          struct sonde_error *error)
{
    struct memory *m = source->self;
    if (stream < 0 || stream >= source->n_streams || m->streams[stream].space == SONDE_ROWS_MAP ||
        first < 0 || n < 0 || n > m->streams[stream].n_rows - first) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "rows %lld to %lld are not rows of stream %lld", (long long)first,
                               (long long)(first + n), (long long)stream);
    }
    int64_t width = m->streams[stream].width;
    if (n > 0) {
        memcpy(out, m->values[stream].data + first * width, (size_t)(n * width) * sizeof *out);
    }
    return SONDE_STATUS_OK;
}

/* Where a sequence's map begins; NULL (with the error) where there is none. */
static const float *find_map(struct sonde_source *source, int64_t stream, int64_t sequence,
                             struct sonde_error *error)
{
    struct memory *m = source->self;
    if (stream < 0 || stream >= source->n_streams || m->streams[stream].space != SONDE_ROWS_MAP ||
        sequence < 0 || sequence >= source->n_sequences) {
        (void)sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                              "stream %lld has no map of sequence %lld", (long long)stream,
                              (long long)sequence);
        return NULL;
    }
    int64_t offset = 0;
    for (int64_t s = 0; s < sequence; s++) {
        int64_t n = m->sequences[s].n_tokens;
        offset += m->streams[stream].width * n * n;
    }
    return m->values[stream].data + offset;
}

static enum sonde_status memory_read_map_rows(struct sonde_source *source, int64_t stream,
                                              int64_t sequence, int64_t head, int64_t first,
                                              int64_t n, float *out, struct sonde_error *error)
{
    const float *map = find_map(source, stream, sequence, error);
    if (!map) {
        return SONDE_STATUS_ARGUMENT;
    }
    int64_t T = source->sequences[sequence].n_tokens;
    if (head < 0 || head >= source->streams[stream].width || first < 0 || n < 0 || n > T - first) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "head %lld, rows %lld to %lld: the map has %lld heads and %lld rows",
                               (long long)head, (long long)first, (long long)(first + n),
                               (long long)source->streams[stream].width, (long long)T);
    }
    memcpy(out, map + (head * T + first) * T, (size_t)(n * T) * sizeof *out);
    return SONDE_STATUS_OK;
}

static enum sonde_status memory_read_map(struct sonde_source *source, int64_t stream,
                                         int64_t sequence, float *out, struct sonde_error *error)
{
    const float *map = find_map(source, stream, sequence, error);
    if (!map) {
        return SONDE_STATUS_ARGUMENT;
    }
    int64_t T = source->sequences[sequence].n_tokens;
    memcpy(out, map, (size_t)(source->streams[stream].width * T * T) * sizeof *out);
    return SONDE_STATUS_OK;
}

static enum sonde_status memory_labels(struct sonde_source *source, const char *set,
                                       const struct sonde_labels **out, struct sonde_error *error)
{
    struct memory *m = source->self;
    struct sonde_buf names = { .max = 512 };
    for (int64_t i = 0; i < m->n_labels; i++) {
        if (strcmp(m->labels[i]->name, set) == 0) {
            *out = m->labels[i];
            sonde_buf_finish(&names);
            return SONDE_STATUS_OK;
        }
        sonde_buf_printf(&names, "%s%s", i ? ", " : "", m->labels[i]->name);
    }
    enum sonde_status status =
        sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "no label set '%s'; there are: %s", set,
                        names.size ? names.data : "none");
    sonde_buf_finish(&names);
    return status;
}

static void memory_destroy(struct sonde_source **source)
{
    if (!source || !*source) {
        return;
    }
    struct memory *m = (*source)->self;
    for (int64_t i = 0; m->values && i < m->source.n_streams; i++) {
        free(m->values[i].data);
    }
    free(m->values);
    free(m->streams);
    free(m->sequences);
    free(m->id);
    free(m->position);
    free(m->sequence_of);
    free(m->flags);
    free(m->text);
    free(m->groups);
    free(m->labels);
    sonde_arena_destroy(&m->arena);
    free(m);
    *source = NULL;
}

enum sonde_status sonde_memory_create(struct sonde_sink **sink, struct sonde_source **source,
                                      const struct sonde_stream *streams, int64_t n_streams,
                                      struct sonde_error *error)
{
    struct memory *m = calloc(1, sizeof *m);
    struct memory_sink *s = calloc(1, sizeof *s);
    if (!m || !s) {
        free(m);
        free(s);
        return sonde_error_memory(error, "a source in memory");
    }
    m->source.self = m;
    m->source.model_hash = "";
    m->source.run_name = "memory";
    m->source.n_streams = n_streams;
    m->arena = sonde_arena_create(0);
    m->streams = calloc((size_t)n_streams + 1, sizeof *m->streams);
    m->values = calloc((size_t)n_streams + 1, sizeof *m->values);
    if (!m->arena || !m->streams || !m->values) {
        struct sonde_source *made = &m->source;
        memory_destroy(&made);
        free(s);
        return sonde_error_memory(error, "a source in memory");
    }
    for (int64_t i = 0; i < n_streams; i++) {
        m->streams[i] = streams[i];
        m->streams[i].n_rows = 0;
    }
    m->source.streams = m->streams;
    m->source.token_text = memory_token_text;
    m->source.read_rows = memory_read_rows;
    m->source.read_map = memory_read_map;
    m->source.read_map_rows = memory_read_map_rows;
    m->source.labels = memory_labels;
    m->source.destroy = memory_destroy;
    s->base = (struct sonde_sink){ memory_put, memory_commit, memory_finish, memory_abandon };
    s->memory = m;
    *sink = &s->base;
    *source = &m->source;
    return SONDE_STATUS_OK;
}

static void *copy_array(struct memory *m, const void *data, int64_t n, size_t size)
{
    void *copy = sonde_arena_alloc(m->arena, n, size);
    if (copy && n > 0) {
        memcpy(copy, data, (size_t)n * size);
    }
    return copy;
}

enum sonde_status sonde_memory_add_labels(struct sonde_source *source,
                                          const struct sonde_labels *labels,
                                          struct sonde_error *error)
{
    struct memory *m = source->self;
    int64_t n = labels->space == SONDE_ROWS_SEQUENCE ? source->n_sequences : source->n_tokens;
    if (labels->n_rows != n) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "label set %s has %lld rows, the source %lld", labels->name,
                               (long long)labels->n_rows, (long long)n);
    }
    int64_t n_class = labels->kind == SONDE_LABEL_SPAN ? labels->n_spans : n;
    struct sonde_labels *copy = sonde_arena_zalloc(m->arena, 1, sizeof *copy);
    const char **names = sonde_arena_zalloc(m->arena, labels->n_classes, sizeof *names);
    bool ok = copy && names &&
              sonde_grow((void **)&m->labels, &m->label_capacity, m->n_labels + 1,
                         sizeof *m->labels, ROWS_MAX);
    if (ok) {
        *copy = *labels;
        ok = copy_text(m, labels->name, &copy->name);
    }
    for (int64_t i = 0; ok && i < labels->n_classes; i++) {
        ok = copy_text(m, labels->class_name[i], &names[i]);
    }
    if (ok && labels->class_of) {
        ok = (copy->class_of = copy_array(m, labels->class_of, n_class, sizeof(int32_t))) != NULL;
    }
    if (ok && labels->real) {
        ok = (copy->real = copy_array(m, labels->real, n, sizeof(double))) != NULL;
    }
    if (ok && labels->partner) {
        ok = (copy->partner = copy_array(m, labels->partner, n, sizeof(int32_t))) != NULL;
    }
    if (ok && labels->span) {
        copy->span = copy_array(m, labels->span, labels->n_spans, sizeof *labels->span);
        ok = copy->span != NULL;
    }
    if (!ok) {
        return sonde_error_memory(error, "a label set");
    }
    copy->class_name = names;
    m->labels[m->n_labels++] = copy;
    return SONDE_STATUS_OK;
}
