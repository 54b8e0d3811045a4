/* Hook: looks at or edits the value at a site while the forward pass runs. */
#ifndef SONDE_CORE_TRACE_HOOK_H
#define SONDE_CORE_TRACE_HOOK_H

#include "core/base/status.h"
#include "core/tensor/tensor.h"
#include "core/trace/site.h"

/*
 * Edits run before observers, so what is observed is what the rest of the pass uses. Values are
 * contiguous, in the axes of the site's description ([T, 1] for scales), and are valid during the
 * call only. A site that is in neither set costs nothing and, where possible, is never formed. An
 * edit that leaves a row's bits as they were leaves everything as it was.
 */
struct sonde_hook {
    const struct sonde_site_set *observe; /* NULL = none */
    enum sonde_status (*on_value)(void *ctx, struct sonde_site site,
                                  const struct sonde_tensor *value, struct sonde_error *error);
    const struct sonde_site_set *edit; /* NULL = none */
    enum sonde_status (*on_edit)(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                                 struct sonde_error *error);
    void *ctx;
    /* For passes on a tape (core/tensor/tape.h): turns dL/d(edited value) into dL/d(value before
     * the edit), in place. NULL: no gradient passes this hook's edits. */
    void (*on_edit_gradient)(void *ctx, struct sonde_site site, struct sonde_tensor *gradient);
};

#endif
