#include <stddef.h>

#include "core/base/buf.h"
#include "tools/studies/study.h"

const struct sonde_study *const sonde_studies[] = {
    &sonde_study_emergent_stack,
    &sonde_study_formal_languages,
    NULL,
};

enum sonde_status sonde_study_find(const char *name, const struct sonde_study **out,
                                   struct sonde_error *error)
{
    struct sonde_buf names = { 0 };
    for (int64_t i = 0; sonde_studies[i]; i++) {
        if (sonde_str_equal(sonde_studies[i]->name, name)) {
            *out = sonde_studies[i];
            sonde_buf_finish(&names);
            return SONDE_STATUS_OK;
        }
        sonde_buf_printf(&names, "%s%s", i ? ", " : "", sonde_studies[i]->name);
    }
    enum sonde_status status =
        sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "unknown study '%s' (known: %s)", name,
                        names.data ? names.data : "");
    sonde_buf_finish(&names);
    return status;
}
