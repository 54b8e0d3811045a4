#include "core/train/schedule.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

double sonde_schedule_factor(const struct sonde_schedule *s, int64_t step)
{
    if (step <= s->warmup) {
        return (double)step / (double)s->warmup;
    }
    const double length = (double)(s->n_steps - s->warmup);
    const double gone = (double)(step - s->warmup) / length;
    switch (s->kind) {
    case SONDE_SCHEDULE_CONSTANT:
        break;
    case SONDE_SCHEDULE_LINEAR:
        return step >= s->n_steps ? s->final : 1.0 - (1.0 - s->final) * gone;
    case SONDE_SCHEDULE_COSINE:
        return step >= s->n_steps ? s->final
                                  : s->final + (1.0 - s->final) * 0.5 * (1.0 + cos(PI * gone));
    case SONDE_SCHEDULE_STEP:
        return s->period > 0 ? pow(s->gamma, (double)((step - 1) / s->period)) : 1.0;
    }
    return 1.0;
}
