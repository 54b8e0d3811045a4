#include "tools/studies/formal_targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"

#define FILE_BYTES_MAX ((int64_t)1 << 30)

/* Published folders and the languages they hold. */
static const struct {
    const char *folder, *language;
} known[] = {
    { "Dyck-1", "dyck-1" },
    { "Shuffle-2", "shuffle-2" },
    { "Shuffle-4", "shuffle-4" },
    { "Shuffle-6", "shuffle-6" },
    { "Parity", "parity" },
    { "D_2", "d-2" },
    { "D_3", "d-3" },
    { "D_4", "d-4" },
    { "D_12", "d-12" },
    { "AAStar", "aa-star" },
    { "ABABStar", "abab-star" },
    { "Boolean-3", "boolean-3" },
    { "Boolean-5", "boolean-5" },
    { "Counter-2", "counter-2" },
    { "Counter-3", "counter-3" },
    { "Counter-4", "counter-4" },
    { "Tomita-5", "tomita-5" },
    { "Tomita-6", "tomita-6" },
};
#define N_KNOWN ((int)(sizeof(known) / sizeof(known[0])))

struct comparison {
    struct sonde_formal *formal;
    struct sonde_formal_walk walk;
    int64_t lines, equal;
};

/* The next line of a file from *at on, without its end. */
static const char *next_line(const struct sonde_buf *file, size_t *at, size_t *n)
{
    const char *line = file->data + *at, *end = memchr(line, '\n', file->size - *at);
    *n = end ? (size_t)(end - line) : file->size - *at;
    *at += *n + 1 < file->size - *at ? *n + 1 : file->size - *at;
    *n -= *n > 0 && line[*n - 1] == '\r';
    return line;
}

static bool line_is_equal(struct comparison *c, const char *source, size_t n, const char *target,
                          size_t n_target)
{
    size_t width = (size_t)sonde_formal_target_size(c->formal);
    if (n_target != n * width)
        return false;
    sonde_formal_walk_start(&c->walk, c->formal);
    for (size_t i = 0; i < n; i++) {
        char out[SONDE_FORMAL_MAX_SYMBOLS];
        if (sonde_formal_walk_step(&c->walk, source[i], NULL))
            return false;
        sonde_formal_target(&c->walk, out);
        if (memcmp(out, target + i * width, width) != 0)
            return false;
    }
    return true;
}

/* stem: "train", "val"; bin < 0: none. A pair that is not there adds nothing. */
static enum sonde_status compare_pair(struct comparison *c, const char *folder, const char *suffix,
                                      struct sonde_error *error)
{
    struct sonde_buf source = { 0 }, target = { 0 };
    char name[32];
    const char *bin = strchr(suffix, '_');
    int stem = bin ? (int)(bin - suffix) : (int)strlen(suffix);
    snprintf(name, sizeof(name), "%.*s_src%s.txt", stem, suffix, bin ? bin : "");
    char *source_path = sonde_path_join(folder, name);
    snprintf(name, sizeof(name), "%.*s_tgt%s.txt", stem, suffix, bin ? bin : "");
    char *target_path = sonde_path_join(folder, name);
    enum sonde_status status =
        source_path && target_path ? SONDE_STATUS_OK : sonde_error_memory(error, "a path");
    bool there = !status && sonde_path_exists(source_path) && sonde_path_exists(target_path);
    if (there)
        status = sonde_file_load(source_path, FILE_BYTES_MAX, &source, error);
    if (there && !status)
        status = sonde_file_load(target_path, FILE_BYTES_MAX, &target, error);
    size_t s = 0, t = 0;
    while (there && !status && s < source.size && t < target.size) {
        size_t n, n_target;
        const char *text = next_line(&source, &s, &n);
        const char *bits = next_line(&target, &t, &n_target);
        c->lines++;
        c->equal += line_is_equal(c, text, n, bits, n_target);
    }
    if (there && !status && (s < source.size || t < target.size))
        status = sonde_error_set(error, SONDE_STATUS_FORMAT,
                                 "%s and its targets have different numbers of lines", source_path);
    sonde_buf_finish(&source);
    sonde_buf_finish(&target);
    free(source_path);
    free(target_path);
    return status;
}

static enum sonde_status compare_language(struct sonde_lab *lab, struct sonde_result *section,
                                          struct sonde_table *t, const char *folder,
                                          const char *language, struct sonde_error *error)
{
    static const char *const pairs[] = { "train",    "val_bin0", "val_bin1", "val_bin2",
                                         "val_bin3", "val_bin4", "val_bin5" };
    struct comparison c = { 0 };
    enum sonde_status status = sonde_formal_create(&c.formal, language, error);
    for (size_t i = 0; !status && i < sizeof(pairs) / sizeof(pairs[0]); i++)
        status = compare_pair(&c, folder, pairs[i], error);
    if (!status) {
        sonde_table_add_row(t);
        sonde_table_text(t, 0, language);
        sonde_table_i64(t, 1, c.lines);
        sonde_table_i64(t, 2, c.equal);
        double share = c.lines > 0 ? (double)c.equal / (double)c.lines : 0;
        sonde_lab_check_named(lab, section, share >= 1, share, "= 1", "%s: targets equal",
                              language);
    }
    sonde_formal_walk_finish(&c.walk);
    sonde_formal_destroy(&c.formal);
    return status;
}

enum sonde_status sonde_formal_targets_compare(struct sonde_lab *lab, struct sonde_error *error)
{
    static const char *const columns[] = { "language", "lines", "equal", NULL };
    struct sonde_result *section =
        sonde_lab_section(lab, "Targets",
                          "Lines of the published target files that the languages as defined here "
                          "give again, letter for letter.");
    struct sonde_table *t = sonde_result_add_table(section, "targets", columns);
    char *data = sonde_path_join(lab->weights, "../data");
    enum sonde_status status = data ? SONDE_STATUS_OK : sonde_error_memory(error, "a path");
    int found = 0;
    for (int i = 0; !status && i < N_KNOWN; i++) {
        char *folder = sonde_path_join(data, known[i].folder);
        if (!folder)
            status = sonde_error_memory(error, "a path");
        else if (sonde_path_is_directory(folder)) {
            status = compare_language(lab, section, t, folder, known[i].language, error);
            found++;
        }
        free(folder);
    }
    if (!status && found == 0)
        status =
            sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                            "--weights %s: no folder of a known language in ../data", lab->weights);
    free(data);
    return status;
}
