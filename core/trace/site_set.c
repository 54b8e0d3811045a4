/* Sets of sites and the patterns that name them. */
#include "core/trace/site.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "blocks."

static uint64_t bit(enum sonde_site_kind kind)
{
    return UINT64_C(1) << (unsigned)kind;
}

bool sonde_site_set_has(const struct sonde_site_set *set, struct sonde_site site)
{
    if (!set) {
        return false;
    }
    if (!sonde_site_describe(site.kind)->per_layer) {
        return (set->global & bit(site.kind)) != 0;
    }
    return site.layer >= 0 && site.layer < SONDE_LAYERS_MAX &&
           (set->layer[site.layer] & bit(site.kind)) != 0;
}

void sonde_site_set_add(struct sonde_site_set *set, struct sonde_site site)
{
    if (!sonde_site_describe(site.kind)->per_layer) {
        set->global |= bit(site.kind);
    } else if (site.layer >= 0 && site.layer < SONDE_LAYERS_MAX) {
        set->layer[site.layer] |= bit(site.kind);
    }
}

static void set_remove(struct sonde_site_set *set, struct sonde_site site)
{
    if (!sonde_site_describe(site.kind)->per_layer) {
        set->global &= ~bit(site.kind);
    } else if (site.layer >= 0 && site.layer < SONDE_LAYERS_MAX) {
        set->layer[site.layer] &= ~bit(site.kind);
    }
}

static int popcount(uint64_t word)
{
    int n = 0;
    for (; word; word &= word - 1) {
        n++;
    }
    return n;
}

int64_t sonde_site_set_count(const struct sonde_site_set *set)
{
    if (!set) {
        return 0;
    }
    int64_t n = popcount(set->global);
    for (int l = 0; l < SONDE_LAYERS_MAX; l++) {
        n += popcount(set->layer[l]);
    }
    return n;
}

bool sonde_site_set_is_empty(const struct sonde_site_set *set)
{
    if (!set) {
        return true;
    }
    uint64_t any = set->global;
    for (int l = 0; l < SONDE_LAYERS_MAX; l++) {
        any |= set->layer[l];
    }
    return any == 0;
}

void sonde_site_set_union(struct sonde_site_set *set, const struct sonde_site_set *other)
{
    if (!other) {
        return;
    }
    set->global |= other->global;
    for (int l = 0; l < SONDE_LAYERS_MAX; l++) {
        set->layer[l] |= other->layer[l];
    }
}

/* Place 0 of the walk is what comes before the blocks, 1..LAYERS_MAX the blocks, the last what
 * comes after; within a place the kinds follow each other as in the pass. */
static uint64_t place_bits(const struct sonde_site_set *set, int64_t place)
{
    const uint64_t early = bit(SONDE_SITE_LN_FINAL_SCALE) - 1;
    if (place == 0) {
        return set->global & early;
    }
    return place <= SONDE_LAYERS_MAX ? set->layer[place - 1] : set->global & ~early;
}

bool sonde_site_set_next(const struct sonde_site_set *set, int64_t *i, struct sonde_site *out)
{
    const int64_t end = (int64_t)(SONDE_LAYERS_MAX + 2) * SONDE_SITE_KINDS;
    while (set && *i < end) {
        int64_t place = *i / SONDE_SITE_KINDS;
        int64_t kind = *i % SONDE_SITE_KINDS;
        uint64_t rest = place_bits(set, place) >> kind;
        if (!rest) { /* most places are empty */
            do {
                place++;
            } while (place <= SONDE_LAYERS_MAX && !place_bits(set, place));
            *i = place * SONDE_SITE_KINDS;
            continue;
        }
        for (; !(rest & 1); rest >>= 1) {
            kind++;
        }
        *i = place * SONDE_SITE_KINDS + kind + 1;
        out->kind = (enum sonde_site_kind)kind;
        out->layer = place >= 1 && place <= SONDE_LAYERS_MAX ? (int)place - 1 : -1;
        return true;
    }
    return false;
}

/* `*` stands for any run of characters, also none. */
static bool glob(const char *pattern, size_t n, const char *text)
{
    const char *end = pattern + n, *star = NULL, *back = NULL;
    while (*text) {
        if (pattern < end && *pattern == '*') {
            star = pattern++;
            back = text;
        } else if (pattern < end && *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++back;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*') {
        pattern++;
    }
    return pattern == end;
}

/* One layer number, negative ones from the end; false where it is no number. */
static bool read_layer(const char **text, const char *end, int n_layers, int *out)
{
    bool negative = *text < end && **text == '-';
    const char *p = *text + negative;
    int value = 0, digits = 0;
    for (; p < end && *p >= '0' && *p <= '9' && digits < 6; p++, digits++) {
        value = value * 10 + (*p - '0');
    }
    if (digits == 0) {
        return false;
    }
    *text = p;
    *out = negative ? n_layers - value : value;
    return true;
}

/* Layers of "*", "3", "2-5", "0|3", "-2--1". *valid says whether the text is such a list at all. */
static bool layers_match(const char *text, size_t n, int layer, int n_layers, bool *valid)
{
    const char *end = text + n;
    bool match = false;
    *valid = false;
    if (n == 1 && *text == '*') {
        *valid = true;
        return true;
    }
    while (text < end) {
        int first, last;
        if (!read_layer(&text, end, n_layers, &first)) {
            return false;
        }
        last = first;
        if (text < end && *text == '-') {
            text++;
            if (!read_layer(&text, end, n_layers, &last)) {
                return false;
            }
        }
        match |= layer >= first && layer <= last;
        if (text < end && *text++ != '|') {
            return false;
        }
        if (text == end) {
            *valid = text[-1] != '|';
        }
    }
    return match && *valid;
}

static bool shorthand_matches(const char *p, size_t n, enum sonde_site_kind kind, bool *known)
{
    const struct {
        const char *name;
        uint64_t kinds;
    } list[] = {
        { "resid", bit(SONDE_SITE_EMBED) | bit(SONDE_SITE_RESID_POST) },
        { "attn", bit(SONDE_SITE_PATTERN) },
        { "mlp", bit(SONDE_SITE_MLP_OUT) },
        { "ffn", bit(SONDE_SITE_MLP_POST) },
        { "qkv", bit(SONDE_SITE_Q) | bit(SONDE_SITE_K) | bit(SONDE_SITE_V) },
        { "all", ~(uint64_t)0 },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (strlen(list[i].name) == n && memcmp(list[i].name, p, n) == 0) {
            *known = true;
            return (list[i].kinds & bit(kind)) != 0;
        }
    }
    *known = false;
    return false;
}

static bool block_matches(const char *p, size_t n, const struct sonde_site_description *d,
                          int layer, int n_layers)
{
    char full[SONDE_SITE_NAME_MAX];
    const char *const names[] = { d->name, d->canonical };
    const char *dot = NULL;
    bool valid = false, in_layers = false;
    size_t skip = sizeof PREFIX - 1;
    if (n > skip && memcmp(p, PREFIX, skip) == 0 && (dot = memchr(p + skip, '.', n - skip))) {
        in_layers = layers_match(p + skip, (size_t)(dot - p) - skip, layer, n_layers, &valid);
    }
    for (size_t i = 0; i < 2; i++) {
        if (!names[i]) {
            continue;
        }
        if (valid) {
            if (in_layers && glob(dot + 1, n - (size_t)(dot + 1 - p), names[i])) {
                return true;
            }
            continue;
        }
        snprintf(full, sizeof full, PREFIX "%d.%s", layer, names[i]);
        if (glob(p, n, full)) {
            return true;
        }
    }
    size_t alias = d->llamacpp ? strlen(d->llamacpp) : 0;
    return alias && n > alias + 1 && memcmp(p, d->llamacpp, alias) == 0 && p[alias] == '-' &&
           layers_match(p + alias + 1, n - alias - 1, layer, n_layers, &valid);
}

static bool pattern_matches(const char *p, size_t n, struct sonde_site site, int n_layers)
{
    const struct sonde_site_description *d = sonde_site_describe(site.kind);
    bool shorthand;
    bool match = shorthand_matches(p, n, site.kind, &shorthand);
    if (shorthand) {
        return match;
    }
    if (d->per_layer) {
        return block_matches(p, n, d, site.layer, n_layers);
    }
    return glob(p, n, d->name) || (d->canonical && glob(p, n, d->canonical)) ||
           (d->llamacpp && glob(p, n, d->llamacpp));
}

bool sonde_site_pattern_matches(const char *pattern, const char *name, int n_layers)
{
    struct sonde_site site;
    const char *of = sonde_site_gradient_of(name), *wanted = sonde_site_gradient_of(pattern);
    if (of || wanted) {
        return of && wanted && sonde_site_pattern_matches(wanted, of, n_layers);
    }
    size_t n = strlen(pattern);
    if (sonde_site_parse(name, &site)) {
        return pattern_matches(pattern, n, site, n_layers);
    }
    return glob(pattern, n, name);
}

/* Every kind in n_layers layers (n_layers >= 1: also the kinds that no layer has here). */
static void every_site(struct sonde_site_set *out, int n_layers)
{
    memset(out, 0, sizeof *out);
    for (int k = 0; k < SONDE_SITE_KINDS; k++) {
        for (int l = 0; l < n_layers; l++) {
            sonde_site_set_add(out, (struct sonde_site){ (enum sonde_site_kind)k, l });
        }
    }
}

static bool any_match(const struct sonde_site_set *set, const char *p, size_t n, int n_layers)
{
    struct sonde_site site;
    for (int64_t i = 0; sonde_site_set_next(set, &i, &site);) {
        if (pattern_matches(p, n, site, n_layers)) {
            return true;
        }
    }
    return false;
}

/* The pattern with its layer field made `*`, so that names are compared and not numbers. */
static void layer_to_star(const char *p, size_t n, char *out, size_t max)
{
    size_t skip = sizeof PREFIX - 1;
    const char *dot =
        n > skip && memcmp(p, PREFIX, skip) == 0 ? memchr(p + skip, '.', n - skip) : NULL;
    if (dot) {
        snprintf(out, max, PREFIX "*%.*s", (int)(n - (size_t)(dot - p)), dot);
        return;
    }
    const char *dash = memchr(p, '-', n);
    size_t head = dash && dash > p ? (size_t)(dash - p) : n;
    snprintf(out, max, "%.*s%s", (int)head, p, head < n ? "-*" : "");
}

enum { NEAREST = 3 };

struct nearest {
    int distance[NEAREST];
    char name[NEAREST][SONDE_SITE_NAME_MAX];
};

static void nearest_offer(struct nearest *best, int distance, const char *name)
{
    for (int i = 0; i < NEAREST; i++) {
        if (strcmp(best->name[i], name) == 0) {
            return;
        }
        if (distance < best->distance[i]) {
            for (int j = NEAREST - 1; j > i; j--) {
                best->distance[j] = best->distance[j - 1];
                memcpy(best->name[j], best->name[j - 1], sizeof best->name[j]);
            }
            best->distance[i] = distance;
            snprintf(best->name[i], sizeof best->name[i], "%s", name);
            return;
        }
    }
}

/* The least distance over the spellings of a site, also "hook_resid_post" without its block. */
static int spelling_distance(const struct sonde_site_description *d, const char *wanted)
{
    char text[SONDE_SITE_NAME_MAX];
    const char *const names[] = { d->name, d->canonical, d->llamacpp };
    int least = 64;
    for (size_t j = 0; j < 3; j++) {
        if (!names[j]) {
            continue;
        }
        int distance = sonde_str_distance(wanted, names[j], 64);
        least = distance < least ? distance : least;
        if (d->per_layer) {
            if (j < 2) {
                snprintf(text, sizeof text, PREFIX "*.%s", names[j]);
            } else {
                snprintf(text, sizeof text, "%s-*", names[j]);
            }
            distance = sonde_str_distance(wanted, text, 64);
            least = distance < least ? distance : least;
        }
    }
    return least;
}

static enum sonde_status refuse_unknown(const char *p, size_t n,
                                        const struct sonde_site_set *available,
                                        struct sonde_error *error)
{
    char wanted[SONDE_SITE_NAME_MAX], name[SONDE_SITE_NAME_MAX];
    struct nearest best = { { 65, 65, 65 }, { "", "", "" } };
    struct sonde_site site;
    layer_to_star(p, n, wanted, sizeof wanted);
    for (int64_t i = 0; sonde_site_set_next(available, &i, &site);) {
        const struct sonde_site_description *d = sonde_site_describe(site.kind);
        snprintf(name, sizeof name, "%s%s", d->per_layer ? PREFIX "*." : "", d->name);
        nearest_offer(&best, spelling_distance(d, wanted), name);
    }
    return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                           "no site is named '%.*s'; the nearest are %s, %s, %s",
                           (int)(n < 200 ? n : 200), p, best.name[0], best.name[1], best.name[2]);
}

/* Says why a pattern matched nothing of what the model has. */
static enum sonde_status refuse_pattern(const char *p, size_t n,
                                        const struct sonde_site_set *available, int n_layers,
                                        struct sonde_error *error)
{
    char starred[SONDE_SITE_NAME_MAX];
    struct sonde_site_set *every = malloc(sizeof *every);
    if (!every) {
        return sonde_error_memory(error, "a set of sites");
    }
    every_site(every, n_layers > 0 ? n_layers : 1);
    bool is_site = any_match(every, p, n, n_layers);
    free(every);
    int shown = (int)(n < 200 ? n : 200);
    if (is_site) {
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "this model has no site '%.*s'",
                               shown, p);
    }
    layer_to_star(p, n, starred, sizeof starred);
    if (any_match(available, starred, strlen(starred), n_layers)) {
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                               "site '%.*s': no such layer, the model has layers 0 to %d", shown, p,
                               n_layers - 1);
    }
    return refuse_unknown(p, n, available, error);
}

static enum sonde_status apply_pattern(struct sonde_site_set *set, const char *p, size_t n,
                                       bool remove, const struct sonde_site_set *available,
                                       int n_layers, struct sonde_error *error)
{
    bool found = false;
    struct sonde_site site;
    for (int64_t i = 0; sonde_site_set_next(available, &i, &site);) {
        if (!pattern_matches(p, n, site, n_layers)) {
            continue;
        }
        found = true;
        if (remove) {
            set_remove(set, site);
        } else {
            sonde_site_set_add(set, site);
        }
    }
    return found ? SONDE_STATUS_OK : refuse_pattern(p, n, available, n_layers, error);
}

enum sonde_status sonde_site_set_parse(struct sonde_site_set *out, const char *patterns,
                                       const struct sonde_site_set *available, int n_layers,
                                       struct sonde_error *error)
{
    struct sonde_site_set *set = calloc(1, sizeof *set);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!set) {
        return sonde_error_memory(error, "a set of sites");
    }
    bool first = true;
    for (const char *p = patterns; status == SONDE_STATUS_OK;) {
        size_t n = strcspn(p, ",");
        size_t skip = strspn(p, " ");
        size_t begin = skip < n ? skip : n;
        size_t end = n;
        while (end > begin && p[end - 1] == ' ') {
            end--;
        }
        bool remove = begin < end && p[begin] == '-';
        begin += remove;
        if (begin == end) {
            status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                     "an empty site pattern in '%.200s'", patterns);
            break;
        }
        if (first && remove) {
            status = apply_pattern(set, "all", 3, false, available, n_layers, error);
        }
        first = false;
        if (status == SONDE_STATUS_OK) {
            status = apply_pattern(set, p + begin, end - begin, remove, available, n_layers, error);
        }
        p += n;
        if (*p == '\0') {
            break;
        }
        p++;
    }
    if (status == SONDE_STATUS_OK && sonde_site_set_is_empty(set)) {
        status =
            sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "'%.200s' leaves no site", patterns);
    }
    if (status == SONDE_STATUS_OK) {
        *out = *set;
    }
    free(set);
    return status;
}
