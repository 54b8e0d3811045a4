/* Runs made of numbers, for the tests of the store: sequence i of a seed is always the same, so a
 * test can tell what every value of a store must be without keeping a copy of it. */
#ifndef SONDE_TESTS_UNIT_STORAGE_STORE_FIXTURE_H
#define SONDE_TESTS_UNIT_STORAGE_STORE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/store.h"

#define FIXTURE_STREAMS_MAX 16

struct fixture {
    char folder[256]; /* scratch, removed by finish */
    char path[300];   /* of the store, in folder */
    uint64_t seed;
    int64_t T_max; /* sequences have 0 to T_max tokens */
    struct sonde_stream streams[FIXTURE_STREAMS_MAX];
    int64_t n_streams;
    enum sonde_codec codec;
};

void fixture_init(struct fixture *f); /* no streams, codec none, T_max 24 */
void fixture_finish(struct fixture *f);
void fixture_add(struct fixture *f, const char *name, enum sonde_row_space space,
                 enum sonde_dtype dtype, int64_t dim0, int64_t dim1);
/* token streams of every dtype and rank, maps, a sequence stream */
void fixture_add_mixture(struct fixture *f);

struct sonde_store_model fixture_model(void);
struct sonde_run_info fixture_info(const struct fixture *f, const char *name, bool resume);

int64_t fixture_tokens(const struct fixture *f, int64_t sequence); /* T */
/* Value k of stream s in a sequence, as it is given to the sink. */
float fixture_value(const struct fixture *f, int64_t s, int64_t sequence, int64_t k);

/* Puts sequences [from, to) and commits after those where (i + 1) % commit_every == 0. Checks that
 * all goes well. */
void fixture_put(const struct fixture *f, struct sonde_sink *sink, int64_t from, int64_t to,
                 int64_t commit_every);
/* Puts one sequence. */
enum sonde_status fixture_put_one(const struct fixture *f, struct sonde_sink *sink, int64_t i,
                                  struct sonde_error *error);
/* A complete run of n sequences in the store at f->path. */
void fixture_record(const struct fixture *f, const char *name, int64_t n, int64_t commit_every);

/* Reads everything of a run and compares it with what was put, bit by bit. */
void fixture_verify(const struct fixture *f, const char *run, int64_t n);

/* SHA-256 hex of all the rows of all tables but times, in a fixed order. */
void fixture_digest(const char *path, char out[65]);

/* Number of problems that sonde_store_check finds; the first is copied to text (may be NULL). -1
 * where the check could not run; the error is then in text. */
int64_t fixture_check(const char *path, bool full, char text[1024]);

#endif
