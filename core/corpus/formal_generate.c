/* Strings of a formal language: the studies' grammars, and a walk that reaches every string. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/corpus/formal_internal.h"

/* Steps of drawing without a new string after which the search ends. */
#define SEARCH_STEPS (INT64_C(1) << 25)

enum frame_kind {
    FRAME_CHOOSE,
    FRAME_CLOSE,
    FRAME_PAIR,  /* the first half of S S is done */
    FRAME_CHECK, /* both are */
};
struct frame { /* of the grammar's recursion */
    enum frame_kind kind;
    int type;
    int64_t begin; /* of what the branch wrote */
    int64_t size;  /* brackets around and with it */
};

struct sonde_formal_generator {
    struct sonde_formal_spec spec;
    struct sonde_formal *formal;
    struct sonde_rng rng;
    struct sonde_formal_walk walk;
    struct sonde_buf text;
    uint64_t *reach; /* [max_length + 1] bit s: state s ends in exactly so many symbols */
    struct frame *frames;
    int64_t frames_capacity;
    uint64_t *seen; /* [seen_capacity] hashes of the strings given; 0: free */
    int64_t seen_capacity, n_seen;
    int64_t n_given;
    int64_t work; /* steps of drawing */
};

static bool take_key(const char **at, const char *key)
{
    size_t n = strlen(key);
    if (strncmp(*at, key, n) != 0)
        return false;
    *at += n;
    return true;
}

static bool parse_lengths(const char *text, size_t n, struct sonde_formal_spec *spec)
{
    const char *dots = memchr(text, '.', n);
    size_t n_first = dots ? (size_t)(dots - text) : n;
    if (!sonde_parse_i64(text, n_first, &spec->min_length))
        return false;
    spec->max_length = spec->min_length;
    if (!dots)
        return true;
    return n - n_first > 2 && dots[1] == '.' &&
           sonde_parse_i64(dots + 2, n - n_first - 2, &spec->max_length);
}

static bool is_word(const char *text, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(text, word, n) == 0;
}

static enum sonde_status parse_pair(const char *at, size_t n, struct sonde_formal_spec *spec,
                                    struct sonde_error *error)
{
    static const char *const kinds[] = { "auto", "grammar", "walk" };
    const char *value = at;
    bool ok = false;
    int64_t seed = 0;
    if (take_key(&value, "n=")) {
        ok = sonde_parse_i64(value, n - 2, &spec->n) && spec->n >= 1 &&
             spec->n <= SONDE_FORMAL_MAX_STRINGS;
    } else if (take_key(&value, "len=")) {
        ok = parse_lengths(value, n - 4, spec) && spec->min_length >= 1 &&
             spec->min_length <= spec->max_length && spec->max_length <= SONDE_FORMAL_MAX_LENGTH;
    } else if (take_key(&value, "seed=")) {
        ok = sonde_parse_i64(value, n - 5, &seed) && seed >= 0;
        spec->seed = (uint64_t)seed;
    } else if (take_key(&value, "generator=")) {
        for (int k = 0; k < 3; k++)
            if (is_word(value, n - 10, kinds[k])) {
                spec->generator = (enum sonde_formal_generator_kind)k;
                ok = true;
            }
    } else if (take_key(&value, "repeats=")) {
        spec->repeats = is_word(value, n - 8, "yes");
        ok = spec->repeats || is_word(value, n - 8, "no");
    } else if (take_key(&value, "ids=")) {
        ok = n - 4 < sizeof(spec->ids) && n > 4;
        memset(spec->ids, 0, sizeof(spec->ids));
        if (ok)
            memcpy(spec->ids, value, n - 4);
    }
    if (ok)
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "formal language: '%.*s', expected n=N (1 to %lld), len=A..B (1 to "
                           "%lld), seed=N, generator=auto|grammar|walk, repeats=yes|no or "
                           "ids=SYMBOLS",
                           (int)(n < 40 ? n : 40), at, (long long)SONDE_FORMAL_MAX_STRINGS,
                           (long long)SONDE_FORMAL_MAX_LENGTH);
}

enum sonde_status sonde_formal_parse_spec(const char *text, struct sonde_formal_spec *out,
                                          struct sonde_error *error)
{
    struct sonde_formal_spec spec = {
        .n = 1000, .min_length = 2, .max_length = 50, .seed = SONDE_SEED_DEFAULT, .repeats = -1
    };
    size_t n = strcspn(text, ":");
    if (n == 0 || n >= sizeof(spec.name))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "formal language '%.40s': expected NAME:n=1000,len=2..50", text);
    memcpy(spec.name, text, n);
    const char *at = text[n] ? text + n + 1 : text + n;
    while (*at) {
        size_t size = strcspn(at, ",");
        enum sonde_status status = parse_pair(at, size, &spec, error);
        if (status)
            return status;
        at += size + (at[size] == ',');
    }
    *out = spec;
    return SONDE_STATUS_OK;
}

/* Whether a string can end `left` symbols behind the point. */
static bool reaches(const struct sonde_formal_generator *g, const struct sonde_formal_point *p,
                    int64_t left)
{
    const struct sonde_formal_machine *machine = g->formal->language->machine;
    if (machine->reaches)
        return machine->reaches(g->formal, p, left);
    return g->reach[left] >> p->state & 1;
}

static enum sonde_status fill_reach(struct sonde_formal_generator *g, struct sonde_error *error)
{
    const struct sonde_formal *f = g->formal;
    g->reach = calloc((size_t)g->spec.max_length + 1, sizeof(*g->reach));
    if (!g->reach)
        return sonde_error_memory(error, "a formal language");
    for (int s = 0; s < f->n_states; s++)
        g->reach[0] |= (uint64_t)f->accepting[s] << s;
    for (int64_t left = 1; left <= g->spec.max_length; left++)
        for (int s = 0; s < f->n_states; s++)
            for (int c = 0; c < f->n_symbols; c++)
                if (f->move[s][c] >= 0)
                    g->reach[left] |= (g->reach[left - 1] >> f->move[s][c] & 1) << s;
    return SONDE_STATUS_OK;
}

static enum sonde_status check_ids(const struct sonde_formal *f, struct sonde_formal_spec *spec,
                                   struct sonde_error *error)
{
    if (!spec->ids[0]) {
        memcpy(spec->ids, f->ids, sizeof(spec->ids));
        return SONDE_STATUS_OK;
    }
    bool ok = spec->ids[0] == 'T' && strlen(spec->ids) == (size_t)f->n_symbols + 1;
    for (int c = 0; ok && c < f->n_symbols; c++)
        ok = strchr(spec->ids + 1, f->symbols[c]) != NULL;
    if (ok)
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "ids=%s: expected T and then each symbol of %s (%s) once", spec->ids,
                           f->name, f->symbols);
}

static enum sonde_status plan(struct sonde_formal_generator *g, struct sonde_error *error)
{
    const struct sonde_formal_language *l = g->formal->language;
    struct sonde_formal_spec *spec = &g->spec;
    if (spec->n < 1 || spec->n > SONDE_FORMAL_MAX_STRINGS || spec->min_length < 1 ||
        spec->max_length < spec->min_length || spec->max_length > SONDE_FORMAL_MAX_LENGTH)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: %lld strings of length %lld to %lld are out of range",
                               g->formal->name, (long long)spec->n, (long long)spec->min_length,
                               (long long)spec->max_length);
    if (spec->generator == SONDE_FORMAL_GENERATOR_GRAMMAR && !l->grammar)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s has no grammar generator; give generator=walk", g->formal->name);
    if (spec->generator == SONDE_FORMAL_GENERATOR_AUTO)
        spec->generator = l->grammar ? SONDE_FORMAL_GENERATOR_GRAMMAR : SONDE_FORMAL_GENERATOR_WALK;
    if (spec->repeats < 0)
        spec->repeats = l->repeats;
    enum sonde_status status = check_ids(g->formal, spec, error);
    if (!status && !l->machine->reaches)
        status = fill_reach(g, error);
    if (status)
        return status;
    sonde_formal_walk_start(&g->walk, g->formal);
    for (int64_t n = spec->min_length; n <= spec->max_length; n++)
        if (reaches(g, &g->walk.at, n))
            return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s has no string of length %lld to %lld",
                           g->formal->name, (long long)spec->min_length,
                           (long long)spec->max_length);
}

enum sonde_status sonde_formal_generator_create(struct sonde_formal_generator **out,
                                                const struct sonde_formal_spec *spec,
                                                struct sonde_error *error)
{
    struct sonde_formal_generator *g = calloc(1, sizeof(*g));
    if (!g)
        return sonde_error_memory(error, "a formal language");
    g->spec = *spec;
    g->rng = sonde_rng_make(spec->seed, sonde_rng_stream(spec->name));
    enum sonde_status status = sonde_formal_create(&g->formal, spec->name, error);
    if (!status)
        status = plan(g, error);
    if (status)
        sonde_formal_generator_destroy(&g);
    else
        *out = g;
    return status;
}

void sonde_formal_generator_destroy(struct sonde_formal_generator **generator)
{
    struct sonde_formal_generator *g = *generator;
    *generator = NULL;
    if (!g)
        return;
    sonde_formal_walk_finish(&g->walk);
    sonde_formal_destroy(&g->formal);
    sonde_buf_finish(&g->text);
    free(g->reach);
    free(g->frames);
    free(g->seen);
    free(g);
}

const struct sonde_formal *sonde_formal_generator_language(const struct sonde_formal_generator *g)
{
    return g->formal;
}

const struct sonde_formal_spec *sonde_formal_generator_spec(const struct sonde_formal_generator *g)
{
    return &g->spec;
}

static enum sonde_status draw_walk(struct sonde_formal_generator *g, struct sonde_error *error)
{
    const struct sonde_formal *f = g->formal;
    sonde_formal_walk_start(&g->walk, f);
    int64_t span = g->spec.max_length - g->spec.min_length + 1, left;
    do
        left = g->spec.min_length + sonde_rng_below(&g->rng, span);
    while (!reaches(g, &g->walk.at, left));
    for (; left > 0; left--) {
        int open[SONDE_FORMAL_MAX_SYMBOLS], n = 0;
        for (int c = 0; c < f->n_symbols; c++) {
            struct sonde_formal_point to = g->walk.at;
            if (!f->language->machine->move(f, &to, c))
                continue;
            to.length++;
            if (reaches(g, &to, left - 1))
                open[n++] = c;
        }
        char symbol = f->symbols[open[n > 1 ? sonde_rng_below(&g->rng, n) : 0]];
        enum sonde_status status = sonde_formal_walk_step(&g->walk, symbol, error);
        if (status)
            return status;
        g->work++;
        sonde_buf_putc(&g->text, symbol);
    }
    return SONDE_STATUS_OK;
}

static bool push(struct sonde_formal_generator *g, int64_t *n, struct frame frame)
{
    if (!sonde_grow((void **)&g->frames, &g->frames_capacity, *n + 1, sizeof(frame),
                    INT64_C(1) << 28))
        return false;
    g->frames[(*n)++] = frame;
    return true;
}

/* What the branch wrote is too long: it counts as empty. */
static void cut_branch(struct sonde_formal_generator *g, const struct frame *frame)
{
    if ((int64_t)g->text.size - frame->begin > g->spec.max_length)
        g->text.size = (size_t)frame->begin;
}

/* S -> open S close | S S | empty with the recursion on a stack of its own. */
static enum sonde_status draw_brackets(struct sonde_formal_generator *g, struct sonde_error *error)
{
    const char *symbols = g->formal->symbols;
    int64_t n = 0;
    bool ok = push(g, &n, (struct frame){ .kind = FRAME_CHOOSE });
    while (ok && n > 0) {
        g->work++;
        struct frame now = g->frames[--n];
        struct frame inner = { .begin = (int64_t)g->text.size, .size = now.size };
        if (now.kind == FRAME_CLOSE) {
            sonde_buf_putc(&g->text, symbols[2 * now.type + 1]);
            cut_branch(g, &now);
        } else if (now.kind == FRAME_CHECK) {
            cut_branch(g, &now);
        } else if (now.kind == FRAME_PAIR) {
            now.kind = FRAME_CHECK;
            ok = push(g, &n, now) && push(g, &n, inner);
        } else if (now.size < g->spec.max_length) {
            double p = sonde_rng_uniform(&g->rng);
            now.begin = (int64_t)g->text.size;
            if (p < .5) {
                now.kind = FRAME_CLOSE;
                now.type = (int)sonde_rng_below(&g->rng, g->formal->size);
                inner.size += 2;
                sonde_buf_putc(&g->text, symbols[2 * now.type]);
                ok = push(g, &n, now) && push(g, &n, inner);
            } else if (p < .75) {
                now.kind = FRAME_PAIR;
                ok = push(g, &n, now) && push(g, &n, inner);
            }
        }
    }
    return ok ? sonde_buf_status(&g->text, error) : sonde_error_memory(error, "a formal string");
}

/* An expression, from the front; one that grows too long is given up. */
static void draw_boolean(struct sonde_formal_generator *g)
{
    const struct sonde_formal *f = g->formal;
    int64_t owed = 1;
    while (owed > 0) {
        bool literal = sonde_rng_uniform(&g->rng) < .5;
        int64_t symbol =
            literal ? sonde_rng_below(&g->rng, 2) : 2 + sonde_rng_below(&g->rng, f->size);
        owed += literal ? -1 : symbol - 2;
        g->work++;
        sonde_buf_putc(&g->text, f->symbols[symbol]);
        if ((int64_t)g->text.size + owed > g->spec.max_length) {
            sonde_buf_clear(&g->text);
            return;
        }
    }
}

static bool insert(uint64_t *seen, int64_t capacity, uint64_t hash)
{
    int64_t at = (int64_t)(hash & (uint64_t)(capacity - 1));
    while (seen[at] && seen[at] != hash)
        at = (at + 1) & (capacity - 1);
    bool is_new = !seen[at];
    seen[at] = hash;
    return is_new;
}

/* Two different strings with one hash (of 64 bits) count as one: the second is then not given. */
static enum sonde_status remember(struct sonde_formal_generator *g, bool *is_new,
                                  struct sonde_error *error)
{
    if (2 * (g->n_seen + 1) > g->seen_capacity) {
        int64_t capacity = g->seen_capacity ? 2 * g->seen_capacity : 1024;
        uint64_t *larger = calloc((size_t)capacity, sizeof(*larger));
        if (!larger)
            return sonde_error_memory(error, "the strings of a formal language");
        for (int64_t i = 0; i < g->seen_capacity; i++)
            if (g->seen[i])
                insert(larger, capacity, g->seen[i]);
        free(g->seen);
        g->seen = larger;
        g->seen_capacity = capacity;
    }
    uint64_t hash = sonde_rng_stream(g->text.data);
    *is_new = insert(g->seen, g->seen_capacity, hash ? hash : 1);
    g->n_seen += *is_new;
    return SONDE_STATUS_OK;
}

static enum sonde_status draw(struct sonde_formal_generator *g, struct sonde_error *error)
{
    sonde_buf_clear(&g->text);
    if (g->spec.generator == SONDE_FORMAL_GENERATOR_WALK)
        return draw_walk(g, error);
    if (g->formal->language->machine != &sonde_formal_boolean)
        return draw_brackets(g, error);
    draw_boolean(g);
    return sonde_buf_status(&g->text, error);
}

enum sonde_status sonde_formal_generator_next(struct sonde_formal_generator *g, const char **out,
                                              int64_t *n, struct sonde_error *error)
{
    int64_t end = g->work + SEARCH_STEPS;
    bool found = false;
    if (g->n_given == g->spec.n) {
        *out = NULL;
        *n = 0;
        return SONDE_STATUS_OK;
    }
    while (!found && g->work < end) {
        enum sonde_status status = draw(g, error);
        int64_t size = (int64_t)g->text.size;
        found = size >= g->spec.min_length;
        if (!status && found) {
            g->text.data[size] = '\0'; /* behind what was cut */
            if (!g->spec.repeats)
                status = remember(g, &found, error);
        }
        if (status)
            return status;
    }
    if (!found)
        return sonde_error_set(
            error, SONDE_STATUS_LIMIT,
            "%s: found %lld different strings of length %lld to %lld, %lld are "
            "asked for; allow other lengths, or repeats=yes%s",
            g->formal->name, (long long)g->n_given, (long long)g->spec.min_length,
            (long long)g->spec.max_length, (long long)g->spec.n,
            g->spec.generator == SONDE_FORMAL_GENERATOR_GRAMMAR ? ", or generator=walk" : "");
    g->n_given++;
    *out = g->text.data;
    *n = (int64_t)g->text.size;
    return SONDE_STATUS_OK;
}
