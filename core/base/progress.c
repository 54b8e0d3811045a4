#include "core/base/progress.h"

#include <stddef.h>

bool sonde_progress_update(const struct sonde_progress *progress, const char *what, int64_t done,
                           int64_t total, const char *unit)
{
    if (!progress || !progress->update)
        return true;
    return progress->update(progress->ctx, what, done, total, unit);
}
