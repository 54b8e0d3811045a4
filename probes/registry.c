#include "probes/registry.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "probes/builtin.h"

enum { PLUGIN_PROBES_MAX = 64, REGISTRY_MAX = 4096 };

static const struct sonde_probe *const builtins[] = {
    &sonde_probe_linear,     &sonde_probe_ridge,
    &sonde_probe_lda,        &sonde_probe_mean_difference,
    &sonde_probe_covariance, &sonde_probe_correlation,
    &sonde_probe_mlp,        &sonde_probe_logit_lens,
    &sonde_probe_kv_memory,  &sonde_probe_attention,
};
enum { N_BUILTINS = sizeof(builtins) / sizeof(builtins[0]) };

struct sonde_probe_registry {
    const struct sonde_probe **probe; /* [n] */
    int64_t n, capacity;
    void **handle; /* [n_handles], of dlopen */
    int64_t n_handles, handle_capacity;
};

const struct sonde_probe *sonde_probe_builtin(int64_t index)
{
    return index >= 0 && index < N_BUILTINS ? builtins[index] : NULL;
}

static bool add_probe(struct sonde_probe_registry *registry, const struct sonde_probe *probe)
{
    void *items = registry->probe;
    if (!sonde_grow(&items, &registry->capacity, registry->n + 1, sizeof(const void *),
                    REGISTRY_MAX))
        return false;
    registry->probe = items;
    registry->probe[registry->n++] = probe;
    return true;
}

enum sonde_status sonde_probe_registry_create(struct sonde_probe_registry **out,
                                              struct sonde_error *error)
{
    struct sonde_probe_registry *registry = calloc(1, sizeof(*registry));
    if (!registry)
        return sonde_error_memory(error, "the list of probes");
    for (int64_t i = 0; i < N_BUILTINS; i++) {
        if (!add_probe(registry, builtins[i])) {
            sonde_probe_registry_destroy(&registry);
            return sonde_error_memory(error, "the list of probes");
        }
    }
    *out = registry;
    return SONDE_STATUS_OK;
}

void sonde_probe_registry_destroy(struct sonde_probe_registry **registry)
{
    struct sonde_probe_registry *r = *registry;
    *registry = NULL;
    if (!r)
        return;
    for (int64_t i = r->n_handles; i-- > 0;)
        dlclose(r->handle[i]);
    free(r->handle);
    free(r->probe);
    free(r);
}

int64_t sonde_probe_registry_count(const struct sonde_probe_registry *registry)
{
    return registry->n;
}

const struct sonde_probe *sonde_probe_registry_at(const struct sonde_probe_registry *registry,
                                                  int64_t index)
{
    return index >= 0 && index < registry->n ? registry->probe[index] : NULL;
}

static const struct sonde_probe *find_probe(const struct sonde_probe_registry *registry,
                                            const char *name)
{
    for (int64_t i = 0; i < registry->n; i++)
        if (strcmp(registry->probe[i]->name, name) == 0)
            return registry->probe[i];
    return NULL;
}

enum sonde_status sonde_probe_registry_find(const struct sonde_probe_registry *registry,
                                            const char *name, const struct sonde_probe **out,
                                            struct sonde_error *error)
{
    const struct sonde_probe *probe = find_probe(registry, name);
    if (probe) {
        *out = probe;
        return SONDE_STATUS_OK;
    }
    struct sonde_buf text = { .max = SONDE_ERROR_TEXT_MAX };
    const char *nearest = NULL;
    int best = 4;
    for (int64_t i = 0; i < registry->n; i++) {
        int distance = sonde_str_distance(name, registry->probe[i]->name, best);
        if (distance < best) {
            best = distance;
            nearest = registry->probe[i]->name;
        }
        sonde_buf_printf(&text, "%s%s", i ? ", " : "", registry->probe[i]->name);
    }
    if (nearest)
        sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                        "no probe \"%s\" (nearest: %s; there are: %s)", name, nearest,
                        text.data ? text.data : "");
    else
        sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "no probe \"%s\" (there are: %s)", name,
                        text.data ? text.data : "");
    sonde_buf_finish(&text);
    return SONDE_STATUS_NOT_FOUND;
}

static bool is_name(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || n > 64 || name[0] == '-' || name[n - 1] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static const char *option_fault(const struct sonde_probe_option *option)
{
    if (!is_name(option->name))
        return "an option's name is not made of lower case letters, digits and '-'";
    if (option->type < SONDE_PROBE_TEXT || option->type > SONDE_PROBE_PATH)
        return "an option has an unknown type";
    if (option->type == SONDE_PROBE_CHOICE && (!option->choices || !option->choices[0]))
        return "an option has no choices";
    if (!option->help)
        return "an option has no help";
    return NULL;
}

/* What is wrong with a descriptor whose size is known to be enough, or NULL. */
static const char *descriptor_fault(const struct sonde_probe *probe)
{
    if (!is_name(probe->name))
        return "the name is not made of lower case letters, digits and '-'";
    if (!probe->version)
        return "no version";
    if (!probe->summary)
        return "no summary";
    if (!probe->run)
        return "no run function";
    if (probe->n_options > 0 && !probe->options)
        return "no option table";
    if (probe->n_options > 256)
        return "more than 256 options";
    for (uint32_t i = 0; i < probe->n_options; i++) {
        const char *fault = option_fault(&probe->options[i]);
        if (fault)
            return fault;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(probe->options[i].name, probe->options[j].name) == 0)
                return "two options of one name";
    }
    return NULL;
}

static enum sonde_status check_descriptor(const struct sonde_probe_registry *registry,
                                          const char *path, uint32_t index,
                                          const struct sonde_probe *probe,
                                          struct sonde_error *error)
{
    if (probe->abi != SONDE_PROBE_ABI)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "plugin %s: probe %u: made for ABI %u, expected %u", path, index,
                               probe->abi, SONDE_PROBE_ABI);
    if (probe->struct_size < sizeof(struct sonde_probe))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "plugin %s: probe %u: struct_size %u, expected at least %zu", path,
                               index, probe->struct_size, sizeof(struct sonde_probe));
    const char *fault = descriptor_fault(probe);
    if (fault)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "plugin %s: probe %u: %s", path, index,
                               fault);
    if (find_probe(registry, probe->name))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "plugin %s: a probe \"%s\" is there already", path, probe->name);
    return SONDE_STATUS_OK;
}

/* dlopen's own words depend on the C library, so the common mistake is named before it is asked. */
static enum sonde_status check_shared_object(const char *path, struct sonde_error *error)
{
    struct sonde_file *file = NULL;
    enum sonde_status status = sonde_file_open(&file, path, error);
    if (status)
        return status;
    char magic[4] = { 0 };
    if (sonde_file_size(file) >= 4)
        status = sonde_file_read(file, 0, magic, 4, error);
    sonde_file_close(&file);
    if (status)
        return status;
    if (memcmp(magic, "\177ELF", 4) != 0)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "plugin %s: not a shared object", path);
    return SONDE_STATUS_OK;
}

static enum sonde_status add_plugin_probes(struct sonde_probe_registry *registry, const char *path,
                                           void *handle, struct sonde_error *error)
{
    union {
        void *object;
        const struct sonde_probe *(*function)(uint32_t, uint32_t);
    } symbol;
    symbol.object = dlsym(handle, "sonde_probe_plugin");
    if (!symbol.object)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "plugin %s: no symbol sonde_probe_plugin", path);
    int64_t before = registry->n;
    for (uint32_t i = 0;; i++) {
        const struct sonde_probe *probe = symbol.function(SONDE_PROBE_ABI, i);
        if (!probe && i == 0)
            return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                   "plugin %s: offers no probe for ABI %u", path, SONDE_PROBE_ABI);
        if (!probe)
            return SONDE_STATUS_OK;
        enum sonde_status status;
        if (i == PLUGIN_PROBES_MAX)
            status = sonde_error_set(error, SONDE_STATUS_LIMIT, "plugin %s: more than %d probes",
                                     path, PLUGIN_PROBES_MAX);
        else
            status = check_descriptor(registry, path, i, probe, error);
        if (!status && !add_probe(registry, probe))
            status = sonde_error_memory(error, "the list of probes");
        if (status) {
            registry->n = before;
            return status;
        }
    }
}

enum sonde_status sonde_probe_registry_load(struct sonde_probe_registry *registry, const char *path,
                                            struct sonde_error *error)
{
    if (!strchr(path, '/'))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "plugin %s: give a path with a '/', such as ./%s", path, path);
    enum sonde_status status = check_shared_object(path, error);
    if (status)
        return status;
    void *items = registry->handle;
    if (!sonde_grow(&items, &registry->handle_capacity, registry->n_handles + 1, sizeof(void *),
                    REGISTRY_MAX))
        return sonde_error_memory(error, "the list of plugins");
    registry->handle = items;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *why = dlerror();
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "plugin %s: cannot be loaded: %s", path,
                               why ? why : "no reason given");
    }
    status = add_plugin_probes(registry, path, handle, error);
    if (status) {
        dlclose(handle);
        return status;
    }
    registry->handle[registry->n_handles++] = handle;
    return SONDE_STATUS_OK;
}
