/*
 * A multi-layer perceptron with ReLU between its layers, in f32: forward, losses, backward over
 * whole minibatches. No hidden layer makes it a linear map. Bits depend on the shapes and the
 * values alone, not on whether and how many helpers there are.
 */
#ifndef SONDE_PROBES_MLP_NET_H
#define SONDE_PROBES_MLP_NET_H

#include <stdint.h>

#include "core/base/status.h"
#include "probes/mlp_team.h"

enum { SONDE_MLP_HIDDEN_MAX = 16, SONDE_MLP_WIDTH_MAX = 65536 };

/* Widths of the hidden layers; n 0 = a linear map. */
struct sonde_mlp_hidden {
    int n;
    int64_t width[SONDE_MLP_HIDDEN_MAX];
};

struct sonde_mlp {
    int n_layers;                            /* linear maps: hidden layers + 1 */
    int64_t width[SONDE_MLP_HIDDEN_MAX + 2]; /* [n_layers + 1]: in, hidden.., out */
    int64_t n_parameters;
    float *parameter; /* layer by layer: W [out, in], then b [out] */
};

/* Parameters that this shape has; INT64_MAX where they cannot be counted. */
int64_t sonde_mlp_count(int64_t n_in, const struct sonde_mlp_hidden *hidden, int64_t n_out);
/* Draws weights and biases from U(-1/sqrt(in), 1/sqrt(in)) of each layer, as torch.nn.Linear does;
 * a function of (seed, shape). */
SONDE_MUST_USE enum sonde_status sonde_mlp_init(struct sonde_mlp *out, int64_t n_in,
                                                const struct sonde_mlp_hidden *hidden,
                                                int64_t n_out, uint64_t seed,
                                                struct sonde_error *error);
void sonde_mlp_finish(struct sonde_mlp *net);
/* W [out, in] of layer l; its b [out] lies right behind. */
float *sonde_mlp_weight(const struct sonde_mlp *net, int l);

/* Working space of minibatches of at most `batch` rows. */
struct sonde_mlp_space {
    int64_t batch;
    float *
        activation[SONDE_MLP_HIDDEN_MAX + 2]; /* [batch, width[l]]; 0 the inputs, last the scores */
    float *delta[2];                          /* [batch, widest] */
    float *turned;                            /* [widest, batch] a delta, transposed */
    float *values;                            /* all of them */
    struct sonde_mlp_team *team;              /* NULL = the calling thread alone; not owned */
};
SONDE_MUST_USE enum sonde_status sonde_mlp_space_init(struct sonde_mlp_space *out,
                                                      const struct sonde_mlp *net, int64_t batch,
                                                      struct sonde_error *error);
void sonde_mlp_space_finish(struct sonde_mlp_space *space);
/* Floats of such a space. */
int64_t sonde_mlp_space_count(int64_t n_in, const struct sonde_mlp_hidden *hidden, int64_t n_out,
                              int64_t batch);

/* Scores [n, out] of the n rows in space->activation[0]; they belong to the space. */
float *sonde_mlp_forward(const struct sonde_mlp *net, struct sonde_mlp_space *space, int64_t n);
/* Turns scores [n, K] into d loss / d score with loss = mean over the n rows of -log
 * softmax(score)[target]; returns the sum of the losses. target [n] in [0, K). */
double sonde_mlp_class_loss(float *score, const int32_t *target, int64_t n, int64_t K);
/* The same for loss = mean of (score - value)^2, one score a row. */
double sonde_mlp_real_loss(float *score, const float *value, int64_t n);
/* After forward, with d loss / d score in its scores: d loss / d parameter into gradient
 * [n_parameters], laid out as the parameters are. */
void sonde_mlp_backward(const struct sonde_mlp *net, struct sonde_mlp_space *space, int64_t n,
                        float *gradient);

#endif
