/* Runs a fuzz target over its corpus, as a plain test: every byte string must be taken or refused
 * without a crash. Arguments: folders (their files in the order of the names) or files. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return 0;
    }
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    rewind(file);
    /* Exactly as large as the input: a sanitizer then sees a byte that is read past it. */
    uint8_t *data = size >= 0 ? malloc(size ? (size_t)size : 1) : NULL;
    int ok = data && fread(data, 1, (size_t)size, file) == (size_t)size &&
             LLVMFuzzerTestOneInput(data, (size_t)size) == 0;
    free(data);
    fclose(file);
    if (!ok) {
        printf("# failed on %s\n", path);
    }
    return ok;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The number of files that were run, or -1 where one failed. */
static int run_argument(const char *path)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_visible, alphasort), ok = 1;
    if (n < 0) {
        return run_file(path) ? 1 : -1;
    }
    for (int i = 0; i < n; i++) {
        char full[4096];
        snprintf(full, sizeof full, "%s/%s", path, entries[i]->d_name);
        ok = run_file(full) && ok;
        free(entries[i]);
    }
    free(entries);
    return ok ? n : -1;
}

int main(int argc, char **argv)
{
    int n_bad = 0;
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        int n = run_argument(argv[i]);
        printf("%sok %d - %d inputs\n", n > 0 ? "" : "not ", i, n);
        n_bad += n <= 0; /* an empty corpus tests nothing */
    }
    return n_bad > 0 || argc < 2;
}
