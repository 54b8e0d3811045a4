/* Every allocation and every write fails while a model is made and saved: nothing leaks, and what
 * lies in the folder is whole. jansson allocates beyond reach, so the config is read before. */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/model/create.h"
#include "tests/fault/fault_inject.h"
#include "tests/support/check.h"

struct making {
    struct sonde_json *config;
    char folder[256];
};

static enum sonde_status make(void *ctx, struct sonde_error *error)
{
    const struct making *m = ctx;
    struct sonde_model *model = NULL;
    enum sonde_status status = sonde_model_create(&model, m->config, "made", NULL, error);
    if (status != SONDE_STATUS_OK) {
        assert_null(model);
        return status;
    }
    status = sonde_model_save(model, m->folder, SONDE_DTYPE_F16, error);
    sonde_model_close(&model);
    return status;
}

/* What is left opens; nothing but the two files lies there. Empties the folder. */
static void look(void *ctx, enum sonde_status status)
{
    const struct making *m = ctx;
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    char path[600];
    int n = 0;
    snprintf(path, sizeof path, "%s/config.json", m->folder);
    if (sonde_path_exists(path)) { /* written last */
        check_ok(sonde_model_open(&model, m->folder, &options, &error), &error);
        sonde_model_close(&model);
    } else {
        assert_int_not_equal(status, SONDE_STATUS_OK);
    }
    DIR *dir = opendir(m->folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            assert_true(strcmp(entry->d_name, "config.json") == 0 ||
                        strcmp(entry->d_name, "model.safetensors") == 0);
            snprintf(path, sizeof path, "%s/%s", m->folder, entry->d_name);
            assert_int_equal(unlink(path), 0);
            n++;
        }
    }
    if (dir) {
        closedir(dir);
    }
    assert_true(status != SONDE_STATUS_OK || n == 2);
}

static void making(void **state)
{
    static const char *const configs[] = {
        "{\"model_type\":\"sonde\",\"position\":\"t5\",\"vocab_size\":5,\"hidden_size\":4,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"norm_place\":\"post\"}",
        "{\"model_type\":\"gpt2\",\"vocab_size\":5,\"n_embd\":4,\"n_layer\":1,\"n_head\":2,"
        "\"n_positions\":6}",
    };
    const char *base = getenv("TMPDIR");
    struct making m = { .config = NULL };
    (void)state;
    snprintf(m.folder, sizeof m.folder, "%s/sonde-fault-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(m.folder));
    for (int i = 0; i < 2; i++) {
        struct sonde_error error = { 0 };
        check_ok(sonde_json_parse(&m.config, configs[i], strlen(configs[i]), &error), &error);
        struct fault_report report = fault_each(FAULT_MEMORY, make, look, &m);
        assert_true(report.n_calls > 20);
        report = fault_each(FAULT_WRITE, make, look, &m);
        assert_true(report.n_calls > 10);
        sonde_json_destroy(&m.config);
    }
    assert_int_equal(rmdir(m.folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(making) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
