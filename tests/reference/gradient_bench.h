/* What the tests of gradients share: a model, its gradients of all weights and sites, and the
 * checks that need no second implementation. */
#ifndef SONDE_TESTS_REFERENCE_GRADIENT_BENCH_H
#define SONDE_TESTS_REFERENCE_GRADIENT_BENCH_H

#include "core/model/gradient.h"
#include "tests/reference/site_capture.h"

enum { GRADIENT_BENCH_TOKENS = 24, GRADIENT_BENCH_WEIGHTS = 128, GRADIENT_BENCH_OUTPUTS = 4096 };

struct gradient_wanted {
    const struct sonde_weight *w;
    float *gradient; /* [rows, columns] */
};
/* Zero-initialise, set model, ids, T, loss (and what it is of) and edits, then want and run. */
struct gradient_bench {
    struct sonde_model *model; /* owned */
    struct gradient_wanted wanted[GRADIENT_BENCH_WEIGHTS];
    int n_wanted;
    int32_t ids[GRADIENT_BENCH_TOKENS];
    int T;
    struct sonde_loss loss;
    int32_t
        targets[GRADIENT_BENCH_TOKENS]; /* of cross entropy, as the loss has them; below 0: none */
    const struct sonde_hook *hooks;     /* edits, at most 2 */
    int n_hooks;
    struct capture sites; /* gradients */
    double value;
    bool checkpoints; /* how it is run */
    size_t max_bytes;
    int64_t peak;
};

/* Asks for every weight of the model once. */
void gradient_bench_want(struct gradient_bench *s);
/* Fills the wanted gradients, those of all sites, and the loss; fails where the tape took more than
 * was planned. */
void gradient_bench_run(struct gradient_bench *s, struct sonde_pool *pool);
void gradient_bench_close(struct gradient_bench *s);

/* The loss in double, of logits in double or float. */
double gradient_bench_loss(const struct gradient_bench *s, const double *wide, const float *narrow);
/* Fails the test where the capture does not hold it. */
const struct captured *gradient_bench_site(const struct capture *c, enum sonde_site_kind kind,
                                           int layer);

/* dL/dW = sum over positions of x^T delta for every linear layer, to 1e-5 (AC-18a). */
void gradient_bench_check_outer(const struct gradient_bench *s);
/* Every site against differences of passes that are edited there. */
void gradient_bench_check_sites(const struct gradient_bench *s);
/* The same bits by layer, with less memory, and for any pool. */
void gradient_bench_check_bits(struct gradient_bench *s);

#endif
