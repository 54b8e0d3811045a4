/* The grammar of edits: text to struct sonde_edit, without a model. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/model/edit_internal.h"

enum { WORDS_MAX = 5, RANGES_MAX = 1 << 16 };

/* What each edit is called and what follows its name. */
static const struct form {
    const char *name;
    enum sonde_edit_kind kind;
    const char *usage;
    int n_least, n_most; /* words */
} forms[] = {
    { "zero", SONDE_EDIT_ZERO, "zero SITE", 2, 2 },
    { "mean", SONDE_EDIT_MEAN, "mean SITE[@RUN]", 2, 2 },
    { "set", SONDE_EDIT_SET, "set SITE[NEURONS] VALUE", 3, 3 },
    { "add", SONDE_EDIT_ADD, "add SITE F.npy [SCALE]", 3, 4 },
    { "project-out", SONDE_EDIT_PROJECT_OUT, "project-out SITE F.npy", 3, 3 },
    { "keep", SONDE_EDIT_KEEP, "keep SITE F.npy", 3, 3 },
    { "flip", SONDE_EDIT_FLIP, "flip SITE F.npy", 3, 3 },
    { "patch", SONDE_EDIT_PATCH, "patch SITE from RUN:SEQUENCE", 4, 4 },
    { "skip", SONDE_EDIT_SKIP, "skip LAYER[.attn|.mlp]", 2, 2 },
};

bool sonde_edit_has_direction(enum sonde_edit_kind kind)
{
    return kind == SONDE_EDIT_ADD || kind == SONDE_EDIT_PROJECT_OUT || kind == SONDE_EDIT_KEEP ||
           kind == SONDE_EDIT_FLIP;
}

bool sonde_edit_list_has(const struct sonde_edit_list *list, int64_t number)
{
    for (int64_t i = 0; i < list->n; i++) {
        if (number >= list->range[i].first && number <= list->range[i].last) {
            return true;
        }
    }
    return list->n == 0;
}

void sonde_edit_finish(struct sonde_edit *edit)
{
    free(edit->text);
    free(edit->sites);
    free(edit->run);
    free(edit->path);
    free(edit->heads.range);
    free(edit->neurons.range);
    free(edit->positions.range);
    free(edit->keys.range);
    *edit = (struct sonde_edit){ 0 };
}

/* A piece of the text. */
struct word {
    const char *at;
    size_t n;
};

static char *copy(struct word w)
{
    char *out = malloc(w.n + 1);
    if (out) {
        memcpy(out, w.at, w.n);
        out[w.n] = '\0';
    }
    return out;
}

static int shown(struct word w)
{
    return (int)(w.n < 100 ? w.n : 100);
}

/* Blanks inside [] do not end a word; quotes go around a whole word. */
static enum sonde_status split(const char *text, struct word words[WORDS_MAX], int *n,
                               struct sonde_error *error)
{
    const char *p = text;
    *n = 0;
    for (;;) {
        p += strspn(p, " \t");
        if (!*p) {
            return SONDE_STATUS_OK;
        }
        struct word w = { p, 0 };
        if (*p == '\'' || *p == '"') {
            const char *end = strchr(p + 1, *p);
            if (!end) {
                return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                       "the quote %.40s is not closed", p);
            }
            w = (struct word){ p + 1, (size_t)(end - p - 1) };
            p = end + 1;
        } else {
            bool inside = false;
            for (; *p && (inside || (*p != ' ' && *p != '\t')); p++) {
                inside = *p == '[' || (inside && *p != ']');
            }
            w.n = (size_t)(p - w.at);
        }
        if (*n == WORDS_MAX) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "'%.*s' is one word too many",
                                   shown(w), w.at);
        }
        words[(*n)++] = w;
    }
}

static enum sonde_status refuse_list(struct word w, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "'%.*s': expected numbers from 0 and ranges, as in 0,2,5-9,12-",
                           shown(w), w.at);
}

/* "0,2,5-9,12-" */
static enum sonde_status parse_list(struct word w, struct sonde_edit_list *out,
                                    struct sonde_error *error)
{
    const char *p = w.at, *end = w.at + w.n;
    if (out->n) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "'%.*s': given twice", shown(w), w.at);
    }
    for (bool more = true; more;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        const char *dash = memchr(p, '-', (size_t)(stop - p));
        struct sonde_edit_range range;
        bool good = sonde_parse_i64(p, (size_t)((dash ? dash : stop) - p), &range.first);
        range.last = range.first;
        if (good && dash && dash + 1 == stop) {
            range.last = INT64_MAX;
        } else if (good && dash) {
            good = sonde_parse_i64(dash + 1, (size_t)(stop - dash - 1), &range.last);
        }
        if (!good || range.first < 0 || range.last < range.first) {
            return refuse_list(w, error);
        }
        if (!sonde_grow((void **)&out->range, &out->capacity, out->n + 1, sizeof range,
                        RANGES_MAX)) {
            return sonde_error_memory(error, "a list of numbers");
        }
        out->range[out->n++] = range;
        more = comma != NULL;
        p = stop + (more ? 1 : 0);
    }
    return SONDE_STATUS_OK;
}

static struct word trimmed(struct word w)
{
    while (w.n && *w.at == ' ') {
        w.at++;
        w.n--;
    }
    while (w.n && w.at[w.n - 1] == ' ') {
        w.n--;
    }
    return w;
}

/* One of the parts between semicolons. */
static enum sonde_status parse_part(struct sonde_edit *edit, struct word w,
                                    struct sonde_error *error)
{
    const struct {
        const char *name;
        struct sonde_edit_list *list;
    } axes[] = { { "heads", &edit->heads },
                 { "neurons", &edit->neurons },
                 { "positions", &edit->positions },
                 { "keys", &edit->keys } };
    w = trimmed(w);
    const char *equals = memchr(w.at, '=', w.n);
    if (!equals) {
        return parse_list(w, &edit->neurons, error);
    }
    struct word name = trimmed((struct word){ w.at, (size_t)(equals - w.at) });
    struct word list = trimmed((struct word){ equals + 1, (size_t)(w.at + w.n - equals - 1) });
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) {
        if (strlen(axes[i].name) == name.n && memcmp(axes[i].name, name.at, name.n) == 0) {
            return parse_list(list, axes[i].list, error);
        }
    }
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "'%.*s': expected heads, neurons, positions or keys", shown(name),
                           name.at);
}

/* SITES[RESTRICTION]@RUN: the last two where they are there. */
static enum sonde_status parse_place(struct sonde_edit *edit, struct word w, struct word *sites,
                                     struct sonde_error *error)
{
    const char *end = w.at + w.n;
    const char *open = memchr(w.at, '[', w.n);
    const char *rest = open ? memchr(open, ']', (size_t)(end - open)) : memchr(w.at, '@', w.n);
    if (open && !rest) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "'%.*s': the [ is not closed",
                               shown(w), w.at);
    }
    *sites = (struct word){ w.at, (size_t)((open ? open : rest ? rest : end) - w.at) };
    for (const char *p = open ? open + 1 : NULL; p;) {
        const char *semicolon = memchr(p, ';', (size_t)(rest - p));
        const char *stop = semicolon ? semicolon : rest;
        enum sonde_status status = parse_part(edit, (struct word){ p, (size_t)(stop - p) }, error);
        if (status != SONDE_STATUS_OK) {
            return status;
        }
        p = semicolon ? semicolon + 1 : NULL;
    }
    rest = rest ? rest + (open ? 1 : 0) : end;
    if (rest == end) {
        return SONDE_STATUS_OK;
    }
    if (*rest != '@' || edit->kind != SONDE_EDIT_MEAN || rest + 1 == end) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "'%.*s' is not understood at '%.*s'",
                               shown(w), w.at, (int)(end - rest < 60 ? end - rest : 60), rest);
    }
    edit->run = copy((struct word){ rest + 1, (size_t)(end - rest - 1) });
    return edit->run ? SONDE_STATUS_OK : sonde_error_memory(error, "an edit");
}

/* "blocks.2-5.mlp" to the pattern of what is added there. */
static enum sonde_status make_skip(struct sonde_edit *edit, struct word w,
                                   struct sonde_error *error)
{
    static const char prefix[] = "blocks.";
    struct word layers = w;
    if (w.n > sizeof prefix - 1 && memcmp(w.at, prefix, sizeof prefix - 1) == 0) {
        layers = (struct word){ w.at + sizeof prefix - 1, w.n - (sizeof prefix - 1) };
    }
    const char *dot = memchr(layers.at, '.', layers.n);
    struct word part = { "", 0 };
    if (dot) {
        part = (struct word){ dot + 1, (size_t)(layers.at + layers.n - dot - 1) };
        layers.n = (size_t)(dot - layers.at);
    }
    bool attn = part.n == 4 && memcmp(part.at, "attn", 4) == 0;
    bool mlp = part.n == 3 && memcmp(part.at, "mlp", 3) == 0;
    bool good = layers.n > 0 && (attn || mlp || !dot);
    for (size_t i = 0; i < layers.n; i++) {
        good = good && strchr("0123456789-|*", layers.at[i]) != NULL;
    }
    if (!good) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "'%.*s': expected a layer or a half of one, as in 3, 2-5, 3.attn, "
                               "*.mlp",
                               shown(w), w.at);
    }
    struct sonde_buf pattern = { 0 };
    if (attn || !dot) {
        sonde_buf_printf(&pattern, "blocks.%.*s.hook_attn_out", (int)layers.n, layers.at);
    }
    if (mlp || !dot) {
        sonde_buf_printf(&pattern, "%sblocks.%.*s.hook_mlp_out", dot ? "" : ",", (int)layers.n,
                         layers.at);
    }
    enum sonde_status status = sonde_buf_status(&pattern, error);
    edit->sites = pattern.data;
    return status;
}

static enum sonde_status parse_number(struct word w, double *out, struct sonde_error *error)
{
    if (!sonde_parse_f64(w.at, w.n, out) || !((float)*out - (float)*out == 0.0f)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "'%.*s': expected a number", shown(w),
                               w.at);
    }
    return SONDE_STATUS_OK;
}

/* from RUN:SEQUENCE; a run's name may hold colons. */
static enum sonde_status parse_origin(struct sonde_edit *edit, struct word from, struct word w,
                                      struct sonde_error *error)
{
    if (from.n != 4 || memcmp(from.at, "from", 4) != 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "'%.*s': expected from", shown(from),
                               from.at);
    }
    size_t colon = w.n;
    while (colon > 0 && w.at[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2 || !sonde_parse_i64(w.at + colon, w.n - colon, &edit->sequence) ||
        edit->sequence < 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "'%.*s': expected RUN:SEQUENCE, as in run-1:0", shown(w), w.at);
    }
    edit->run = copy((struct word){ w.at, colon - 1 });
    return edit->run ? SONDE_STATUS_OK : sonde_error_memory(error, "an edit");
}

static const struct form *find_form(struct word w)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strlen(forms[i].name) == w.n && memcmp(forms[i].name, w.at, w.n) == 0) {
            return &forms[i];
        }
    }
    return NULL;
}

/* What follows the place. */
static enum sonde_status parse_rest(struct sonde_edit *edit, const struct word *words, int n,
                                    struct sonde_error *error)
{
    switch (edit->kind) {
    case SONDE_EDIT_SET:
        return parse_number(words[2], &edit->number, error);
    case SONDE_EDIT_PATCH:
        return parse_origin(edit, words[2], words[3], error);
    case SONDE_EDIT_ADD:
    case SONDE_EDIT_PROJECT_OUT:
    case SONDE_EDIT_KEEP:
    case SONDE_EDIT_FLIP:
        edit->number = 1.0;
        edit->path = copy(words[2]);
        if (!edit->path) {
            return sonde_error_memory(error, "an edit");
        }
        return n == 4 ? parse_number(words[3], &edit->number, error) : SONDE_STATUS_OK;
    default:
        return SONDE_STATUS_OK;
    }
}

enum sonde_status sonde_edit_parse(struct sonde_edit *out, const char *text,
                                   struct sonde_error *error)
{
    struct word words[WORDS_MAX], place = { "", 0 };
    int n = 0;
    enum sonde_status status = split(text, words, &n, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    const struct form *form = n ? find_form(words[0]) : NULL;
    if (!form) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "'%.*s': expected zero, mean, set, add, project-out, keep, flip, "
                               "patch or skip",
                               n ? shown(words[0]) : 0, n ? words[0].at : "");
    }
    if (n < form->n_least) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "something is missing: %s",
                               form->usage);
    }
    if (n > form->n_most) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "'%.*s' is one word too many: %s",
                               shown(words[form->n_most]), words[form->n_most].at, form->usage);
    }
    out->kind = form->kind;
    out->text = sonde_strdup(text);
    status = out->text ? parse_place(out, words[1], &place, error)
                       : sonde_error_memory(error, "an edit");
    if (status == SONDE_STATUS_OK && out->kind == SONDE_EDIT_SKIP) {
        status = make_skip(out, place, error);
    } else if (status == SONDE_STATUS_OK) {
        out->sites = copy(place);
        status = out->sites ? SONDE_STATUS_OK : sonde_error_memory(error, "an edit");
    }
    return status == SONDE_STATUS_OK ? parse_rest(out, words, n, error) : status;
}
