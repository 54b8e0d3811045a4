/* Models that are made from a config: what is drawn, what may be changed, and that what is saved is
 * what opens again, bit by bit. */
#include <string.h>

#include "core/base/file.h"
#include "core/model/create.h"
#include "core/model/gradient.h"
#include "core/model/model.h"
#include "core/tensor/safetensors.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

#define SIZES                                                                                      \
    "\"vocab_size\":11,\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,"       \
    "\"intermediate_size\":12,\"max_position_embeddings\":16"

static const char *const configs[] = {
    "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"none\"}",
    "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"learned\",\"norm_place\":\"post\","
    "\"tie_word_embeddings\":true,\"embedding_scale\":\"sqrt\",\"hidden_act\":\"relu\"}",
    "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"rotary\",\"norm\":\"rmsnorm\",\"gated\":"
    "true,\"bias\":false,\"num_key_value_heads\":1,\"head_dim\":6,\"hidden_act\":\"silu\"}",
    "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"none\",\"n_outputs\":5,\"head\":\"sigmoid\""
    ",\"head_bias\":true,\"causal\":false,\"final_norm\":false,\"embedding_scale\":2}",
    "{\"model_type\":\"llama\"," SIZES ",\"num_key_value_heads\":1,\"tie_word_embeddings\":false}",
    "{\"model_type\":\"llama\"," SIZES ",\"tie_word_embeddings\":true,\"attention_bias\":true}",
    "{\"model_type\":\"gpt2\",\"vocab_size\":11,\"n_embd\":8,\"n_layer\":2,\"n_head\":2,"
    "\"n_positions\":16}",
    "{\"model_type\":\"gpt_neox\"," SIZES ",\"rotary_pct\":0.5}",
    "{\"model_type\":\"bert\"," SIZES ",\"type_vocab_size\":2}",
};
enum { N_CONFIGS = sizeof configs / sizeof *configs, T = 9 };

static struct sonde_model *create(const char *text, const struct sonde_init *init)
{
    struct sonde_json *config = NULL;
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_json_parse(&config, text, strlen(text), &error), &error);
    check_ok(sonde_model_create(&model, config, "made", init, &error), &error);
    sonde_json_destroy(&config);
    return model;
}

struct taken {
    float *logits; /* [T, outputs] */
    int64_t n;
};

static enum sonde_status take(void *ctx, struct sonde_site site, const struct sonde_tensor *value,
                              struct sonde_error *error)
{
    struct taken *taken = ctx;
    (void)site;
    (void)error;
    taken->n = sonde_tensor_elements(value);
    taken->logits = malloc((size_t)taken->n * sizeof(float));
    memcpy(taken->logits, value->data, (size_t)taken->n * sizeof(float));
    return SONDE_STATUS_OK;
}

static struct taken logits_of(const struct sonde_model *model)
{
    static const int32_t ids[T] = { 3, 1, 4, 1, 5, 9, 2, 6, 10 };
    struct sonde_session *session = NULL;
    struct sonde_error error = { 0 };
    struct taken taken = { 0 };
    struct sonde_site_set set = { 0 };
    sonde_site_set_add(&set, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_hook hook = { .observe = &set, .on_value = take, .ctx = &taken };
    const struct sonde_forward_args args = {
        .ids = ids, .n_tokens = T, .hooks = &hook, .n_hooks = 1
    };
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    check_ok(sonde_forward(session, &args, &error), &error);
    assert_int_equal(sonde_session_nonfinite(session), 0);
    sonde_session_destroy(&session);
    assert_int_equal(taken.n, T * sonde_spec_outputs(sonde_model_spec(model)));
    return taken;
}

static void expect_same(const struct sonde_model *a, const struct sonde_model *b)
{
    struct taken x = logits_of(a), y = logits_of(b);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.logits, y.logits, (size_t)x.n * sizeof(float));
    free(x.logits);
    free(y.logits);
}

static char *new_folder(void)
{
    char folder[256];
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/sonde-create-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    return sonde_strdup(folder);
}

static struct sonde_model *reopen(const char *folder)
{
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_model_open(&model, folder, &options, &error), &error);
    for (int i = 0; i < sonde_model_n_warnings(model); i++) {
        fprintf(stderr, "# %s\n", sonde_model_warning(model, i));
    }
    assert_int_equal(sonde_model_n_warnings(model), 0);
    return model;
}

/* Changed values are saved too, and what opens has the same bits at the logits. */
static void test_round_trip(void **state)
{
    (void)state;
    for (int c = 0; c < N_CONFIGS; c++) {
        struct sonde_error error = { 0 };
        struct sonde_model *made = create(configs[c], NULL);
        char *folder = new_folder();
        int64_t n = 0, n_values = 0;
        const struct sonde_parameter *p = sonde_model_parameter_list(made, &n);
        assert_true(n > 0);
        for (int64_t i = 0; i < n; i++) {
            n_values += p[i].rows * p[i].columns;
            assert_ptr_equal(p[i].data, p[i].weight->data);
            assert_int_equal(p[i].decays, p[i].rank == 2);
            for (int64_t j = 0; j < i; j++) {
                assert_string_not_equal(p[i].name, p[j].name);
            }
            for (int64_t j = 0; j < p[i].rows * p[i].columns; j++) {
                p[i].data[j] += 0.01f * (float)((i + 7 * j) % 13);
            }
        }
        assert_int_equal(n_values, sonde_model_parameters(made));
        check_ok(sonde_model_save(made, folder, SONDE_DTYPE_F32, &error), &error);
        struct sonde_model *opened = reopen(folder);
        assert_int_equal(sonde_model_parameters(opened), n_values);
        expect_same(made, opened);
        assert_null(sonde_model_parameter_list(opened, &n));
        assert_int_equal(n, 0);
        assert_int_equal(sonde_model_save(opened, folder, SONDE_DTYPE_F32, &error),
                         SONDE_STATUS_UNSUPPORTED);
        sonde_model_close(&opened);
        sonde_model_close(&made);
        model_remove(folder);
    }
}

/* Weights that a half-precision file can hold come back as they are. */
static void test_half(void **state)
{
    (void)state;
    const enum sonde_dtype dtypes[] = { SONDE_DTYPE_F16, SONDE_DTYPE_BF16 };
    for (int d = 0; d < 2; d++) {
        struct sonde_error error = { 0 };
        struct sonde_model *made = create(configs[6], NULL);
        char *folder = new_folder();
        int64_t n = 0;
        const struct sonde_parameter *p = sonde_model_parameter_list(made, &n);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < p[i].rows * p[i].columns; j++) {
                p[i].data[j] = (float)((i + 5 * j) % 17 - 8) / 64.0f;
            }
        }
        check_ok(sonde_model_save(made, folder, dtypes[d], &error), &error);
        struct sonde_model *opened = reopen(folder);
        assert_string_equal(sonde_model_dtype_name(opened), sonde_dtype_name(dtypes[d]));
        expect_same(made, opened);
        sonde_model_close(&opened);
        sonde_model_close(&made);
        model_remove(folder);
    }
}

static struct sonde_parameter find(const struct sonde_model *model, const char *name)
{
    int64_t n = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(model, &n);
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(p[i].name, name) == 0) {
            return p[i];
        }
    }
    fail_msg("no parameter %s", name);
    return (struct sonde_parameter){ 0 };
}

#define WIDE                                                                                       \
    "{\"model_type\":\"sonde\",\"vocab_size\":50,\"hidden_size\":64,\"num_hidden_layers\":8,"      \
    "\"num_attention_heads\":4,\"position\":\"learned\",\"head_bias\":true}"

/* Mean and standard deviation of n draws lie within five standard errors (of a normal: s / sqrt(2
 * n); of a uniform it is smaller). */
static void check_normal(struct sonde_parameter p, double std)
{
    double sum = 0, squares = 0;
    int64_t n = p.rows * p.columns;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)p.data[i];
        squares += (double)p.data[i] * (double)p.data[i];
    }
    double mean = sum / (double)n;
    check_close(mean, 0, 5 * std / sqrt((double)n));
    check_close(sqrt(squares / (double)n), std, 5 * std / sqrt(2.0 * (double)n));
}

static void check_uniform(struct sonde_parameter p, double bound)
{
    double most = 0;
    for (int64_t i = 0; i < p.rows * p.columns; i++) {
        assert_true(fabs((double)p.data[i]) <= bound);
        most = fabs((double)p.data[i]) > most ? fabs((double)p.data[i]) : most;
    }
    /* All of n draws below 1 - 20 / n of the bound: e^-20. */
    assert_true(most >= bound * (1 - 20.0 / (double)(p.rows * p.columns)));
    if (p.rows > 1) {
        check_normal(p, bound / sqrt(3.0));
    }
}

static void check_constant(struct sonde_parameter p, float value)
{
    for (int64_t i = 0; i < p.rows * p.columns; i++) {
        assert_true(p.data[i] == value);
    }
}

static void test_normal_init(void **state)
{
    (void)state;
    const struct sonde_init init = { SONDE_INIT_NORMAL, 0.05, 7, 0 };
    struct sonde_model *model = create(WIDE, &init), *plain = create(WIDE, NULL);
    check_normal(find(model, "embed_tokens.weight"), 0.05);
    check_normal(find(model, "embed_positions.weight"), 0.05);
    check_normal(find(model, "layers.3.self_attn.q_proj.weight"), 0.05);
    check_normal(find(model, "layers.3.self_attn.o_proj.weight"), 0.05 / 4);
    check_normal(find(model, "layers.7.mlp.down_proj.weight"), 0.05 / 4);
    check_normal(find(model, "lm_head.weight"), 0.05);
    check_constant(find(model, "lm_head.bias"), 0);
    check_constant(find(model, "layers.0.mlp_norm.weight"), 1);
    check_constant(find(model, "layers.0.mlp_norm.bias"), 0);
    check_normal(find(plain, "layers.3.self_attn.q_proj.weight"), 0.02);
    /* Layers and tensors are drawn apart. */
    const struct sonde_parameter first = find(model, "layers.0.self_attn.q_proj.weight");
    const struct sonde_parameter second = find(model, "layers.1.self_attn.q_proj.weight");
    assert_memory_not_equal(first.data, second.data, 4 * sizeof(float));
    sonde_model_close(&model);
    sonde_model_close(&plain);
}

static void test_torch_init(void **state)
{
    (void)state;
    const struct sonde_init init = { .kind = SONDE_INIT_TORCH, .seed = 7 };
    struct sonde_model *model = create(WIDE, &init);
    check_uniform(find(model, "embed_tokens.weight"), 0.1);
    check_uniform(find(model, "lm_head.weight"), 0.1);
    check_constant(find(model, "lm_head.bias"), 0);
    check_uniform(find(model, "layers.2.self_attn.k_proj.weight"), sqrt(6.0 / (4 * 64)));
    check_constant(find(model, "layers.2.self_attn.k_proj.bias"), 0);
    check_uniform(find(model, "layers.2.self_attn.o_proj.weight"), 1 / 8.0);
    check_constant(find(model, "layers.2.self_attn.o_proj.bias"), 0);
    check_uniform(find(model, "layers.2.mlp.up_proj.weight"), 1 / 8.0);
    check_uniform(find(model, "layers.2.mlp.up_proj.bias"), 1 / 8.0);
    check_uniform(find(model, "layers.2.mlp.down_proj.weight"), 1 / 16.0);
    check_uniform(find(model, "layers.2.mlp.down_proj.bias"), 1 / 16.0);
    check_constant(find(model, "layers.2.attn_norm.weight"), 1);
    sonde_model_close(&model);
}

/* The seed alone decides, and the hash follows the values. */
static void test_seed(void **state)
{
    (void)state;
    struct sonde_error error = { 0 };
    const struct sonde_init init = { .seed = 7 }, other = { .seed = 8 };
    struct sonde_model *a = create(configs[0], &init), *b = create(configs[0], &init);
    struct sonde_model *c = create(configs[0], &other);
    const char *hash_a = NULL, *hash_b = NULL, *hash_c = NULL;
    char before[80];
    check_ok(sonde_model_hash(a, &hash_a, &error), &error);
    check_ok(sonde_model_hash(b, &hash_b, &error), &error);
    check_ok(sonde_model_hash(c, &hash_c, &error), &error);
    assert_string_equal(hash_a, hash_b);
    assert_string_not_equal(hash_a, hash_c);
    snprintf(before, sizeof before, "%s", hash_a);
    int64_t n = 0;
    sonde_model_parameter_list(a, &n)[0].data[0] += 1.0f;
    check_ok(sonde_model_hash(a, &hash_a, &error), &error);
    assert_string_not_equal(hash_a, before);
    sonde_model_close(&a);
    sonde_model_close(&b);
    sonde_model_close(&c);
}

/* Outputs that are no choice among the tokens rank none of them. */
static void test_sigmoid_head(void **state)
{
    static const char config[] =
        "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"none\",\"head\":\"sigmoid\"}";
    static const char wanted[] =
        "this model's outputs are sigmoids, any of which may hold: they rank no next token";
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_model *model = create(config, NULL);
    struct sonde_arena *arena = sonde_arena_create(0);
    float row[8] = { 1 }, logits[11];
    const int32_t ids[] = { 1, 2 };
    (void)state;
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    const struct sonde_forward_args args = { .ids = ids, .n_tokens = 2, .logits_last = logits };
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_UNSUPPORTED);
    assert_string_equal(error.text, wanted);
    error = (struct sonde_error){ 0 };
    assert_int_equal(sonde_model_readout(model, arena, row, 1, 0, 0, logits, &error),
                     SONDE_STATUS_UNSUPPORTED);
    assert_string_equal(error.text, wanted);
    struct sonde_gradient *gradient = NULL;
    const struct sonde_gradient_args next = { .ids = ids,
                                              .n_tokens = 2,
                                              .loss = { .kind = SONDE_LOSS_NEXT_TOKEN } };
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    assert_int_equal(sonde_gradient_run(gradient, &next, NULL, &error), SONDE_STATUS_UNSUPPORTED);
    assert_string_equal(error.text, wanted);
    sonde_gradient_destroy(&gradient);
    struct taken taken = logits_of(model); /* the logits themselves are there */
    free(taken.logits);
    sonde_arena_destroy(&arena);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
}

/* Rewrites FOLDER/model.safetensors without one tensor. */
static void drop_tensor(const char *folder, const char *name)
{
    struct sonde_safetensors *file = NULL;
    struct sonde_safetensors_item items[64];
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(folder, "model.safetensors");
    int64_t n = 0;
    check_ok(sonde_safetensors_open(&file, path, &error), &error);
    for (int64_t i = 0; i < sonde_safetensors_count(file); i++) {
        const struct sonde_safetensors_entry *e = sonde_safetensors_at(file, i);
        const uint8_t *data = NULL;
        check_ok(sonde_safetensors_map(file, e, &data, &error), &error);
        if (strcmp(e->name, name) != 0) {
            items[n] = (struct sonde_safetensors_item){
                .name = e->name, .dtype = e->dtype, .rank = e->rank, .data = data
            };
            memcpy(items[n++].dim, e->dim, sizeof e->dim);
        }
    }
    assert_int_equal(n + 1, sonde_safetensors_count(file));
    check_ok(sonde_safetensors_write(path, items, n, NULL, 0, &error), &error);
    sonde_safetensors_close(&file);
    free(path);
}

/* The prefix is told by all names: whichever tensor is missing, it is named in full. */
static void test_missing_tensor(void **state)
{
    static const struct {
        int config;
        const char *name;
    } cases[] = {
        { 2, "layers.1.mlp.up_proj.weight" },
        { 4, "model.norm.weight" },
        { 4, "model.layers.0.self_attn.k_proj.weight" },
        { 6, "transformer.ln_f.weight" },
        { 6, "transformer.h.0.attn.c_attn.bias" },
        { 7, "gpt_neox.final_layer_norm.weight" },
        { 8, "bert.embeddings.position_embeddings.weight" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct sonde_model_options options = { .allow_missing_tokenizer = true };
        struct sonde_error error = { 0 };
        struct sonde_model *made = create(configs[cases[i].config], NULL), *opened = NULL;
        char *folder = new_folder(), wanted[512];
        check_ok(sonde_model_save(made, folder, SONDE_DTYPE_F32, &error), &error);
        drop_tensor(folder, cases[i].name);
        assert_int_equal(sonde_model_open(&opened, folder, &options, &error), SONDE_STATUS_FORMAT);
        snprintf(wanted, sizeof wanted, "%s/model.safetensors: no tensor %s", folder,
                 cases[i].name);
        assert_string_equal(error.text, wanted);
        sonde_model_close(&made);
        model_remove(folder);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *config, *text;
        enum sonde_status status;
    } cases[] = {
        { "[]", "made: is an array, expected an object", SONDE_STATUS_FORMAT },
        { "{}", "made: model_type is missing", SONDE_STATUS_FORMAT },
        { "{\"model_type\":\"t5\"}", "model_type \"t5\" is not supported",
          SONDE_STATUS_UNSUPPORTED },
        { "{\"model_type\":\"sonde\"," SIZES "}", "position is missing: one of none, ",
          SONDE_STATUS_FORMAT },
        { "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"absolute\"}",
          "position is \"absolute\", expected one of none, ", SONDE_STATUS_FORMAT },
        { "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"none\",\"norm\":3}", "norm",
          SONDE_STATUS_FORMAT },
        { "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"none\",\"n_outputs\":3,"
          "\"tie_word_embeddings\":true}",
          "tie_word_embeddings with 3 outputs of 11 tokens", SONDE_STATUS_FORMAT },
        { "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"none\",\"embedding_scale\":\"root\"}",
          "embedding_scale is \"root\"", SONDE_STATUS_FORMAT },
        { "{\"model_type\":\"sonde\"," SIZES ",\"position\":\"rotary\",\"head_dim\":3}",
          "3 rotary dimensions", SONDE_STATUS_FORMAT },
        { "{\"model_type\":\"llama\"}", "hidden_size is missing", SONDE_STATUS_FORMAT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sonde_json *config = NULL;
        struct sonde_model *model = NULL;
        struct sonde_error error = { 0 };
        check_ok(sonde_json_parse(&config, cases[i].config, strlen(cases[i].config), &error),
                 &error);
        assert_int_equal(sonde_model_create(&model, config, "made", NULL, &error), cases[i].status);
        if (!strstr(error.text, cases[i].text)) {
            fail_msg("%s: %s", cases[i].config, error.text);
        }
        assert_null(model);
        sonde_json_destroy(&config);
    }
    struct sonde_error error = { 0 };
    struct sonde_model *model = create(configs[0], NULL);
    assert_int_equal(sonde_model_save(model, "/dev/null/x", SONDE_DTYPE_F32, &error),
                     SONDE_STATUS_IO);
    assert_int_equal(sonde_model_save(model, "/dev/null/x", SONDE_DTYPE_I8, &error),
                     SONDE_STATUS_ARGUMENT);
    sonde_model_close(&model);
}

/* The weights' exact size is enough, a byte less is not. */
static void test_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        struct sonde_error error = { 0 };
        struct sonde_json *config = NULL;
        struct sonde_model *model = create(configs[i], NULL);
        struct sonde_init init = { .max_bytes = 4 * sonde_model_parameters(model) };
        sonde_model_close(&model);
        check_ok(sonde_json_parse(&config, configs[i], strlen(configs[i]), &error), &error);
        check_ok(sonde_model_create(&model, config, "made", &init, &error), &error);
        sonde_model_close(&model);
        init.max_bytes--;
        assert_int_equal(sonde_model_create(&model, config, "made", &init, &error),
                         SONDE_STATUS_LIMIT);
        assert_null(model);
        sonde_json_destroy(&config);
    }
}

int main(void)
{
    const struct CMUnitTest create_tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_half),
        cmocka_unit_test(test_normal_init),  cmocka_unit_test(test_torch_init),
        cmocka_unit_test(test_seed),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sigmoid_head), cmocka_unit_test(test_missing_tensor),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(create_tests, NULL, NULL);
}
