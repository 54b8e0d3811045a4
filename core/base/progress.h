/* Progress and cancellation, as a callback that the program supplies; libraries never print. */
#ifndef SONDE_CORE_BASE_PROGRESS_H
#define SONDE_CORE_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct sonde_progress {
    void *ctx;
    /* `what` done of total `unit`s (total 0 = not known). Called often; the receiver throttles.
     * Returns false to ask the work to stop: it then ends with SONDE_STATUS_CANCELLED. */
    bool (*update)(void *ctx, const char *what, int64_t done, int64_t total, const char *unit);
};

/* true = go on. progress NULL or without a callback: always true. */
bool sonde_progress_update(const struct sonde_progress *progress, const char *what, int64_t done,
                           int64_t total, const char *unit);

#endif
