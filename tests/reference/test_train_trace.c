/*
 * Whole trainings against PyTorch's: the loss, the learning rate, the norm of the gradient and
 * every weight after each of ten steps; and schedules against PyTorch's learning rates.
 *
 * Tolerance: the distance of PyTorch's own f32 from its f64, the largest of eight runs whose
 * initial weights differ in the last place (make_traces.py). What rounds in another order is one
 * more such run, so it has the same distribution; four times the largest of eight leaves room for
 * its tail. The trace itself is rounded to f32.
 */
#include <string.h>

#include "core/train/trainer.h"
#include "tests/golden/torch/torch_trace.h"
#include "tests/support/check.h"
#include "tests/unit/train/train_support.h"

static const double unit = 0x1p-24;
static const char llama[] =
    "{'model_type': 'llama', 'vocab_size': 11, 'hidden_size': 8, 'num_hidden_layers': 2, "
    "'num_attention_heads': 2, 'num_key_value_heads': 1, 'intermediate_size': 12, "
    "'rms_norm_eps': 1e-6, 'max_position_embeddings': 16, 'rope_theta': 10000, "
    "'hidden_act': 'silu', 'tie_word_embeddings': true}";

static struct sonde_examples *read_examples(const struct sonde_safetensors *file, int64_t n_outputs)
{
    struct sonde_error error = { 0 };
    struct sonde_examples *examples = NULL;
    int64_t n = 0, at = 0, n_tokens = 0;
    int32_t *lengths = torch_trace_integers(file, "lengths", &n);
    int32_t *ids = torch_trace_integers(file, "ids", &n_tokens);
    int32_t *hot = n_outputs ? torch_trace_integers(file, "hot", NULL) : NULL;
    int32_t *counts = n_outputs ? torch_trace_integers(file, "counts", NULL) : NULL;
    uint8_t narrow[64];
    bool mask[16];
    check_ok(sonde_examples_create(&examples, n_outputs, &error), &error);
    for (int64_t i = 0; i < n; i++) {
        const struct sonde_example example = { .ids = ids + at,
                                               .n_tokens = lengths[i],
                                               .hot = hot ? narrow : NULL,
                                               .counts = counts ? mask : NULL };
        assert_in_range(lengths[i], 1, 16);
        for (int64_t t = 0; counts && t < lengths[i]; t++) {
            mask[t] = counts[at + t] != 0;
        }
        for (int64_t k = 0; hot && k < lengths[i] * n_outputs; k++) {
            narrow[k] = (uint8_t)hot[at * n_outputs + k];
        }
        check_ok(sonde_examples_add(examples, &example, &error), &error);
        at += lengths[i];
    }
    assert_int_equal(at, n_tokens);
    free(counts);
    free(hot);
    free(ids);
    free(lengths);
    return examples;
}

struct trace {
    struct sonde_safetensors *file;
    struct sonde_model *model;
    struct sonde_examples *examples;
    const char *no_gradient; /* names with this in them have the gradient 0: rounding alone moves
                                them, and they move nothing; NULL = none */
};

static void load_weights(const struct trace *t)
{
    int64_t n = 0;
    const struct sonde_parameter *p = sonde_model_parameter_list(t->model, &n);
    for (int64_t i = 0; i < n; i++) {
        int64_t count = 0;
        float *values = torch_trace_floats(t->file, p[i].name, &count);
        assert_int_equal(count, p[i].rows * p[i].columns * (TORCH_STEPS + 1));
        memcpy(p[i].data, values, (size_t)(p[i].rows * p[i].columns) * sizeof *values);
        free(values);
    }
}

/* Returns the largest share of a tolerance that was used. */
static double check_weights(const struct trace *t, int step)
{
    int64_t n = 0;
    double most = 0.0;
    const struct sonde_parameter *p = sonde_model_parameter_list(t->model, &n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t size = p[i].rows * p[i].columns;
        float *values = torch_trace_floats(t->file, p[i].name, NULL);
        float *distance = torch_trace_distance(t->file, p[i].name);
        const bool moved = !t->no_gradient || !strstr(p[i].name, t->no_gradient);
        for (int64_t j = 0; j < size && moved; j++) {
            const double want = (double)values[step * size + j], got = (double)p[i].data[j];
            const double bound = 4.0 * (double)distance[step - 1] + 2.0 * unit * fabs(want);
            most = fmax(most, fabs(got - want) / bound);
            if (!(fabs(got - want) <= bound)) {
                fprintf(stderr, "# step %d, %s[%lld]: %.9g, PyTorch %.9g (+- %.3g)\n", step,
                        p[i].name, (long long)j, got, want, bound);
                fail();
            }
        }
        free(distance);
        free(values);
    }
    return most;
}

static void follow(const struct trace *t, const struct sonde_trainer_options *options)
{
    struct sonde_error error = { 0 };
    struct sonde_trainer *trainer = NULL;
    const struct sonde_example_source source = sonde_examples_source(t->examples);
    double *loss = torch_trace_doubles(t->file, "loss", NULL);
    double *norm = torch_trace_doubles(t->file, "norm", NULL);
    double *lr = torch_trace_doubles(t->file, "lr", NULL);
    float *far_loss = torch_trace_distance(t->file, "loss");
    float *far_norm = torch_trace_distance(t->file, "norm");
    double most = 0.0;
    load_weights(t);
    check_ok(sonde_trainer_create(&trainer, t->model, &source, options, &error), &error);
    for (int i = 0; i < TORCH_STEPS; i++) {
        struct sonde_train_step step = { 0 };
        check_ok(sonde_trainer_step(trainer, &step, &error), &error);
        check_close(step.loss, loss[i], 4.0 * (double)far_loss[i] + 8.0 * unit * loss[i]);
        check_close(step.gradient_norm, norm[i], 4.0 * (double)far_norm[i] + 8.0 * unit * norm[i]);
        check_close(step.lr, lr[i], 1e-12);
        most = fmax(most, check_weights(t, i + 1));
    }
    fprintf(stderr, "# weights: %.2f of the tolerance\n", most);
    sonde_trainer_destroy(&trainer);
    free(far_norm);
    free(far_loss);
    free(lr);
    free(norm);
    free(loss);
}

static void trace_close(struct trace *t)
{
    sonde_examples_destroy(&t->examples);
    sonde_model_close(&t->model);
    sonde_safetensors_close(&t->file);
}

/* nn.TransformerEncoder as a language model of k-hot symbols: embedding times sqrt(D), post-LN,
 * ReLU, sigmoid and MSE over rows that count, RMSprop. The keys' biases add the same to all scores
 * of a query: their gradient is 0. */
static void test_encoder(void **state)
{
    struct trace t = { .file = torch_trace_open("encoder.safetensors"),
                       .no_gradient = "k_proj.bias" };
    struct sonde_trainer_options options = { .objective = SONDE_OBJECTIVE_K_HOT_MSE,
                                             .rule = sonde_update_defaults(SONDE_UPDATE_RMSPROP),
                                             .batch_sequences = 4 };
    (void)state;
    options.rule.lr = 0.005;
    t.examples = read_examples(t.file, 4);
    t.model = train_model("{'model_type': 'sonde', 'vocab_size': 5, 'hidden_size': 8, "
                          "'num_hidden_layers': 2, 'num_attention_heads': 2, "
                          "'intermediate_size': 16, 'n_outputs': 4, 'position': 'none', "
                          "'norm_place': 'post', 'hidden_act': 'relu', 'embedding_scale': 'sqrt', "
                          "'head': 'sigmoid', 'head_bias': true}",
                          SONDE_INIT_TORCH, 1);
    follow(&t, &options);
    trace_close(&t);
}

/* A llama: next tokens, AdamW that spares gains, clipping at a norm that some steps pass and others
 * do not, a warm-up and a cosine. */
static void test_llama(void **state)
{
    struct trace t = { .file = torch_trace_open("llama.safetensors") };
    struct sonde_trainer_options options = {
        .objective = SONDE_OBJECTIVE_NEXT_TOKEN,
        .rule = sonde_update_defaults(SONDE_UPDATE_ADAMW),
        .decay_matrices_only = true,
        .schedule = { .kind = SONDE_SCHEDULE_COSINE, .warmup = 3, .n_steps = 10, .final = 0.1 },
        .clip_norm = 2.0,
        .batch_sequences = 4,
    };
    (void)state;
    options.rule.lr = 0.02;
    options.rule.beta2 = 0.95;
    options.rule.weight_decay = 0.1;
    t.examples = read_examples(t.file, 0);
    t.model = train_model(llama, SONDE_INIT_NORMAL, 1);
    follow(&t, &options);
    trace_close(&t);
}

/* The llama's weights after one step of SGD, [n of all] of the caller. */
static double *one_step(double lr, double clip_norm, double clip_value, int64_t *n)
{
    struct trace t = { .file = torch_trace_open("llama.safetensors") };
    struct sonde_trainer_options options = { .objective = SONDE_OBJECTIVE_NEXT_TOKEN,
                                             .rule = sonde_update_defaults(SONDE_UPDATE_SGD),
                                             .clip_norm = clip_norm,
                                             .clip_value = clip_value,
                                             .batch_sequences = 4 };
    struct sonde_trainer *trainer = NULL;
    struct sonde_error error = { 0 };
    int64_t n_parameters = 0, at = 0;
    options.rule.lr = lr;
    t.examples = read_examples(t.file, 0);
    t.model = train_model(llama, SONDE_INIT_NORMAL, 1);
    load_weights(&t);
    const struct sonde_example_source source = sonde_examples_source(t.examples);
    check_ok(sonde_trainer_create(&trainer, t.model, &source, &options, &error), &error);
    check_ok(sonde_trainer_step(trainer, NULL, &error), &error);
    const struct sonde_parameter *p = sonde_model_parameter_list(t.model, &n_parameters);
    *n = sonde_model_parameters(t.model);
    double *weights = malloc((size_t)*n * sizeof *weights);
    assert_non_null(weights);
    for (int64_t i = 0; i < n_parameters; i++) {
        for (int64_t j = 0; j < p[i].rows * p[i].columns; j++) {
            weights[at++] = (double)p[i].data[j];
        }
    }
    sonde_trainer_destroy(&trainer);
    trace_close(&t);
    return weights;
}

/* By value, with and without the norm before it: SGD at rate 1 gives the gradient, SGD with
 * clipping must take that gradient, scaled and cut. The norm there is above 7, PyTorch's is in the
 * trace. Tolerance: weights and gradients are below 4, each difference and product rounds once: 6
 * units of 4. */
static void test_clipping(void **state)
{
    static const struct {
        double norm, value;
    } cases[] = { { 0.0, 0.1 }, { 2.0, 0.0 }, { 2.0, 0.05 }, { 100.0, 0.0 } };
    int64_t n = 0;
    double *before = one_step(1e-30, 0.0, 0.0, &n), *after = one_step(1.0, 0.0, 0.0, &n);
    double square = 0.0;
    (void)state;
    for (int64_t i = 0; i < n; i++) {
        square += (before[i] - after[i]) * (before[i] - after[i]);
        assert_true(fabs(before[i]) < 4.0 && fabs(after[i]) < 4.0);
    }
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double *got = one_step(1.0, cases[c].norm, cases[c].value, &n);
        const double ratio = cases[c].norm / (sqrt(square) + 1e-6);
        int64_t n_cut = 0;
        for (int64_t i = 0; i < n; i++) {
            double g = (before[i] - after[i]) * (cases[c].norm > 0.0 ? fmin(ratio, 1.0) : 1.0);
            if (cases[c].value > 0.0 && fabs(g) > cases[c].value) {
                g = copysign(cases[c].value, g);
                n_cut++;
            }
            check_close(got[i], before[i] - g, 24.0 * unit);
        }
        assert_true(cases[c].value > 0.0 ? n_cut > 0 && n_cut < n : n_cut == 0);
        free(got);
    }
    free(after);
    free(before);
}

/* The rates of PyTorch's schedulers, the first at its step 0. PyTorch forms some of them step by
 * step, each within three roundings of a double. */
static void test_schedules(void **state)
{
    static const struct {
        const char *name;
        struct sonde_schedule schedule;
        int first; /* the step that PyTorch's first rate belongs to: where nothing rises, a schedule
                      is at its start before step 1 */
    } cases[] = {
        { "cosine", { .kind = SONDE_SCHEDULE_COSINE, .n_steps = 20, .final = 0.1 }, 0 },
        { "linear", { .kind = SONDE_SCHEDULE_LINEAR, .n_steps = 20, .final = 0.25 }, 0 },
        { "step", { .kind = SONDE_SCHEDULE_STEP, .gamma = 0.3, .period = 6 }, 1 },
        { "warm-cosine", { .kind = SONDE_SCHEDULE_COSINE, .warmup = 5, .n_steps = 20 }, 1 },
        { "warm-linear",
          { .kind = SONDE_SCHEDULE_LINEAR, .warmup = 5, .n_steps = 20, .final = 0.5 },
          1 },
        { "warm-constant", { .kind = SONDE_SCHEDULE_CONSTANT, .warmup = 4 }, 1 },
    };
    struct sonde_safetensors *file = torch_trace_open("schedules.safetensors");
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int64_t n = 0;
        double *want = torch_trace_doubles(file, cases[c].name, &n);
        assert_true(n >= 8);
        for (int64_t i = 1 - cases[c].first; i < n; i++) {
            /* the sum of two f32 holds 2^-48 of a rate; 20 steps of three roundings, 2^-53 each */
            check_close(sonde_schedule_factor(&cases[c].schedule, i + cases[c].first), want[i],
                        0x1p-48 + 60 * 0x1p-53);
        }
        free(want);
    }
    sonde_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_clipping),
        cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
