/* AC-2a: targets made here equal the published ones, line for line, in every file of the study's
 * data (../shared/seeds/counter-languages/data). */
#include "tests/support/check.h"

#include <dirent.h>
#include <string.h>

#include "core/corpus/formal.h"

static const char *const folders[][2] = {
    { "AAStar", "aa-star" },
    { "ABABStar", "abab-star" },
    { "Boolean-3", "boolean-3" },
    { "Counter-2", "counter-2" },
    { "Counter-3", "counter-3" },
    { "Counter-4", "counter-4" },
    { "D_2", "d-2" },
    { "D_3", "d-3" },
    { "D_4", "d-4" },
    { "D_12", "d-12" },
    { "Dyck-1", "dyck-1" },
    { "Parity", "parity" },
    { "Shuffle-2", "shuffle-2" },
    { "Shuffle-4", "shuffle-4" },
    { "Shuffle-6", "shuffle-6" },
    { "Tomita-5", "tomita-5" },
    { "Tomita-6", "tomita-6" },
};

static bool read_line(FILE *file, char **line, size_t *size, size_t *n)
{
    ssize_t got = getline(line, size, file);
    if (got < 0)
        return false;
    *n = (size_t)got;
    while (*n > 0 && ((*line)[*n - 1] == '\n' || (*line)[*n - 1] == '\r'))
        (*line)[--*n] = '\0';
    return true;
}

static void check_line(struct sonde_formal_walk *walk, const struct sonde_formal *formal,
                       const char *string, const char *target, size_t n_target)
{
    struct sonde_error error = { 0 };
    int64_t size = sonde_formal_target_size(formal);
    size_t n = strlen(string);
    char made[SONDE_FORMAL_MAX_SYMBOLS];
    assert_int_equal(n_target, n * (size_t)size);
    sonde_formal_walk_start(walk, formal);
    for (size_t i = 0; i < n; i++) {
        check_ok(sonde_formal_walk_step(walk, string[i], &error), &error);
        sonde_formal_target(walk, made);
        assert_memory_equal(made, target + i * (size_t)size, (size_t)size);
    }
    assert_true(sonde_formal_accepts(walk));
}

static int64_t check_file(const struct sonde_formal *formal, const char *folder, const char *name)
{
    char path[2048], other[256];
    char *string = NULL, *target = NULL;
    size_t string_size = 0, target_size = 0, n = 0, n_target = 0;
    int64_t n_lines = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *source = fopen(path, "rb");
    assert_non_null(source);
    snprintf(other, sizeof(other), "%s", name);
    memcpy(strstr(other, "_src"), "_tgt", 4);
    snprintf(path, sizeof(path), "%s/%s", folder, other);
    FILE *targets = fopen(path, "rb");
    assert_non_null(targets);
    struct sonde_formal_walk walk = { 0 };
    while (read_line(source, &string, &string_size, &n)) {
        assert_true(read_line(targets, &target, &target_size, &n_target));
        check_line(&walk, formal, string, target, n_target);
        n_lines++;
    }
    assert_false(read_line(targets, &target, &target_size, &n_target));
    sonde_formal_walk_finish(&walk);
    free(string);
    free(target);
    fclose(source);
    fclose(targets);
    return n_lines;
}

static void check_folder(const char *path, const char *language)
{
    struct sonde_error error = { 0 };
    struct sonde_formal *formal = NULL;
    int64_t n_lines = 0, n_files = 0;
    check_ok(sonde_formal_create(&formal, language, &error), &error);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strstr(entry->d_name, "_src")) {
            n_lines += check_file(formal, path, entry->d_name);
            n_files++;
        }
    closedir(folder);
    assert_true(n_files >= 2);
    fprintf(stderr, "# %s: %lld lines of %lld files are equal\n", language, (long long)n_lines,
            (long long)n_files);
    sonde_formal_destroy(&formal);
}

static void published_targets(void **state)
{
    (void)state;
    char root[1024], path[1536];
    check_shared(root, "seeds/counter-languages/data");
    DIR *data = opendir(root);
    assert_non_null(data);
    for (struct dirent *entry; (entry = readdir(data));) {
        if (entry->d_name[0] == '.')
            continue;
        const char *language = NULL;
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
            if (strcmp(entry->d_name, folders[i][0]) == 0)
                language = folders[i][1];
        if (!language)
            fail_msg("no language for the folder %s", entry->d_name);
        snprintf(path, sizeof(path), "%s/%s", root, entry->d_name);
        check_folder(path, language);
    }
    closedir(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(published_targets) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
