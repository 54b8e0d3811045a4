#include "core/base/arena.h"

#include <string.h>

#include "core/base/rng.h"
#include "tests/support/check.h"

static void memory_is_aligned_and_separate(void **state)
{
    (void)state;
    struct sonde_arena *arena = sonde_arena_create(0);
    struct sonde_rng rng = sonde_rng_make(1, 1);
    enum { N = 500 };
    unsigned char *items[N];
    int64_t sizes[N];
    for (int i = 0; i < N; i++) {
        sizes[i] = sonde_rng_below(&rng, i % 50 == 0 ? 3000000 : 5000);
        items[i] = sonde_arena_alloc(arena, sizes[i], 1);
        assert_non_null(items[i]);
        assert_int_equal((uintptr_t)items[i] % SONDE_ARENA_ALIGN, 0);
        memset(items[i], i & 255, (size_t)sizes[i]);
    }
    for (int i = 0; i < N; i++) {
        for (int64_t j = 0; j < sizes[i]; j++)
            assert_int_equal(items[i][j], i & 255);
    }
    sonde_arena_destroy(&arena);
    assert_null(arena);
    sonde_arena_destroy(&arena);
}

static void zero_elements_are_unique(void **state)
{
    (void)state;
    struct sonde_arena *arena = sonde_arena_create(0);
    void *a = sonde_arena_alloc(arena, 0, 8);
    void *b = sonde_arena_alloc(arena, 8, 0);
    void *c = sonde_arena_zalloc(arena, 0, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_ptr_not_equal(a, b);
    assert_ptr_not_equal(b, c);
    sonde_arena_destroy(&arena);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    static const struct {
        int64_t count;
        size_t size;
    } cases[] = {
        { -1, 1 },
        { INT64_MIN, 1 },
        { INT64_MAX, 4 },
        { 2, SIZE_MAX },
        { 1, SIZE_MAX },
        { 1, SIZE_MAX - 62 },
        { (int64_t)1 << 32, (size_t)1 << 32 },
        { INT64_MAX, 1 },
        { (int64_t)1 << 62, 2 },
    };
    struct sonde_arena *arena = sonde_arena_create(0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(sonde_arena_alloc(arena, cases[i].count, cases[i].size));
        assert_null(sonde_arena_zalloc(arena, cases[i].count, cases[i].size));
    }
    assert_int_equal(sonde_arena_used(arena), 0);
    assert_non_null(sonde_arena_alloc(arena, 10, 10));
    sonde_arena_destroy(&arena);
}

static void the_maximum_holds(void **state)
{
    (void)state;
    static const size_t maxima[] = { 1, 64, 1000, 1 << 20, (1 << 20) + 1 };
    for (size_t i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
        struct sonde_arena *arena = sonde_arena_create(maxima[i]);
        assert_null(sonde_arena_alloc(arena, (int64_t)maxima[i] + 1, 1));
        struct sonde_arena_mark mark = sonde_arena_mark(arena);
        assert_non_null(sonde_arena_alloc(arena, (int64_t)maxima[i], 1));
        assert_null(sonde_arena_alloc(arena, 64, 1));
        sonde_arena_rewind(arena, mark);
        assert_non_null(sonde_arena_alloc(arena, (int64_t)maxima[i], 1));
        sonde_arena_destroy(&arena);
    }
    struct sonde_arena *arena = sonde_arena_create(640);
    for (int i = 0; i < 10; i++)
        assert_non_null(sonde_arena_alloc(arena, 64, 1));
    assert_null(sonde_arena_alloc(arena, 1, 1));
    assert_int_equal(sonde_arena_used(arena), 640);
    sonde_arena_destroy(&arena);
}

static void rewind_gives_back(void **state)
{
    (void)state;
    struct sonde_arena *arena = sonde_arena_create(0);
    char *kept = sonde_arena_strndup(arena, "kept text", 4);
    assert_string_equal(kept, "kept");
    size_t used = sonde_arena_used(arena);
    struct sonde_arena_mark mark = sonde_arena_mark(arena);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            assert_non_null(sonde_arena_alloc(arena, 50000, 1));
        assert_true(sonde_arena_used(arena) >= used + 5000000);
        sonde_arena_rewind(arena, mark);
        assert_int_equal(sonde_arena_used(arena), used);
        assert_string_equal(kept, "kept");
    }
    assert_true(sonde_arena_peak(arena) >= used + 5000000);
    assert_true(sonde_arena_peak(arena) < used + 2 * 5000000);
    sonde_arena_reset(arena);
    assert_int_equal(sonde_arena_used(arena), 0);
    sonde_arena_destroy(&arena);
}

/* The same requests after a reset get the same memory: nothing is allocated again. */
static void blocks_are_reused(void **state)
{
    (void)state;
    struct sonde_arena *arena = sonde_arena_create(0);
    void *first[40];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            void *item = sonde_arena_alloc(arena, 1 + i * 7919, 3);
            if (round == 0)
                first[i] = item;
            assert_ptr_equal(item, first[i]);
        }
        sonde_arena_reset(arena);
    }
    sonde_arena_destroy(&arena);
}

/* Each round asks for a little more than the kept blocks have. */
static void growing_requests(void **state)
{
    (void)state;
    struct sonde_arena *arena = sonde_arena_create(0);
    for (int64_t round = 0; round < 50; round++) {
        sonde_arena_reset(arena);
        int64_t size = (2 << 20) + round;
        unsigned char *large = sonde_arena_alloc(arena, size, 1);
        unsigned char *small = sonde_arena_alloc(arena, 100, 1);
        assert_non_null(large);
        assert_non_null(small);
        memset(small, 1, 100);
        memset(large, 2, (size_t)size);
        assert_int_equal(small[0], 1);
        assert_int_equal(small[99], 1);
    }
    sonde_arena_destroy(&arena);
}

static void zalloc_clears_reused_memory(void **state)
{
    (void)state;
    struct sonde_arena *arena = sonde_arena_create(0);
    struct sonde_arena_mark mark = sonde_arena_mark(arena);
    memset(sonde_arena_alloc(arena, 1000, 1), 0xab, 1000);
    sonde_arena_rewind(arena, mark);
    unsigned char *again = sonde_arena_zalloc(arena, 250, 4);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(again[i], 0);
    sonde_arena_destroy(&arena);
}

/* A model of the arena: random allocations and nested rewinds never touch what lives. */
static void nested_marks(void **state)
{
    (void)state;
    struct sonde_arena *arena = sonde_arena_create(0);
    struct sonde_rng rng = sonde_rng_make(2, 2);
    enum { DEPTH = 200 };
    struct sonde_arena_mark marks[DEPTH];
    unsigned char *items[DEPTH];
    size_t sizes[DEPTH], used[DEPTH];
    int depth = 0;
    for (int step = 0; step < 20000; step++) {
        if (depth == DEPTH || (depth > 0 && sonde_rng_below(&rng, 3) == 0)) {
            depth = (int)sonde_rng_below(&rng, depth);
            sonde_arena_rewind(arena, marks[depth]);
            assert_int_equal(sonde_arena_used(arena), used[depth]);
        }
        marks[depth] = sonde_arena_mark(arena);
        used[depth] = sonde_arena_used(arena);
        sizes[depth] = (size_t)sonde_rng_below(&rng, 40000);
        items[depth] = sonde_arena_alloc(arena, (int64_t)sizes[depth], 1);
        assert_non_null(items[depth]);
        memset(items[depth], depth, sizes[depth]);
        depth++;
        for (int i = 0; i < depth; i++) {
            if (sizes[i]) {
                assert_int_equal(items[i][0], i);
                assert_int_equal(items[i][sizes[i] - 1], i);
            }
        }
    }
    sonde_arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_separate),
        cmocka_unit_test(zero_elements_are_unique),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(the_maximum_holds),
        cmocka_unit_test(rewind_gives_back),
        cmocka_unit_test(blocks_are_reused),
        cmocka_unit_test(growing_requests),
        cmocka_unit_test(zalloc_clears_reused_memory),
        cmocka_unit_test(nested_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
