/* Bundled models are found by name in the places that bundled.h lists, in that order. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tests/support/check.h"
#include "tools/bundled.h"

struct fixture {
    char root[64];
};

static const char *const places[] = { "given/counter", "prefix/share/sonde/models/counter",
                                      "source/tools/models/counter" };
enum { GIVEN, INSTALLED, SOURCE, N_PLACES };

static const char *path_in(const struct fixture *f, const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", f->root, name);
    return out;
}

static void make_model(const struct fixture *f, int place)
{
    char folder[256], config[300];
    struct sonde_error error = { 0 };
    check_ok(sonde_path_make_directory(path_in(f, places[place], folder), &error), &error);
    snprintf(config, sizeof(config), "%s/config.json", folder);
    check_ok(sonde_file_save(config, "{}", 2, &error), &error);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *base = getenv("TMPDIR");
    snprintf(f->root, sizeof(f->root), "%.40s/sonde-bundled-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(f->root));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[300];
    for (int i = 0; i < N_PLACES; i++) {
        snprintf(path, sizeof(path), "%s/%s/config.json", f->root, places[i]);
        unlink(path);
        /* the folder and those above it that are empty by now */
        for (char *slash = strrchr(path, '/'); slash && strlen(path) > strlen(f->root);
             slash = strrchr(path, '/')) {
            *slash = '\0';
            rmdir(path);
        }
    }
    rmdir(f->root);
    free(f);
    return 0;
}

static void expect(const struct fixture *f, const char *environment, const char *executable,
                   const char *expected)
{
    char in[256], program[256], path[256];
    char *found = sonde_bundled_find("counter", environment ? path_in(f, environment, in) : NULL,
                                     executable ? path_in(f, executable, program) : NULL);
    if (expected) {
        assert_non_null(found);
        assert_string_equal(found, path_in(f, expected, path));
    } else {
        assert_null(found);
    }
    free(found);
}

static void test_places(void **state)
{
    const struct fixture *f = *state;
    expect(f, "given", "prefix/bin/sonde", NULL);
    make_model(f, INSTALLED);
    make_model(f, SOURCE);
    expect(f, NULL, "prefix/bin/sonde", places[INSTALLED]);
    expect(f, "given", "prefix/bin/sonde", places[INSTALLED]); /* not there: go on */
    /* share/ is looked for beside bin/ alone */
    expect(f, NULL, "prefix/lib/sonde/sonde", NULL);
    expect(f, NULL, "source/build/tools/sonde", places[SOURCE]);
    expect(f, NULL, "source/builds/debug/tools/sonde", places[SOURCE]);
    expect(f, NULL, "source/a/b/c/d/e/f/sonde", NULL);
    expect(f, NULL, NULL, NULL);
    make_model(f, GIVEN);
    expect(f, "given", "prefix/bin/sonde", places[GIVEN]);
    expect(f, "given", NULL, places[GIVEN]);
    expect(f, "given/counter", NULL, NULL);
}

static void test_names(void **state)
{
    const struct fixture *f = *state;
    char folder[4096], path[256];
    struct sonde_error error = { 0 };
    assert_non_null(getcwd(folder, sizeof(folder)));
    assert_int_equal(chdir(f->root), 0);
    assert_true(sonde_bundled_is_name("counter"));
    assert_true(sonde_bundled_is_name("english"));
    assert_false(sonde_bundled_is_name("nothere"));
    assert_false(sonde_bundled_is_name("./counter"));
    assert_false(sonde_bundled_is_name(""));
    assert_false(sonde_bundled_is_hidden("counter"));
    /* what the user has under that name comes first */
    check_ok(sonde_file_save(path_in(f, "counter", path), "x", 1, &error), &error);
    assert_false(sonde_bundled_is_name("counter"));
    assert_true(sonde_bundled_is_hidden("counter"));
    assert_false(sonde_bundled_is_hidden("english"));
    unlink(path);
    assert_int_equal(chdir(folder), 0);
}

static void test_open(void **state)
{
    const struct fixture *f = *state;
    char path[256];
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_bundled_open(&model, "nothere", NULL, &error), SONDE_STATUS_NOT_FOUND);
    assert_string_equal(error.text, "nothere: no such file or folder");
    make_model(f, GIVEN);
    assert_int_equal(setenv("SONDE_MODELS", path_in(f, "given", path), 1), 0);
    char *found = NULL;
    check_ok(sonde_bundled_folder("counter", &found, &error), &error);
    assert_string_equal(found, path_in(f, places[GIVEN], path));
    free(found);
    /* the model's own message, with the folder that was found */
    assert_int_equal(sonde_bundled_open(&model, "counter", NULL, &error), SONDE_STATUS_FORMAT);
    assert_non_null(strstr(error.text, "given/counter/config.json: model_type is missing"));
    assert_null(model);
    assert_int_equal(unsetenv("SONDE_MODELS"), 0);
    assert_int_equal(sonde_bundled_folder("of-no-name", &found, &error), SONDE_STATUS_NOT_FOUND);
    assert_non_null(strstr(error.text, "$SONDE_MODELS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
