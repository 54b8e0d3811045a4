/* What the files of core/model/edit share. Not for other layers. */
#ifndef SONDE_CORE_MODEL_EDIT_INTERNAL_H
#define SONDE_CORE_MODEL_EDIT_INTERNAL_H

#include "core/model/edit.h"

enum sonde_edit_kind {
    SONDE_EDIT_ZERO,
    SONDE_EDIT_MEAN,
    SONDE_EDIT_SET,
    SONDE_EDIT_ADD,
    SONDE_EDIT_PROJECT_OUT,
    SONDE_EDIT_KEEP,
    SONDE_EDIT_FLIP,
    SONDE_EDIT_PATCH,
    SONDE_EDIT_SKIP,
};

/* Numbers as ranges [first, last]; none = all. */
struct sonde_edit_list {
    struct sonde_edit_range {
        int64_t first, last; /* last INT64_MAX: to the end */
    } * range;
    int64_t n, capacity;
};
bool sonde_edit_list_has(const struct sonde_edit_list *list, int64_t number);

/* One edit as written. */
struct sonde_edit {
    char *text; /* the whole edit */
    enum sonde_edit_kind kind;
    char *sites; /* the pattern */
    struct sonde_edit_list heads, neurons, positions, keys;
    char *run;        /* mean (may be NULL), patch */
    int64_t sequence; /* patch */
    char *path;       /* of the direction */
    double number;    /* set: the value; add: the scale */
};
bool sonde_edit_has_direction(enum sonde_edit_kind kind);
/* Zero-initialise first; finish frees, also what a failed parse left. */
SONDE_MUST_USE enum sonde_status sonde_edit_parse(struct sonde_edit *out, const char *text,
                                                  struct sonde_error *error);
void sonde_edit_finish(struct sonde_edit *edit);

/* An edit at one site of the model. */
struct sonde_edit_target {
    const struct sonde_edit *edit;
    struct sonde_site site;
    int64_t width;    /* of a row; maps: heads */
    int64_t group;    /* places that a direction is projected on at once; divides width */
    bool *chosen;     /* [width] by heads and neurons; NULL = all */
    float *data;      /* mean, directions (0 where not chosen): [width]; patch: the value */
    double *norm2;    /* [width / group] v.v */
    int64_t n_data;   /* of data */
    int64_t n_tokens; /* patch: T of the value */
};

struct sonde_edits {
    struct sonde_edit *edit; /* [n_edits] */
    int64_t n_edits;
    struct sonde_edit_target *target; /* [n_targets] in the order of the edits */
    int64_t n_targets, capacity;
    struct sonde_site_set sites;
    bool causal;
    int64_t control;
};

/* The on_edit of the hook. ctx: const struct sonde_edit_pass *. */
enum sonde_status sonde_edits_apply(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                                    struct sonde_error *error);
/* The on_edit_gradient of the hook: every edit is x -> A x + b with A symmetric, and this
 * applies the A of each, the last edit first. */
void sonde_edits_apply_gradient(void *ctx, struct sonde_site site, struct sonde_tensor *gradient);

#endif
