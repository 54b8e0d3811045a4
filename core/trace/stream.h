/*
 * Stream: what a site yields over a run, a matrix of rows in a row space. Probes read streams
 * through a source and recording writes them through a sink; the two meet here, so that storage
 * and probes need not know each other.
 */
#ifndef SONDE_CORE_TRACE_STREAM_H
#define SONDE_CORE_TRACE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/tensor/dtype.h"
#include "core/trace/site.h"

enum sonde_row_space {
    SONDE_ROWS_TOKEN,    /* a row per (sequence, position) */
    SONDE_ROWS_SPAN,     /* a row per (sequence, begin, end) */
    SONDE_ROWS_SEQUENCE, /* a row per sequence */
    SONDE_ROWS_STEP,     /* a row per (sequence, position, iteration) */
    SONDE_ROWS_MAP,      /* one [heads, T, T] array per sequence */
    SONDE_ROWS_WEIGHT,   /* a row per neuron or vocabulary entry */
};
const char *sonde_row_space_name(enum sonde_row_space space); /* "token", ... */

/* dim is the shape of one row without the row axis: {D} for [T, D], {H, E} for [T, H, E]. For maps
 * it is {heads}, and a sequence of T tokens holds heads * T * T values. */
struct sonde_stream {
    char name[SONDE_SITE_NAME_MAX];
    int layer; /* -1 model-wide */
    enum sonde_row_space space;
    enum sonde_dtype dtype; /* as stored: F32, F16, BF16 */
    int rank;
    int64_t dim[2];
    int64_t width;  /* product of dim; for maps the number of heads */
    int64_t n_rows; /* token: tokens of the run; map and sequence: sequences */
};

enum {
    SONDE_TOKEN_BOS = 1, /* beginning of sequence, added by the policy or present */
    SONDE_TOKEN_EOS = 2,
    SONDE_TOKEN_SPECIAL = 4, /* any added/special token of the tokenizer */
    SONDE_TOKEN_UNKNOWN = 8, /* the tokenizer's unknown token */
};

/* One token that was fed. Text and byte span refer to the sequence's source text. */
struct sonde_token {
    int32_t id;
    int32_t position;   /* in the sequence as fed, from 0 */
    int64_t begin, end; /* bytes [begin, end) of the sequence's text; -1 where it has none (BOS) */
    uint32_t flags;     /* SONDE_TOKEN_* */
    const char *text;   /* the token decoded alone, UTF-8; owned with the sequence */
};

/* One sequence that was fed: a whole input or a window of a long one. */
struct sonde_sequence {
    int64_t source;     /* ordinal of the input item it was cut from */
    int64_t window;     /* 0-based window of that item; > 0 only where the item was longer than the
                           context */
    const char *name;   /* e.g. the CoNLL-U sent_id; may be NULL */
    const char *text;   /* the item's text (window: the part that it covers); may be NULL */
    int64_t text_begin; /* byte offset of text within the item's whole text */
    const char *group;  /* items of one group never straddle a split; NULL = the source itself */
    int64_t n_tokens;
    const struct sonde_token *tokens; /* [n_tokens] */
};

/* One recorded value: `value` is [T, width] (token space) or [heads, T, T] (map space), f32. */
struct sonde_record {
    const float *value;
    int64_t n_values;
};

/*
 * Sink: where a run goes. streams are declared once at creation of the sink; then, per sequence in
 * order, put() gets one record for every stream. commit() makes everything up to here visible and
 * durable; the recorder calls it at deterministic batch ends. Ends in exactly one finish (complete)
 * or abandon; both free the sink.
 */
struct sonde_sink {
    enum sonde_status (*put)(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                             const struct sonde_record *records /* [n_streams] */,
                             struct sonde_error *error);
    enum sonde_status (*commit)(struct sonde_sink *sink, struct sonde_error *error);
    enum sonde_status (*finish)(struct sonde_sink *sink, struct sonde_error *error);
    void (*abandon)(struct sonde_sink *sink);
};

/* Small sinks: null counts only; digest folds every byte into a SHA-256; tee passes on to two. */
SONDE_MUST_USE enum sonde_status sonde_sink_null_create(struct sonde_sink **out,
                                                        struct sonde_error *error);
/* The hex digest is written to out_hex[65] by finish; out_hex must outlive the sink. */
SONDE_MUST_USE enum sonde_status sonde_sink_digest_create(struct sonde_sink **out,
                                                          int64_t n_streams, char *out_hex,
                                                          struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_sink_tee_create(struct sonde_sink **out,
                                                       struct sonde_sink *a, struct sonde_sink *b,
                                                       struct sonde_error *error);

/* What a source says of one sequence of a run. */
struct sonde_source_sequence {
    int64_t first_row; /* of its tokens in the token row space */
    int64_t n_tokens;
    int64_t source, window;
    int64_t group;           /* dense group number within the source, for splits */
    const char *name, *text; /* may be NULL; owned by the source */
};

enum sonde_label_kind {
    SONDE_LABEL_CLASS, /* one of a closed set of names */
    SONDE_LABEL_REAL,
    SONDE_LABEL_SPAN, /* class of (sequence, begin, end) token spans */
    SONDE_LABEL_PAIR, /* a token's partner token in the same sequence (e.g. its head) */
};
const char *sonde_label_kind_name(enum sonde_label_kind kind); /* "class", ... */

/* Labels of one set over the rows of a run's token or sequence row space. Arrays are [n_rows] and
 * owned by the source; masked rows have class -1, real NaN, partner -1. */
struct sonde_labels {
    const char *name;
    enum sonde_label_kind kind;
    enum sonde_row_space space; /* TOKEN or SEQUENCE */
    int64_t n_rows;
    const int32_t *class_of; /* class: index into class_name */
    const double *real;      /* real */
    const int32_t *partner;  /* pair: position of the partner in the same sequence */
    int64_t n_classes;
    const char *const *class_name;
    int64_t n_spans; /* span: n_spans entries of span, class_of is [n_spans] */
    const struct sonde_span {
        int64_t sequence, begin, end; /* positions [begin, end) */
    } * span;
};

/*
 * Source: one run of a store (or memory, in tests), read by probes. Everything returned by pointer
 * is owned by the source and valid until destroy. Not thread-safe: one thread at a time.
 */
struct sonde_source {
    void *self;
    const char *model_hash; /* SHA-256 hex of the weights; "" where unknown */
    const char *run_name;
    int64_t n_streams;
    const struct sonde_stream *streams; /* [n_streams] */
    int64_t n_sequences;
    const struct sonde_source_sequence *sequences; /* [n_sequences] */
    int64_t n_tokens;
    /* Token keys, [n_tokens] each. */
    const int32_t *token_id;
    const int32_t *token_position;
    const int32_t *token_sequence; /* index into sequences */
    const uint32_t *token_flags;
    /* Text of a token row. */
    const char *(*token_text)(struct sonde_source *source, int64_t row);
    /* Rows [first, first + n) of a token, sequence or weight stream, widened to f32: out[n, width].
     */
    enum sonde_status (*read_rows)(struct sonde_source *source, int64_t stream, int64_t first,
                                   int64_t n, float *out, struct sonde_error *error);
    /* The [heads, T, T] array of a map stream; out has heads * T * T places. */
    enum sonde_status (*read_map)(struct sonde_source *source, int64_t stream, int64_t sequence,
                                  float *out, struct sonde_error *error);
    /* Rows [first, first + n) of the queries of one head of a map: out[n, T]. */
    enum sonde_status (*read_map_rows)(struct sonde_source *source, int64_t stream,
                                       int64_t sequence, int64_t head, int64_t first, int64_t n,
                                       float *out, struct sonde_error *error);
    /* A label set by name; NOT_FOUND names the sets that exist. */
    enum sonde_status (*labels)(struct sonde_source *source, const char *set,
                                const struct sonde_labels **out, struct sonde_error *error);
    void (*destroy)(struct sonde_source **source);
};

/* Index of the stream with this name (any spelling of the site), or -1. */
int64_t sonde_source_find_stream(const struct sonde_source *source, const char *name);

/* A source over arrays in memory, for tests and for models run on the spot. Streams, rows and
 * tokens are copied. Token-space streams only, plus maps given per sequence. Build: create, add
 * sequences through the sink that it offers, then read. */
SONDE_MUST_USE enum sonde_status sonde_memory_create(struct sonde_sink **sink,
                                                     struct sonde_source **source,
                                                     const struct sonde_stream *streams,
                                                     int64_t n_streams, struct sonde_error *error);
/* Adds a label set to a memory source; arrays are copied ([n_tokens] or [n_sequences]). */
SONDE_MUST_USE enum sonde_status sonde_memory_add_labels(struct sonde_source *source,
                                                         const struct sonde_labels *labels,
                                                         struct sonde_error *error);

#endif
