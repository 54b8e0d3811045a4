/*
 * Dataset: the samples of a supervised probe: labelled rows (or pooled sequences) with their
 * classes or values, groups, and their side of the split. Rows without a label are no samples;
 * nothing is padded.
 */
#ifndef SONDE_PROBES_DATASET_H
#define SONDE_PROBES_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/trace/stream.h"
#include "probes/feature_rows.h"

enum sonde_task { SONDE_TASK_AUTO, SONDE_TASK_CLASS, SONDE_TASK_REAL };
enum sonde_pooling { SONDE_POOLING_LAST, SONDE_POOLING_MEAN, SONDE_POOLING_FIRST };

/* What a control task labels: word types (Hewitt and Liang), or every sample by itself, classes
 * drawn uniformly (Tiwari, Gupta and Hahn, "Emergent Stack Representations", 2025). */
enum sonde_control_kind { SONDE_CONTROL_WORD_TYPE, SONDE_CONTROL_UNIFORM };

struct sonde_dataset_options {
    const char *labels;
    const char *mask; /* only rows that have a label of this set too are samples; NULL = all */
    /* CLASS of a real set: one class a value; REAL of a class set: names that are numbers. */
    enum sonde_task task;
    enum sonde_pooling pooling; /* of sequence labels over a token stream */
    bool by_position;           /* split rows, not groups of sequences */
    double test_share;          /* 0 = 0.2; 1 = everything is test (a loaded probe) */
    bool keep_special;          /* special and BOS tokens are samples too */
    uint64_t seed;
};

struct sonde_dataset {
    enum sonde_task task; /* CLASS or REAL */
    enum sonde_row_space space;
    int64_t n;
    /* [n] each: rows [first, first + count) of a token stream; the sequence's index and 1 of a
     * sequence stream. */
    int64_t *first, *count;
    int64_t *sequence; /* [n] */
    int64_t *group;    /* [n] of the sequence */
    int64_t *type;     /* [n] for the control task: the word type, or a hash of a sequence's ids */
    int32_t *class_of; /* [n] class of the label set; CLASS only */
    double *real;      /* [n]; REAL only */
    uint32_t skip_flags;
    int64_t n_classes;
    char **class_name;    /* [n_classes] */
    int64_t *class_count; /* [n_classes] over all samples */

    uint8_t *side;         /* [n] 1 = test */
    int64_t *train, *test; /* lists of samples, ascending */
    int64_t n_train, n_test;

    /* Classes that training knows, for the model. */
    int32_t *target;       /* [n] in [0, n_targets), -1 where unknown */
    int32_t *target_class; /* [n_targets] class of each */
    int64_t n_targets;

    int64_t n_groups, n_test_groups, n_duplicates; /* test groups whose text is also in training */
    int64_t n_only_test;                           /* samples whose class is in no training row */
    int64_t n_special_left_out, n_masked_out;
};

/* space: of the streams that will be used (TOKEN or SEQUENCE). */
SONDE_MUST_USE enum sonde_status sonde_dataset_create(struct sonde_dataset **out,
                                                      struct sonde_source *source,
                                                      enum sonde_row_space space,
                                                      const struct sonde_dataset_options *options,
                                                      struct sonde_error *error);
void sonde_dataset_destroy(struct sonde_dataset **dataset);
struct sonde_feature_rows sonde_dataset_rows(const struct sonde_dataset *dataset);

/* Control task (Hewitt and Liang, "Designing and Interpreting Probes with Control Tasks", EMNLP
 * 2019): every type gets the label of one sample drawn at random, so that labels are distributed as
 * the task's but tell nothing except the type. Fills target [n] or real [n], whichever the task
 * uses. */
void sonde_dataset_control(const struct sonde_dataset *dataset, uint64_t seed, int32_t *target,
                           double *real);
/* The other kind: every sample gets a class drawn uniformly from those that training knows, or the
 * value of a training sample drawn at random. What a probe gains over 1 / classes here is what it
 * learnt by heart and met again on the test side. */
void sonde_dataset_control_uniform(const struct sonde_dataset *dataset, uint64_t seed,
                                   int32_t *target, double *real);

#endif
