/* Learning-rate schedules: the factor by which a step's learning rate is multiplied. */
#ifndef SONDE_CORE_TRAIN_SCHEDULE_H
#define SONDE_CORE_TRAIN_SCHEDULE_H

#include <stdint.h>

enum sonde_schedule_kind {
    SONDE_SCHEDULE_CONSTANT,
    SONDE_SCHEDULE_LINEAR, /* down to `final` at the last step */
    SONDE_SCHEDULE_COSINE, /* half a cosine down to `final` (Loshchilov and Hutter 2017, SGDR) */
    SONDE_SCHEDULE_STEP,   /* times `gamma` after every `period` steps: torch StepLR */
};
/* For every kind the factor first rises linearly, step / warmup, for steps 1 .. warmup. */
struct sonde_schedule {
    enum sonde_schedule_kind kind;
    int64_t warmup;  /* steps; 0 = none */
    int64_t n_steps; /* of the whole training, warmup included; LINEAR and COSINE */
    double final;    /* in [0, 1]: the factor at step n_steps and after it */
    double gamma;    /* STEP */
    int64_t period;  /* STEP */
};

/* step: 1 the first. LINEAR and COSINE fall over the steps warmup .. n_steps. */
double sonde_schedule_factor(const struct sonde_schedule *schedule, int64_t step);

#endif
