/* Every allocation and every file operation of the checkpoint reader fails once. The first argument
 * is the folder of make_torch.py. */
#include "core/model/torch_file.h"

#include <string.h>

#include "core/base/file.h"
#include "core/model/model.h"
#include "tests/fault/fault_inject.h"
#include "tests/support/check.h"

static enum sonde_status read_file(void *ctx, struct sonde_error *error)
{
    struct sonde_torch_file *file = NULL;
    float value[24] = { 0 };
    enum sonde_status status = sonde_torch_open(&file, ctx, error);
    if (status != SONDE_STATUS_OK) {
        assert_null(file);
        return status;
    }
    const struct sonde_torch_entry *entry = sonde_torch_at(file, 1);
    assert_string_equal(entry->tensor.name, "transposed");
    status = sonde_torch_read(file, entry, value, error);
    if (status == SONDE_STATUS_OK) { /* element (0, 1) of the transposed is (1, 0) of the whole */
        assert_true(value[1] == 6 * 0.25f - 3);
    }
    sonde_torch_close(&file);
    return status;
}

static void reading(void **state)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/plain2.pt", (const char *)*state);
    struct fault_report report = fault_each(FAULT_MEMORY, read_file, NULL, path);
    assert_true(report.n_calls > 20);
    assert_true(report.n_tolerated <= 6); /* three blocks of arenas: smaller ones will do */
    report = fault_each(FAULT_READ, read_file, NULL, path);
    assert_true(report.n_calls >= 15);
    assert_int_equal(report.n_tolerated, 0);
}

/* What is refused leaves nothing behind either. */
static enum sonde_status refuse_file(void *ctx, struct sonde_error *error)
{
    struct sonde_torch_file *file = NULL;
    enum sonde_status status = sonde_torch_open(&file, ctx, error);
    assert_int_not_equal(status, SONDE_STATUS_OK);
    assert_null(file);
    if (status == SONDE_STATUS_UNSUPPORTED) {
        *error = (struct sonde_error){ 0 };
        return SONDE_STATUS_OK;
    }
    return status;
}

static void refusing(void **state)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/bad_global_os_system.pt", (const char *)*state);
    struct fault_report report = fault_each(FAULT_MEMORY, refuse_file, NULL, path);
    assert_true(report.n_calls > 5);
}

/* The whole way into a model: settings, checksums, shapes, split projections, positions. */
static enum sonde_status open_model(void *ctx, struct sonde_error *error)
{
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    enum sonde_status status = sonde_model_open(&model, ctx, &options, error);
    if (status != SONDE_STATUS_OK) {
        assert_null(model);
        return status;
    }
    assert_int_equal(sonde_model_spec(model)->d_out, 3);
    assert_int_equal(sonde_model_spec(model)->n_ctx, 9);
    sonde_model_close(&model);
    return status;
}

static void binding(void **state)
{
    char path[1024], settings[1100];
    static const char text[] = "{\"n_heads\": 2, \"position\": \"learned\"}";
    struct sonde_error error = { 0 };
    snprintf(path, sizeof path, "%s/encoder_sin.pt", (const char *)*state);
    snprintf(settings, sizeof settings, "%s.json", path);
    check_ok(sonde_file_save(settings, text, sizeof text - 1, &error), &error);
    struct fault_report report = fault_each(FAULT_MEMORY, open_model, NULL, path);
    assert_true(report.n_calls > 30);
    assert_true(report.n_tolerated <= 8); /* blocks of arenas: smaller ones will do */
    report = fault_each(FAULT_READ, open_model, NULL, path);
    assert_true(report.n_calls > 30);
    (void)remove(settings);
}

int main(int argc, char **argv)
{
    void *folder = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(reading, folder),
        cmocka_unit_test_prestate(refusing, folder),
        cmocka_unit_test_prestate(binding, folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
