#include "tools/bundled.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"

#define INSTALLED "share/sonde/models"
#define SOURCE "tools/models"
/* From a program in SOURCE/build/tools, and from build folders one or two levels further down. */
#define LEVELS_UP 4

const struct sonde_bundled_model sonde_bundled_models[] = {
    { "counter", "reads two kinds of brackets, shuffled: one layer, no positions" },
    { "english", "continues short English definitions; has a vocabulary of its own" },
    { 0 },
};

/* base/models/name where it holds a config.json, else NULL. models "" = base itself. */
static char *try_place(const char *base, const char *models, const char *name)
{
    char *folder = *models ? sonde_path_join(base, models) : sonde_strdup(base);
    char *model = folder ? sonde_path_join(folder, name) : NULL;
    char *config = model ? sonde_path_join(model, "config.json") : NULL;
    bool found = config && sonde_path_exists(config);
    free(config);
    free(folder);
    if (found)
        return model;
    free(model);
    return NULL;
}

char *sonde_bundled_find(const char *name, const char *environment, const char *executable)
{
    char *found = NULL;
    if (environment && *environment)
        found = try_place(environment, "", name);
    char *folder = found ? NULL : sonde_strdup(executable);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    for (int level = 0; !found && slash && slash != folder && level <= LEVELS_UP; level++) {
        *slash = '\0';
        found = level == 1 ? try_place(folder, INSTALLED, name) : NULL;
        if (!found)
            found = try_place(folder, SOURCE, name);
        slash = strrchr(folder, '/');
    }
    free(folder);
    return found;
}

static bool is_listed(const char *model)
{
    for (const struct sonde_bundled_model *m = sonde_bundled_models; m->name; m++) {
        if (strcmp(m->name, model) == 0)
            return true;
    }
    return false;
}

bool sonde_bundled_is_name(const char *model)
{
    return is_listed(model) && !sonde_path_exists(model);
}

bool sonde_bundled_is_hidden(const char *model)
{
    return is_listed(model) && sonde_path_exists(model);
}

enum sonde_status sonde_bundled_folder(const char *name, char **out, struct sonde_error *error)
{
    char executable[4096];
    ssize_t n = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
    executable[n > 0 ? n : 0] = '\0';
    char *found = sonde_bundled_find(name, getenv("SONDE_MODELS"), n > 0 ? executable : NULL);
    if (!found)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                               "%s: a bundled model, but it is neither in $SONDE_MODELS nor in "
                               "share/sonde/models or tools/models beside the program",
                               name);
    *out = found;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_bundled_open(struct sonde_model **out, const char *model,
                                     const struct sonde_model_options *options,
                                     struct sonde_error *error)
{
    if (!sonde_bundled_is_name(model))
        return sonde_model_open(out, model, options, error);
    char *folder = NULL;
    enum sonde_status status = sonde_bundled_folder(model, &folder, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_model_open(out, folder, options, error);
    free(folder);
    return status;
}
