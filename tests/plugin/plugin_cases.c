/* Plugins that break a rule each; PLUGIN_CASE says which. */
#include <math.h>
#include <stddef.h>

#include "probes/probe.h"

#define CASE_WRONG_ABI 1
#define CASE_SHORT_STRUCT 2
#define CASE_NO_SYMBOL 3
#define CASE_NO_RUN 4
#define CASE_NAN 5
#define CASE_NAME 6
#define CASE_TAKEN 7
#define CASE_NONE 8
#define CASE_BAD_TABLE 9
#define CASE_BAD_CODE 10
#define CASE_FAILS 11
#define CASE_BAD_OPTION 12

static int32_t run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    static const char *const columns[] = { "a", "b", NULL };
    (void)error;
    int32_t table = host->add_table(host->ctx, "numbers", columns);
    host->add_row(host->ctx, table);
    host->cell_real(host->ctx, table, 0, PLUGIN_CASE == CASE_NAN ? (double)NAN : 1.0);
    host->scalar(host->ctx, "answer", PLUGIN_CASE == CASE_NAN ? (double)INFINITY : 42.0);
    if (PLUGIN_CASE == CASE_BAD_TABLE)
        host->cell_real(host->ctx, table, 2, 1.0);
    if (PLUGIN_CASE == CASE_FAILS) {
        const char text[] = "the sensor is broken";
        for (size_t i = 0; i < sizeof(text); i++)
            error->text[i] = text[i];
        return SONDE_PROBE_FAILED;
    }
    return PLUGIN_CASE == CASE_BAD_CODE ? 77 : SONDE_PROBE_OK;
}

static const struct sonde_probe_option options[] = {
    { "level", PLUGIN_CASE == CASE_BAD_OPTION ? 9u : (uint32_t)SONDE_PROBE_INTEGER, "1", NULL,
      "a level" },
};

static const struct sonde_probe probe = {
    .abi = PLUGIN_CASE == CASE_WRONG_ABI ? SONDE_PROBE_ABI + 1 : SONDE_PROBE_ABI,
    .struct_size = PLUGIN_CASE == CASE_SHORT_STRUCT ? 16 : sizeof(struct sonde_probe),
    .name = PLUGIN_CASE == CASE_NAME    ? "Bad Name"
            : PLUGIN_CASE == CASE_TAKEN ? "linear"
                                        : "odd",
    .version = "1",
    .summary = "a probe that breaks a rule",
    .options = options,
    .n_options = 1,
    .run = PLUGIN_CASE == CASE_NO_RUN ? NULL : run,
};

#if PLUGIN_CASE == CASE_NO_SYMBOL
SONDE_PROBE_EXPORT const struct sonde_probe *another_name(uint32_t host_abi, uint32_t index);
SONDE_PROBE_EXPORT const struct sonde_probe *another_name(uint32_t host_abi, uint32_t index)
#else
SONDE_PROBE_EXPORT const struct sonde_probe *sonde_probe_plugin(uint32_t host_abi, uint32_t index)
#endif
{
    (void)host_abi;
    return index == 0 && PLUGIN_CASE != CASE_NONE ? &probe : NULL;
}
