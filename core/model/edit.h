/*
 * Edits: a list of changes to values inside the forward pass, read from text, checked against a
 * model, and run as a hook.
 *
 *     zero SITES                   0
 *     mean SITES[@RUN]             the mean over all token rows of a recorded run
 *     set SITES[NEURONS] VALUE     a number
 *     add SITES F.npy [SCALE]      x + scale v                          (default scale 1)
 *     project-out SITES F.npy      x - c v, c = x.v / v.v: nothing is left along v
 *     keep SITES F.npy             c v: nothing else is left
 *     flip SITES F.npy             x - 2 c v: reflected, Householder
 *     patch SITES from RUN:SEQUENCE  the value of that sequence of a recorded run
 *     skip LAYERS[.attn|.mlp]      what the block, or that half of it, adds to the stream is 0
 *
 * Words are separated by blanks; a word with blanks in it stands in '..' or "..". SITES is a
 * pattern of core/trace/site.h. LAYERS is a layer, a range or list, or * ("3", "2-5", "0|3",
 * "-1"; "blocks." before it is taken too). Behind SITES or LAYERS may stand a restriction:
 *
 *     [heads=LIST;neurons=LIST;positions=LIST;keys=LIST]
 *
 * any of these, each once. LIST is numbers and ranges with commas: "0,2", "5-9", "3-" (to the end).
 * A LIST alone means neurons: "mlp.hook_post[12]". heads: of sites with a head axis (key/value
 * heads at hook_k, hook_v, hook_rot_k). neurons: places of the last axis, within a head where there
 * is one. positions: of tokens in the sequence from 0, absolute also with a key-value cache (maps:
 * queries). keys: positions looked at, maps only. Heads and neurons that the model does not have
 * are an error; positions beyond a sequence's end are not met there, which is none: sequences
 * differ in length.
 *
 * Directions: v has as many values as a row of the site; where the site has heads, one head's width
 * is taken too and each chosen head is edited by itself. A restriction cuts v and x alike: c is
 * of the chosen places only, and the others are left alone. Sums are formed in double precision.
 *
 * Maps (scores and patterns) take zero, set and patch. What a causal mask hides is never touched,
 * so that no edit can make a token look ahead.
 *
 * Several edits of one site apply in the order given. A place where an edit has nothing to change
 * (scale 0, c = 0) keeps its bits. In post-LN blocks a skipped part adds nothing, and the norm
 * behind it still works.
 *
 * Immutable once made: one list may serve any number of threads.
 */
#ifndef SONDE_CORE_MODEL_EDIT_H
#define SONDE_CORE_MODEL_EDIT_H

#include "core/model/model.h"

/* Where values of recorded runs come from. run NULL = the only one. */
struct sonde_edit_values {
    void *ctx;
    /* out[width]: the mean over all rows of the site's stream. */
    enum sonde_status (*mean)(void *ctx, const char *run, struct sonde_site site, int64_t width,
                              float *out, struct sonde_error *error);
    /* *out: [T, width], or [heads, T, T] of a map; freed with free(). */
    enum sonde_status (*sequence)(void *ctx, const char *run, int64_t sequence,
                                  struct sonde_site site, int64_t width, int64_t *n_tokens,
                                  float **out, struct sonde_error *error);
};

struct sonde_edits_options {
    const struct sonde_edit_values *values; /* NULL = mean and patch are refused */
    /* k >= 1: the k-th control, drawn from (seed, k, the edit's place in the list). Every direction
     * is replaced by a random one of the same norm at the same places; of an edit without one that
     * names neurons, as many random neurons of each site; of one that names heads alone, as many
     * random heads. 0 = as given. */
    int64_t control;
    uint64_t seed;
};

struct sonde_edits; /* opaque */

/* Reads n edits. Files are read now. An error names the edit and the word. */
SONDE_MUST_USE enum sonde_status sonde_edits_create(struct sonde_edits **out,
                                                    const char *const *text, int64_t n,
                                                    const struct sonde_model *model,
                                                    const struct sonde_edits_options *options,
                                                    struct sonde_error *error);
void sonde_edits_destroy(struct sonde_edits **edits);
/* Whether any edit has a direction, neurons or heads, so that a control makes sense. */
bool sonde_edits_have_control(const struct sonde_edits *edits);
/* The sites that are edited. */
const struct sonde_site_set *sonde_edits_sites(const struct sonde_edits *edits);
/* Bytes of all that was read. */
int64_t sonde_edits_bytes(const struct sonde_edits *edits);
/* What identifies the list, as JSON: [{"edit": text, "sha256": of the values it uses, "control":
 * k}, ..]; sha256 and control only where there are such. */
SONDE_MUST_USE enum sonde_status sonde_edits_describe(const struct sonde_edits *edits,
                                                      struct sonde_buf *out,
                                                      struct sonde_error *error);

/* One pass: with a cache, `first` is the number of tokens fed before (sonde_session_cached). */
struct sonde_edit_pass {
    const struct sonde_edits *edits;
    int64_t first;
};
/* The hook that runs the edits. It borrows pass, which may change between passes. */
struct sonde_hook sonde_edits_hook(struct sonde_edit_pass *pass);

#endif
