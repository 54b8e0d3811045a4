/* Peak memory of opening and running a model against what its file and the plan of a pass say. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/model/model.h"
#include "tests/support/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_IS_OURS false /* shadow memory counts too */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define MEMORY_IS_OURS false
#endif
#endif
#ifndef MEMORY_IS_OURS
#define MEMORY_IS_OURS true
#endif

enum { D = 640, F = 4 * D, LAYERS = 6, VOCAB = 1000, CONTEXT = 128, TOKENS = 64 };

/* What is touched besides the weights and the plan: buffers that OpenBLAS lays factors out in,
 * tables, code. A tenth of the F32 file; a second copy of the split maps is a quarter of it. */
#define SLACK_BYTES ((int64_t)12 << 20)

struct shape {
    const char *name;
    int64_t rows, columns; /* rows 0: a vector */
};

static const struct shape of_layer[] = {
    { "ln_1.weight", 0, D },
    { "ln_1.bias", 0, D },
    { "ln_2.weight", 0, D },
    { "ln_2.bias", 0, D },
    { "attn.c_attn.bias", 0, 3 * D },
    { "attn.c_proj.bias", 0, D },
    { "mlp.c_fc.bias", 0, F },
    { "mlp.c_proj.bias", 0, D },
    { "attn.c_attn.weight", D, 3 * D },
    { "attn.c_proj.weight", D, D },
    { "mlp.c_fc.weight", D, F },
    { "mlp.c_proj.weight", F, D },
};

static void put_tensor(struct sonde_buf *header, const char *prefix, const struct shape *shape,
                       const char *dtype, int64_t size, int64_t *at)
{
    char rows[32] = "";
    const int64_t bytes = (shape->rows ? shape->rows : 1) * shape->columns * size;
    if (shape->rows) {
        snprintf(rows, sizeof rows, "%lld,", (long long)shape->rows);
    }
    sonde_buf_printf(
        header, "%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%s%lld],\"data_offsets\":[%lld,%lld]}",
        *at ? "," : "{", prefix, shape->name, dtype, rows, (long long)shape->columns,
        (long long)*at, (long long)(*at + bytes));
    *at += bytes;
}

/* A model of zeros: the file is a header and a hole. Returns its bytes. */
static int64_t make_model(const char *folder, const char *dtype, int64_t size)
{
    static const struct shape global[] = { { "wte.weight", VOCAB, D },
                                           { "wpe.weight", CONTEXT, D },
                                           { "ln_f.weight", 0, D },
                                           { "ln_f.bias", 0, D } };
    struct sonde_buf header = { 0 };
    char path[256], prefix[32];
    int64_t at = 0;
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *config = fopen(path, "w");
    assert_non_null(config);
    fprintf(config,
            "{\"model_type\":\"gpt2\",\"n_head\":10,\"n_layer\":%d,\"n_embd\":%d,\"n_inner\":%d,"
            "\"vocab_size\":%d,\"n_positions\":%d,\"activation_function\":\"gelu_new\","
            "\"layer_norm_epsilon\":1e-5}",
            (int)LAYERS, (int)D, (int)F, (int)VOCAB, (int)CONTEXT);
    fclose(config);
    for (size_t i = 0; i < sizeof global / sizeof *global; i++) {
        put_tensor(&header, "", &global[i], dtype, size, &at);
    }
    for (int l = 0; l < LAYERS; l++) {
        snprintf(prefix, sizeof prefix, "h.%d.", l);
        for (size_t i = 0; i < sizeof of_layer / sizeof *of_layer; i++) {
            put_tensor(&header, prefix, &of_layer[i], dtype, size, &at);
        }
    }
    sonde_buf_puts(&header, "}");
    while (header.size % 8 != 0) {
        sonde_buf_puts(&header, " ");
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    const uint64_t n = header.size; /* little-endian */
    assert_int_equal(write(fd, &n, sizeof n), sizeof n);
    assert_int_equal(write(fd, header.data, header.size), header.size);
    assert_int_equal(ftruncate(fd, (off_t)(sizeof n + header.size) + at), 0);
    close(fd);
    sonde_buf_finish(&header);
    return at;
}

static void remove_model(const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

/* A line of /proc/self/status in bytes; -1 where there is none. */
static int64_t memory(const char *name)
{
    char line[256];
    long long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            kib = strtoll(line + strlen(name) + 1, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return kib < 0 ? -1 : kib * 1024;
}

/* Sets the peak to what is in use now. */
static bool forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    const bool written = file && fputs("5", file) >= 0;
    return (file ? fclose(file) == 0 : false) && written;
}

static void check_peak(const char *dtype, int64_t size)
{
    char folder[] = "sonde-memory-XXXXXX";
    struct sonde_error error = { 0 };
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    struct sonde_session *session = NULL;
    struct sonde_site_set observe = { 0 };
    int32_t ids[TOKENS];
    if (!MEMORY_IS_OURS || memory("VmHWM") < 0 || !forget_peak()) {
        fprintf(stderr, "# SKIP the peak of memory cannot be told here\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    const int64_t bytes = make_model(folder, dtype, size), before = memory("VmRSS");
    check_ok(sonde_model_open(&model, folder, &options, &error), &error);
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    for (int t = 0; t < TOKENS; t++) {
        ids[t] = t * 7 % VOCAB;
    }
    sonde_site_set_add(&observe, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_hook hook = { .observe = &observe };
    const struct sonde_forward_args args = {
        .ids = ids, .n_tokens = TOKENS, .hooks = &hook, .n_hooks = 0
    };
    check_ok(sonde_forward(session, &args, &error), &error);
    const int64_t plan = sonde_session_plan_bytes(model, TOKENS, &observe);
    const int64_t peak = memory("VmHWM") - before;
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    remove_model(folder);
    /* Once in the file, and the maps of one layer while they are split. */
    const int64_t most = bytes + 3 * D * D * size + plan + SLACK_BYTES;
    fprintf(stderr, "# %s: file %lld KiB, plan %lld KiB, peak %lld KiB of %lld KiB\n", dtype,
            (long long)bytes >> 10, (long long)plan >> 10, (long long)peak >> 10,
            (long long)most >> 10);
    assert_true(peak <= most);
    assert_true(peak >= bytes / 2); /* the measure sees the weights at all */
}

static void test_f32_is_there_once(void **state)
{
    (void)state;
    check_peak("F32", 4);
}

static void test_half_is_not_widened(void **state)
{
    (void)state;
    check_peak("F16", 2);
    check_peak("BF16", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_is_not_widened),
        cmocka_unit_test(test_f32_is_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
