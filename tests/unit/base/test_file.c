#include "core/base/file.h"

#include <errno.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"

/* Each test runs in a directory of its own, made by setup and emptied by teardown. */
struct place {
    char root[64];
    char path[128];
};

static const char *at(struct place *place, const char *name)
{
    snprintf(place->path, sizeof(place->path), "%s/%s", place->root, name);
    return place->path;
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    snprintf(place->root, sizeof(place->root), "sonde-test-file-XXXXXX");
    *state = place;
    return mkdtemp(place->root) ? 0 : -1;
}

static int count_entries(const char *path, bool remove_them)
{
    DIR *directory = opendir(path);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        char *name = sonde_path_join(path, entry->d_name);
        if (remove_them && unlink(name) != 0) {
            count_entries(name, true);
            rmdir(name);
        }
        free(name);
    }
    closedir(directory);
    return n;
}

static int teardown(void **state)
{
    struct place *place = *state;
    count_entries(place->root, true);
    int failure = rmdir(place->root);
    free(place);
    return failure;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void check_content(const char *path, const char *text)
{
    struct sonde_error error = { 0 };
    struct sonde_buf buf = { 0 };
    check_ok(sonde_file_load(path, 1000, &buf, &error), &error);
    assert_string_equal(buf.data, text);
    sonde_buf_finish(&buf);
}

static void reads_and_maps(void **state)
{
    struct place *place = *state;
    const char *path = at(place, "data");
    put(path, "0123456789");
    struct sonde_error error = { 0 };
    struct sonde_file *file = NULL;
    check_ok(sonde_file_open(&file, path, &error), &error);
    assert_int_equal(sonde_file_size(file), 10);
    assert_string_equal(sonde_file_path(file), path);
    char bytes[10];
    check_ok(sonde_file_read(file, 3, bytes, 4, &error), &error);
    assert_memory_equal(bytes, "3456", 4);
    check_ok(sonde_file_read(file, 10, bytes, 0, &error), &error);
    static const int64_t bad[][2] = { { 7, 4 },         { 11, 0 },        { -1, 1 }, { 0, -1 },
                                      { INT64_MAX, 1 }, { 1, INT64_MAX }, { 0, 11 } };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sonde_file_read(file, bad[i][0], bytes, bad[i][1], &error),
                         SONDE_STATUS_FORMAT);
        assert_non_null(strstr(error.text, path));
        assert_non_null(strstr(error.text, "asked for, the file has 10"));
    }
    const uint8_t *data = NULL, *again = NULL;
    check_ok(sonde_file_map(file, &data, &error), &error);
    check_ok(sonde_file_map(file, &again, &error), &error);
    assert_ptr_equal(data, again);
    assert_memory_equal(data, "0123456789", 10);
    sonde_file_close(&file);
    assert_null(file);
    sonde_file_close(&file);
}

static void a_file_that_shrinks_is_an_error(void **state)
{
    struct place *place = *state;
    const char *path = at(place, "data");
    put(path, "0123456789");
    struct sonde_error error = { 0 };
    struct sonde_file *file = NULL;
    check_ok(sonde_file_open(&file, path, &error), &error);
    assert_int_equal(truncate(path, 5), 0);
    char bytes[10];
    assert_int_equal(sonde_file_read(file, 0, bytes, 10, &error), SONDE_STATUS_FORMAT);
    assert_non_null(strstr(error.text, "ends at offset 5"));
    sonde_file_close(&file);
}

static void an_empty_file_maps_to_nothing(void **state)
{
    struct place *place = *state;
    const char *path = at(place, "empty");
    put(path, "");
    struct sonde_error error = { 0 };
    struct sonde_file *file = NULL;
    check_ok(sonde_file_open(&file, path, &error), &error);
    uint8_t byte = 1;
    const uint8_t *data = &byte;
    check_ok(sonde_file_map(file, &data, &error), &error);
    assert_null(data);
    sonde_file_close(&file);
    check_content(path, "");
}

static void open_refuses_what_is_no_file(void **state)
{
    struct place *place = *state;
    char fifo[128], link[128];
    snprintf(fifo, sizeof(fifo), "%s", at(place, "fifo"));
    snprintf(link, sizeof(link), "%s", at(place, "nowhere"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("no-such-target", link), 0);
    const struct {
        const char *path;
        enum sonde_status status;
        const char *says;
    } cases[] = {
        { place->root, SONDE_STATUS_ARGUMENT, "a directory" },
        { fifo, SONDE_STATUS_ARGUMENT, "a pipe" }, /* and does not wait for a writer */
        { "/dev/zero", SONDE_STATUS_ARGUMENT, "a device" },
        { link, SONDE_STATUS_NOT_FOUND, "cannot open" },
        { "no-such-directory/x", SONDE_STATUS_NOT_FOUND, "cannot open" },
        { "", SONDE_STATUS_NOT_FOUND, "cannot open" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_error error = { 0 };
        struct sonde_file *file = NULL;
        assert_int_equal(sonde_file_open(&file, cases[i].path, &error), cases[i].status);
        assert_null(file);
        assert_non_null(strstr(error.text, cases[i].says));
        assert_non_null(strstr(error.text, cases[i].path));
    }
}

static void load_keeps_its_limit(void **state)
{
    struct place *place = *state;
    const char *path = at(place, "data");
    put(path, "0123456789");
    struct sonde_error error = { 0 };
    struct sonde_buf buf = { 0 };
    sonde_buf_puts(&buf, "before");
    assert_int_equal(sonde_file_load(path, 9, &buf, &error), SONDE_STATUS_LIMIT);
    assert_non_null(strstr(error.text, "9 bytes"));
    assert_int_equal(sonde_file_load("/dev/zero", 1 << 20, &buf, &error), SONDE_STATUS_LIMIT);
    assert_int_equal(sonde_file_load(path, -1, &buf, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_file_load(place->root, 9, &buf, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_file_load("no-such-file", 9, &buf, &error), SONDE_STATUS_NOT_FOUND);
    assert_string_equal(buf.data, "before");
    check_ok(sonde_file_load(path, 10, &buf, &error), &error);
    assert_int_equal(buf.size, 10);
    assert_string_equal(buf.data, "0123456789");
    sonde_buf_finish(&buf);
}

static void save_replaces_whole(void **state)
{
    struct place *place = *state;
    const char *path = at(place, "out");
    struct sonde_error error = { 0 };
    check_ok(sonde_file_save(path, "first", 5, &error), &error);
    check_content(path, "first");
    assert_int_equal(chmod(path, 0640), 0);
    check_ok(sonde_file_save(path, "2nd", 3, &error), &error);
    check_content(path, "2nd");
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    check_ok(sonde_file_save(path, NULL, 0, &error), &error);
    check_content(path, "");
    assert_int_equal(count_entries(place->root, false), 1); /* no temporary stays */
}

static void save_goes_through_links_and_into_devices(void **state)
{
    struct place *place = *state;
    char link[128];
    snprintf(link, sizeof(link), "%s", at(place, "link"));
    const char *target = at(place, "target");
    put(target, "old");
    assert_int_equal(symlink("target", link), 0);
    struct sonde_error error = { 0 };
    check_ok(sonde_file_save(link, "new", 3, &error), &error);
    struct stat info;
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    check_content(target, "new");
    check_ok(sonde_file_save("/dev/null", "gone", 4, &error), &error);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

static void save_reports_what_fails(void **state)
{
    struct place *place = *state;
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_file_save(place->root, "x", 1, &error), SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_file_save("no-such-directory/x", "x", 1, &error),
                     SONDE_STATUS_NOT_FOUND);
    /* The device that is always full: small output fails at the flush, large output before it. */
    static char large[1 << 20];
    assert_int_equal(sonde_file_save("/dev/full", "x", 1, &error), SONDE_STATUS_IO);
    assert_non_null(strstr(error.text, strerror(ENOSPC)));
    assert_int_equal(sonde_file_save("/dev/full", large, sizeof(large), &error), SONDE_STATUS_IO);
    assert_int_equal(count_entries(place->root, false), 0);
}

static void writer_discards(void **state)
{
    struct place *place = *state;
    const char *path = at(place, "out");
    put(path, "old");
    struct sonde_error error = { 0 };
    struct sonde_file_writer writer = { 0 };
    check_ok(sonde_file_writer_begin(&writer, path, &error), &error);
    assert_true(fprintf(writer.stream, "half") > 0);
    check_content(path, "old"); /* not visible before the end */
    check_ok(sonde_file_writer_end(&writer, false, &error), &error);
    assert_null(writer.stream);
    check_content(path, "old");
    check_ok(sonde_file_writer_end(&writer, false, &error), &error); /* ended already */
    check_ok(sonde_file_writer_begin(&writer, path, &error), &error);
    assert_true(fprintf(writer.stream, "whole") > 0);
    check_ok(sonde_file_writer_end(&writer, true, &error), &error);
    check_content(path, "whole");
    assert_int_equal(count_entries(place->root, false), 1);
}

static void paths(void **state)
{
    (void)state;
    static const char *const joins[][3] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "", "b", "b" },
        { "/", "b", "/b" },  { "a", "", "a/" },
    };
    for (size_t i = 0; i < sizeof(joins) / sizeof(joins[0]); i++) {
        char *path = sonde_path_join(joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        free(path);
    }
    assert_string_equal(sonde_path_base("a/b/c"), "c");
    assert_string_equal(sonde_path_base("c"), "c");
    assert_string_equal(sonde_path_base("a/"), "");
}

static void directories(void **state)
{
    struct place *place = *state;
    struct sonde_error error = { 0 };
    const char *deep = at(place, "a/b//c/");
    check_ok(sonde_path_make_directory(deep, &error), &error);
    assert_true(sonde_path_is_directory(deep));
    check_ok(sonde_path_make_directory(deep, &error), &error);
    put(at(place, "a/file"), "x");
    assert_true(sonde_path_exists(at(place, "a/file")));
    assert_false(sonde_path_is_directory(at(place, "a/file")));
    assert_false(sonde_path_exists(at(place, "a/none")));
    assert_int_not_equal(sonde_path_make_directory(at(place, "a/file/x"), &error), SONDE_STATUS_OK);
    assert_int_not_equal(sonde_path_make_directory(at(place, "a/file"), &error), SONDE_STATUS_OK);
    assert_int_not_equal(sonde_path_make_directory("", &error), SONDE_STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_and_maps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_shrinks_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_file_maps_to_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(open_refuses_what_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(load_keeps_its_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(save_replaces_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(save_goes_through_links_and_into_devices, setup, teardown),
        cmocka_unit_test_setup_teardown(save_reports_what_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(writer_discards, setup, teardown),
        cmocka_unit_test(paths),
        cmocka_unit_test_setup_teardown(directories, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
