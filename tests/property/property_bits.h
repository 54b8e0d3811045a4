/*
 * The bits that a case must give: every sequence recorded alone, on one thread, with all the memory
 * there is. Any other way to record it is held against them, value by value.
 */
#ifndef SONDE_TESTS_PROPERTY_PROPERTY_BITS_H
#define SONDE_TESTS_PROPERTY_PROPERTY_BITS_H

#include "tests/property/property_case.h"

struct property_bits {
    const struct property_case *c;
    int64_t n_streams;
    struct sonde_stream *streams;  /* [n_streams] f32 */
    float **values;                /* [n] all records of a sequence, one after another */
    struct sonde_record **records; /* [n][n_streams] */
};
void property_bits_make(struct property_bits *out, const struct property_case *c);
void property_bits_free(struct property_bits *bits);

/* One way to record: sequences order[0..n_order) of the corpus, any of them any number of times. */
struct property_way {
    const int64_t *order;
    int64_t n_order;
    int n_threads;
    int64_t mem_bytes; /* 0 = the default; raised to what the recorder says that it needs */
    int64_t batch_bytes, skip;
};
void property_way_say(const struct property_way *way);

/* Feeds the way's sequences. */
struct property_feed {
    const struct property_case *c;
    const struct property_way *way;
    int64_t at, capacity;
    struct sonde_token *tokens;
    struct sonde_sequence sequence;
};
struct sonde_sequence_reader property_feed_reader(struct property_feed *feed);
void property_feed_finish(struct property_feed *feed);

/* Records the way into the sink; options that the case and the way say. targets: made anew. */
enum sonde_status property_record(const struct property_case *c, const struct property_way *way,
                                  const struct sonde_progress *progress, struct sonde_sink *sink,
                                  struct sonde_error *error);
/* The least memory that the way can be recorded with. */
int64_t property_least_bytes(const struct property_case *c, const struct property_way *way);

/* Records the way and holds it against the bits. Returns NULL, or what differs: valid until the
 * next call with this buffer. */
const char *property_check_way(const struct property_bits *bits, const struct property_way *way,
                               char text[256]);
/* Compares one sequence's records; false and a line in text where they differ. */
bool property_same(const struct property_bits *bits, int64_t sequence,
                   const struct sonde_record *records, char text[256]);

#endif
