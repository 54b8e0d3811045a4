/* Option values of a probe: checked against its descriptor once, before it runs. */
#ifndef SONDE_PROBES_PROBE_OPTIONS_H
#define SONDE_PROBES_PROBE_OPTIONS_H

#include "probes/registry.h"

/* ARGUMENT where a name is none of the probe's options (the nearest is named), is given twice, or
 * where a value is not of the option's type or none of its choices. */
SONDE_MUST_USE enum sonde_status sonde_probe_options_check(const struct sonde_probe *probe,
                                                           const struct sonde_probe_values *values,
                                                           struct sonde_error *error);
/* The value given, else the descriptor's default, else NULL. */
const char *sonde_probe_options_value(const struct sonde_probe *probe,
                                      const struct sonde_probe_values *values, const char *name);

#endif
