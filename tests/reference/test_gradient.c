/* Gradients of whole models: weights against differences of the double-precision pass, every site
 * against differences of edited passes, and dL/dW = sum of x^T delta. */
#include <string.h>

#include "core/tensor/tape.h"
#include "tests/reference/gradient_bench.h"
#include "tests/reference/ref_forward.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

static void subject_open(struct gradient_bench *s, const char *folder, int n_tokens, bool encoder)
{
    *s = (struct gradient_bench){ .model = capture_open(folder), .T = n_tokens };
    const int V = (int)sonde_model_spec(s->model)->d_vocab;
    for (int t = 0; t < s->T; t++) {
        s->ids[t] = (t * 7 + 3) % V;
        if (t > 0 && !encoder) {
            s->targets[t - 1] = s->ids[t];
        }
        if (encoder) {
            s->targets[t] = t % 3 == 1 ? -1 : (t * 5 + 1) % V;
        }
    }
    s->targets[s->T - 1] = encoder ? 2 : -1;
    s->loss.kind = encoder ? SONDE_LOSS_TARGETS : SONDE_LOSS_NEXT_TOKEN;
    s->loss.targets = encoder ? s->targets : NULL;
    gradient_bench_want(s);
    gradient_bench_run(s, NULL);
}

static double reference_loss(const struct gradient_bench *s, const struct ref_model *ref)
{
    struct ref_trace trace = { 0 };
    ref_forward(ref, s->ids, NULL, s->T, &trace);
    const double loss = gradient_bench_loss(s, ref_trace_find(&trace, "logits")->value, NULL);
    ref_trace_free(&trace);
    return loss;
}

/* The one element of the files that has this value; NULL where there are none or several. */
static double *find_value(struct ref_model *ref, double value)
{
    double *found = NULL;
    for (int i = 0; i < ref->tensors.n; i++) {
        const struct ref_tensor *t = &ref->tensors.item[i];
        for (int64_t j = 0; j < t->n; j++) {
            if (t->value[j] == value && found) {
                return NULL;
            }
            found = t->value[j] == value ? &t->value[j] : found;
        }
    }
    return found;
}

/*
 * Elements of every weight. Which element of the files one is, is found by its value, whatever was
 * split, transposed or tied. Tolerance: the forward pass is within 1e-5 of its largest value
 * (test_variants.c), and the way back has as many roundings again: 2e-5 of the largest entry of
 * the weight's gradient, or of a hundredth of the largest of all where a sum cancels (the keys'
 * bias has the gradient 0). Differences in double with step 1e-5 are off by about 1e-10.
 */
static void check_weights(struct gradient_bench *s, const char *folder, int n_each)
{
    struct ref_model ref;
    double top = 0.0;
    assert_true(ref_model_load(&ref, folder));
    check_close(s->value, reference_loss(s, &ref), 1e-5 * fmax(1.0, fabs(s->value)));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < s->n_wanted; i++) {
            const struct sonde_weight *w = s->wanted[i].w;
            const int64_t n = w->rows * w->columns;
            double largest = 0.0;
            int n_checked = 0;
            for (int64_t j = 0; j < n; j++) {
                largest = fmax(largest, fabs((double)s->wanted[i].gradient[j]));
            }
            top = fmax(top, largest);
            for (int64_t j = 0; j < n && pass == 1 && n_checked < n_each; j += 1 + n / 40) {
                float *row = malloc((size_t)w->columns * sizeof *row);
                sonde_weight_row(w, j / w->columns, row);
                double *at = find_value(&ref, (double)row[j % w->columns]);
                free(row);
                if (!at) {
                    continue;
                }
                const double before = *at, step = 1e-5;
                *at = before + step;
                const double above = reference_loss(s, &ref);
                *at = before - step;
                const double slope = (above - reference_loss(s, &ref)) / (2.0 * step);
                *at = before;
                n_checked++;
                check_close(s->wanted[i].gradient[j], slope,
                            2e-5 * fmax(largest, 0.01 * top) + 1e-9);
            }
            if (pass == 1 && n_checked == 0) {
                fprintf(stderr, "# weight %d: no element could be told by its value\n", i);
                fail();
            }
        }
    }
    ref_model_free(&ref);
}

static void check_folder(const char *folder, int n_tokens, bool encoder, int n_each)
{
    struct gradient_bench s;
    subject_open(&s, folder, n_tokens, encoder);
    check_weights(&s, folder, n_each);
    gradient_bench_check_outer(&s);
    gradient_bench_check_sites(&s);
    gradient_bench_check_bits(&s);
    gradient_bench_close(&s);
}

static void check_recipe(const struct model_recipe *recipe)
{
    char *folder = model_make(recipe);
    check_folder(folder, 7, strcmp(recipe->family, "bert") == 0, 4);
    model_remove(folder);
}

static void test_gpt2(void **state)
{
    struct model_recipe r = {
        .family = "gpt2", .D = 12, .H = 3, .F = 14, .L = 2, .V = 19, .n_ctx = 12
    };
    (void)state;
    check_recipe(&r);
    r.untied = true;
    r.dtype = SONDE_DTYPE_F16;
    r.more_config = "\"scale_attn_by_inverse_layer_idx\": true, ";
    check_recipe(&r);
}

static void test_llama(void **state)
{
    struct model_recipe r = {
        .family = "llama", .D = 12, .H = 4, .G = 2, .E = 4, .F = 11, .L = 2, .V = 17, .n_ctx = 12
    };
    (void)state;
    check_recipe(&r);
    r.untied = r.attention_bias = r.mlp_bias = true;
    check_recipe(&r);
}

static void test_gpt_neox(void **state)
{
    struct model_recipe r = {
        .family = "gpt_neox", .D = 16, .H = 2, .F = 13, .L = 2, .V = 15, .n_ctx = 12, .untied = true
    };
    (void)state;
    check_recipe(&r);
    r.serial = true;
    check_recipe(&r);
}

static void test_bert(void **state)
{
    const struct model_recipe r = {
        .family = "bert", .D = 12, .H = 3, .F = 14, .L = 2, .V = 15, .n_ctx = 12
    };
    (void)state;
    check_recipe(&r);
}

/* Every kind of positions, both places of the norm, both directions. */
static void test_sonde(void **state)
{
    static const struct {
        const char *config;
        bool both_ways;
    } cases[] = {
        { "\"position\": \"none\", \"norm_place\": \"post\", \"embedding_scale\": \"sqrt\", ",
          false },
        { "\"position\": \"learned\", \"final_norm\": false, ", false },
        { "\"position\": \"rotary\", \"gated\": true, \"norm\": \"rmsnorm\", \"bias\": false, ",
          false },
        { "\"position\": \"sinusoidal\", \"norm_place\": \"post\", \"final_norm\": true, ", false },
        { "\"position\": \"cosine\", \"head_bias\": true, ", false },
        { "\"position\": \"relative\", \"relative_attention_max_distance\": 3, ", false },
        { "\"position\": \"relative\", \"causal\": false, \"norm_place\": \"post\", ", true },
        { "\"position\": \"t5\", \"relative_attention_num_buckets\": 4, ", false },
        { "\"position\": \"t5\", \"causal\": false, ", true },
        { "\"position\": \"alibi\", ", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_recipe r = { .family = "sonde",
                                  .D = 12,
                                  .H = 4,
                                  .G = 2,
                                  .E = 4,
                                  .F = 14,
                                  .L = 2,
                                  .V = 15,
                                  .n_ctx = 12 };
        r.more_config = cases[i].config;
        r.untied = i % 2 == 0;
        r.seed = 30 + i;
        char *folder = model_make(&r);
        check_folder(folder, 7, cases[i].both_ways, 3);
        model_remove(folder);
    }
}

static void check_given(const char *relative)
{
    char path[1024], *end;
    check_shared(path, relative);
    end = strrchr(path, '/');
    *end = '\0';
    check_folder(path, 8, false, 1);
}

static void test_given_gpt2(void **state)
{
    (void)state;
    check_given("reference/gpt2/config.json");
}

static void test_given_llama(void **state)
{
    (void)state;
    check_given("reference/llama/config.json");
}

static enum sonde_status leave(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                               struct sonde_error *error)
{
    (void)ctx, (void)site, (void)value, (void)error;
    return SONDE_STATUS_OK;
}

/* What cannot be had is refused, and a budget that is too small is said to be. */
static void test_refused(void **state)
{
    const struct model_recipe r = {
        .family = "gpt2", .D = 12, .H = 3, .F = 14, .L = 2, .V = 19, .n_ctx = 12
    };
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    const int32_t ids[] = { 1, 2, 3 }, far[] = { 1, 19, 2 };
    struct sonde_gradient_args args = { .ids = ids, .n_tokens = 3 };
    double loss = -1.0;
    char *folder = model_make(&r);
    struct sonde_model *model = capture_open(folder);
    const struct sonde_session_options cached = { .cache = true };
    (void)state;
    check_ok(sonde_session_create(&session, model, &cached, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_UNSUPPORTED);
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, 4096, &error), &error);
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_LIMIT);
    char least[32];
    snprintf(least, sizeof least, "%lld bytes",
             (long long)sonde_gradient_plan_checkpoint_bytes(model, 3, 1, NULL));
    assert_non_null(strstr(error.text, least));
    sonde_gradient_destroy(&gradient);
    struct sonde_tape *tape = NULL;
    const struct sonde_hook edit = { .edit = sonde_model_sites(model), .on_edit = leave };
    const struct sonde_forward_args edited = {
        .ids = ids, .n_tokens = 3, .hooks = &edit, .n_hooks = 1, .tape = tape
    };
    check_ok(sonde_forward(session, &edited, &error), &error);
    check_ok(sonde_tape_create(&tape, 0, &error), &error);
    struct sonde_forward_args taped = edited;
    taped.tape = tape;
    assert_int_equal(sonde_forward(session, &taped, &error), SONDE_STATUS_UNSUPPORTED);
    sonde_tape_destroy(&tape);
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = 3 };
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_ARGUMENT);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .id = 19 };
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_ARGUMENT);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_TARGETS, .targets = far };
    assert_int_equal(sonde_gradient_run(gradient, &args, &loss, &error), SONDE_STATUS_ARGUMENT);
    assert_true(loss == -1.0);
    args.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = -1, .id = 4 };
    check_ok(sonde_gradient_run(gradient, &args, &loss, &error), &error);
    struct capture c;
    capture_run(&c, model, ids, NULL, 3, NULL, NULL);
    assert_true(loss == (double)gradient_bench_site(&c, SONDE_SITE_LOGITS, -1)->value[2 * 19 + 4]);
    capture_free(&c);
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    model_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_gpt_neox),    cmocka_unit_test(test_bert),
        cmocka_unit_test(test_sonde),       cmocka_unit_test(test_given_gpt2),
        cmocka_unit_test(test_given_llama), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
