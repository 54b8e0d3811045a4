/* Names of gradients: a prefix before the names of sites. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/trace/site.h"

#define PREFIX_SIZE (sizeof SONDE_SITE_GRADIENT - 1)

const char *sonde_site_gradient_of(const char *name)
{
    return strncmp(name, SONDE_SITE_GRADIENT, PREFIX_SIZE) == 0 ? name + PREFIX_SIZE : NULL;
}

char *sonde_site_format_gradient(struct sonde_site site, char out[SONDE_SITE_NAME_MAX])
{
    char name[SONDE_SITE_NAME_MAX];
    snprintf(out, SONDE_SITE_NAME_MAX, "%s%.80s", SONDE_SITE_GRADIENT,
             sonde_site_format(site, name));
    return out;
}

/* The patterns of one kind. */
struct list {
    struct sonde_buf text;
    bool given;
};

/* Appends a pattern, without blanks before it and without its prefix, to the list of its kind. */
static void sort_pattern(const char *p, size_t n, struct list lists[2])
{
    for (; n && *p == ' '; n--) {
        p++;
    }
    const char *sign = n && *p == '-' ? "-" : "";
    const size_t skip = strlen(sign);
    const bool gradient = n >= skip + PREFIX_SIZE && sonde_site_gradient_of(p + skip);
    const size_t begin = skip + (gradient ? PREFIX_SIZE : 0);
    struct list *list = &lists[gradient];
    sonde_buf_printf(&list->text, "%s%s%.*s", list->given ? "," : "", sign, (int)(n - begin),
                     p + begin);
    list->given = true;
}

enum sonde_status sonde_site_set_parse_both(struct sonde_site_set *values,
                                            struct sonde_site_set *gradients, const char *patterns,
                                            const struct sonde_site_set *available, int n_layers,
                                            struct sonde_error *error)
{
    struct list lists[2] = { 0 };
    if (strlen(patterns) > 1 << 20) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "the list of sites is too long");
    }
    struct sonde_site_set *set = calloc(2, sizeof *set);
    enum sonde_status status = set ? SONDE_STATUS_OK : sonde_error_memory(error, "sets of sites");
    for (const char *p = patterns; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        sort_pattern(p, strcspn(p, ","), lists);
    }
    for (int i = 0; i < 2 && status == SONDE_STATUS_OK; i++) {
        status = sonde_buf_status(&lists[i].text, error);
        if (status == SONDE_STATUS_OK && lists[i].given) {
            status = sonde_site_set_parse(&set[i], lists[i].text.data, available, n_layers, error);
        }
    }
    if (status == SONDE_STATUS_OK) {
        *values = set[0];
        *gradients = set[1];
    }
    free(set);
    sonde_buf_finish(&lists[0].text);
    sonde_buf_finish(&lists[1].text);
    return status;
}
