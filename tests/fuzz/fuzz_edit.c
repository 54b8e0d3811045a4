/* Any bytes as an edit (up to the first zero byte; what lies behind it is not read), and as a list
 * of sites and gradients of a model of two layers. */
#include <stdlib.h>
#include <string.h>

#include "core/model/edit_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const struct sonde_edit_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        if (list->range[i].first < 0 || list->range[i].last < list->range[i].first ||
            !sonde_edit_list_has(list, list->range[i].first)) {
            abort();
        }
    }
}

static void parse_edit(const char *text)
{
    struct sonde_edit edit = { 0 };
    struct sonde_error error = { 0 };
    if (sonde_edit_parse(&edit, text, &error) == SONDE_STATUS_OK) {
        check_list(&edit.heads);
        check_list(&edit.neurons);
        check_list(&edit.positions);
        check_list(&edit.keys);
        if (!edit.sites || strcmp(edit.text, text) != 0 ||
            (edit.kind == SONDE_EDIT_PATCH && (!edit.run || edit.sequence < 0)) ||
            sonde_edit_has_direction(edit.kind) != (edit.path != NULL)) {
            abort();
        }
    } else if (!error.text[0]) {
        abort(); /* a refusal without words */
    }
    sonde_edit_finish(&edit);
}

static void parse_sites(const char *text)
{
    struct sonde_site_set available = { 0 }, values = { 0 }, gradients = { 0 };
    struct sonde_error error = { 0 };
    /* Few: a refusal measures how far each name is from what was written. */
    const enum sonde_site_kind kinds[] = { SONDE_SITE_EMBED, SONDE_SITE_LOGITS, SONDE_SITE_MLP_OUT,
                                           SONDE_SITE_RESID_POST };
    for (int i = 0; i < 8; i++) {
        sonde_site_set_add(&available, (struct sonde_site){ kinds[i % 4], i / 4 });
    }
    if (sonde_site_set_parse_both(&values, &gradients, text, &available, 2, &error) ==
        SONDE_STATUS_OK) {
        if (sonde_site_set_is_empty(&values) && sonde_site_set_is_empty(&gradients)) {
            abort();
        }
    } else if (!error.text[0]) {
        abort();
    }
    (void)sonde_site_pattern_matches(text, "grad:blocks.1.hook_resid_post", 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text) {
        return 0;
    }
    if (size) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    parse_edit(text);
    parse_sites(text);
    free(text);
    return 0;
}
