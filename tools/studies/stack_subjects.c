#include "tools/studies/stack_subjects.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"

#define UNKNOWN ((double)NAN)
#define NO_COUNTS                                                                                  \
    {                                                                                              \
        -1, -1, -1, -1, -1, -1                                                                     \
    }

const struct sonde_stack_language sonde_stack_languages[SONDE_STACK_LANGUAGES] = {
    { .name = "dyck-1",
      .folder = { "dyck1", "testrun_dyck1" },
      .data = "Dyck-1",
      .depth = "depth",
      .train_max = 50,
      .bin = { { 2, 50 }, { 52, 100 }, { 100, 150 }, { 150, 200 }, { 200, 250 }, { 250, 300 } },
      .epoch = 19,
      .published_right = { 1999, 1999, 625, -1, -1, -1 },
      .published_mean = { 1, 1, 0.312831 },
      .with_pads = UNKNOWN, /* the published numbers are of a model with 4 heads */
      .honest = UNKNOWN,
      .pad_share = 0.367,
      .overlap = 0.255 },
    { .name = "shuffle-2",
      .folder = { "shuffle2" },
      .data = "Shuffle-2",
      .depth = "depth:1",
      .train_max = 50,
      .bin = { { 2, 50 }, { 52, 100 }, { 100, 150 } },
      .epoch = 20,
      .published_right = { 1999, 1891, 344, -1, -1, -1 },
      .published_mean = { 1, 0.946429, 0.171759 },
      .with_pads = 0.755,
      .honest = 0.517,
      .pad_share = 0.485,
      .overlap = 0.188 },
    { .name = "shuffle-4",
      .folder = { "shuffle4" },
      .data = "Shuffle-4",
      .depth = "depth",
      .train_max = 100,
      .bin = { { 2, 100 }, { 102, 150 }, { 150, 200 } },
      .epoch = -1,
      .published_right = NO_COUNTS,
      .with_pads = 0.778,
      .honest = 0.319,
      .pad_share = 0.673,
      .overlap = 0.168 },
    { .name = "shuffle-6",
      .folder = { "shuffle6" },
      .data = "Shuffle-6",
      .depth = "depth",
      .train_max = 100,
      .bin = { { 2, 100 }, { 102, 150 }, { 150, 200 } },
      .epoch = -1,
      .published_right = NO_COUNTS,
      .with_pads = 0.806,
      .honest = 0.357,
      .pad_share = 0.692,
      .overlap = 0.145 },
};

static void finish_subject(struct sonde_stack_subject *s)
{
    sonde_lab_strings_finish(&s->train);
    for (int64_t b = 0; b < s->n_bins; b++)
        sonde_lab_strings_finish(&s->bin[b]);
    sonde_model_close(&s->model);
    free(s->name);
    free(s->slug);
    *s = (struct sonde_stack_subject){ 0 };
}

void sonde_stack_finish(struct sonde_stack *stack)
{
    for (int64_t i = 0; i < SONDE_STACK_LANGUAGES; i++)
        finish_subject(&stack->subject[i]);
    stack->n = 0;
}

/* The highest N of the files model_N.pt in a folder, or -1. */
static int64_t newest_epoch(const char *folder)
{
    DIR *directory = opendir(folder);
    int64_t newest = -1;
    for (struct dirent *entry; directory && (entry = readdir(directory)) != NULL;) {
        int epoch = -1, end = 0;
        if (sscanf(entry->d_name, "model_%d.pt%n", &epoch, &end) == 1 && end > 0 &&
            entry->d_name[end] == '\0' && epoch > newest)
            newest = epoch;
    }
    if (directory)
        closedir(directory);
    return newest;
}

/* Folder of the language's checkpoints, or NULL; *epoch of the newest. */
static char *find_folder(const char *weights, const struct sonde_stack_language *language,
                         int64_t *epoch)
{
    for (int i = 0; i < 3 && language->folder[i]; i++) {
        char *folder = sonde_path_join(weights, language->folder[i]);
        *epoch = folder ? newest_epoch(folder) : -1;
        if (*epoch >= 0)
            return folder;
        free(folder);
    }
    return NULL;
}

static enum sonde_status read_bins(struct sonde_stack_subject *s, const char *folder, int64_t limit,
                                   struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t b = 0; !status && b < SONDE_STACK_BINS_MAX && s->language->bin[b][1] > 0; b++) {
        char file[32], name[16];
        snprintf(file, sizeof(file), "val_src_bin%lld.txt", (long long)b);
        snprintf(name, sizeof(name), "bin %lld", (long long)b);
        char *path = sonde_path_join(folder, file);
        if (!path)
            return sonde_error_memory(error, "a path");
        if (sonde_path_exists(path)) {
            status = sonde_lab_strings_read(&s->bin[s->n_bins], s->language->name, name, path,
                                            limit, error);
            s->n_bins += status == SONDE_STATUS_OK;
        }
        free(path);
    }
    return status;
}

/* Strings from the folder `data` beside the weights; *found is false where it is not there. */
static enum sonde_status read_strings(struct sonde_stack *stack, struct sonde_stack_subject *s,
                                      bool *found, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    char *data = sonde_path_join(stack->lab->weights, "../data");
    char *folder = data ? sonde_path_join(data, s->language->data) : NULL;
    char *train = folder ? sonde_path_join(folder, "train_src.txt") : NULL;
    int64_t limit = stack->lab->quick ? 1000 : 0;
    if (!train)
        status = sonde_error_memory(error, "a path");
    *found = train && sonde_path_exists(train);
    if (*found)
        status = sonde_lab_strings_read(&s->train, s->language->name, "train", train, limit, error);
    if (*found && !status)
        status = read_bins(s, folder, 0, error);
    if (*found && !status && s->n_bins == 0)
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "%s: no val_src_bin0.txt", folder);
    free(train);
    free(folder);
    free(data);
    return status;
}

enum sonde_status sonde_stack_make_strings(struct sonde_stack *stack, struct sonde_stack_subject *s,
                                           struct sonde_error *error)
{
    const struct sonde_stack_language *l = s->language;
    bool quick = stack->lab->quick;
    long long seed = (long long)stack->lab->cli->common.seed;
    char spec[96], name[16];
    snprintf(spec, sizeof(spec), "%s:n=%d,len=2..%lld,seed=%lld,generator=grammar", l->name,
             quick ? 2500 : 10000, (long long)l->train_max, seed);
    enum sonde_status status = sonde_lab_strings_generate(&s->train, "train", spec, error);
    for (int64_t b = 0; !status && b < SONDE_STACK_BINS_MAX && l->bin[b][1] > 0; b++) {
        snprintf(spec, sizeof(spec), "%s:n=%d,len=%lld..%lld,seed=%lld,generator=grammar", l->name,
                 quick ? 200 : 2000, (long long)l->bin[b][0], (long long)l->bin[b][1],
                 seed + 1000 + b);
        snprintf(name, sizeof(name), "bin %lld", (long long)b);
        status = sonde_lab_strings_generate(&s->bin[s->n_bins], name, spec, error);
        s->n_bins += status == SONDE_STATUS_OK;
    }
    return status;
}

static enum sonde_status open_checkpoint(struct sonde_stack *stack, struct sonde_stack_subject *s,
                                         const char *folder, struct sonde_error *error)
{
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    char file[32], name[64];
    snprintf(file, sizeof(file), "model_%lld.pt", (long long)s->epoch);
    snprintf(name, sizeof(name), "%s, epoch %lld", s->language->name, (long long)s->epoch);
    char *path = sonde_path_join(folder, file);
    s->name = sonde_strdup(name);
    s->slug = sonde_strdup(s->language->name);
    s->published = true;
    if (!path || !s->name || !s->slug) {
        free(path);
        return sonde_error_memory(error, "a checkpoint");
    }
    enum sonde_status status = sonde_model_open(&s->model, path, &options, error);
    free(path);
    if (!status)
        status = read_strings(stack, s, &s->published_data, error);
    if (!status && !s->published_data)
        status = sonde_stack_make_strings(stack, s, error);
    return status;
}

enum sonde_status sonde_stack_open_published(struct sonde_stack *stack, struct sonde_error *error)
{
    const char *weights = stack->lab->weights;
    for (int64_t i = 0; i < SONDE_STACK_LANGUAGES; i++) {
        struct sonde_stack_subject *s = &stack->subject[stack->n];
        int64_t epoch = -1;
        char *folder = find_folder(weights, &sonde_stack_languages[i], &epoch);
        if (!folder)
            continue;
        s->language = &sonde_stack_languages[i];
        s->epoch = epoch;
        enum sonde_status status = open_checkpoint(stack, s, folder, error);
        free(folder);
        if (status)
            return status;
        stack->n++;
    }
    if (stack->n == 0)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                               "--weights %s: no model_N.pt in dyck1, shuffle2, shuffle4 or "
                               "shuffle6",
                               weights);
    return SONDE_STATUS_OK;
}
