/* Generated strings: in the language by another recogniser, in range, different, the same for the
 * same seed; and specifications that make no sense. */
#include "tests/unit/corpus/formal_reference.h"

#include "core/corpus/corpus.h"
#include "core/corpus/formal.h"

static struct sonde_formal_generator *open_generator(const char *text)
{
    struct sonde_error error = { 0 };
    struct sonde_formal_spec spec;
    struct sonde_formal_generator *g = NULL;
    check_ok(sonde_formal_parse_spec(text, &spec, &error), &error);
    check_ok(sonde_formal_generator_create(&g, &spec, &error), &error);
    return g;
}

/* All strings, heap; *n of them. */
static char **take_all(const char *spec, int64_t *n)
{
    struct sonde_error error = { 0 };
    struct sonde_formal_generator *g = open_generator(spec);
    char **all = calloc(20000, sizeof(*all));
    const char *text = NULL;
    int64_t size = 0;
    assert_non_null(all);
    *n = 0;
    for (;;) {
        check_ok(sonde_formal_generator_next(g, &text, &size, &error), &error);
        if (!text)
            break;
        assert_int_equal(strlen(text), size);
        assert_true(*n < 20000);
        assert_non_null(all[*n] = malloc((size_t)size + 1));
        memcpy(all[(*n)++], text, (size_t)size + 1);
    }
    check_ok(sonde_formal_generator_next(g, &text, &size, &error), &error);
    assert_null(text); /* the end stays the end */
    sonde_formal_generator_destroy(&g);
    return all;
}

static void drop_all(char **all, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        free(all[i]);
    free((void *)all);
}

/* The same strings as items, with the ids of the order that the specification gives. */
static void items_of_a_corpus(void **state)
{
    (void)state;
    static const char *const specs[][2] = {
        { "shuffle-2:n=50,len=2..30,generator=walk", "T)[(]" },
        { "shuffle-2:n=50,len=2..30,generator=walk,ids=T([])", "T([])" },
        { "tomita-4:n=50,len=2..30", "T01" },
    };
    for (size_t s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
        struct sonde_error error = { 0 };
        struct sonde_corpus *corpus = NULL;
        const struct sonde_corpus_item *item = NULL;
        int64_t n = 0, done = 1, total = 1;
        char **all = take_all(specs[s][0], &n);
        check_ok(sonde_corpus_open(&corpus, specs[s][0], SONDE_CORPUS_FORMAL, NULL, &error),
                 &error);
        for (int64_t i = 0; i < n; i++) {
            check_ok(sonde_corpus_next(corpus, &item, &error), &error);
            assert_non_null(item);
            assert_int_equal(item->ordinal, i);
            assert_string_equal(item->text, all[i]);
            assert_int_equal(item->text_bytes, item->n_ids);
            for (int64_t k = 0; k < item->n_ids; k++)
                assert_int_equal(specs[s][1][item->ids[k]], all[i][k]);
        }
        check_ok(sonde_corpus_next(corpus, &item, &error), &error);
        assert_null(item);
        sonde_corpus_position(corpus, &done, &total);
        assert_int_equal(done + total, 0);
        sonde_corpus_close(&corpus);
        drop_all(all, n);
    }
    struct sonde_error error = { 0 };
    struct sonde_corpus *corpus = NULL;
    assert_int_equal(sonde_corpus_open(&corpus, "dyck", SONDE_CORPUS_FORMAL, NULL, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_null(corpus);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int64_t count_different(char **all, int64_t n)
{
    int64_t different = n > 0;
    qsort((void *)all, (size_t)n, sizeof(*all), by_text);
    for (int64_t i = 1; i < n; i++)
        different += strcmp(all[i - 1], all[i]) != 0;
    return different;
}

static void strings_of_every_language(void **state)
{
    (void)state;
    static const struct {
        const char *name, *options;
        int64_t n;
        size_t low, high;
        bool repeats;
    } cases[] = {
        { "dyck-1", "n=300,len=2..50", 300, 2, 50, false },
        { "dyck-1", "n=100,len=52..100,generator=walk", 100, 52, 100, false },
        { "dyck-7", "n=300,len=2..60", 300, 2, 60, false },
        { "dyck-3", "n=300,len=4..61,generator=walk", 300, 4, 61, false },
        { "shuffle-2", "n=300,len=2..50", 300, 2, 50, false },
        { "shuffle-6", "n=300,len=2..100,generator=walk", 300, 2, 100, false },
        { "boolean-3", "n=300,len=1..50", 300, 1, 50, false },
        { "boolean-5", "n=300,len=51..60", 300, 51, 60, false },
        { "boolean-1", "n=30,len=1..40,generator=walk", 30, 1, 40, false },
        { "counter-2", "n=100,len=2..20", 100, 2, 20, true },
        { "counter-4", "n=100,len=4..200", 100, 4, 200, true },
        { "parity", "n=300,len=2..50", 300, 2, 50, false },
        { "aa-star", "n=100,len=2..500", 100, 2, 500, true },
        { "abab-star", "n=100,len=2..500", 100, 2, 500, true },
        { "aabb-5", "n=100,len=5..30", 100, 5, 30, false },
        { "concat", "n=300,len=2..50", 300, 2, 50, false },
        { "cab", "n=300,len=4..50", 300, 4, 50, false },
        { "d-12", "n=300,len=2..100", 300, 2, 100, false },
        { "d-63", "n=30,len=130..200", 30, 130, 200, false },
        { "reset-dyck", "n=300,len=2..50", 300, 2, 50, false },
        { "tomita-1", "n=30,len=1..50", 30, 1, 50, true },
        { "tomita-2", "n=30,len=1..50", 30, 1, 50, true },
        { "tomita-3", "n=300,len=2..50", 300, 2, 50, false },
        { "tomita-4", "n=300,len=2..50", 300, 2, 50, false },
        { "tomita-5", "n=300,len=2..50", 300, 2, 50, false },
        { "tomita-6", "n=300,len=2..50", 300, 2, 50, false },
        { "tomita-7", "n=300,len=2..50", 300, 2, 50, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char spec[128], other[160];
        int64_t n, again, n_other, equal = 0;
        snprintf(spec, sizeof(spec), "%s:%s", cases[i].name, cases[i].options);
        snprintf(other, sizeof(other), "%s,seed=7", spec);
        fprintf(stderr, "# %s\n", spec);
        char **all = take_all(spec, &n), **same = take_all(spec, &again);
        char **seeded = take_all(other, &n_other);
        assert_int_equal(n, cases[i].n);
        assert_int_equal(again, n);
        assert_int_equal(n_other, n);
        for (int64_t k = 0; k < n; k++) {
            assert_true(strlen(all[k]) >= cases[i].low && strlen(all[k]) <= cases[i].high);
            if (!is_in(cases[i].name, all[k]))
                fail_msg("not in %s: %s", cases[i].name, all[k]);
            assert_string_equal(all[k], same[k]);
            equal += strcmp(all[k], seeded[k]) == 0;
        }
        assert_true(equal < n);
        if (!cases[i].repeats)
            assert_int_equal(count_different(all, n), n);
        drop_all(all, n);
        drop_all(same, again);
        drop_all(seeded, n_other);
    }
}

/* The walk finds all strings there are: 1 + 2 + 5 of Dyck-1, 1 + 3 + 4 .. by brute force. */
static void walks_reach_everything(void **state)
{
    (void)state;
    static const char *const specs[][2] = {
        { "dyck-1", "len=1..8,generator=walk" },
        { "shuffle-2", "len=1..6,generator=walk" },
        { "boolean-2", "len=1..5,generator=walk" },
        { "cab", "len=1..6" },
        { "reset-dyck", "len=1..7" },
        { "tomita-3", "len=1..7" },
        { "d-2", "len=1..10" },
        { "counter-3", "len=1..14,repeats=no" },
    };
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        struct sonde_error error = { 0 };
        struct sonde_formal *formal = NULL;
        char spec[128], text[16];
        int64_t n_all = 0, n = 0;
        check_ok(sonde_formal_create(&formal, specs[i][0], &error), &error);
        const char *symbols = sonde_formal_symbols(formal);
        int64_t base = (int64_t)strlen(symbols), high = atoi(specs[i][1] + 7);
        int64_t count = strcmp(specs[i][0], "counter-3") ? 1 : 0;
        n_all = count ? 0 : high / 3;
        for (int64_t length = 1; count && length <= high; length++) {
            count *= base;
            for (int64_t code = 0; code < count; code++) {
                int64_t left = code;
                for (int64_t k = 0; k < length; k++, left /= base)
                    text[k] = symbols[left % base];
                text[length] = '\0';
                n_all += is_in(specs[i][0], text);
            }
        }
        snprintf(spec, sizeof(spec), "%s:%s,n=%lld", specs[i][0], specs[i][1], (long long)n_all);
        char **all = take_all(spec, &n);
        fprintf(stderr, "# %s\n", spec);
        assert_int_equal(n, n_all);
        assert_int_equal(count_different(all, n), n_all);
        drop_all(all, n);
        sonde_formal_destroy(&formal);
    }
}

static void shuffles_are_shuffled(void **state)
{
    (void)state;
    int64_t n = 0, nested = 0;
    char **all = take_all("shuffle-2:n=500,len=20..50", &n);
    for (int64_t i = 0; i < n; i++)
        nested += reduces(all[i], "");
    drop_all(all, n);
    assert_int_equal(nested, n); /* the study's: nested strings only */
    nested = 0;
    all = take_all("shuffle-2:n=500,len=20..50,generator=walk", &n);
    for (int64_t i = 0; i < n; i++)
        nested += reduces(all[i], "");
    drop_all(all, n);
    fprintf(stderr, "# %lld of %lld walked strings are nested\n", (long long)nested, (long long)n);
    assert_true(nested * 10 < n);
}

/* The share of lengths of the study's own strings and of ours: two samples of one distribution
 * differ in their means by a few standard errors at most. Different strings only, so 5 errors. */
static void the_studys_grammar(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "seeds/counter-languages/data/Dyck-1/train_src.txt", "dyck-1:n=10000,len=2..50" },
        { "seeds/counter-languages/data/Shuffle-2/train_src.txt", "shuffle-2:n=10000,len=2..50" },
        { "seeds/counter-languages/data/Boolean-3/train_src.txt", "boolean-3:n=10000,len=1..50" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[1024], line[256];
        double sum[2] = { 0 }, square[2] = { 0 }, count[2] = { 0 };
        int64_t n = 0;
        check_shared(path, cases[i][0]);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file)) {
            double size = (double)strcspn(line, "\r\n");
            sum[0] += size;
            square[0] += size * size;
            count[0]++;
        }
        fclose(file);
        char **all = take_all(cases[i][1], &n);
        for (int64_t k = 0; k < n; k++) {
            double size = (double)strlen(all[k]);
            sum[1] += size;
            square[1] += size * size;
            count[1]++;
        }
        drop_all(all, n);
        double error = 0;
        for (int s = 0; s < 2; s++) {
            double mean = sum[s] / count[s];
            error += (square[s] / count[s] - mean * mean) / count[s];
        }
        fprintf(stderr, "# %s: mean length %.3f, the study's %.3f, standard error %.3f\n",
                cases[i][1], sum[1] / count[1], sum[0] / count[0], sqrt(error));
        check_close(sum[1] / count[1], sum[0] / count[0], 5 * sqrt(error));
    }
}

static void hostile_specs(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ":",
        "a-name-that-is-much-longer-than-any-language-has:n=1",
        "dyck-1:n=0",
        "dyck-1:n=-1",
        "dyck-1:n=99999999999999999999",
        "dyck-1:n=16777217",
        "dyck-1:n",
        "dyck-1:m=1",
        "dyck-1:,",
        "dyck-1:len=0..4",
        "dyck-1:len=5..4",
        "dyck-1:len=2..",
        "dyck-1:len=2.5",
        "dyck-1:len=..",
        "dyck-1:len=2..1048577",
        "dyck-1:len=",
        "dyck-1:seed=-1",
        "dyck-1:generator=",
        "dyck-1:generator=walker",
        "dyck-1:repeats=maybe",
        "dyck-1:ids=",
        "dyck-1:ids=T()[]{}<>+-abxo0123456789",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct sonde_error error = { 0 };
        struct sonde_formal_spec spec;
        if (sonde_formal_parse_spec(wrong[i], &spec, &error) != SONDE_STATUS_ARGUMENT)
            fail_msg("'%s' was taken", wrong[i]);
        assert_true(error.text[0]);
    }
    static const struct {
        const char *spec, *message;
    } cases[] = {
        { "dyck-1:len=3", "dyck-1 has no string of length 3 to 3" },
        { "d-2:len=7..7", "d-2 has no string of length 7 to 7" },
        { "counter-3:len=4..5", "counter-3 has no string of length 4 to 5" },
        { "cab:len=1..3", "cab has no string of length 1 to 3" },
        { "parity:generator=grammar", "parity has no grammar generator; give generator=walk" },
        { "dyck-1:ids=()", "ids=(): expected T and then each symbol of dyck-1 (()) once" },
        { "dyck-1:ids=T((", "ids=T((: expected T and then each symbol of dyck-1 (()) once" },
        { "nothing:n=1", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_error error = { 0 };
        struct sonde_formal_spec spec;
        struct sonde_formal_generator *g = NULL;
        check_ok(sonde_formal_parse_spec(cases[i].spec, &spec, &error), &error);
        assert_int_equal(sonde_formal_generator_create(&g, &spec, &error), SONDE_STATUS_ARGUMENT);
        assert_null(g);
        if (cases[i].message)
            assert_string_equal(error.text, cases[i].message);
    }
}

static void no_more_strings(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    static const char *const specs[] = { "dyck-1:n=9,len=2..6",
                                         "tomita-1:n=6,len=1..5,repeats=no" };
    for (int s = 0; s < 2; s++) {
        struct sonde_formal_generator *g = open_generator(specs[s]);
        const char *text = NULL;
        int64_t size = 0, n_all = s ? 5 : 8;
        for (int64_t i = 0; i < n_all; i++)
            check_ok(sonde_formal_generator_next(g, &text, &size, &error), &error);
        assert_int_equal(sonde_formal_generator_next(g, &text, &size, &error), SONDE_STATUS_LIMIT);
        sonde_formal_generator_destroy(&g);
    }
    assert_string_equal(error.text,
                        "tomita-1: found 5 different strings of length 1 to 5, 6 are asked for; "
                        "allow other lengths, or repeats=yes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_of_every_language),
        cmocka_unit_test(walks_reach_everything),
        cmocka_unit_test(shuffles_are_shuffled),
        cmocka_unit_test(the_studys_grammar),
        cmocka_unit_test(hostile_specs),
        cmocka_unit_test(items_of_a_corpus),
        cmocka_unit_test(no_more_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
