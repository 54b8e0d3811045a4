/* Every allocation and every file operation of core/base fails once. */
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/pool.h"
#include "tests/fault/fault_inject.h"
#include "tests/support/check.h"

static const char document[] = "{\"name\":\"x\",\"list\":[1,2.5,true,null,{\"k\":\"v\"}],"
                               "\"deep\":{\"a\":{\"b\":{\"c\":[[[\"text with \\u20ac\"]]]}}}}";

struct place {
    char root[64], path[96];
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    snprintf(place->root, sizeof(place->root), "sonde-fault-base-XXXXXX");
    if (!mkdtemp(place->root))
        return -1;
    snprintf(place->path, sizeof(place->path), "%s/file", place->root);
    *state = place;
    struct sonde_error error = { 0 };
    return sonde_file_save(place->path, document, strlen(document), &error) != SONDE_STATUS_OK;
}

static int teardown(void **state)
{
    struct place *place = *state;
    unlink(place->path);
    int failure = rmdir(place->root); /* fails where a temporary file stayed */
    free(place);
    return failure;
}

static enum sonde_status parse_json(void *ctx, struct sonde_error *error)
{
    (void)ctx;
    struct sonde_json *root = NULL;
    enum sonde_status status = sonde_json_parse(&root, document, strlen(document), error);
    if (status != SONDE_STATUS_OK)
        assert_null(root);
    else
        assert_int_equal(sonde_json_size(root), 3);
    sonde_json_destroy(&root);
    return status;
}

static void memory_only(void *ctx, enum sonde_status status)
{
    (void)ctx;
    assert_true(status == SONDE_STATUS_OK || status == SONDE_STATUS_MEMORY);
}

/* jansson takes an allocation that fails inside a string for an invalid string. */
static void memory_or_format(void *ctx, enum sonde_status status)
{
    (void)ctx;
    assert_true(status == SONDE_STATUS_OK || status == SONDE_STATUS_MEMORY ||
                status == SONDE_STATUS_FORMAT);
}

static void json_parse(void **state)
{
    (void)state;
    struct fault_report report = fault_each(FAULT_MEMORY, parse_json, memory_or_format, NULL);
    assert_true(report.n_calls > 20);
    assert_int_equal(report.n_tolerated, 0);
}

static enum sonde_status load_json(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    struct sonde_json *root = NULL;
    enum sonde_status status = sonde_json_load(&root, place->path, 1000, error);
    if (status == SONDE_STATUS_OK)
        assert_int_equal(sonde_json_size(root), 3);
    else
        assert_null(root);
    sonde_json_destroy(&root);
    return status;
}

static void json_load(void **state)
{
    struct fault_report report = fault_each(FAULT_MEMORY, load_json, memory_or_format, *state);
    assert_int_equal(report.n_tolerated, 0);
    /* Whether the file's size can be asked for beforehand does not matter. */
    report = fault_each(FAULT_READ, load_json, NULL, *state);
    assert_true(report.n_calls >= 4);
    assert_int_equal(report.n_tolerated, 1);
}

static enum sonde_status dump_json(void *ctx, struct sonde_error *error)
{
    struct sonde_buf buf = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!sonde_json_dump(&buf, ctx))
        status = sonde_buf_status(&buf, error);
    else
        assert_int_equal(buf.size, strlen(buf.data));
    sonde_buf_finish(&buf);
    return status;
}

static void json_dump(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_json *root = NULL;
    check_ok(sonde_json_parse(&root, document, strlen(document), &error), &error);
    struct fault_report report = fault_each(FAULT_MEMORY, dump_json, memory_only, root);
    assert_true(report.n_calls > 2);
    assert_int_equal(report.n_tolerated, 0);
    sonde_json_destroy(&root);
}

static enum sonde_status fill_buf(void *ctx, struct sonde_error *error)
{
    (void)ctx;
    struct sonde_buf buf = { 0 };
    for (int i = 0; i < 200; i++) {
        sonde_buf_printf(&buf, "%*d", i, i);
        sonde_buf_put_f64(&buf, i);
    }
    enum sonde_status status = sonde_buf_status(&buf, error);
    assert_true(!buf.data || strlen(buf.data) == buf.size);
    sonde_buf_clear(&buf);
    sonde_buf_finish(&buf);
    return status;
}

static void buf_grows(void **state)
{
    (void)state;
    struct fault_report report = fault_each(FAULT_MEMORY, fill_buf, memory_only, NULL);
    assert_true(report.n_calls > 5);
    assert_int_equal(report.n_tolerated, 0);
}

static enum sonde_status use_arena(void *ctx, struct sonde_error *error)
{
    (void)ctx;
    bool failed = false;
    struct sonde_arena *arena = sonde_arena_create(0);
    if (!arena)
        return sonde_error_memory(error, "an arena");
    for (int round = 0; round < 2; round++) {
        struct sonde_arena_mark mark = sonde_arena_mark(arena);
        size_t used = sonde_arena_used(arena);
        for (int64_t i = 1; i < 60; i++) {
            unsigned char *data = sonde_arena_alloc(arena, i * i * i, 7);
            if (data)
                memset(data, 1, (size_t)(i * i * i * 7));
            else
                failed = true;
        }
        sonde_arena_rewind(arena, mark);
        assert_int_equal(sonde_arena_used(arena), used);
        sonde_arena_reset(arena);
    }
    sonde_arena_destroy(&arena);
    return failed ? sonde_error_memory(error, "an arena") : SONDE_STATUS_OK;
}

static void arena_stays_whole(void **state)
{
    (void)state;
    struct fault_report report = fault_each(FAULT_MEMORY, use_arena, memory_only, NULL);
    assert_true(report.n_calls > 20);
    /* A block larger than asked for may fail: the exact size is tried then. Where that fails too,
     * or where the size was exact at first, it shows. */
    assert_true(report.n_tolerated < report.n_calls);
}

static enum sonde_status read_file(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    struct sonde_file *file = NULL;
    const uint8_t *data = NULL;
    char head[8];
    enum sonde_status status = sonde_file_open(&file, place->path, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_file_read(file, 0, head, sizeof(head), error);
    if (status == SONDE_STATUS_OK)
        status = sonde_file_map(file, &data, error);
    if (status == SONDE_STATUS_OK)
        assert_memory_equal(data, head, sizeof(head));
    sonde_file_close(&file);
    return status;
}

static void file_is_read(void **state)
{
    struct fault_report report = fault_each(FAULT_MEMORY | FAULT_READ, read_file, NULL, *state);
    assert_int_equal(report.n_calls, 6);
    assert_int_equal(report.n_tolerated, 0);
}

static enum sonde_status save_file(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    return sonde_file_save(place->path, "new", 3, error);
}

/* The file is the old one or the new one, never less; then the old one is put back. */
static void file_is_whole(void *ctx, enum sonde_status status)
{
    struct place *place = ctx;
    struct sonde_error error = { 0 };
    struct sonde_buf buf = { 0 };
    check_ok(sonde_file_load(place->path, 1000, &buf, &error), &error);
    if (status == SONDE_STATUS_OK)
        assert_string_equal(buf.data, "new");
    else
        assert_string_equal(buf.data, document);
    sonde_buf_finish(&buf);
    check_ok(sonde_file_save(place->path, document, strlen(document), &error), &error);
}

static void file_is_replaced(void **state)
{
    struct fault_report report = fault_each(FAULT_MEMORY, save_file, file_is_whole, *state);
    assert_true(report.n_calls >= 2);
    assert_true(report.n_tolerated <= 1); /* the name of the directory to sync */
    report = fault_each(FAULT_WRITE, save_file, file_is_whole, *state);
    assert_true(report.n_calls >= 6);
    assert_int_equal(report.n_tolerated, 1); /* the sync of the directory */
}

static enum sonde_status make_directories(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    char *path = sonde_path_join(place->root, "a/b");
    if (!path)
        return sonde_error_memory(error, "a path");
    enum sonde_status status = sonde_path_make_directory(path, error);
    rmdir(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    free(path);
    return status;
}

static void directories_are_made(void **state)
{
    struct fault_report report =
        fault_each(FAULT_MEMORY | FAULT_WRITE, make_directories, NULL, *state);
    assert_int_equal(report.n_calls, 5);
    assert_int_equal(report.n_tolerated, 1); /* mkdir of the root, which is there */
}

static void nothing(void *ctx, int64_t i, int worker)
{
    (void)ctx;
    (void)i;
    (void)worker;
}

static enum sonde_status start_pool(void *ctx, struct sonde_error *error)
{
    (void)ctx;
    struct sonde_pool *pool = NULL;
    enum sonde_status status = sonde_pool_create(&pool, 4, error);
    sonde_pool_run(pool, 8, nothing, NULL);
    sonde_pool_destroy(&pool);
    return status;
}

static void pool_starts(void **state)
{
    (void)state;
    struct fault_report report = fault_each(FAULT_MEMORY | FAULT_THREAD, start_pool, NULL, NULL);
    assert_int_equal(report.n_calls, 5);
    assert_int_equal(report.n_tolerated, 0);
}

static void small_allocations(void **state)
{
    (void)state;
    fault_arm(FAULT_MEMORY, 1, true);
    struct sonde_sha256 *hash = sonde_sha256_create();
    char *copy = sonde_strdup("x");
    char *joined = sonde_path_join("a", "b");
    void *items = NULL;
    int64_t capacity = 0;
    bool grown = sonde_grow(&items, &capacity, 4, 8, 100);
    assert_int_equal(fault_disarm(), 4);
    assert_null(hash);
    assert_null(copy);
    assert_null(joined);
    assert_false(grown);
    assert_null(items);
    assert_int_equal(capacity, 0);
}

/* The harness itself. By its own names: compilers know malloc and leave out what they see through.
 */
static void harness_counts(void **state)
{
    (void)state;
    int64_t before = fault_live_blocks();
    fault_arm(FAULT_MEMORY, 2, false);
    void *a = fault_malloc(10), *b = fault_malloc(10), *c = fault_malloc(10);
    assert_int_equal(fault_disarm(), 3);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    assert_int_equal(fault_live_blocks(), before + 2);
    fault_arm(FAULT_MEMORY, 1, true);
    void *d = fault_realloc(a, 100), *e = fault_realloc(a, 100);
    assert_int_equal(fault_disarm(), 2);
    assert_null(d);
    assert_null(e);
    a = fault_realloc(a, 5000);
    assert_int_equal(fault_live_blocks(), before + 2);
    fault_free(a);
    fault_free(c);
    assert_int_equal(fault_live_blocks(), before);
}

int main(void)
{
    json_set_alloc_funcs(fault_malloc, fault_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harness_counts),
        cmocka_unit_test(json_parse),
        cmocka_unit_test_setup_teardown(json_load, setup, teardown),
        cmocka_unit_test(json_dump),
        cmocka_unit_test(buf_grows),
        cmocka_unit_test(arena_stays_whole),
        cmocka_unit_test_setup_teardown(file_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(file_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_are_made, setup, teardown),
        cmocka_unit_test(pool_starts),
        cmocka_unit_test(small_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
