/* What a pass puts on a tape beside its ops: edits with their vector-Jacobian products, where they
 * may stand, and values that are watched. */
#ifndef SONDE_CORE_MODEL_EDIT_TAPE_H
#define SONDE_CORE_MODEL_EDIT_TAPE_H

#include "core/tensor/tape.h"
#include "core/trace/hook.h"

/* UNSUPPORTED, naming the site, where gradients cannot pass these hooks' edits: hooks that do not
 * say how, and a norm's scale and normalized value, which the pass reads inside an op. */
SONDE_MUST_USE enum sonde_status sonde_edit_tape_check(const struct sonde_hook *hooks, int n_hooks,
                                                       struct sonde_error *error);
/* The number of the value of n elements at data, watched; -1 without a tape or where memory is out
 * (then ops->failed is set). */
int64_t sonde_edit_tape_watch(struct sonde_op_context *ops, const float *data, int64_t n);
/* After an edit in place: what stands at value now is a new value, made of the value `before`. Does
 * nothing without a tape. */
void sonde_edit_tape_record(struct sonde_op_context *ops, const struct sonde_hook *hook,
                            struct sonde_site site, const struct sonde_tensor *value,
                            int64_t before);
/* whole[T, D] was made of edited shares[T, H, D]: their sum over the heads plus bias[D] (may be
 * absent). */
void sonde_edit_tape_sum_shares(struct sonde_op_context *ops, const struct sonde_tensor *whole,
                                const struct sonde_tensor *shares, const struct sonde_weight *bias);
/* Attention whose maps are edited, in steps: args->scores[H, T, T] = scale q k^T before they are
 * formed; pattern[H, T, T] = softmax(scores) once it is formed and before it is edited; z = pattern
 * v, with the mask of args. UNSUPPORTED where positions are part of the scores. */
SONDE_MUST_USE enum sonde_status sonde_edit_tape_scores(struct sonde_op_context *ops,
                                                        const struct sonde_attention_args *args,
                                                        const struct sonde_tensor *q,
                                                        const struct sonde_tensor *k,
                                                        struct sonde_error *error);
void sonde_edit_tape_softmax(struct sonde_op_context *ops, const struct sonde_tensor *pattern,
                             const struct sonde_tensor *scores);
void sonde_edit_tape_mix(struct sonde_op_context *ops, const struct sonde_tensor *z,
                         const struct sonde_tensor *pattern, const struct sonde_tensor *v,
                         const struct sonde_attention_args *args);

#endif
