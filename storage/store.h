/*
 * Store: the activation store, one SQLite file. Tables are described in storage/README.md.
 *
 * A store handle belongs to one thread at a time. One writer at a time (a second one is an error
 * that says so); readers may run beside it. Untrusted files are opened with DEFENSIVE,
 * trusted_schema=OFF, cell_size_check=ON; the schema must be exactly ours; every blob's length is
 * checked before use.
 */
#ifndef SONDE_STORAGE_STORE_H
#define SONDE_STORAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/progress.h"
#include "core/base/status.h"
#include "core/trace/stream.h"

struct sonde_store; /* opaque */

enum sonde_store_mode {
    SONDE_STORE_READ,   /* must exist */
    SONDE_STORE_WRITE,  /* must exist: labels, results, imports, more runs */
    SONDE_STORE_CREATE, /* made where absent */
};
SONDE_MUST_USE enum sonde_status sonde_store_open(struct sonde_store **out, const char *path,
                                                  enum sonde_store_mode mode,
                                                  struct sonde_error *error);
void sonde_store_close(struct sonde_store **store);

enum sonde_codec {
    SONDE_CODEC_NONE,
    SONDE_CODEC_ZLIB, /* byte-shuffle, then deflate */
};
const char *sonde_codec_name(enum sonde_codec codec);

struct sonde_store_model {
    const char *path, *family, *config_json, *hash, *tokenizer; /* tokenizer: its kind */
    int64_t n_layers, d_model, n_heads, d_vocab, n_ctx;
};

/* Where the time of a run's sink went, in seconds. */
struct sonde_store_load {
    double blocked;     /* put and commit waited for the sink: the model could have gone on */
    double compressing; /* the writing thread waited for a chunk to be compressed */
    double writing;     /* it wrote, and waited for the disk */
};
/* What a recording that took so many seconds was bounded by: "model" where the sink held it up for
 * less than a tenth of them, or else "zlib" or "disk". */
const char *sonde_store_load_bound(const struct sonde_store_load *load, double seconds);

/* What identifies a run. A resumed run must agree in every field but command_line and the
 * last two. */
struct sonde_run_info {
    const char *name;         /* NULL = "run-N" */
    const char *command_line; /* as typed */
    const char *input;        /* description of the input: kind, file, field, its SHA-256 */
    const char *options_json; /* sites, bos, max-tokens, windows ... */
    const char *edits_json;   /* "[]" */
    const char *machine;      /* BLAS and kernel name: bits are promised per machine type */
    uint64_t seed;
    enum sonde_codec codec;
    bool resume;
    int n_threads;                 /* that compress; 0 = as many as there are cores */
    struct sonde_store_load *load; /* filled in by finish; may be NULL */
};
/* Begins a run and gives the sink that writes it. put() narrows and copies on the caller's thread;
 * compressing and writing happen on threads of the sink's own behind a bounded queue (queue_bytes,
 * 0 = 64 MiB, besides one chunk of 264 KiB a stream); commit() = one transaction, written behind
 * the caller's back: it waits only for the commit before it. So a crash loses at most the
 * batch being written and the one being computed; finish() returns when all is on the disk. With
 * resume *n_done is the number of sequences that are there (0 for a fresh run) and writing goes on
 * behind them; a run that is complete gives n_done and a NULL sink. Without resume an existing run
 * of that name is an ARGUMENT error. The store must not be used for anything else until the sink
 * has ended. Put and commit report an earlier failure of the writer. */
SONDE_MUST_USE enum sonde_status
sonde_store_begin_run(struct sonde_store *store, const struct sonde_store_model *model,
                      const struct sonde_run_info *info, const struct sonde_stream *streams,
                      int64_t n_streams, int64_t queue_bytes, struct sonde_sink **out,
                      int64_t *n_done, struct sonde_error *error);

/* Bytes the store will take for so many sequences, tokens and values; for --dry-run. text_bytes: of
 * the sequences' texts. n_values[i]: f32 values of stream i. Uncompressed estimate within 2 %. */
int64_t sonde_store_estimate_bytes(const struct sonde_stream *streams, const int64_t *n_values,
                                   int64_t n_streams, int64_t n_sequences, int64_t n_tokens,
                                   int64_t text_bytes);

struct sonde_store_run {
    int64_t id;
    char *name, *state; /* state: "complete", "open" */
    char *command_line, *input, *options_json, *edits_json, *created, *version, *machine;
    char *family, *model_path, *model_hash, *config_json, *tokenizer;
    int64_t n_sequences, n_tokens, n_streams, bytes_raw, bytes_stored, n_windows;
    uint64_t seed;
};
struct sonde_store_runs { /* finish frees */
    struct sonde_store_run *run;
    int64_t n;
};
SONDE_MUST_USE enum sonde_status sonde_store_list_runs(struct sonde_store *store,
                                                       struct sonde_store_runs *out,
                                                       struct sonde_error *error);
void sonde_store_runs_finish(struct sonde_store_runs *runs);

/* The streams of a run with stored sizes, for `sonde info`. *out is freed with free(). */
struct sonde_store_stream {
    struct sonde_stream stream;
    int64_t n_chunks, bytes_raw, bytes_stored;
    enum sonde_codec codec;
};
SONDE_MUST_USE enum sonde_status sonde_store_list_streams(struct sonde_store *store, int64_t run_id,
                                                          struct sonde_store_stream **out,
                                                          int64_t *n, struct sonde_error *error);

/* A source over a run's committed rows. run NULL: the only run, or ARGUMENT naming those there are.
 * The store must outlive the source. Recently read chunks are kept decoded within cache_bytes (0 =
 * 64 MiB). Given a number, no more than that of the file is mapped besides; with 0 all of it may be
 * (up to 2 GiB). */
SONDE_MUST_USE enum sonde_status sonde_store_open_source(struct sonde_store *store, const char *run,
                                                         int64_t cache_bytes,
                                                         struct sonde_source **out,
                                                         struct sonde_error *error);
/* A stream's rows as stored, without widening: [n * width] elements of its dtype. */
SONDE_MUST_USE enum sonde_status sonde_store_read_raw(struct sonde_source *source, int64_t stream,
                                                      int64_t first, int64_t n, void *out,
                                                      struct sonde_error *error);

/* Byte spans [begin, end) of a sequence's tokens in its text, -1 where a token has none; begin,
 * end: [n_tokens]. *text_begin: where the sequence's text begins within its item's whole text
 * (windows). */
SONDE_MUST_USE enum sonde_status sonde_store_read_spans(struct sonde_source *source,
                                                        int64_t sequence, int64_t *begin,
                                                        int64_t *end, int64_t *text_begin,
                                                        struct sonde_error *error);

/* Labels. values are per row of the run's space; class label sets intern their names. */
struct sonde_label_writer; /* one transaction; end in commit or abandon, both free */
SONDE_MUST_USE enum sonde_status
sonde_store_label_begin(struct sonde_store *store, const char *run, const char *set,
                        enum sonde_label_kind kind, enum sonde_row_space space,
                        const char *origin, /* how it was made */
                        bool replace, struct sonde_label_writer **out, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_store_label_class(struct sonde_label_writer *w, int64_t row,
                                                         const char *value,
                                                         struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_store_label_real(struct sonde_label_writer *w, int64_t row,
                                                        double value, struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_store_label_pair(struct sonde_label_writer *w, int64_t row,
                                                        int64_t partner_position,
                                                        struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_store_label_span(struct sonde_label_writer *w,
                                                        int64_t sequence, int64_t begin,
                                                        int64_t end, const char *value,
                                                        struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_store_label_commit(struct sonde_label_writer **w,
                                                          int64_t *n_labelled,
                                                          struct sonde_error *error);
void sonde_store_label_abandon(struct sonde_label_writer **w);
/* Runs a read-only SELECT that yields (token row id | sequence, position), value and feeds the
 * writer; an authorizer and a step limit guard it. Columns: token, value or sequence, value; token
 * = token.id as in the views. */
SONDE_MUST_USE enum sonde_status sonde_store_label_sql(struct sonde_store *store, const char *run,
                                                       const char *set, const char *sql,
                                                       bool replace, int64_t *n_labelled,
                                                       struct sonde_error *error);
struct sonde_store_label_set {
    char *name, *origin;
    enum sonde_label_kind kind;
    enum sonde_row_space space;
    int64_t n_labelled, n_classes;
};
SONDE_MUST_USE enum sonde_status sonde_store_list_labels(struct sonde_store *store, int64_t run_id,
                                                         struct sonde_store_label_set **out,
                                                         int64_t *n, struct sonde_error *error);
void sonde_store_labels_finish(struct sonde_store_label_set **sets, int64_t n);

/* Results: archives of analysis/report/result.h, opaque here. run may be NULL. */
SONDE_MUST_USE enum sonde_status sonde_store_add_result(struct sonde_store *store, const char *run,
                                                        const char *command,
                                                        const char *command_line,
                                                        const char *archive, int64_t archive_bytes,
                                                        struct sonde_error *error);
/* Calls visit for each stored result in order of storing; stops at a status other than OK. */
SONDE_MUST_USE enum sonde_status sonde_store_visit_results(
    struct sonde_store *store,
    enum sonde_status (*visit)(void *ctx, int64_t id, const char *created, const char *command,
                               const char *command_line, const char *archive, int64_t archive_bytes,
                               struct sonde_error *error),
    void *ctx, struct sonde_error *error);

/* Activations made elsewhere: adds a token stream to a run, rows keyed (sequence, position); row i
 * of the matrix belongs to keys[i]. Every token of the run must be covered exactly once. With run
 * absent and ids given a run is made. */
struct sonde_import_row {
    int64_t sequence, position;
    int32_t id;
    const char *token; /* text; may be NULL */
};
struct sonde_import {
    const char *run;
    const char *stream;
    enum sonde_dtype dtype;
    const void *data; /* [n_rows, width] of dtype */
    int64_t n_rows, width;
    const struct sonde_import_row *row; /* [n_rows] */
    enum sonde_codec codec;
    const char *origin;
};
SONDE_MUST_USE enum sonde_status sonde_store_import(struct sonde_store *store,
                                                    const struct sonde_import *import,
                                                    struct sonde_error *error);

/* Integrity. Calls problem(ctx, text) for every damage found; returns OK when the check could run
 * (*n_problems tells the answer). quick: SQLite's quick_check, schema, row counts, references,
 * chunk sizes; full: integrity_check and every chunk decoded and its CRC-32 compared. */
SONDE_MUST_USE enum sonde_status sonde_store_check(const char *path, bool full,
                                                   const struct sonde_progress *progress,
                                                   void (*problem)(void *ctx, const char *text),
                                                   void *ctx, int64_t *n_problems,
                                                   int64_t *n_chunks, struct sonde_error *error);

#endif
