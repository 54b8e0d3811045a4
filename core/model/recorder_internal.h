/* What the files of the recorder share. Not for other layers. */
#ifndef SONDE_CORE_MODEL_RECORDER_INTERNAL_H
#define SONDE_CORE_MODEL_RECORDER_INTERNAL_H

#include <pthread.h>

#include "core/model/recorder.h"

/*
 * The caller's thread reads, copies and hands over; the workers run the passes between. Slots go
 * round a ring: [first, next_run) run or are done, [next_run, end) wait. What a sequence gives
 * depends on itself alone and is handed over in order, so neither threads nor the ring's size show.
 *
 * Short sequences that wait one behind the other share a pass, where the model's products allow
 * that (sonde_model_rows_stand_alone): which ones is a matter of timing and does not show either. A
 * worker that has nothing to do, and will not have, lends itself to one that has.
 */
enum {
    SONDE_RECORDER_RING = 512,      /* sequences in flight at most */
    SONDE_RECORDER_PACK_ROWS = 256, /* of a pass over several sequences; a block of op_linear */
};

/* One sequence in flight: its own copy, and what its sites gave. */
struct sonde_recorder_slot {
    const struct sonde_recorder *recorder;
    struct sonde_sequence sequence; /* texts and tokens in the slot's arena */
    int32_t *ids;                   /* [T] in the slot's arena */
    struct sonde_arena *arena;
    float *values;                /* all records, one after another */
    struct sonde_record *records; /* [n_streams] */
    int64_t bytes;                /* of the values */
    int64_t first_row;            /* of its tokens in the run */
    bool by_layer;                /* how gradients are formed */
    double loss;
    int64_t n_nonfinite;
    enum sonde_status status;
    struct sonde_error error;
    bool done; /* under the mutex */
};

struct sonde_recorder_worker {
    struct sonde_recorder *recorder;
    struct sonde_session *session;
    struct sonde_gradient *gradient; /* NULL where none are recorded */
    struct sonde_pool *pool;         /* open: idle workers lend themselves */
    /* Of a pass over up to SONDE_RECORDER_PACK_ROWS sequences. */
    struct sonde_recorder_slot **slot;
    struct sonde_forward_segment *segment;
    struct sonde_hook *hooks; /* [n_hooks + 1] each: the edits, then the capture */
    /* Under the mutex. */
    bool busy;
    uint64_t period; /* of the pool, while busy */
    int n_lent;
};

struct sonde_recorder {
    const struct sonde_model *model;
    const struct sonde_recorder_options *options;
    const struct sonde_sequence_reader *reader;
    struct sonde_sink *sink;
    struct sonde_error *error;
    enum sonde_status status;
    const struct sonde_spec *spec;
    int64_t n_streams;
    struct sonde_site *site; /* [n_streams] in the order of the records */
    int16_t *stream_of;      /* [2][kinds][layers + 1] stream of a value and of a gradient, or -1 */
    bool gradients;          /* any */
    struct sonde_recorder_slot *slots;     /* [RING] */
    struct sonde_recorder_worker *workers; /* [n_workers] */
    int n_workers;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    /* Under the mutex. */
    int64_t next_run, end;
    int64_t waiting_rows; /* of the slots that wait */
    int64_t pack_rows;    /* rows that a pass over several sequences has at most; 0: one a pass */
    int n_active;         /* workers that may take work: fewer than all where memory is short */
    int n_running;
    double running_since;
    bool ended;    /* no sequence will come any more */
    bool starved;  /* none will come before one is done */
    bool may_lend; /* memory allows it */
    bool stop;
    /* Of the caller's thread. */
    int64_t first;         /* the slot that is handed over next */
    int64_t next_row;      /* token rows of all sequences that were read */
    int64_t held_bytes;    /* values in flight */
    int64_t scratch_bytes; /* the largest pass so far, of one worker */
    int64_t thread_bytes;  /* what one more thread adds to it */
    int64_t mem_bytes;
    int64_t batch_bytes, batch_sequences; /* since the last commit */
    int64_t batch_max;
    int64_t n_short;     /* sequences that could have shared a pass */
    bool packing_tested; /* whether they may is known */
    int64_t *pack_plan;  /* [PACK_ROWS] the plan of a pack by its longest sequence; 0: not known */
    struct sonde_recorder_stats stats;
};

/* Slots: what a sequence gives and where it goes. */
bool sonde_recorder_sequence_bytes(const struct sonde_recorder *r, int64_t T, int64_t *out);
int16_t *sonde_recorder_stream_place(const struct sonde_recorder *r, struct sonde_site site,
                                     bool gradient);
/* Copies the sequence, which the reader may overwrite, and makes room for its records. */
SONDE_MUST_USE enum sonde_status sonde_recorder_fill_slot(struct sonde_recorder *r,
                                                          struct sonde_recorder_slot *slot,
                                                          const struct sonde_sequence *from,
                                                          int64_t bytes, struct sonde_error *error);
/* on_value and on_gradient; ctx is the slot. */
enum sonde_status sonde_recorder_capture(void *ctx, struct sonde_site site,
                                         const struct sonde_tensor *value,
                                         struct sonde_error *error);
enum sonde_status sonde_recorder_capture_gradient(void *ctx, struct sonde_site site,
                                                  const struct sonde_tensor *gradient,
                                                  struct sonde_error *error);

/* Memory: what a pass takes at most. */
struct sonde_recorder_plan {
    int64_t whole, by_layer; /* the second of gradients only, else the same */
    int64_t thread;          /* one more thread */
};
/* Of a pass over n_rows tokens, of which `longest` in one sequence. */
struct sonde_recorder_plan sonde_recorder_plan_pass(const struct sonde_recorder *r, int64_t n_rows,
                                                    int64_t longest);

/* Workers. */
SONDE_MUST_USE enum sonde_status sonde_recorder_make_workers(struct sonde_recorder *r, int n,
                                                             struct sonde_error *error);
void sonde_recorder_release_workers(struct sonde_recorder *r);
/* With nothing in flight: goes on with n workers, and gives back what all sessions held. */
SONDE_MUST_USE enum sonde_status sonde_recorder_shrink(struct sonde_recorder *r, int n);
/* Takes waiting slots until told to stop. */
void sonde_recorder_work(struct sonde_recorder *r, int index);

#endif
