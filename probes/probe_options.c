#include "probes/probe_options.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/num.h"

static const struct sonde_probe_option *find_option(const struct sonde_probe *probe,
                                                    const char *name)
{
    for (uint32_t i = 0; i < probe->n_options; i++)
        if (strcmp(probe->options[i].name, name) == 0)
            return &probe->options[i];
    return NULL;
}

static enum sonde_status unknown_option(const struct sonde_probe *probe, const char *name,
                                        struct sonde_error *error)
{
    const char *nearest = NULL;
    int best = 4;
    for (uint32_t i = 0; i < probe->n_options; i++) {
        int distance = sonde_str_distance(name, probe->options[i].name, best);
        if (distance < best) {
            best = distance;
            nearest = probe->options[i].name;
        }
    }
    if (nearest)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "probe %s: no option --%s (nearest: --%s)", probe->name, name,
                               nearest);
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "probe %s: no option --%s", probe->name,
                           name);
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (const char *at = choices; n > 0 && at;) {
        const char *end = strchr(at, '|');
        size_t length = end ? (size_t)(end - at) : strlen(at);
        if (length == n && memcmp(at, value, n) == 0)
            return true;
        at = end ? end + 1 : NULL;
    }
    return false;
}

static enum sonde_status check_value(const struct sonde_probe *probe,
                                     const struct sonde_probe_option *option, const char *value,
                                     struct sonde_error *error)
{
    int64_t integer;
    double real;
    const char *expected = NULL;
    switch (option->type) {
    case SONDE_PROBE_INTEGER:
        if (!sonde_parse_i64(value, strlen(value), &integer))
            expected = "a whole number";
        break;
    case SONDE_PROBE_REAL:
        if (!sonde_parse_f64(value, strlen(value), &real))
            expected = "a number";
        break;
    case SONDE_PROBE_FLAG:
        if (strcmp(value, "1") != 0)
            expected = "no value";
        break;
    case SONDE_PROBE_CHOICE:
        if (!is_choice(option->choices, value))
            expected = option->choices;
        break;
    case SONDE_PROBE_PATH:
        if (value[0] == '\0')
            expected = "a path";
        break;
    default:
        break;
    }
    if (!expected)
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "probe %s: --%s \"%s\": expected %s",
                           probe->name, option->name, value, expected);
}

enum sonde_status sonde_probe_options_check(const struct sonde_probe *probe,
                                            const struct sonde_probe_values *values,
                                            struct sonde_error *error)
{
    for (int64_t i = 0; i < values->n; i++) {
        const struct sonde_probe_option *option = find_option(probe, values->name[i]);
        if (!option)
            return unknown_option(probe, values->name[i], error);
        for (int64_t j = 0; j < i; j++)
            if (strcmp(values->name[i], values->name[j]) == 0)
                return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                       "probe %s: --%s is given twice", probe->name,
                                       values->name[i]);
        enum sonde_status status =
            check_value(probe, option, values->value[i] ? values->value[i] : "1", error);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

const char *sonde_probe_options_value(const struct sonde_probe *probe,
                                      const struct sonde_probe_values *values, const char *name)
{
    for (int64_t i = 0; values && i < values->n; i++)
        if (strcmp(values->name[i], name) == 0)
            return values->value[i] ? values->value[i] : "1";
    const struct sonde_probe_option *option = find_option(probe, name);
    return option ? option->default_value : NULL;
}
