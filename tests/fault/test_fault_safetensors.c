/* Every allocation and every file operation of the safetensors reader and writer fails once. */
#include "core/tensor/safetensors.h"

#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/base/buf.h"
#include "tests/fault/fault_inject.h"
#include "tests/support/check.h"

enum { N_TENSORS = 40, N_VALUES = 6 };

struct place {
    char root[64], path[96];
    char name[N_TENSORS][16];
    float values[N_TENSORS][N_VALUES]; /* [2, 3] each */
    struct sonde_safetensors_item items[N_TENSORS];
};

static const struct sonde_safetensors_pair metadata[] = { { "format", "pt" }, { "made", "here" } };

static enum sonde_status write_file(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    return sonde_safetensors_write(place->path, place->items, N_TENSORS, metadata, 2, error);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    snprintf(place->root, sizeof(place->root), "sonde-fault-tensors-XXXXXX");
    if (!mkdtemp(place->root))
        return -1;
    snprintf(place->path, sizeof(place->path), "%s/file", place->root);
    for (int i = 0; i < N_TENSORS; i++) {
        snprintf(place->name[i], sizeof(place->name[i]), "tensor.%d", i);
        for (int j = 0; j < N_VALUES; j++)
            place->values[i][j] = (float)(10 * i + j);
        place->items[i] = (struct sonde_safetensors_item){ .name = place->name[i],
                                                           .dtype = SONDE_DTYPE_F32,
                                                           .rank = 2,
                                                           .dim = { 2, 3 },
                                                           .data = place->values[i] };
    }
    *state = place;
    struct sonde_error error = { 0 };
    return write_file(place, &error) != SONDE_STATUS_OK;
}

static int teardown(void **state)
{
    struct place *place = *state;
    unlink(place->path);
    int failure = rmdir(place->root); /* fails where a temporary file stayed */
    free(place);
    return failure;
}

static enum sonde_status read_file(void *ctx, struct sonde_error *error)
{
    struct place *place = ctx;
    struct sonde_safetensors *file = NULL;
    enum sonde_status status = sonde_safetensors_open(&file, place->path, error);
    if (status != SONDE_STATUS_OK) {
        assert_null(file);
        return status;
    }
    assert_int_equal(sonde_safetensors_count(file), N_TENSORS);
    assert_string_equal(sonde_safetensors_metadata(file, "made"), "here");
    const struct sonde_safetensors_entry *entry = sonde_safetensors_find(file, "tensor.17");
    assert_non_null(entry);
    float values[N_VALUES] = { 0 };
    const uint8_t *data = NULL;
    status = sonde_safetensors_read_f32(file, entry, 0, N_VALUES, values, error);
    if (status == SONDE_STATUS_OK) {
        assert_memory_equal(values, place->values[17], sizeof(values));
        status = sonde_safetensors_map(file, entry, &data, error);
    }
    if (status == SONDE_STATUS_OK)
        assert_memory_equal(data, place->values[17], sizeof(values));
    sonde_safetensors_close(&file);
    return status;
}

static void reading(void **state)
{
    struct fault_report report = fault_each(FAULT_MEMORY, read_file, NULL, *state);
    assert_true(report.n_calls > 2 * N_TENSORS);
    assert_int_equal(report.n_tolerated, 2); /* the arena's first block: a smaller one will do */
    report = fault_each(FAULT_READ, read_file, NULL, *state);
    assert_true(report.n_calls >= 5);
    assert_int_equal(report.n_tolerated, 0);
}

/* Whatever failed, the file is the old or the new one, which here are the same. */
static void file_is_whole(void *ctx, enum sonde_status status)
{
    (void)status;
    struct sonde_error error = { 0 };
    check_ok(read_file(ctx, &error), &error);
}

static void writing(void **state)
{
    struct fault_report report = fault_each(FAULT_MEMORY, write_file, file_is_whole, *state);
    assert_true(report.n_calls > 2);
    assert_true(report.n_tolerated <= 1); /* the name of the directory to sync */
    report = fault_each(FAULT_WRITE, write_file, file_is_whole, *state);
    assert_true(report.n_calls >= 6);
    assert_true(report.n_tolerated <= 1); /* the sync of the directory */
}

int main(void)
{
    json_set_alloc_funcs(fault_malloc, fault_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reading, setup, teardown),
        cmocka_unit_test_setup_teardown(writing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
