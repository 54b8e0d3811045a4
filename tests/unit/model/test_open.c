/* What an open model says of itself, its warnings, hash, random weights and llama2.c files. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/model/model.h"
#include "core/tensor/safetensors.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

static const struct model_recipe llama = {
    .family = "llama", .D = 20, .H = 2, .G = 1, .F = 23, .L = 2, .V = 41, .n_ctx = 32
};
static const struct model_recipe gpt2 = {
    .family = "gpt2", .D = 21, .H = 3, .F = 34, .L = 2, .V = 37, .n_ctx = 19, .untied = true
};

static struct sonde_model *open_model(const char *path, bool random, uint64_t seed)
{
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    const struct sonde_model_options options = { .allow_missing_tokenizer = true,
                                                 .random_weights = random,
                                                 .seed = seed };
    check_ok(sonde_model_open(&model, path, &options, &error), &error);
    return model;
}

static void test_facts(void **state)
{
    char *folder = model_make(&llama), path[600];
    struct sonde_model *model = open_model(folder, false, 0);
    const struct sonde_spec *spec = sonde_model_spec(model);
    (void)state;
    assert_string_equal(spec->family, "llama");
    assert_int_equal(spec->d_head, 10);
    assert_int_equal(spec->n_kv_heads, 1);
    assert_true(spec->tied);
    assert_string_equal(sonde_model_path(model), folder);
    assert_string_equal(sonde_model_dtype_name(model), "f32");
    assert_int_equal(sonde_model_n_warnings(model), 0);
    assert_null(sonde_model_tokenizer(model));
    assert_non_null(strstr(sonde_model_config_json(model), "\"hidden_size\": 20"));
    /* q, o: 20 x 20; k, v: 10 x 20; three maps of 23 x 20; two gains; and the embedding, final gain
     */
    int64_t layer = 2 * 400 + 2 * 200 + 3 * 460 + 2 * 20;
    assert_int_equal(sonde_model_parameters(model), 2 * layer + 41 * 20 + 20);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    struct sonde_file *file = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_file_open(&file, path, &error), &error);
    assert_int_equal(sonde_model_file_bytes(model), sonde_file_size(file));
    /* The hash is that of the file's bytes. */
    const uint8_t *data = NULL;
    uint8_t digest[SONDE_SHA256_BYTES];
    char hex[SONDE_SHA256_HEX];
    const char *ours = NULL, *again = NULL;
    struct sonde_sha256 *hash = sonde_sha256_create();
    check_ok(sonde_file_map(file, &data, &error), &error);
    sonde_sha256_update(hash, data, (size_t)sonde_file_size(file));
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, hex);
    check_ok(sonde_model_hash(model, &ours, &error), &error);
    check_ok(sonde_model_hash(model, &again, &error), &error);
    assert_string_equal(ours, hex);
    assert_ptr_equal(ours, again);
    sonde_sha256_destroy(&hash);
    sonde_file_close(&file);
    sonde_model_close(&model);
    assert_null(model);
    sonde_model_close(&model);
    model_remove(folder);
}

static void test_sites_of_families(void **state)
{
    struct model_recipe r = gpt2;
    (void)state;
    char *folder = model_make(&r);
    struct sonde_model *model = open_model(folder, false, 0);
    const struct sonde_site_set *sites = sonde_model_sites(model);
    assert_true(sonde_site_set_has(sites, (struct sonde_site){ SONDE_SITE_POS_EMBED, -1 }));
    assert_false(sonde_site_set_has(sites, (struct sonde_site){ SONDE_SITE_ROT_Q, 0 }));
    assert_false(sonde_site_set_has(sites, (struct sonde_site){ SONDE_SITE_MLP_PRE_LINEAR, 0 }));
    assert_true(sonde_site_set_has(sites, (struct sonde_site){ SONDE_SITE_RESID_MID, 1 }));
    assert_false(sonde_site_set_has(sites, (struct sonde_site){ SONDE_SITE_RESID_MID, 2 }));
    assert_false(
        sonde_site_set_has(sites, (struct sonde_site){ SONDE_SITE_NORMALIZED_RESID_POST, 0 }));
    assert_int_equal(sonde_spec_site_width(sonde_model_spec(model), SONDE_SITE_RESULT), 3 * 21);
    assert_int_equal(sonde_spec_site_width(sonde_model_spec(model), SONDE_SITE_PATTERN), 3);
    assert_int_equal(sonde_spec_site_width(sonde_model_spec(model), SONDE_SITE_LN1_SCALE), 1);
    sonde_model_close(&model);
    model_remove(folder);
}

static bool warns(const struct sonde_model *model, const char *text)
{
    for (int i = 0; i < sonde_model_n_warnings(model); i++) {
        if (strstr(sonde_model_warning(model, i), text)) {
            return true;
        }
    }
    return false;
}

static void test_warnings(void **state)
{
    struct model_recipe r = llama;
    (void)state;
    r.poison = NAN;
    r.tie_absent = true;
    r.unaligned = true;
    r.more_config = "\"strange\\u001b[31m\": 1, ";
    char *folder = model_make(&r);
    struct sonde_model *model = open_model(folder, false, 0);
    assert_true(warns(model, "1 weights are not finite"));
    assert_true(warns(model, "no tensor lm_head.weight: the embedding is used in its place"));
    assert_true(warns(model, "1 tensor was not used: odd.0"));
    assert_true(warns(model, "key strange?[31m is not known and was not used"));
    assert_int_equal(sonde_model_n_warnings(model), 4);
    const struct sonde_layer_weights *w = &sonde_model_weights(model)->layer[1];
    const struct sonde_weight *const some[] = { &w->ln1_gain, &w->w_q, &w->w_o, &w->w_down };
    for (size_t i = 0; i < sizeof some / sizeof *some;
         i++) { /* copied, where it lay at odd bytes */
        assert_int_equal((uintptr_t)some[i]->data % sizeof(float), 0);
    }
    /* A tokenizer of an unknown kind is a warning only where none is needed. */
    struct sonde_error refused = { 0 };
    struct sonde_model *other = NULL;
    model_write_text(folder, "tokenizer.json", "{\"model\": {\"type\": \"NoSuchKind\"}}");
    assert_int_equal(sonde_model_open(&other, folder, NULL, &refused), SONDE_STATUS_UNSUPPORTED);
    assert_null(other);
    other = open_model(folder, false, 0);
    assert_true(warns(other, "no tokenizer: "));
    assert_null(sonde_model_tokenizer(other));
    sonde_model_close(&other);
    /* and a pass counts what the weight does */
    struct sonde_session *session = NULL;
    struct sonde_error error = { 0 };
    const int32_t ids[] = { 1, 2 };
    const struct sonde_forward_args args = { .ids = ids, .n_tokens = 2 };
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    check_ok(sonde_forward(session, &args, &error), &error);
    assert_true(sonde_session_nonfinite(session) > 0);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

/* Drawn anew: matrices N(0, 0.02^2), gains 1, biases 0; the same seed gives the same, another
 * others. */
static void test_random_weights(void **state)
{
    (void)state;
    char *folder = model_make(&gpt2);
    struct sonde_model *a = open_model(folder, true, 0), *b = open_model(folder, true, 42);
    struct sonde_model *c = open_model(folder, true, 7);
    const struct sonde_layer_weights *w = &sonde_model_weights(a)->layer[1];
    const struct sonde_weight *up = &w->w_up;
    int64_t n = up->rows * up->columns;
    double sum = 0.0, squares = 0.0;
    const float *values = up->data;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    /* n = 714: the mean is within 5 of its deviations 0.02 / sqrt(n), the deviation within 5 /
     * sqrt(2n) */
    check_close(sum / (double)n, 0.0, 5 * 0.02 / sqrt((double)n));
    check_close(sqrt(squares / (double)n) / 0.02, 1.0, 5 / sqrt(2.0 * (double)n));
    const float *gain = w->ln1_gain.data, *bias = w->b_q.data;
    for (int i = 0; i < 21; i++) {
        assert_true(gain[i] == 1.0f && bias[i] == 0.0f);
    }
    assert_memory_equal(values, sonde_model_weights(b)->layer[1].w_up.data, (size_t)n * 4);
    assert_memory_not_equal(values, sonde_model_weights(c)->layer[1].w_up.data, (size_t)n * 4);
    assert_memory_not_equal(values, sonde_model_weights(a)->layer[0].w_up.data, (size_t)n * 4);
    sonde_model_close(&a);
    sonde_model_close(&b);
    sonde_model_close(&c);
    model_remove(folder);
}

/* Sessions say no to what the model cannot do. */
static void test_session_refusals(void **state)
{
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    const struct model_recipe bert = {
        .family = "bert", .D = 18, .H = 3, .F = 29, .L = 1, .V = 31, .n_ctx = 16, .no_head = true
    };
    char *folder = model_make(&bert);
    struct sonde_model *model = open_model(folder, false, 0);
    (void)state;
    assert_int_equal(sonde_session_create(&session, model,
                                          &(struct sonde_session_options){ .cache = true }, &error),
                     SONDE_STATUS_UNSUPPORTED);
    assert_int_equal(sonde_session_create(&session, model,
                                          &(struct sonde_session_options){ .max_tokens = 17 },
                                          &error),
                     SONDE_STATUS_ARGUMENT);
    assert_null(session);
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    const int32_t ids[] = { 1, 2 }, types[] = { 0, 2 };
    float last[31];
    struct sonde_forward_args args = { .ids = ids, .n_tokens = 2, .token_types = types };
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "token 1 has type 2, the model has 2");
    args = (struct sonde_forward_args){ .ids = ids, .n_tokens = 2, .logits_last = last };
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_UNSUPPORTED);
    assert_string_equal(error.text, "this model has no unembedding, so no logits");
    struct sonde_arena *scratch = sonde_arena_create(0);
    float x[18] = { 0 };
    assert_int_equal(sonde_model_readout(model, scratch, x, 1, 0, 0, last, &error),
                     SONDE_STATUS_UNSUPPORTED);
    sonde_arena_destroy(&scratch);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

/* A llama2.c file of 1 layer, written here; shared classifier or one of its own. */
static void write_bin(const char *path, const int32_t header[7], int64_t n_floats, int n_extra)
{
    struct sonde_error error = { 0 };
    struct sonde_buf bytes = { 0 };
    sonde_buf_append(&bytes, header, 28);
    for (int64_t i = 0; i < n_floats; i++) {
        float value = (float)(i % 13) * 0.01f;
        sonde_buf_append(&bytes, &value, sizeof value);
    }
    for (int i = 0; i < n_extra; i++) {
        sonde_buf_putc(&bytes, '\0');
    }
    check_ok(sonde_file_save(path, bytes.data, bytes.size, &error), &error);
    sonde_buf_finish(&bytes);
}

static void test_llama2c(void **state)
{
    char path[256];
    const char *base = getenv("TMPDIR");
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    (void)state;
    snprintf(path, sizeof path, "%s/sonde-%ld.bin", base ? base : "/tmp", (long)getpid());
    /* dim 8, hidden 12, 1 layer, 4 heads, 2 key/value heads, 10 pieces, 16 positions */
    int32_t header[7] = { 8, 12, 1, 4, 2, 10, 16 };
    int64_t shared = 80 + 8 + 64 + 32 + 32 + 64 + 8 + 96 + 96 + 96 + 8 + 2 * 16 * 1;
    write_bin(path, header, shared, 0);
    check_ok(sonde_model_open(&model, path, &options, &error), &error);
    assert_true(sonde_model_spec(model)->tied);
    assert_int_equal(sonde_model_spec(model)->rotary_style, SONDE_ROTARY_INTERLEAVED);
    assert_ptr_equal(sonde_model_weights(model)->unembed.data,
                     sonde_model_weights(model)->embed.data);
    assert_string_equal(sonde_model_config_json(model), "");
    sonde_model_close(&model);
    header[5] = -10;
    write_bin(path, header, shared + 80, 0);
    check_ok(sonde_model_open(&model, path, &options, &error), &error);
    assert_false(sonde_model_spec(model)->tied);
    assert_int_equal(sonde_model_spec(model)->d_vocab, 10);
    sonde_model_close(&model);

    const struct {
        int32_t at, value;
        int n_extra;
        const char *message;
    } bad[] = {
        { 5, 10, 1, "1 bytes after the header, its sizes need" },
        { 5, 0, 0, "vocabulary is 0, expected 1 to 16777216" },
        { 5, INT32_MIN, 0, "vocabulary is 2147483648, expected 1 to 16777216" },
        { 0, -8, 0, "d_model is -8, expected 1 to 16777216" },
        { 0, 0x616b3432, 0, "a llama2.c checkpoint of version 12, only the first format is read" },
        { 0, 9, 0, "a width of 9 does not divide into 4 heads" },
        { 2, 513, 0, "layers is 513, expected 1 to 512" },
        { 3, 0, 0, "heads is 0, expected 1 to 16384" },
        { 4, 3, 0, "4 attention heads are not a multiple of 3 key/value heads" },
        { 6, INT32_MAX, 0, "context is 2147483647, expected 1 to 16777216" },
        { 1, 16777216, 0, "bytes after the header, its sizes need" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t changed[7] = { 8, 12, 1, 4, 2, 10, 16 };
        changed[bad[i].at] = bad[i].value;
        write_bin(path, changed, i ? shared : 0, bad[i].n_extra);
        assert_int_not_equal(sonde_model_open(&model, path, &options, &error), SONDE_STATUS_OK);
        if (!strstr(error.text, bad[i].message)) {
            fprintf(stderr, "# \"%s\", expected \"%s\"\n", error.text, bad[i].message);
            fail();
        }
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_sites_of_families),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_random_weights),
        cmocka_unit_test(test_session_refusals),
        cmocka_unit_test(test_llama2c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
