/* Core's forward pass against the published and the PyTorch-made activations in ../shared, and
 * against the double-precision forward pass beside this file. */
#include <string.h>

#include "tests/reference/ref_forward.h"
#include "tests/reference/site_capture.h"
#include "tests/support/check.h"

enum { TOKENS_MAX = 64 };

/* Holds what was captured against the tensors of a reference file, by name. */
static void check_file(const struct capture *c, const struct ref_tensors *ref, double tolerance,
                       int at_least)
{
    int n_compared = 0;
    for (int i = 0; i < ref->n; i++) {
        const struct ref_tensor *t = &ref->item[i];
        struct sonde_site site;
        double difference, magnitude;
        if (!sonde_site_parse(t->name, &site)) {
            continue; /* input_ids, token_type_ids, probs */
        }
        const struct captured *ours = capture_find(c, site);
        if (!ours || ours->n != t->n) {
            fprintf(stderr, "# %s: not captured, or of another size\n", t->name);
            fail();
        }
        capture_compare(ours->value, t->value, t->n, &difference, &magnitude);
        if (!(difference <= tolerance * fmax(1.0, magnitude))) {
            fprintf(stderr, "# %s: off by %.3g at magnitude %.3g\n", t->name, difference,
                    magnitude);
            fail();
        }
        n_compared++;
    }
    assert_true(n_compared >= at_least);
}

static int read_ids(const struct ref_tensors *ref, const char *name, int32_t *ids)
{
    const struct ref_tensor *t = ref_tensors_find(ref, name);
    for (int64_t i = 0; t && i < t->n && i < TOKENS_MAX; i++) {
        ids[i] = (int32_t)t->value[i];
    }
    return t ? (int)t->n : 0;
}

/* Runs folder on the ids of ref_name and compares with it and, where given, with extra_name. */
static void check_against(const char *folder, const char *ref_name, const char *extra_name,
                          double tolerance, int at_least)
{
    char path[2048], model_path[1024], relative[512];
    int32_t ids[TOKENS_MAX], types[TOKENS_MAX];
    struct ref_tensors ref = { 0 }, extra = { 0 };
    struct capture c;
    snprintf(relative, sizeof relative, "%s/config.json", folder);
    check_shared(model_path, relative);
    *strrchr(model_path, '/') = '\0';
    snprintf(path, sizeof path, "%s/%s", model_path, ref_name);
    assert_true(ref_tensors_load(&ref, path));
    struct sonde_model *model = capture_open(model_path);
    int T = read_ids(&ref, "input_ids", ids);
    int n_types = read_ids(&ref, "token_type_ids", types);
    assert_true(T > 0);
    capture_run(&c, model, ids, n_types ? types : NULL, T, NULL, NULL);
    check_file(&c, &ref, tolerance, at_least);
    if (extra_name) {
        snprintf(path, sizeof path, "%s/%s", model_path, extra_name);
        assert_true(ref_tensors_load(&extra, path));
        check_file(&c, &extra, tolerance, 3);
    }
    capture_free(&c);
    ref_tensors_free(&ref);
    ref_tensors_free(&extra);
    sonde_model_close(&model);
}

/* Runs folder on ids and holds every site against the double-precision pass. */
static void check_double(const char *folder, const int32_t *ids, int T, double tolerance)
{
    char path[1024], relative[512], name[SONDE_SITE_NAME_MAX];
    struct ref_model ref;
    struct ref_trace trace = { 0 };
    struct capture c;
    snprintf(relative, sizeof relative, "%s/config.json", folder);
    check_shared(path, relative);
    *strrchr(path, '/') = '\0';
    struct sonde_model *model = capture_open(path);
    assert_true(ref_model_load(&ref, path));
    capture_run(&c, model, ids, NULL, T, NULL, NULL);
    ref_forward(&ref, ids, NULL, T, &trace);
    assert_int_equal(c.n, sonde_site_set_count(sonde_model_sites(model)));
    for (int i = 0; i < c.n; i++) {
        const struct ref_site *site =
            ref_trace_find(&trace, sonde_site_format(c.item[i].site, name));
        double difference, magnitude;
        if (!site || site->n != c.item[i].n) {
            fprintf(stderr, "# the reference has no %s of this size\n", name);
            fail();
        }
        capture_compare(c.item[i].value, site->value, site->n, &difference, &magnitude);
        if (!(difference <= tolerance * fmax(1.0, magnitude))) {
            fprintf(stderr, "# %s: off by %.3g at magnitude %.3g\n", name, difference, magnitude);
            fail();
        }
    }
    assert_int_equal(c.n, trace.n);
    capture_free(&c);
    ref_trace_free(&trace);
    ref_model_free(&ref);
    sonde_model_close(&model);
}

static void test_gpt_nano_sort(void **state)
{
    const char *folder = "models/gpt-nano-sort/hf";
    (void)state;
    check_against(folder, "ref.safetensors", "ref_extra.safetensors", 1e-5, 19);
    check_against(folder, "ref_b1.safetensors", "ref_extra_b1.safetensors", 1e-5, 19);
    check_against(folder, "ref_b2.safetensors", "ref_extra_b2.safetensors", 1e-5, 19);
}

static void test_gpt2(void **state)
{
    (void)state;
    check_against("reference/gpt2", "ref.safetensors", "ref_extra.safetensors", 2e-5, 40);
}

static void test_llama(void **state)
{
    (void)state;
    check_against("reference/llama", "ref.safetensors", "ref_extra.safetensors", 2e-5, 40);
}

static void test_llama_bf16(void **state)
{
    (void)state;
    check_against("reference/llama-bf16", "ref.safetensors", "ref_extra.safetensors", 2e-5, 40);
}

static void test_gpt_neox(void **state)
{
    (void)state;
    check_against("reference/gpt_neox", "ref.safetensors", "ref_extra.safetensors", 2e-5, 40);
}

static void test_bert(void **state)
{
    (void)state;
    check_against("reference/bert", "ref.safetensors", "ref_extra.safetensors", 2e-5, 40);
    check_against("reference/bert", "ref_tt.safetensors", NULL, 2e-5, 40);
}

static void test_double(void **state)
{
    const char *const folders[] = { "reference/gpt2", "reference/llama", "reference/llama-bf16",
                                    "reference/gpt_neox", "reference/bert" };
    int32_t ids[23];
    (void)state;
    for (int i = 0; i < 23; i++) {
        ids[i] = (i * 37 + 11) % 97;
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        check_double(folders[i], ids, 23, 2e-5);
    }
}

static void test_double_tinystories(void **state)
{
    int32_t ids[48];
    (void)state;
    for (int i = 0; i < 48; i++) {
        ids[i] = i == 0 ? 1 : (i * i * 31 + 7 * i) % 2048;
    }
    check_double("models/tinystories-656k", ids, 48, 1e-4);
    check_double("models/tinystories-656k", ids, 1, 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt_nano_sort), cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama),         cmocka_unit_test(test_llama_bf16),
        cmocka_unit_test(test_gpt_neox),      cmocka_unit_test(test_bert),
        cmocka_unit_test(test_double),        cmocka_unit_test(test_double_tinystories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
