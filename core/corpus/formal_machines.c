/* How the prefixes of each kind of language move, and the automata that are given as tables. */
#include <string.h>

#include "core/corpus/formal_internal.h"

static void put_number(const struct sonde_formal_walk *walk, int64_t number, struct sonde_buf *out)
{
    (void)walk;
    sonde_buf_printf(out, "%lld", (long long)number);
}

static void put_state(const struct sonde_formal_walk *walk, struct sonde_buf *out)
{
    put_number(walk, walk->at.state, out);
}

static bool automaton_move(const struct sonde_formal *f, struct sonde_formal_point *p, int symbol)
{
    int to = f->move[p->state][symbol];
    if (to < 0)
        return false;
    p->state = to;
    p->depth = to; /* of d-N, where the state is the depth */
    return true;
}

static bool automaton_accepts(const struct sonde_formal *f, const struct sonde_formal_point *p)
{
    return f->accepting[p->state];
}

const struct sonde_formal_machine sonde_formal_automaton = { .move = automaton_move,
                                                             .accepts = automaton_accepts,
                                                             .state = put_state };

static bool shuffle_move(const struct sonde_formal *f, struct sonde_formal_point *p, int symbol)
{
    int type = symbol / 2;
    bool closes = symbol % 2;
    (void)f;
    if (closes && p->count[type] == 0)
        return false;
    p->count[type] += closes ? -1 : 1;
    p->depth += closes ? -1 : 1;
    return true;
}

static bool brackets_accept(const struct sonde_formal *f, const struct sonde_formal_point *p)
{
    (void)f;
    return p->depth == 0;
}

static bool brackets_reach(const struct sonde_formal *f, const struct sonde_formal_point *p,
                           int64_t left)
{
    (void)f;
    return left >= p->depth && (left - p->depth) % 2 == 0;
}

static void put_counters(const struct sonde_formal_walk *walk, struct sonde_buf *out)
{
    for (int i = 0; i < walk->formal->size; i++) {
        sonde_buf_puts(out, i ? "," : "");
        put_number(walk, walk->at.count[i], out);
    }
}

const struct sonde_formal_machine sonde_formal_shuffle = { .move = shuffle_move,
                                                           .accepts = brackets_accept,
                                                           .reaches = brackets_reach,
                                                           .state = put_counters };

/* The walk sets the top that a close uncovers. */
static bool dyck_move(const struct sonde_formal *f, struct sonde_formal_point *p, int symbol)
{
    if (symbol % 2 && p->top != symbol / 2)
        return false;
    if (symbol % 2 == 0)
        p->top = symbol / 2;
    return shuffle_move(f, p, symbol);
}

static void put_stack(const struct sonde_formal_walk *walk, struct sonde_buf *out)
{
    if (walk->formal->size == 1) {
        put_number(walk, walk->at.depth, out);
        return;
    }
    if (walk->stack.size == 0)
        sonde_buf_puts(out, "empty");
    for (size_t i = 0; i < walk->stack.size; i++)
        sonde_buf_putc(out, walk->formal->symbols[2 * walk->stack.data[i]]);
}

const struct sonde_formal_machine sonde_formal_dyck = {
    .move = dyck_move, .accepts = brackets_accept, .reaches = brackets_reach, .state = put_stack
};

/* Symbols 0 and 1 are literals, symbol 1 + a is the operator with a operands. */
static bool boolean_move(const struct sonde_formal *f, struct sonde_formal_point *p, int symbol)
{
    (void)f;
    if (p->depth == 0)
        return false;
    p->depth += symbol < 2 ? -1 : symbol - 2;
    return true;
}

static bool boolean_reaches(const struct sonde_formal *f, const struct sonde_formal_point *p,
                            int64_t left)
{
    (void)f;
    return p->depth == 0 ? left == 0 : left >= p->depth; /* the operator ~ fills up */
}

static void put_depth(const struct sonde_formal_walk *walk, struct sonde_buf *out)
{
    put_number(walk, walk->at.depth, out);
}

const struct sonde_formal_machine sonde_formal_boolean = {
    .move = boolean_move, .accepts = brackets_accept, .reaches = boolean_reaches, .state = put_depth
};

/* state: the letter that was read last. */
static bool counter_move(const struct sonde_formal *f, struct sonde_formal_point *p, int symbol)
{
    if (symbol == 0) {
        if (p->state != 0)
            return false;
        p->depth = ++p->count[0];
        return true;
    }
    bool follows = symbol == p->state + 1 && p->count[p->state] == p->count[0] && p->count[0] > 0;
    if (!follows && (symbol != p->state || p->depth == 0))
        return false;
    (void)f;
    p->state = symbol;
    p->count[symbol]++;
    p->depth = p->count[0] - p->count[symbol];
    return true;
}

static bool counter_accepts(const struct sonde_formal *f, const struct sonde_formal_point *p)
{
    return p->state == f->size - 1 && p->depth == 0;
}

static bool counter_reaches(const struct sonde_formal *f, const struct sonde_formal_point *p,
                            int64_t left)
{
    int64_t n = f->size;
    if (p->state == 0) {
        int64_t all = p->length + left;
        return all % n == 0 && all / n >= (p->count[0] ? p->count[0] : 1);
    }
    return left == p->depth + (n - 1 - p->state) * p->count[0];
}

/* What is left decides, so b^n done equals c about to begin: "a3" while a is read, then "b:1/3"
 * (one b of three was read), at the last letter "c-2" (two are owed). */
static void put_counter(const struct sonde_formal_walk *walk, struct sonde_buf *out)
{
    const struct sonde_formal_point *p = &walk->at;
    int last = walk->formal->size - 1;
    if (p->state == 0)
        sonde_buf_printf(out, "a%lld", (long long)p->count[0]);
    else if (p->state == last)
        sonde_buf_printf(out, "%c-%lld", 'a' + last, (long long)p->depth);
    else if (p->state == last - 1 && p->depth == 0)
        sonde_buf_printf(out, "%c-%lld", 'a' + last, (long long)p->count[0]);
    else
        sonde_buf_printf(out, "%c:%lld/%lld", 'a' + p->state, (long long)p->count[p->state],
                         (long long)p->count[0]);
}

const struct sonde_formal_machine sonde_formal_counter = { .move = counter_move,
                                                           .accepts = counter_accepts,
                                                           .reaches = counter_reaches,
                                                           .state = put_counter };

/* Symbols ( ) 1; state: whether the reset was read. */
static bool reset_dyck_move(const struct sonde_formal *f, struct sonde_formal_point *p, int symbol)
{
    if (symbol < 2)
        return shuffle_move(f, p, symbol);
    if (p->state)
        return false;
    p->state = 1;
    p->depth = p->count[0] = 0;
    return true;
}

static bool reset_dyck_accepts(const struct sonde_formal *f, const struct sonde_formal_point *p)
{
    (void)f;
    return p->state && p->depth == 0;
}

static bool reset_dyck_reaches(const struct sonde_formal *f, const struct sonde_formal_point *p,
                               int64_t left)
{
    return p->state ? brackets_reach(f, p, left) : left >= 1;
}

static void put_reset(const struct sonde_formal_walk *walk, struct sonde_buf *out)
{
    sonde_buf_puts(out, walk->at.state ? "reset:" : "");
    put_number(walk, walk->at.depth, out);
}

const struct sonde_formal_machine sonde_formal_reset_dyck = { .move = reset_dyck_move,
                                                              .accepts = reset_dyck_accepts,
                                                              .reaches = reset_dyck_reaches,
                                                              .state = put_reset };

/* A row per state: + accepts, - does not; then for each symbol the next state, or '.'. */
static const char *const parity[] = { "+01", "-10", NULL };
static const char *const aa_star[] = { "+1", "-0", NULL };
static const char *const abab_star[] = { "+1.", "-.2", "-3.", "-.0", NULL };
static const char *const concat[] = { "-00.1", "+.11.", NULL };
static const char *const cab[] = { "-..1.", "-21..", "-23..", "-21.4", "+44.4", NULL };
static const char *const tomita_1[] = { "+.0", NULL };
static const char *const tomita_2[] = { "+.1", "-0.", NULL };
static const char *const tomita_3[] = { "+01", "+20", "-3.", "+21", NULL };
static const char *const tomita_4[] = { "+10", "+20", "+.0", NULL };
static const char *const tomita_5[] = { "+12", "-03", "-30", "-21", NULL };
static const char *const tomita_6[] = { "+12", "-20", "-01", NULL };
static const char *const tomita_7[] = { "+01", "+21", "+23", "+.3", NULL };

static void build_depths(struct sonde_formal *f)
{
    f->n_states = f->size + 1;
    f->accepting[0] = true;
    for (int s = 0; s <= f->size; s++) {
        f->move[s][0] = (int8_t)(s < f->size ? s + 1 : -1);
        f->move[s][1] = (int8_t)(s - 1);
    }
}

static void build_runs(struct sonde_formal *f)
{
    f->n_states = f->size + 1;
    f->accepting[f->size] = true;
    for (int s = 0; s <= f->size; s++)
        for (int c = 0; c < f->size; c++)
            f->move[s][c] = (int8_t)(c == s || c == s - 1 ? c + 1 : -1);
}

#define DEPTHS (SONDE_FORMAL_HAS_DEPTH | SONDE_FORMAL_HAS_TYPES)
#define BRACKETS "()[]{}<>+-abxo"
#define AUTOMATON(text, of, rows, few)                                                             \
    {                                                                                              \
        text, 0, 0, of, 0, sizeof(of) - 1, rows, NULL, &sonde_formal_automaton,                    \
            SONDE_FORMAL_TARGET_ACCEPT, 0, false, few                                              \
    }

const struct sonde_formal_language sonde_formal_languages[] = {
    { "dyck", 1, 7, BRACKETS, 2, 0, NULL, NULL, &sonde_formal_dyck, SONDE_FORMAL_TARGET_CLOSES,
      DEPTHS | SONDE_FORMAL_HAS_TOP, true, false },
    { "shuffle", 1, 7, BRACKETS, 2, 0, NULL, NULL, &sonde_formal_shuffle,
      SONDE_FORMAL_TARGET_CLOSES, DEPTHS, true, false },
    { "boolean", 1, 5, "01~+>*^", 1, 2, NULL, NULL, &sonde_formal_boolean,
      SONDE_FORMAL_TARGET_ACCEPT, SONDE_FORMAL_HAS_DEPTH, true, false },
    { "counter", 2, 7, "abcdefg", 1, 0, NULL, NULL, &sonde_formal_counter,
      SONDE_FORMAL_TARGET_LETTER, DEPTHS, false, true },
    AUTOMATON("parity", "01", parity, false),
    AUTOMATON("aa-star", "a", aa_star, true),
    AUTOMATON("abab-star", "ab", abab_star, true),
    { "aabb", 2, 7, "abcdefg", 1, 0, NULL, build_runs, &sonde_formal_automaton,
      SONDE_FORMAL_TARGET_ACCEPT, 0, false, false },
    AUTOMATON("concat", "abcd", concat, false),
    AUTOMATON("cab", "abcd", cab, false),
    { "d", 1, 63, "ab", 0, 2, NULL, build_depths, &sonde_formal_automaton, SONDE_FORMAL_TARGET_NEXT,
      SONDE_FORMAL_HAS_DEPTH, false, false },
    { "reset-dyck", 0, 0, "()1", 0, 3, NULL, NULL, &sonde_formal_reset_dyck,
      SONDE_FORMAL_TARGET_NEXT, SONDE_FORMAL_HAS_DEPTH, false, false },
    AUTOMATON("tomita-1", "01", tomita_1, true),
    AUTOMATON("tomita-2", "01", tomita_2, true),
    AUTOMATON("tomita-3", "01", tomita_3, false),
    AUTOMATON("tomita-4", "01", tomita_4, false),
    AUTOMATON("tomita-5", "01", tomita_5, false),
    AUTOMATON("tomita-6", "01", tomita_6, false),
    AUTOMATON("tomita-7", "01", tomita_7, false),
};
const int64_t sonde_formal_n_languages =
    sizeof(sonde_formal_languages) / sizeof(sonde_formal_languages[0]);
