/* Emergent stack: the languages of the study, their strings and their models. Private to it. */
#ifndef SONDE_TOOLS_STUDIES_STACK_SUBJECTS_H
#define SONDE_TOOLS_STUDIES_STACK_SUBJECTS_H

#include "core/model/model.h"
#include "tools/studies/lab.h"

#define SONDE_STACK_BINS_MAX 6
#define SONDE_STACK_LANGUAGES 4

/* What is known of a language beforehand. Arrays end in 0 or NULL. */
struct sonde_stack_language {
    const char *name;                              /* "shuffle-2" */
    const char *folder[3];                         /* of its checkpoints within --weights */
    const char *data;                              /* of its strings beside them */
    const char *depth;                             /* the label that is probed: the published one */
    int64_t train_max;                             /* length of the longest training string */
    int64_t bin[SONDE_STACK_BINS_MAX][2];          /* lengths of the validation bins */
    int64_t epoch;                                 /* of the published checkpoint; -1 = none */
    int64_t published_right[SONDE_STACK_BINS_MAX]; /* of 1999 scored; -1 = not known */
    double published_mean[SONDE_STACK_BINS_MAX];   /* its batch mean */
    /* Published or measured with the published recipe; NaN = not known. Pads are samples, split by
     * position: linear, the linear control; pads masked, split by string. */
    double with_pads, honest;
    double pad_share, overlap;
};
extern const struct sonde_stack_language sonde_stack_languages[SONDE_STACK_LANGUAGES];

/* A language with a model to look at. */
struct sonde_stack_subject {
    const struct sonde_stack_language *language;
    char *name; /* "dyck-1, epoch 19" */
    char *slug; /* for names of runs and files: "dyck-1" */
    struct sonde_model *model;
    int64_t epoch;
    bool published;      /* the weights */
    bool published_data; /* the strings are the published files */
    struct sonde_lab_strings train, bin[SONDE_STACK_BINS_MAX];
    int64_t n_bins;
};

struct sonde_stack {
    struct sonde_lab *lab;
    struct sonde_stack_subject subject[SONDE_STACK_LANGUAGES];
    int64_t n;
};

/* The checkpoints in lab->weights: the highest epoch of each language's folder. NOT_FOUND where
 * there is none. */
SONDE_MUST_USE enum sonde_status sonde_stack_open_published(struct sonde_stack *stack,
                                                            struct sonde_error *error);
/* Trains models of the languages that fit into the time. */
SONDE_MUST_USE enum sonde_status sonde_stack_train(struct sonde_stack *stack,
                                                   struct sonde_error *error);
/* Strings of a language made by its generator: training strings and bins. */
SONDE_MUST_USE enum sonde_status sonde_stack_make_strings(struct sonde_stack *stack,
                                                          struct sonde_stack_subject *subject,
                                                          struct sonde_error *error);
void sonde_stack_finish(struct sonde_stack *stack);

/* The parts of the study, one section each. */
SONDE_MUST_USE enum sonde_status sonde_stack_accuracy(struct sonde_stack *stack,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_stack_protocol(struct sonde_stack *stack,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_stack_probes(struct sonde_stack *stack,
                                                    struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_stack_localise(struct sonde_stack *stack,
                                                      struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_stack_ablate(struct sonde_stack *stack,
                                                    struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_stack_attention(struct sonde_stack *stack,
                                                       struct sonde_error *error);

/* Sites that the parts agree on; the models have one layer. */
#define SONDE_STACK_FINAL "blocks.0.hook_resid_post"
#define SONDE_STACK_ATTN_OUT "blocks.0.hook_attn_out"

#endif
