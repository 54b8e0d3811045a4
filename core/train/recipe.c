#include "core/train/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/base/rng.h"
#include "core/train/recipe_internal.h"

enum { DISTANCE_MAX = 4 };

void sonde_recipe_destroy(struct sonde_recipe **recipe)
{
    if (!recipe || !*recipe) {
        return;
    }
    sonde_json_destroy(&(*recipe)->document);
    sonde_arena_destroy(&(*recipe)->arena);
    free(*recipe);
    *recipe = NULL;
}

void sonde_recipe_fail(struct sonde_recipe_reader *r, const char *format, ...)
{
    if (r->status != SONDE_STATUS_OK) {
        return;
    }
    char text[SONDE_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)sonde_format_text(text, sizeof text, format, args);
    va_end(args);
    r->status = sonde_error_set(r->error, SONDE_STATUS_FORMAT, "%s: %s", r->name, text);
}

/* After a getter of json.h: says where the value stands. */
static void note(struct sonde_recipe_reader *r, enum sonde_status status, const char *where)
{
    r->status = status;
    if (status != SONDE_STATUS_OK && *where) {
        sonde_error_prepend(r->error, "%s: %s", r->name, where);
    } else if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(r->error, "%s", r->name);
    }
}

void sonde_recipe_check_keys(struct sonde_recipe_reader *r, const struct sonde_json *object,
                             const char *where, const char *const *known)
{
    for (struct sonde_json_iter i = { 0 }; sonde_json_next(object, &i);) {
        const char *nearest = NULL;
        int distance = DISTANCE_MAX;
        bool found = false;
        for (int64_t k = 0; known[k] && !found; k++) {
            const int d = sonde_str_distance(i.key, known[k], distance);
            found = strcmp(i.key, known[k]) == 0;
            nearest = d < distance ? known[k] : nearest;
            distance = d < distance ? d : distance;
        }
        if (!found && nearest) {
            sonde_recipe_fail(r, "%s%sunknown key \"%.60s\"; did you mean \"%s\"?", where,
                              *where ? ": " : "", i.key, nearest);
        } else if (!found) {
            sonde_recipe_fail(r, "%s%sunknown key \"%.60s\"", where, *where ? ": " : "", i.key);
        }
    }
}

const struct sonde_json *sonde_recipe_object(struct sonde_recipe_reader *r,
                                             const struct sonde_json *object, const char *key,
                                             const char *const *known)
{
    const struct sonde_json *value = sonde_json_get(object, key);
    const enum sonde_json_type type = sonde_json_type(value);
    if (type == SONDE_JSON_ABSENT || type == SONDE_JSON_NULL) {
        return NULL;
    }
    if (type != SONDE_JSON_OBJECT) {
        sonde_recipe_fail(r, "%s is %s, expected an object", key, sonde_json_type_name(type));
        return NULL;
    }
    sonde_recipe_check_keys(r, value, key, known);
    return value;
}

int64_t sonde_recipe_i64(struct sonde_recipe_reader *r, const struct sonde_json *object,
                         const char *where, const char *key, int64_t fallback, int64_t min,
                         int64_t max)
{
    int64_t value = fallback;
    if (r->status == SONDE_STATUS_OK) {
        note(r, sonde_json_read_i64(object, key, fallback, min, max, &value, r->error), where);
    }
    return value;
}

double sonde_recipe_f64(struct sonde_recipe_reader *r, const struct sonde_json *object,
                        const char *where, const char *key, double fallback, double min, double max)
{
    double value = fallback;
    if (r->status == SONDE_STATUS_OK) {
        note(r, sonde_json_read_f64(object, key, fallback, min, max, &value, r->error), where);
    }
    return value;
}

bool sonde_recipe_bool(struct sonde_recipe_reader *r, const struct sonde_json *object,
                       const char *where, const char *key, bool fallback)
{
    bool value = fallback;
    if (r->status == SONDE_STATUS_OK) {
        note(r, sonde_json_read_bool(object, key, fallback, &value, r->error), where);
    }
    return value;
}

const char *sonde_recipe_text(struct sonde_recipe_reader *r, const struct sonde_json *object,
                              const char *where, const char *key)
{
    const char *value = NULL;
    if (r->status == SONDE_STATUS_OK) {
        note(r, sonde_json_read_string(object, key, NULL, &value, r->error), where);
    }
    if (value && !*value) {
        sonde_recipe_fail(r, "%s%s%s is empty", where, *where ? ": " : "", key);
    }
    return value;
}

int sonde_recipe_word(struct sonde_recipe_reader *r, const struct sonde_json *object,
                      const char *where, const char *key, const char *const *words, int fallback)
{
    char known[200] = "";
    int used = 0;
    const char *word = sonde_recipe_text(r, object, where, key);
    if (r->status != SONDE_STATUS_OK || (!word && fallback >= 0)) {
        return fallback;
    }
    for (int i = 0; words[i]; i++) {
        if (word && strcmp(word, words[i]) == 0) {
            return i;
        }
        used += snprintf(known + used, sizeof known - (size_t)used, "%s%s", i > 0 ? ", " : "",
                         words[i]);
        used = used < (int)sizeof known ? used : (int)sizeof known - 1;
    }
    if (word) {
        sonde_recipe_fail(r, "%s%s%s is \"%.60s\", expected one of %s", where, *where ? ": " : "",
                          key, word, known);
    } else {
        sonde_recipe_fail(r, "%s%s%s is missing: one of %s", where, *where ? ": " : "", key, known);
    }
    return fallback;
}

const char *sonde_recipe_keep(struct sonde_recipe_reader *r, const char *text)
{
    char *copy = text ? sonde_arena_strndup(r->recipe->arena, text, strlen(text)) : NULL;
    if (text && !copy && r->status == SONDE_STATUS_OK) {
        r->status = sonde_error_memory(r->error, "a recipe");
    }
    return copy;
}

const char *sonde_recipe_path(struct sonde_recipe_reader *r, const char *path)
{
    if (!path || *path == '/' || !*r->folder) {
        return sonde_recipe_keep(r, path);
    }
    char *joined = sonde_path_join(r->folder, path);
    const char *kept = joined ? sonde_recipe_keep(r, joined) : NULL;
    if (!joined && r->status == SONDE_STATUS_OK) {
        r->status = sonde_error_memory(r->error, "a recipe");
    }
    free(joined);
    return kept;
}

enum sonde_status sonde_recipe_parse(struct sonde_recipe **out, const char *json, size_t n,
                                     const char *name, const char *folder,
                                     struct sonde_error *error)
{
    struct sonde_recipe *recipe = calloc(1, sizeof *recipe);
    if (!recipe) {
        return sonde_error_memory(error, "a recipe");
    }
    struct sonde_recipe_reader r = {
        .recipe = recipe, .name = name, .folder = folder, .error = error
    };
    recipe->arena = sonde_arena_create(0);
    r.status = recipe->arena ? sonde_json_parse(&recipe->document, json, n, error)
                             : sonde_error_memory(error, "a recipe");
    if (r.status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "%s", name);
    } else {
        sonde_recipe_read(&r, recipe->document);
    }
    if (r.status != SONDE_STATUS_OK) {
        sonde_recipe_destroy(&recipe);
        return r.status;
    }
    *out = recipe;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_recipe_load(struct sonde_recipe **out, const char *path,
                                    struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    enum sonde_status status = sonde_file_load(path, SONDE_RECIPE_MAX_BYTES, &text, error);
    char *folder = sonde_strdup(path);
    if (status == SONDE_STATUS_OK && !folder) {
        status = sonde_error_memory(error, "a recipe");
    }
    if (status == SONDE_STATUS_OK) {
        const size_t n = (size_t)(sonde_path_base(folder) - folder);
        folder[n > 1 ? n - 1 : n] = '\0';
        status =
            sonde_recipe_parse(out, text.data ? text.data : "", text.size, path, folder, error);
    }
    free(folder);
    sonde_buf_finish(&text);
    return status;
}
