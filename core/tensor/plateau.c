#include "core/tensor/plateau.h"

#include <math.h>

struct sonde_plateau sonde_plateau_defaults(void)
{
    return (struct sonde_plateau){
        .factor = 0.1, .patience = 10, .threshold = 1e-4, .eps = 1e-8, .best = INFINITY
    };
}

double sonde_plateau_step(struct sonde_plateau *p, double lr, double loss)
{
    if (loss < p->best * (1.0 - p->threshold)) {
        p->best = loss;
        p->n_bad = 0;
    } else {
        p->n_bad++;
    }
    if (p->cooling > 0) {
        p->cooling--;
        p->n_bad = 0;
    }
    if (p->n_bad <= p->patience) {
        return lr;
    }
    p->cooling = p->cooldown;
    p->n_bad = 0;
    const double lower = fmax(lr * p->factor, p->min_lr);
    return lr - lower > p->eps ? lower : lr;
}
