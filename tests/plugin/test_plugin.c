/* Plugins: the template loaded and run, and one clear line for everything that breaks the rules. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "tests/unit/probes/probe_support.h"

/* Three sequences of two tokens, D = 2: the row (3 s, 4 s) has the norm 5 s, the second rows are 0.
 */
static int64_t length(void *ctx, int64_t s)
{
    (void)ctx, (void)s;
    return 2;
}

static int32_t id(void *ctx, int64_t s, int64_t t)
{
    (void)ctx;
    return (int32_t)(1 + 2 * s + t);
}

static void fill(void *ctx, int64_t stream, int64_t s, int64_t T, float *out)
{
    (void)ctx, (void)T;
    for (int i = 0; i < 4; i++)
        out[i] = 0.0f;
    out[0] = 3.0f * (float)(s + stream);
    out[1] = 4.0f * (float)(s + stream);
}

static struct sonde_source *open_source(void)
{
    struct toy_run run = { .stream = { toy_stream("blocks.0.hook_resid_post", 0, 2),
                                       toy_stream("blocks.1.hook_resid_post", 1, 2) },
                           .n_streams = 2,
                           .n_sequences = 3,
                           .length = length,
                           .id = id,
                           .fill = fill };
    return toy_source(&run);
}

static struct sonde_probe_registry *open_registry(void)
{
    struct sonde_probe_registry *registry = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_probe_registry_create(&registry, &error), &error);
    return registry;
}

static const char *const builtin_names[] = { "linear",     "ridge",       "lda", "mean-difference",
                                             "covariance", "correlation", "mlp", "logit-lens",
                                             "kv-memory",  "attention" };
enum { N_BUILTIN = sizeof builtin_names / sizeof *builtin_names };

static void builtins_are_listed(void **state)
{
    (void)state;
    struct sonde_probe_registry *registry = open_registry();
    assert_int_equal(sonde_probe_registry_count(registry), N_BUILTIN);
    for (int i = 0; i < N_BUILTIN; i++) {
        const struct sonde_probe *probe = sonde_probe_registry_at(registry, i);
        assert_string_equal(probe->name, builtin_names[i]);
        assert_ptr_equal(probe, sonde_probe_builtin(i));
        assert_int_equal(probe->abi, SONDE_PROBE_ABI);
        assert_int_equal(probe->struct_size, sizeof(struct sonde_probe));
        assert_non_null(probe->description);
        for (uint32_t o = 0; o < probe->n_options; o++)
            assert_non_null(probe->options[o].help);
    }
    assert_null(sonde_probe_registry_at(registry, N_BUILTIN));
    assert_null(sonde_probe_builtin(N_BUILTIN));
    const struct sonde_probe *found = NULL;
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_probe_registry_find(registry, "liner", &found, &error),
                     SONDE_STATUS_NOT_FOUND);
    assert_null(found);
    assert_string_equal(error.text,
                        "no probe \"liner\" (nearest: linear; there are: linear, ridge, "
                        "lda, mean-difference, covariance, correlation, mlp, logit-lens, "
                        "kv-memory, attention)");
    sonde_probe_registry_destroy(&registry);
    assert_null(registry);
    sonde_probe_registry_destroy(&registry);
}

static void template_is_loaded_and_run(void **state)
{
    (void)state;
    struct sonde_probe_registry *registry = open_registry();
    struct sonde_source *source = open_source();
    struct sonde_error error = { 0 };
    check_ok(sonde_probe_registry_load(registry, PLUGIN_TEMPLATE, &error), &error);
    assert_int_equal(sonde_probe_registry_count(registry), N_BUILTIN + 1);
    const struct sonde_probe *probe = NULL;
    check_ok(sonde_probe_registry_find(registry, "template", &probe, &error), &error);
    struct toy_args args = { .source = source };
    struct sonde_result *r = toy_probe(probe, &args, NULL);
    assert_non_null(r);
    assert_string_equal(r->command, "probe template");
    const struct sonde_table *t = toy_table(r, "norms");
    assert_int_equal(t->n_rows, 2);
    for (int i = 0; i < 2; i++) {
        check_close(toy_real(t, i, "rows"), 6, 0);
        check_close(toy_real(t, i, "mean_norm"), (5.0 * (i + i + 1 + i + 2)) / 6, 1e-12);
        check_close(toy_real(t, i, "max_norm"), 5.0 * (2 + i), 1e-12);
        check_close(toy_real(t, i, "max_row"), 4, 0);
        assert_string_equal(toy_text(t, i, "token"), " t5");
    }
    check_close(toy_scalar(r, "streams"), 2, 0);
    assert_int_equal(r->n_figures, 1);
    assert_int_equal(r->n_warnings, 0);
    sonde_result_destroy(&r);

    args.option = (const char *const[]){ "streams", "blocks.1.*", "limit", "2", NULL };
    r = toy_probe(probe, &args, NULL);
    assert_non_null(r);
    assert_int_equal(toy_table(r, "norms")->n_rows, 1);
    check_close(toy_real(toy_table(r, "norms"), 0, "mean_norm"), 2.5, 1e-12);
    sonde_result_destroy(&r);

    args.option = (const char *const[]){ "streams", "nothing", NULL };
    assert_null(toy_probe(probe, &args, &error));
    assert_string_equal(error.text, "probe template: no stream of rows matches --streams");
    assert_int_equal(error.status, SONDE_STATUS_ARGUMENT);
    args.option = NULL;
    args.source = NULL;
    assert_null(toy_probe(probe, &args, &error));
    assert_string_equal(error.text, "probe template: needs recorded activations: give a store");

    struct sonde_probe_values none = { 0 };
    struct sonde_buf sites = { 0 };
    check_ok(sonde_probe_sites(probe, &none, &sites, &error), &error);
    assert_string_equal(sites.data, "resid");
    sonde_buf_finish(&sites);

    /* Loading it again offers a name that is taken, and changes nothing. */
    char expected[1200];
    assert_int_equal(sonde_probe_registry_load(registry, PLUGIN_TEMPLATE, &error),
                     SONDE_STATUS_ARGUMENT);
    snprintf(expected, sizeof(expected), "plugin %s: a probe \"template\" is there already",
             PLUGIN_TEMPLATE);
    assert_string_equal(error.text, expected);
    assert_int_equal(sonde_probe_registry_count(registry), N_BUILTIN + 1);
    sonde_probe_registry_destroy(&registry);
    source->destroy(&source);
}

static void check_load(const char *path, enum sonde_status status, const char *text)
{
    struct sonde_probe_registry *registry = open_registry();
    struct sonde_error error = { 0 };
    char expected[1200];
    assert_int_equal(sonde_probe_registry_load(registry, path, &error), status);
    snprintf(expected, sizeof(expected), "plugin %s: %s", path, text);
    assert_string_equal(error.text, expected);
    assert_int_equal(sonde_probe_registry_count(registry), N_BUILTIN);
    sonde_probe_registry_destroy(&registry);
}

static char *case_path(int number)
{
    struct sonde_buf path = { 0 };
    sonde_buf_printf(&path, "%s/plugin_case_%d.so", PLUGIN_CASES, number);
    assert_non_null(path.data);
    return path.data;
}

static void broken_plugins_are_named(void **state)
{
    (void)state;
    char short_struct[96];
    snprintf(short_struct, sizeof(short_struct), "probe 0: struct_size 16, expected at least %zu",
             sizeof(struct sonde_probe));
    const struct {
        int number;
        enum sonde_status status;
        const char *text;
    } cases[] = {
        { 1, SONDE_STATUS_UNSUPPORTED, "probe 0: made for ABI 2, expected 1" },
        { 2, SONDE_STATUS_FORMAT, short_struct },
        { 3, SONDE_STATUS_FORMAT, "no symbol sonde_probe_plugin" },
        { 4, SONDE_STATUS_FORMAT, "probe 0: no run function" },
        { 6, SONDE_STATUS_FORMAT,
          "probe 0: the name is not made of lower case letters, digits and '-'" },
        { 7, SONDE_STATUS_ARGUMENT, "a probe \"linear\" is there already" },
        { 8, SONDE_STATUS_UNSUPPORTED, "offers no probe for ABI 1" },
        { 12, SONDE_STATUS_FORMAT, "probe 0: an option has an unknown type" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = case_path(cases[i].number);
        check_load(path, cases[i].status, cases[i].text);
        free(path);
    }
}

static void only_shared_objects_by_path_are_loaded(void **state)
{
    (void)state;
    check_load("probe_template.so", SONDE_STATUS_ARGUMENT,
               "give a path with a '/', such as ./probe_template.so");
    char *text = toy_path("no.so"), *empty = toy_path("empty.so");
    struct sonde_error error = { 0 };
    check_ok(sonde_file_save(text, "int x;\n", 7, &error), &error);
    check_ok(sonde_file_save(empty, "", 0, &error), &error);
    check_load(text, SONDE_STATUS_FORMAT, "not a shared object");
    check_load(empty, SONDE_STATUS_FORMAT, "not a shared object");
    /* The four bytes alone do not make one: the rest is the loader's to say. */
    check_ok(sonde_file_save(text, "\177ELF", 4, &error), &error);
    struct sonde_probe_registry *registry = open_registry();
    assert_int_equal(sonde_probe_registry_load(registry, text, &error), SONDE_STATUS_FORMAT);
    assert_non_null(strstr(error.text, "cannot be loaded: "));
    unlink(text);
    assert_int_equal(sonde_probe_registry_load(registry, text, &error), SONDE_STATUS_NOT_FOUND);
    sonde_probe_registry_destroy(&registry);
    unlink(empty);
    free(text);
    free(empty);
}

static struct sonde_result *run_case(int number, struct sonde_error *error)
{
    struct sonde_probe_registry *registry = open_registry();
    char *path = case_path(number);
    const struct sonde_probe *probe = NULL;
    check_ok(sonde_probe_registry_load(registry, path, error), error);
    check_ok(sonde_probe_registry_find(registry, "odd", &probe, error), error);
    struct toy_args args = { 0 };
    struct sonde_result *r = toy_probe(probe, &args, error);
    /* A result outlives the plugin that it came from. */
    sonde_probe_registry_destroy(&registry);
    free(path);
    return r;
}

static void answers_are_judged(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    struct sonde_result *r = run_case(5, &error);
    assert_non_null(r);
    assert_int_equal(r->n_warnings, 1);
    assert_string_equal(r->warning[0], "probe odd: 2 values are not finite (first in answer)");
    sonde_result_destroy(&r);

    assert_null(run_case(9, &error));
    assert_int_equal(error.status, SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "probe odd: it set a cell outside of its table");
    assert_null(run_case(10, &error));
    assert_int_equal(error.status, SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "probe odd: run returned 77, which is no code");
    assert_null(run_case(11, &error));
    assert_int_equal(error.status, SONDE_STATUS_FORMAT);
    assert_string_equal(error.text, "probe odd: the sensor is broken");
}

static void sites_follow_the_options(void **state)
{
    (void)state;
    const struct {
        const char *probe, *name, *value, *sites;
    } cases[] = {
        { "attention", "layers", "0,4-7,-1", "blocks.0|4-7|-1.attn.hook_pattern" },
        { "attention", NULL, NULL, "blocks.*.attn.hook_pattern" },
        { "kv-memory", "layers", "2", "blocks.2.mlp.hook_post" },
        { "logit-lens", NULL, NULL, "hook_embed,blocks.*.hook_resid_*" },
        { "logit-lens", "sites", "blocks.0.hook_resid_mid",
          "blocks.0.hook_resid_mid,blocks.-1.hook_resid_post" },
        { "linear", NULL, NULL, "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_probe_values values = { .name = &cases[i].name,
                                             .value = &cases[i].value,
                                             .n = cases[i].name != NULL };
        struct sonde_buf sites = { 0 };
        struct sonde_error error = { 0 };
        check_ok(sonde_probe_sites(toy_builtin(cases[i].probe), &values, &sites, &error), &error);
        assert_string_equal(sites.data ? sites.data : "", cases[i].sites);
        sonde_buf_finish(&sites);
    }
    const char *name = "layers", *value = "0;rm";
    struct sonde_probe_values bad = { .name = &name, .value = &value, .n = 1 };
    struct sonde_buf sites = { 0 };
    struct sonde_error error = { 0 };
    assert_int_equal(sonde_probe_sites(toy_builtin("attention"), &bad, &sites, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_string_equal(error.text, "probe attention: the sites for these options cannot be named");
    sonde_buf_finish(&sites);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builtins_are_listed),
        cmocka_unit_test(template_is_loaded_and_run),
        cmocka_unit_test(broken_plugins_are_named),
        cmocka_unit_test(only_shared_objects_by_path_are_loaded),
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(sites_follow_the_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
