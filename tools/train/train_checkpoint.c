/* Checkpoints of a training: folders that appear whole, the newest few kept. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/num.h"
#include "tools/train/train_run.h"

enum { PATH_BYTES = 4096 };

static enum sonde_status join(char *out, const char *folder, const char *name,
                              struct sonde_error *error)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    return n > 0 && n < PATH_BYTES
               ? SONDE_STATUS_OK
               : sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: a path of more than %d bytes",
                                 folder, PATH_BYTES - 1);
}

enum sonde_status sonde_train_write_model(const struct sonde_train_run *run, const char *folder,
                                          struct sonde_error *error)
{
    enum sonde_status status = sonde_path_make_directory(folder, error);
    for (int i = 0; i < run->input->n_files && !status; i++) {
        const struct sonde_train_file *file = &run->input->file[i];
        char path[PATH_BYTES];
        status = join(path, folder, file->name, error);
        if (!status)
            status = sonde_file_save(path, file->bytes.data, file->bytes.size, error);
    }
    return status ? status : sonde_model_save(run->model, folder, run->recipe->dtype, error);
}

/* The number of "step-N", -1 for other names. */
static int64_t step_of(const char *name)
{
    int64_t step = -1;
    if (strncmp(name, "step-", 5) != 0 || !sonde_parse_i64(name + 5, strlen(name + 5), &step))
        return -1;
    return step;
}

/* Calls visit for every checkpoint; a folder that is not there has none. */
static enum sonde_status each_checkpoint(const char *folder,
                                         void (*visit)(void *ctx, int64_t step, const char *name),
                                         void *ctx, struct sonde_error *error)
{
    DIR *directory = opendir(folder);
    if (!directory && errno == ENOENT)
        return SONDE_STATUS_OK;
    if (!directory)
        return sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", folder, strerror(errno));
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (step_of(entry->d_name) >= 0)
            visit(ctx, step_of(entry->d_name), entry->d_name);
    closedir(directory);
    return SONDE_STATUS_OK;
}

/* Removes a checkpoint's folder and the files in it, those that a killed process left half-written
 * too. Folders inside are nobody's but the user's: they stay, and what holds them. */
static void remove_checkpoint(const char *folder)
{
    char path[PATH_BYTES];
    DIR *directory = opendir(folder);
    if (!directory)
        return;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (!join(path, folder, entry->d_name, NULL))
            (void)unlink(path);
    closedir(directory);
    (void)rmdir(folder);
}

struct oldest {
    int64_t n, step;
    char name[64];
};

static void visit_oldest(void *ctx, int64_t step, const char *name)
{
    struct oldest *o = ctx;
    o->n++;
    if ((o->step < 0 || step < o->step) && strlen(name) < sizeof(o->name)) {
        o->step = step;
        strcpy(o->name, name);
    }
}

static enum sonde_status keep_newest(const char *folder, int64_t keep, struct sonde_error *error)
{
    for (;;) {
        struct oldest oldest = { .step = -1 };
        char path[PATH_BYTES];
        enum sonde_status status = each_checkpoint(folder, visit_oldest, &oldest, error);
        if (status || oldest.n <= keep || oldest.step < 0)
            return status;
        status = join(path, folder, oldest.name, error);
        if (status)
            return status;
        remove_checkpoint(path);
        if (sonde_path_exists(path)) /* somebody's file in it: leave it and all others */
            return SONDE_STATUS_OK;
    }
}

/* A new name of a folder lasts once the folder above is on the disk. */
static void sync_folder(const char *folder)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY);
    if (file >= 0) {
        (void)fsync(file);
        close(file);
    }
}

enum sonde_status sonde_train_checkpoint_write(const struct sonde_train_run *run,
                                               struct sonde_error *error)
{
    char all[PATH_BYTES], partial[PATH_BYTES], whole[PATH_BYTES], state[PATH_BYTES], name[64];
    const int64_t step = sonde_trainer_position(run->trainer)->step;
    (void)snprintf(name, sizeof(name), "step-%08lld", (long long)step);
    enum sonde_status status = join(all, run->options.folder, "checkpoints", error);
    if (!status)
        status = join(whole, all, name, error);
    if (!status)
        status = join(partial, all, "partial", error);
    if (!status)
        status = join(state, partial, "state.safetensors", error);
    const bool there = !status && sonde_path_exists(whole);
    if (!status && !there) {
        remove_checkpoint(partial); /* of a process that was killed */
        status = sonde_train_write_model(run, partial, error);
        if (!status)
            status = sonde_trainer_save(run->trainer, state, run->note, error);
        if (!status && rename(partial, whole) != 0)
            status = sonde_error_set(error, SONDE_STATUS_IO, "%s: %s", whole, strerror(errno));
        sync_folder(all);
    }
    /* Also where it was there: a kill may have come before the older ones went. */
    return !status && run->recipe->checkpoint_keep > 0
               ? keep_newest(all, run->recipe->checkpoint_keep, error)
               : status;
}

static void visit_newest(void *ctx, int64_t step, const char *name)
{
    struct oldest *newest = ctx;
    if (step > newest->step && strlen(name) < sizeof(newest->name)) {
        newest->step = step;
        strcpy(newest->name, name);
    }
}

enum sonde_status sonde_train_checkpoint_find(const char *folder, char **out,
                                              struct sonde_error *error)
{
    char all[PATH_BYTES], checkpoint[PATH_BYTES], state[PATH_BYTES];
    struct oldest newest = { .step = -1 };
    *out = NULL;
    enum sonde_status status = join(all, folder, "checkpoints", error);
    if (!status)
        status = each_checkpoint(all, visit_newest, &newest, error);
    if (status || newest.step < 0)
        return status;
    status = join(checkpoint, all, newest.name, error);
    if (!status)
        status = join(state, checkpoint, "state.safetensors", error);
    if (status)
        return status;
    *out = sonde_strdup(state);
    return *out ? SONDE_STATUS_OK : sonde_error_memory(error, "a path");
}
