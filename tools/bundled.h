/*
 * Bundled models: small models that come with the program and go by a name alone. A MODEL is such a
 * name where it has no slash and no file or folder of that name is there.
 *
 * A bundled model's folder is looked for in $SONDE_MODELS, then in ../share/sonde/models from the
 * program's folder (installed), then in tools/models of the folders above the program (built inside
 * the source tree). No path of the machine that built the program is compiled in.
 */
#ifndef SONDE_TOOLS_BUNDLED_H
#define SONDE_TOOLS_BUNDLED_H

#include "core/model/model.h"

struct sonde_bundled_model {
    const char *name, *summary;
};
extern const struct sonde_bundled_model sonde_bundled_models[]; /* name NULL ends */

/* The folder of a bundled model as heap text, NULL where it is nowhere (or memory is out).
 * environment: the value of $SONDE_MODELS or NULL; executable: the program's path or NULL. */
char *sonde_bundled_find(const char *name, const char *environment, const char *executable);

/* The same for this process; NOT_FOUND names the places. *out is the caller's. */
SONDE_MUST_USE enum sonde_status sonde_bundled_folder(const char *name, char **out,
                                                      struct sonde_error *error);

/* Whether MODEL means a bundled model. */
bool sonde_bundled_is_name(const char *model);
/* Whether it would, were there not something of that name in the current folder. */
bool sonde_bundled_is_hidden(const char *model);

/* sonde_model_open for what a user gives as MODEL. */
SONDE_MUST_USE enum sonde_status sonde_bundled_open(struct sonde_model **out, const char *model,
                                                    const struct sonde_model_options *options,
                                                    struct sonde_error *error);

#endif
