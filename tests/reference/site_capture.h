/* Runs a model and keeps what every chosen site held, for comparisons. */
#ifndef SONDE_TESTS_REFERENCE_SITE_CAPTURE_H
#define SONDE_TESTS_REFERENCE_SITE_CAPTURE_H

#include "core/model/model.h"

struct captured {
    struct sonde_site site;
    float *value;
    int64_t n;
};
struct capture {
    struct captured *item;
    int n;
};
/* Everything that set names (NULL = all sites of the model), in the order of the pass. */
void capture_run(struct capture *out, const struct sonde_model *model, const int32_t *ids,
                 const int32_t *types, int64_t n_tokens, const struct sonde_site_set *set,
                 struct sonde_pool *pool);
/* The same with further hooks (edits) before the capture. */
void capture_run_hooked(struct capture *out, const struct sonde_model *model, const int32_t *ids,
                        int64_t n_tokens, const struct sonde_hook *hooks, int n_hooks);
void capture_free(struct capture *capture);
const struct captured *capture_find(const struct capture *capture, struct sonde_site site);
/* Opens a model that may lack a tokenizer; fails the test where it cannot. */
struct sonde_model *capture_open(const char *path);

/* Largest |a - b| and largest |b|; equal infinities differ by 0, a lone NaN or infinity by
 * infinity. */
void capture_compare(const float *a, const double *b, int64_t n, double *difference,
                     double *magnitude);

#endif
