/* What recipe.c (values and messages) and recipe_read.c (keys) share. */
#ifndef SONDE_CORE_TRAIN_RECIPE_INTERNAL_H
#define SONDE_CORE_TRAIN_RECIPE_INTERNAL_H

#include "core/base/json.h"
#include "core/base/num.h"
#include "core/train/recipe.h"

/* The first failure is kept; calls after it do nothing. */
struct sonde_recipe_reader {
    struct sonde_recipe *recipe;
    const char *name, *folder;
    enum sonde_status status;
    struct sonde_error *error;
};

/* FORMAT with "NAME: " in front. */
void sonde_recipe_fail(struct sonde_recipe_reader *r, const char *format, ...) SONDE_PRINTF(2, 3);
/* known: NULL-terminated. where: "" or the key of the object, for messages. */
void sonde_recipe_check_keys(struct sonde_recipe_reader *r, const struct sonde_json *object,
                             const char *where, const char *const *known);
/* The member object, its keys checked; NULL where it is absent or null. */
const struct sonde_json *sonde_recipe_object(struct sonde_recipe_reader *r,
                                             const struct sonde_json *object, const char *key,
                                             const char *const *known);
int64_t sonde_recipe_i64(struct sonde_recipe_reader *r, const struct sonde_json *object,
                         const char *where, const char *key, int64_t fallback, int64_t min,
                         int64_t max);
double sonde_recipe_f64(struct sonde_recipe_reader *r, const struct sonde_json *object,
                        const char *where, const char *key, double fallback, double min,
                        double max);
bool sonde_recipe_bool(struct sonde_recipe_reader *r, const struct sonde_json *object,
                       const char *where, const char *key, bool fallback);
/* NULL where it is absent; borrowed from the document. */
const char *sonde_recipe_text(struct sonde_recipe_reader *r, const struct sonde_json *object,
                              const char *where, const char *key);
/* The index of one of the words; fallback below 0: it must be there. */
int sonde_recipe_word(struct sonde_recipe_reader *r, const struct sonde_json *object,
                      const char *where, const char *key, const char *const *words, int fallback);
/* A copy in the recipe's arena; NULL for NULL. */
const char *sonde_recipe_keep(struct sonde_recipe_reader *r, const char *text);
/* A path of the recipe as the program finds it. */
const char *sonde_recipe_path(struct sonde_recipe_reader *r, const char *path);

/* All keys of the recipe. */
void sonde_recipe_read(struct sonde_recipe_reader *r, const struct sonde_json *root);

#endif
