/* Edits on a tape: their vector-Jacobian products, and which sites they may stand at. */
#ifndef SONDE_CORE_MODEL_EDIT_TAPE_H
#define SONDE_CORE_MODEL_EDIT_TAPE_H

#include "core/tensor/tape.h"
#include "core/trace/hook.h"

/* UNSUPPORTED, naming the site, where gradients cannot pass these hooks' edits: hooks that do not
 * say how, and sites whose value the pass reads inside an op (a norm's scale and normalized value,
 * scores and patterns). */
SONDE_MUST_USE enum sonde_status sonde_edit_tape_check(const struct sonde_hook *hooks, int n_hooks,
                                                       struct sonde_error *error);
/* After an edit in place: what stands at value now is a new value, made of the value `before`. Does
 * nothing without a tape. */
void sonde_edit_tape_record(struct sonde_op_context *ops, const struct sonde_hook *hook,
                            struct sonde_site site, const struct sonde_tensor *value,
                            int64_t before);
/* whole[T, D] was made of edited shares[T, H, D]: their sum over the heads plus bias[D] (may be
 * absent). */
void sonde_edit_tape_sum_shares(struct sonde_op_context *ops, const struct sonde_tensor *whole,
                                const struct sonde_tensor *shares, const struct sonde_weight *bias);

#endif
