#include "core/corpus/formal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/corpus/formal_internal.h"

/* The number behind the family's name; 0 for a language without one, -1 where it is not meant. */
static int64_t match_name(const struct sonde_formal_language *l, const char *name)
{
    size_t n = strlen(l->name);
    int64_t size = 0;
    if (strncmp(name, l->name, n) != 0)
        return -1;
    if (l->max_size == 0)
        return name[n] ? -1 : 0;
    if (name[n] != '-' || !sonde_parse_i64(name + n + 1, strlen(name + n + 1), &size) || size < 0)
        return -1;
    return size;
}

static enum sonde_status unknown_name(const char *name, struct sonde_error *error)
{
    struct sonde_buf names = { 0 };
    for (int64_t i = 0; i < sonde_formal_n_languages; i++)
        sonde_buf_printf(&names, "%s%s%s", i ? ", " : "", sonde_formal_languages[i].name,
                         sonde_formal_languages[i].max_size ? "-N" : "");
    enum sonde_status status =
        sonde_error_set(error, SONDE_STATUS_ARGUMENT, "no formal language '%.40s', expected %s",
                        name, names.data ? names.data : "a known one");
    sonde_buf_finish(&names);
    return status;
}

static void read_table(struct sonde_formal *f, const char *const *table)
{
    for (; table[f->n_states]; f->n_states++) {
        const char *row = table[f->n_states];
        f->accepting[f->n_states] = row[0] == '+';
        for (int c = 0; c < f->n_symbols; c++)
            f->move[f->n_states][c] = (int8_t)(row[1 + c] == '.' ? -1 : row[1 + c] - '0');
    }
}

/* The published checkpoints have orders of their own. */
static const char *published_ids(const char *name)
{
    static const struct {
        const char *name, *ids;
    } known[] = { { "shuffle-2", "T)[(]" },
                  { "shuffle-4", "T][{><()}" },
                  { "shuffle-6", "T+]{}<)b->[a(" } };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].ids;
    return NULL;
}

enum sonde_status sonde_formal_create(struct sonde_formal **out, const char *name,
                                      struct sonde_error *error)
{
    const struct sonde_formal_language *l = NULL;
    int64_t size = -1;
    for (int64_t i = 0; i < sonde_formal_n_languages && size < 0; i++) {
        l = &sonde_formal_languages[i];
        size = match_name(l, name);
    }
    if (size < 0)
        return unknown_name(name, error);
    if (size < l->min_size || size > l->max_size)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "formal language '%.40s': the number of %s is from %d to %d", name,
                               l->name, l->min_size, l->max_size);
    struct sonde_formal *f = calloc(1, sizeof(*f));
    if (!f)
        return sonde_error_memory(error, "a formal language");
    f->language = l;
    f->size = (int)size;
    if (l->max_size)
        snprintf(f->name, sizeof(f->name), "%s-%d", l->name, f->size);
    else
        snprintf(f->name, sizeof(f->name), "%s", l->name);
    f->n_symbols = l->per_size * f->size + l->fixed;
    memcpy(f->symbols, l->symbols, (size_t)f->n_symbols);
    const char *ids = published_ids(f->name);
    snprintf(f->ids, sizeof(f->ids), "%s%s", ids ? "" : "T", ids ? ids : f->symbols);
    memset(f->symbol_of, -1, sizeof(f->symbol_of));
    for (int c = 0; c < f->n_symbols; c++)
        f->symbol_of[(unsigned char)f->symbols[c]] = (int8_t)c;
    if (l->table)
        read_table(f, l->table);
    else if (l->build)
        l->build(f);
    *out = f;
    return SONDE_STATUS_OK;
}

void sonde_formal_destroy(struct sonde_formal **formal)
{
    free(*formal);
    *formal = NULL;
}

const char *sonde_formal_name(const struct sonde_formal *formal)
{
    return formal->name;
}

const char *sonde_formal_symbols(const struct sonde_formal *formal)
{
    return formal->symbols;
}

const char *sonde_formal_ids(const struct sonde_formal *formal)
{
    return formal->ids;
}

int sonde_formal_n_types(const struct sonde_formal *formal)
{
    return formal->language->has & SONDE_FORMAL_HAS_TYPES ? formal->size : 0;
}

bool sonde_formal_describe(int64_t n, const char **name, int *min_size, int *max_size)
{
    if (n < 0 || n >= sonde_formal_n_languages)
        return false;
    *name = sonde_formal_languages[n].name;
    *min_size = sonde_formal_languages[n].min_size;
    *max_size = sonde_formal_languages[n].max_size;
    return true;
}

void sonde_formal_walk_start(struct sonde_formal_walk *walk, const struct sonde_formal *formal)
{
    walk->formal = formal;
    walk->at = (struct sonde_formal_point){ .top = -1 };
    if (formal->language->machine == &sonde_formal_boolean)
        walk->at.depth = 1; /* the expression itself is missing */
    sonde_buf_clear(&walk->stack);
}

void sonde_formal_walk_finish(struct sonde_formal_walk *walk)
{
    sonde_buf_finish(&walk->stack);
    *walk = (struct sonde_formal_walk){ 0 };
}

/* The stack after `symbol`, which dyck_move allowed. */
static bool move_stack(struct sonde_formal_walk *walk, int symbol, struct sonde_formal_point *to)
{
    struct sonde_buf *stack = &walk->stack;
    if (symbol % 2 == 0)
        return sonde_buf_putc(stack, (char)(symbol / 2));
    stack->data[--stack->size] = '\0';
    to->top = stack->size ? stack->data[stack->size - 1] : -1;
    return true;
}

enum sonde_status sonde_formal_walk_step(struct sonde_formal_walk *walk, char symbol,
                                         struct sonde_error *error)
{
    const struct sonde_formal *f = walk->formal;
    struct sonde_formal_point to = walk->at;
    int s = f->symbol_of[(unsigned char)symbol];
    if (s < 0)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "'%c' is no symbol of %s (%s)", symbol,
                               f->name, f->symbols);
    if (!f->language->machine->move(f, &to, s))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "'%c' cannot stand at position %lld of a string of %s", symbol,
                               (long long)walk->at.length, f->name);
    if (f->language->machine == &sonde_formal_dyck && !move_stack(walk, s, &to))
        return sonde_buf_status(&walk->stack, error);
    to.length++;
    walk->at = to;
    return SONDE_STATUS_OK;
}

bool sonde_formal_accepts(const struct sonde_formal_walk *walk)
{
    return walk->formal->language->machine->accepts(walk->formal, &walk->at);
}

int64_t sonde_formal_next(const struct sonde_formal_walk *walk, bool *out)
{
    const struct sonde_formal *f = walk->formal;
    int64_t n = 0;
    for (int c = 0; c < f->n_symbols; c++) {
        struct sonde_formal_point to = walk->at;
        out[c] = f->language->machine->move(f, &to, c);
        n += out[c];
    }
    return n;
}

int64_t sonde_formal_target_size(const struct sonde_formal *formal)
{
    switch (formal->language->target) {
    case SONDE_FORMAL_TARGET_CLOSES:
        return formal->n_symbols / 2;
    case SONDE_FORMAL_TARGET_NEXT:
        return formal->n_symbols;
    case SONDE_FORMAL_TARGET_ACCEPT:
    case SONDE_FORMAL_TARGET_LETTER:
        break;
    }
    return 1;
}

void sonde_formal_target(const struct sonde_formal_walk *walk, char *out)
{
    const struct sonde_formal *f = walk->formal;
    bool next[SONDE_FORMAL_MAX_SYMBOLS];
    sonde_formal_next(walk, next);
    switch (f->language->target) {
    case SONDE_FORMAL_TARGET_ACCEPT:
        out[0] = sonde_formal_accepts(walk) ? '1' : '0';
        break;
    case SONDE_FORMAL_TARGET_CLOSES:
        for (int c = 1; c < f->n_symbols; c += 2)
            out[c / 2] = next[c] ? '1' : '0';
        break;
    case SONDE_FORMAL_TARGET_NEXT:
        for (int c = 0; c < f->n_symbols; c++)
            out[c] = next[c] ? '1' : '0';
        break;
    case SONDE_FORMAL_TARGET_LETTER:
        out[0] = 'T';
        for (int c = 0; c < f->n_symbols; c++)
            if (next[c])
                out[0] = f->symbols[c];
        if (next[0])
            out[0] = (char)('a' + f->n_symbols);
        break;
    }
}

static const char *const label_names[] = { "depth", "depth:", "depth/length", "stack-top",
                                           "state" };

bool sonde_formal_is_label(const char *name)
{
    for (size_t i = 0; i < sizeof(label_names) / sizeof(label_names[0]); i++)
        if (strcmp(name, label_names[i]) == 0)
            return true;
    return strncmp(name, "depth:", 6) == 0;
}

/* A number from 1, or the symbol that begins the type; -1: neither. */
static int find_type(const struct sonde_formal *f, const char *text)
{
    int64_t number = 0;
    int n = sonde_formal_n_types(f), stride = f->language->per_size;
    for (int i = 0; i < n; i++)
        if (text[0] == f->symbols[i * stride] && !text[1])
            return i;
    if (sonde_parse_i64(text, strlen(text), &number) && number >= 1 && number <= n)
        return (int)number - 1;
    return -1;
}

enum sonde_status sonde_formal_find_label(const struct sonde_formal *formal, const char *name,
                                          struct sonde_formal_label *out, struct sonde_error *error)
{
    int has = formal->language->has, need = 0;
    struct sonde_formal_label label = { .variable = SONDE_FORMAL_STATE };
    if (strcmp(name, "depth") == 0 || strcmp(name, "depth/length") == 0) {
        label.variable = name[5] ? SONDE_FORMAL_DEPTH_RATIO : SONDE_FORMAL_DEPTH;
        need = SONDE_FORMAL_HAS_DEPTH;
    } else if (strncmp(name, "depth:", 6) == 0) {
        label.variable = SONDE_FORMAL_DEPTH_TYPE;
        label.type = find_type(formal, name + 6);
        need = SONDE_FORMAL_HAS_TYPES;
    } else if (strcmp(name, "stack-top") == 0) {
        label.variable = SONDE_FORMAL_STACK_TOP;
        need = SONDE_FORMAL_HAS_TOP;
    } else if (strcmp(name, "state") != 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "no variable '%.40s' of a formal language, expected depth, "
                               "depth:TYPE, depth/length, stack-top or state",
                               name);
    }
    if ((has & need) != need)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s has no %s", formal->name,
                               need == SONDE_FORMAL_HAS_TYPES ? "depth per type" : name);
    if (label.type < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s has no type '%.20s', expected 1 to %d or the symbol that "
                               "begins it",
                               formal->name, name + 6, sonde_formal_n_types(formal));
    *out = label;
    return SONDE_STATUS_OK;
}

double sonde_formal_number(const struct sonde_formal_walk *walk,
                           const struct sonde_formal_label *label)
{
    const struct sonde_formal_point *p = &walk->at;
    switch (label->variable) {
    case SONDE_FORMAL_DEPTH_TYPE:
        return (double)p->count[label->type];
    case SONDE_FORMAL_DEPTH_RATIO:
        return p->length ? (double)p->depth / (double)p->length : 0;
    case SONDE_FORMAL_DEPTH:
    case SONDE_FORMAL_STACK_TOP:
    case SONDE_FORMAL_STATE:
        break;
    }
    return (double)p->depth;
}

void sonde_formal_text(const struct sonde_formal_walk *walk, const struct sonde_formal_label *label,
                       struct sonde_buf *out)
{
    const struct sonde_formal *f = walk->formal;
    switch (label->variable) {
    case SONDE_FORMAL_DEPTH:
    case SONDE_FORMAL_DEPTH_TYPE:
    case SONDE_FORMAL_DEPTH_RATIO:
        sonde_buf_put_f64(out, sonde_formal_number(walk, label));
        break;
    case SONDE_FORMAL_STACK_TOP:
        if (walk->at.top < 0)
            sonde_buf_puts(out, "empty");
        else
            sonde_buf_putc(out, f->symbols[2 * walk->at.top]);
        break;
    case SONDE_FORMAL_STATE:
        f->language->machine->state(walk, out);
        break;
    }
}
