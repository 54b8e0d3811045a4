/* Formal languages against brute force: which symbols can follow, which prefixes are one state of
 * the minimal automaton, what the inner variables are. */
#include "tests/unit/corpus/formal_reference.h"

#include "core/corpus/formal.h"

/* All strings up to `length` are looked at; what can follow is complete for prefixes up to
 * `prefix`; residual languages are compared up to `residual`, which tells those apart that differ,
 * for prefixes up to `compared`. */
struct brute_case {
    const char *name;
    int length, prefix, compared, residual;
};
static const struct brute_case brute_cases[] = {
    { "dyck-1", 12, 5, 6, 6 },    { "dyck-2", 8, 3, 3, 3 },    { "dyck-3", 6, 2, 2, 2 },
    { "shuffle-1", 12, 5, 6, 6 }, { "shuffle-2", 8, 3, 3, 3 }, { "shuffle-3", 6, 2, 2, 2 },
    { "boolean-1", 8, 6, 6, 2 },  { "boolean-2", 7, 2, 3, 4 }, { "boolean-3", 7, 1, 2, 5 },
    { "counter-2", 12, 5, 8, 8 }, { "counter-3", 9, 2, 9, 6 }, { "counter-4", 8, 1, 8, 8 },
    { "parity", 8, 5, 5, 3 },     { "aa-star", 8, 5, 5, 3 },   { "abab-star", 9, 5, 5, 4 },
    { "aabb-3", 8, 4, 5, 3 },     { "concat", 6, 4, 4, 2 },    { "cab", 8, 3, 4, 4 },
    { "d-1", 8, 5, 5, 3 },        { "d-3", 10, 5, 6, 4 },      { "reset-dyck", 8, 3, 4, 5 },
    { "tomita-1", 8, 5, 5, 3 },   { "tomita-2", 8, 5, 5, 3 },  { "tomita-3", 8, 5, 5, 3 },
    { "tomita-4", 8, 5, 5, 3 },   { "tomita-5", 8, 5, 5, 3 },  { "tomita-6", 8, 5, 5, 3 },
    { "tomita-7", 8, 5, 5, 4 },
};

enum { MAX_PREFIXES = 4096, MAX_TEXT = 16 };

struct prefix {
    char text[MAX_TEXT];
    char label[64];
    uint64_t residual;
};
struct brute {
    const struct brute_case *of;
    struct sonde_formal *formal;
    const char *symbols;
    struct prefix *prefixes; /* of strings in the language, [MAX_PREFIXES] */
    int64_t n;
    int64_t n_live; /* that were tested for what follows */
};

static bool advance(const struct sonde_formal *formal, const char *text,
                    struct sonde_formal_walk *walk)
{
    bool ok = true;
    sonde_formal_walk_start(walk, formal);
    for (; ok && *text; text++)
        ok = sonde_formal_walk_step(walk, *text, NULL) == SONDE_STATUS_OK;
    return ok;
}

/* Whether a string of the language begins so, of at most `length` symbols. */
static bool is_live(struct brute *b, char *text, size_t n, int length)
{
    if (is_in(b->of->name, text))
        return true;
    if (n == (size_t)length)
        return false;
    bool live = false;
    for (const char *s = b->symbols; !live && *s; s++) {
        text[n] = *s;
        text[n + 1] = '\0';
        live = is_live(b, text, n + 1, length);
    }
    text[n] = '\0';
    return live;
}

static void hash_residual(struct brute *b, char *text, size_t n, int left, uint64_t *hash)
{
    *hash = (*hash ^ (is_in(b->of->name, text) ? 3u : 7u)) * UINT64_C(1099511628211);
    for (const char *s = b->symbols; left > 0 && *s; s++) {
        text[n] = *s;
        text[n + 1] = '\0';
        hash_residual(b, text, n + 1, left - 1, hash);
    }
    text[n] = '\0';
}

static void check_next(struct brute *b, const struct sonde_formal_walk *walk, char *text, size_t n)
{
    bool next[SONDE_FORMAL_MAX_SYMBOLS];
    int64_t n_next = sonde_formal_next(walk, next);
    for (int c = 0; b->symbols[c]; c++) {
        text[n] = b->symbols[c];
        text[n + 1] = '\0';
        assert_int_equal(next[c], is_live(b, text, n + 1, b->of->length));
        n_next -= next[c];
    }
    text[n] = '\0';
    assert_int_equal(n_next, 0);
    b->n_live++;
}

static void visit(struct brute *b, char *text, size_t n)
{
    struct sonde_formal_walk walk = { 0 };
    struct sonde_buf label = { 0 };
    static const struct sonde_formal_label state = { .variable = SONDE_FORMAL_STATE };
    bool live = is_live(b, text, n, b->of->length);
    bool walked = advance(b->formal, text, &walk);
    if (n <= (size_t)b->of->prefix + 1)
        assert_int_equal(walked, live);
    assert_true(walked || !live);
    if (live) {
        assert_int_equal(sonde_formal_accepts(&walk), is_in(b->of->name, text));
        if (n <= (size_t)b->of->prefix)
            check_next(b, &walk, text, n);
        assert_true(b->n < MAX_PREFIXES);
        struct prefix *p = &b->prefixes[b->n++];
        snprintf(p->text, sizeof(p->text), "%s", text);
        sonde_formal_text(&walk, &state, &label);
        snprintf(p->label, sizeof(p->label), "%s", label.data);
        p->residual = UINT64_C(14695981039346656037);
        char longer[2 * MAX_TEXT];
        snprintf(longer, sizeof(longer), "%s", text);
        hash_residual(b, longer, n, b->of->residual, &p->residual);
    }
    sonde_buf_finish(&label);
    sonde_formal_walk_finish(&walk);
    if (!live || n == (size_t)b->of->compared)
        return;
    for (const char *s = b->symbols; *s; s++) {
        text[n] = *s;
        text[n + 1] = '\0';
        visit(b, text, n + 1);
    }
    text[n] = '\0';
}

static void brute_force(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(brute_cases) / sizeof(brute_cases[0]); i++) {
        struct sonde_error error = { 0 };
        struct brute b = { .of = &brute_cases[i] };
        char text[2 * MAX_TEXT] = "";
        check_ok(sonde_formal_create(&b.formal, b.of->name, &error), &error);
        b.symbols = sonde_formal_symbols(b.formal);
        b.prefixes = calloc(MAX_PREFIXES, sizeof(*b.prefixes));
        assert_non_null(b.prefixes);
        visit(&b, text, 0);
        for (int64_t x = 0; x < b.n; x++)
            for (int64_t y = 0; y < x; y++) {
                bool same = strcmp(b.prefixes[x].label, b.prefixes[y].label) == 0;
                if (same != (b.prefixes[x].residual == b.prefixes[y].residual))
                    fail_msg("%s: '%s' (%s) and '%s' (%s)", b.of->name, b.prefixes[x].text,
                             b.prefixes[x].label, b.prefixes[y].text, b.prefixes[y].label);
            }
        fprintf(stderr, "# %s: %lld prefixes, %lld for what follows\n", b.of->name, (long long)b.n,
                (long long)b.n_live);
        assert_true(b.n_live > 1);
        free(b.prefixes);
        sonde_formal_destroy(&b.formal);
    }
}

/* name, prefix, then depth, depth:1, depth:2, stack-top, state; NULL: not to be had */
static const char *const label_cases[][7] = {
    { "dyck-1", "", "0", "0", NULL, "empty", "0" },
    { "dyck-1", "(()(", "2", "2", NULL, "(", "2" },
    { "dyck-2", "([](", "2", "2", "0", "(", "((" },
    { "dyck-2", "([()", "2", "1", "1", "[", "([" },
    { "dyck-2", "[]", "0", "0", "0", "empty", "empty" },
    { "shuffle-2", "([)[", "2", "0", "2", NULL, "0,2" },
    { "boolean-3", "", "1", NULL, NULL, NULL, "1" },
    { "boolean-3", ">0+~", "3", NULL, NULL, NULL, "3" },
    { "boolean-3", "+01", "0", NULL, NULL, NULL, "0" },
    { "counter-3", "aa", "2", "2", "0", NULL, "a2" },
    { "counter-3", "aab", "1", "2", "1", NULL, "b:1/2" },
    { "counter-3", "aabb", "0", "2", "2", NULL, "c-2" },
    { "counter-3", "aabbc", "1", "2", "2", NULL, "c-1" },
    { "parity", "0110", NULL, NULL, NULL, NULL, "0" },
    { "d-3", "aab", "1", NULL, NULL, NULL, "1" },
    { "reset-dyck", "((", "2", NULL, NULL, NULL, "2" },
    { "reset-dyck", "((1(", "1", NULL, NULL, NULL, "reset:1" },
    { "tomita-5", "01", NULL, NULL, NULL, NULL, "3" },
};

static void labels_by_hand(void **state)
{
    (void)state;
    static const char *const names[] = { "depth", "depth:1", "depth:2", "stack-top", "state" };
    for (size_t i = 0; i < sizeof(label_cases) / sizeof(label_cases[0]); i++) {
        const char *const *c = label_cases[i];
        struct sonde_error error = { 0 };
        struct sonde_formal *formal = NULL;
        struct sonde_formal_walk walk = { 0 };
        struct sonde_formal_label label;
        check_ok(sonde_formal_create(&formal, c[0], &error), &error);
        assert_true(advance(formal, c[1], &walk));
        for (int k = 0; k < 5; k++) {
            enum sonde_status status = sonde_formal_find_label(formal, names[k], &label, &error);
            assert_int_equal(status, c[2 + k] ? SONDE_STATUS_OK : SONDE_STATUS_ARGUMENT);
            struct sonde_buf text = { 0 };
            if (!status)
                sonde_formal_text(&walk, &label, &text);
            if (c[2 + k])
                assert_string_equal(text.data, c[2 + k]);
            sonde_buf_finish(&text);
        }
        if (c[2]) {
            check_ok(sonde_formal_find_label(formal, "depth/length", &label, &error), &error);
            size_t n = strlen(c[1]);
            check_close(sonde_formal_number(&walk, &label), n ? atof(c[2]) / (double)n : 0, 0);
        }
        sonde_formal_walk_finish(&walk);
        sonde_formal_destroy(&formal);
    }
}

static void types_and_names(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_formal *formal = NULL;
    struct sonde_formal_label label;
    check_ok(sonde_formal_create(&formal, "shuffle-2", &error), &error);
    check_ok(sonde_formal_find_label(formal, "depth:[", &label, &error), &error);
    assert_int_equal(label.type, 1);
    assert_int_equal(sonde_formal_find_label(formal, "depth:3", &label, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text,
                        "shuffle-2 has no type '3', expected 1 to 2 or the symbol that begins it");
    assert_int_equal(sonde_formal_find_label(formal, "depth:", &label, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_formal_find_label(formal, "stack-top", &label, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "shuffle-2 has no stack-top");
    assert_string_equal(sonde_formal_symbols(formal), "()[]");
    assert_string_equal(sonde_formal_ids(formal), "T)[(]"); /* of the published checkpoint */
    sonde_formal_destroy(&formal);
    check_ok(sonde_formal_create(&formal, "dyck-1", &error), &error);
    assert_string_equal(sonde_formal_ids(formal), "T()");
    sonde_formal_destroy(&formal);
    assert_true(sonde_formal_is_label("depth:(") && sonde_formal_is_label("state"));
    assert_false(sonde_formal_is_label("depths") || sonde_formal_is_label("upos"));
    static const char *const wrong[] = { "",
                                         "dyck",
                                         "dyck-0",
                                         "dyck-8",
                                         "dyck-1x",
                                         "d-64",
                                         "parity-1",
                                         "Dyck-1",
                                         "counter-1",
                                         "tomita-8",
                                         "dyck-",
                                         "dyck--1",
                                         "dyck-99999999999999999999" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(sonde_formal_create(&formal, wrong[i], &error), SONDE_STATUS_ARGUMENT);
        assert_null(formal);
    }
    const char *name = NULL;
    int low = 0, high = 0;
    int64_t n = 0;
    for (; sonde_formal_describe(n, &name, &low, &high); n++)
        for (int size = low; size <= high; size++) { /* every member can be made */
            char full[64];
            snprintf(full, sizeof(full), high ? "%s-%d" : "%s", name, size);
            check_ok(sonde_formal_create(&formal, full, &error), &error);
            assert_string_equal(sonde_formal_name(formal), full);
            assert_int_equal(strlen(sonde_formal_ids(formal)),
                             strlen(sonde_formal_symbols(formal)) + 1);
            sonde_formal_destroy(&formal);
        }
    assert_int_equal(n, 19);
}

static void wrong_symbols(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_formal *formal = NULL;
    struct sonde_formal_walk walk = { 0 };
    check_ok(sonde_formal_create(&formal, "dyck-2", &error), &error);
    assert_true(advance(formal, "([", &walk));
    assert_int_equal(sonde_formal_walk_step(&walk, ')', &error), SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "')' cannot stand at position 2 of a string of dyck-2");
    assert_int_equal(sonde_formal_walk_step(&walk, '\xFF', &error), SONDE_STATUS_FORMAT);
    assert_int_equal(sonde_formal_walk_step(&walk, '\0', &error), SONDE_STATUS_FORMAT);
    assert_int_equal(walk.at.depth, 2); /* it stays where it was */
    check_ok(sonde_formal_walk_step(&walk, ']', &error), &error);
    assert_int_equal(walk.at.top, 0);
    sonde_formal_walk_finish(&walk);
    sonde_formal_destroy(&formal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brute_force),
        cmocka_unit_test(labels_by_hand),
        cmocka_unit_test(types_and_names),
        cmocka_unit_test(wrong_symbols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
