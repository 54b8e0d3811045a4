/*
 * Probe plugin ABI: the one header that an outside probe needs. Self-contained C11 and C++.
 *
 * A probe is a constant descriptor and one run function. Built-in probes use the same descriptor,
 * so the ABI is exercised by every run. Help, option parsing, the list of probes and the forms of
 * other front ends all come from the descriptor. Start from probes/template.c.
 *
 * Conventions: functions return 0 or a SONDE_PROBE_* code; on failure one line of text is in the
 * error. Strings are UTF-8. What the host hands out by pointer is owned by the host and valid until
 * run returns. Nothing may be called after run has returned. Only the thread that called run may
 * call the host.
 */
#ifndef SONDE_PROBES_PROBE_H
#define SONDE_PROBES_PROBE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SONDE_PROBE_ABI 1u

#if defined(__GNUC__)
#define SONDE_PROBE_EXPORT __attribute__((visibility("default")))
#else
#define SONDE_PROBE_EXPORT
#endif

enum sonde_probe_code {
    SONDE_PROBE_OK = 0,
    SONDE_PROBE_ARGUMENT = 1,  /* an option or its value is wrong for this input */
    SONDE_PROBE_FAILED = 2,    /* the work could not be done; the error says why */
    SONDE_PROBE_CANCELLED = 3, /* the host asked to stop */
    SONDE_PROBE_MEMORY = 4,
};

struct sonde_probe_error {
    char text[512]; /* one line, NUL-terminated */
};

enum sonde_probe_option_type {
    SONDE_PROBE_TEXT = 1,
    SONDE_PROBE_INTEGER = 2,
    SONDE_PROBE_REAL = 3,
    SONDE_PROBE_FLAG = 4,   /* value "1" where given */
    SONDE_PROBE_CHOICE = 5, /* one of choices, separated by '|' */
    SONDE_PROBE_PATH = 6,
};
struct sonde_probe_option {
    const char *name;          /* without "--" */
    uint32_t type;             /* enum sonde_probe_option_type */
    const char *default_value; /* text as the user would type it; NULL = not given */
    const char *choices;       /* CHOICE: "a|b|c" */
    const char *help;          /* one line */
};

enum {
    /* What the probe must be given. */
    SONDE_PROBE_NEEDS_STREAMS = 1, /* of a store, or recorded on the spot from --text */
    SONDE_PROBE_NEEDS_LABELS = 2,  /* a label set of a store */
    SONDE_PROBE_NEEDS_MODEL = 4,
    /* What it can use where it is there. */
    SONDE_PROBE_USES_STREAMS = 8,
    SONDE_PROBE_USES_MODEL = 16,
};

/* A stream: rows of `width` values. For maps (space 4) read whole [heads, T, T] arrays per
 * sequence. */
struct sonde_probe_stream {
    const char *name; /* "blocks.1.hook_resid_post" */
    int32_t layer;    /* -1 = model-wide */
    uint32_t space;   /* 0 token, 1 span, 2 sequence, 3 step, 4 map, 5 weight */
    int64_t width, n_rows;
};
struct sonde_probe_sequence {
    int64_t first_row, n_tokens, group;
    const char *name, *text; /* may be NULL */
};
struct sonde_probe_labels {
    uint32_t kind;           /* 0 class, 1 real */
    int64_t n_rows;          /* token rows */
    const int32_t *class_of; /* [n_rows], -1 = masked; NULL unless class */
    const double *real;      /* [n_rows], NaN = masked; NULL unless real */
    int64_t n_classes;
    const char *const *class_name;
};

/* What the host offers. Check struct_size before using a member that a later version added. */
struct sonde_probe_host {
    uint32_t abi, struct_size;
    void *ctx;

    /* Options, after parsing and with defaults: the text value, NULL where not given. */
    const char *(*option)(void *ctx, const char *name);
    int64_t (*option_integer)(void *ctx, const char *name, int64_t fallback);
    double (*option_real)(void *ctx, const char *name, double fallback);

    /* Activations. Zero streams where there is no store and no text. */
    int64_t (*n_streams)(void *ctx);
    int32_t (*stream)(void *ctx, int64_t index, struct sonde_probe_stream *out);
    /* Whether a stream's name matches a pattern ("blocks.*.hook_resid_post", "resid", ...). */
    int32_t (*stream_matches)(void *ctx, int64_t index, const char *pattern);
    int32_t (*read_rows)(void *ctx, int64_t stream, int64_t first, int64_t n, float *out,
                         struct sonde_probe_error *error);
    int32_t (*read_map)(void *ctx, int64_t stream, int64_t sequence, float *out,
                        struct sonde_probe_error *error);
    int64_t (*n_sequences)(void *ctx);
    int32_t (*sequence)(void *ctx, int64_t index, struct sonde_probe_sequence *out);
    int64_t (*n_tokens)(void *ctx);
    int32_t (*token_id)(void *ctx, int64_t row);
    const char *(*token_text)(void *ctx, int64_t row);
    int32_t (*labels)(void *ctx, const char *set, struct sonde_probe_labels *out,
                      struct sonde_probe_error *error);

    /* Model; n_vocabulary is 0 where there is none. */
    int64_t (*d_model)(void *ctx);
    int64_t (*n_vocabulary)(void *ctx);
    /* logits[n, V] of x[n, D]: final norm computed on x, then the unembedding. */
    int32_t (*readout)(void *ctx, const float *x, int64_t n, float *logits,
                       struct sonde_probe_error *error);
    const char *(*vocabulary_text)(void *ctx, int64_t id); /* valid until the next call */

    /* Randomness: uniform 64 bits from --seed; use no other source. */
    uint64_t (*random)(void *ctx);
    /* Progress; non-zero = stop and return SONDE_PROBE_CANCELLED. */
    int32_t (*progress)(void *ctx, const char *what, int64_t done, int64_t total);

    /* Results. A table is numbered by add_table; a row's cells are set after add_row. NaN cells are
     * counted and warned about by the host. */
    void (*scalar)(void *ctx, const char *name, double value);
    int32_t (*add_table)(void *ctx, const char *name, const char *const *columns);
    void (*add_row)(void *ctx, int32_t table);
    void (*cell_text)(void *ctx, int32_t table, int32_t column, const char *value);
    void (*cell_integer)(void *ctx, int32_t table, int32_t column, int64_t value);
    void (*cell_real)(void *ctx, int32_t table, int32_t column, double value);
    void (*warn)(void *ctx, const char *text);
    /* value [rows, columns]; labels may be NULL. */
    void (*heatmap)(void *ctx, const char *name, const char *title, int64_t rows, int64_t columns,
                    const float *value, const char *const *row_labels,
                    const char *const *column_labels, int32_t diverging);
    void (*line)(void *ctx, const char *name, const char *title, const char *x_title,
                 const char *y_title, int64_t n, const double *x, const double *y);

    /* For probes that are compiled with Sonde: struct sonde_probe_internals *. NULL for plugins. */
    const void *internals;
};

struct sonde_probe {
    uint32_t abi, struct_size; /* SONDE_PROBE_ABI, sizeof(struct sonde_probe) */
    const char *name;          /* "logit-lens": lower case, digits, '-' */
    const char *version;
    const char *summary;     /* one line */
    const char *description; /* paragraphs: method, shapes, source (paper, equation) */
    const struct sonde_probe_option *options; /* [n_options] */
    uint32_t n_options;
    uint32_t needs; /* SONDE_PROBE_NEEDS_*, _USES_* */
    /* Sites to record where the input is text and no store: a site pattern. The second form, where
     * not NULL, writes the pattern for the given options into out[n] instead and returns 0. */
    const char *sites;
    int32_t (*select_sites)(const struct sonde_probe_host *host, char *out, size_t n);
    int32_t (*run)(const struct sonde_probe_host *host, struct sonde_probe_error *error);
};

/* The one symbol that a plugin exports: its index-th probe; NULL past the last, and NULL for index
 * 0 where it cannot work with host_abi. */
SONDE_PROBE_EXPORT const struct sonde_probe *sonde_probe_plugin(uint32_t host_abi, uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
