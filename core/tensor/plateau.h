/*
 * A learning rate that falls where a loss stands still, with the semantics of PyTorch's
 * torch.optim.lr_scheduler.ReduceLROnPlateau (1.13; mode "min", relative threshold).
 */
#ifndef SONDE_CORE_TENSOR_PLATEAU_H
#define SONDE_CORE_TENSOR_PLATEAU_H

#include <stdint.h>

struct sonde_plateau {
    double factor;    /* of the rate when it falls */
    int64_t patience; /* losses in a row that are not better and yet change nothing */
    double threshold; /* better: below (1 - threshold) times the best so far */
    int64_t cooldown; /* losses after a fall that do not count as bad */
    double min_lr;
    double eps; /* a fall by no more than this is left out */
    /* What it remembers: */
    double best;
    int64_t n_bad, cooling;
};

/* PyTorch's defaults: factor .1, patience 10, threshold 1e-4, cooldown 0, min_lr 0, eps 1e-8. */
struct sonde_plateau sonde_plateau_defaults(void);
/* Takes the loss of one epoch, trained at rate lr; the rate of the next. NaN is not better. */
double sonde_plateau_step(struct sonde_plateau *plateau, double lr, double loss);

#endif
