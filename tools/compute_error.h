/* How far a way of computing products takes a model's values from those in f32 by OpenBLAS. */
#ifndef SONDE_TOOLS_COMPUTE_ERROR_H
#define SONDE_TOOLS_COMPUTE_ERROR_H

#include "analysis/report/result.h"
#include "core/model/model.h"

/* Runs both models, the same weights, over the ids (types may be NULL) once for every kind of site
 * and adds the table `compute`: site, max_abs (the largest difference), relative (that over the
 * root mean square of the f32 values), rms (of the difference over the same), the scalars
 * compute_logits_max_abs and compute_logits_relative, and compute_worst, the largest `relative`.
 * Layers are taken together; equal infinities do not differ. Holds the values of one kind. */
SONDE_MUST_USE enum sonde_status
sonde_compute_error_add(const struct sonde_model *model, const struct sonde_model *f32,
                        const int32_t *ids, int64_t n_ids, const int32_t *types,
                        struct sonde_result *result, struct sonde_error *error);

#endif
