/* Any bytes as a recipe of a training. */
#include <stdlib.h>

#include "core/train/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sonde_error error = { 0 };
    struct sonde_recipe *recipe = NULL;
    const enum sonde_status status =
        sonde_recipe_parse(&recipe, (const char *)data, size, "recipe", "folder", &error);
    if (status != SONDE_STATUS_OK && (recipe || !error.text[0])) {
        abort(); /* a refusal without words */
    }
    sonde_recipe_destroy(&recipe);
    return 0;
}
