/* The mlp probe: descriptor, options, the split into training and validation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/split.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "probes/mlp_probe.h"

static const struct sonde_probe_option options[] = {
    { "streams", SONDE_PROBE_TEXT, "resid", NULL, "pattern of the streams to probe, one fit each" },
    { "labels", SONDE_PROBE_TEXT, NULL, NULL, "label set of the store (required)" },
    { "hidden", SONDE_PROBE_TEXT, "128", NULL,
      "widths of the hidden layers; several shapes apart by ';', - for none: '-;128;128,128'" },
    { "protocol", SONDE_PROBE_CHOICE, "default", "default|emergent-stack",
      "what the options below are where they are not given" },
    { "optimizer", SONDE_PROBE_CHOICE, "adam", "adam|adamw|sgd|rmsprop",
      "update rule, as in PyTorch" },
    { "lr", SONDE_PROBE_REAL, "1e-3", NULL, "learning rate at the beginning" },
    { "weight-decay", SONDE_PROBE_REAL, "0", NULL, "of the update rule" },
    { "batch", SONDE_PROBE_INTEGER, NULL, NULL,
      "rows of a minibatch (32 to 256 by the rows; emergent-stack: 32)" },
    { "epochs", SONDE_PROBE_INTEGER, NULL, NULL,
      "passes over the rows (10 to 300, about 4000 steps at least; emergent-stack: 10)" },
    { "patience", SONDE_PROBE_INTEGER, "2", NULL,
      "epochs without a better validation loss before the rate falls to a tenth; -1 = never" },
    { "select", SONDE_PROBE_CHOICE, NULL, "validation|test|last",
      "the epoch that answers: best on held-out training rows (default), on test, or the last" },
    { "validation-share", SONDE_PROBE_REAL, "0.1", NULL,
      "share of the training sequences that is held out for the rate and the epoch" },
    { "scale", SONDE_PROBE_CHOICE, NULL, "train|all|none",
      "rows whose mean and deviation standardise the features (train; emergent-stack: all)" },
    { "control", SONDE_PROBE_FLAG, NULL, NULL,
      "also a control task: random labels; gives selectivity" },
    { "control-labels", SONDE_PROBE_CHOICE, NULL, "word-type|uniform",
      "of the control task: one a word type (default), or one a sample (emergent-stack)" },
    { "metric", SONDE_PROBE_CHOICE, "auto", "auto|accuracy|macro-f1|auroc|r2|spearman",
      "what the table's value is; auto: accuracy, r2 for real labels" },
    { "task", SONDE_PROBE_CHOICE, "auto", "auto|class|real", "how to read the labels" },
    { "split", SONDE_PROBE_CHOICE, NULL, "sequence|position",
      "what goes to one side of the split as a whole (sequence; emergent-stack: position)" },
    { "test-share", SONDE_PROBE_REAL, "0.2", NULL, "share of the sequences that are test" },
    { "mask", SONDE_PROBE_TEXT, NULL, NULL,
      "label set: only rows that have a label of it too are samples" },
    { "pool", SONDE_PROBE_CHOICE, "last", "last|mean|first",
      "row of a sequence, for labels of sequences" },
    { "keep-special", SONDE_PROBE_FLAG, NULL, NULL, "special and BOS tokens are samples too" },
    { "bootstrap", SONDE_PROBE_INTEGER, "1000", NULL,
      "resamples of the test sequences for the interval; 0 = none" },
    { "per-class", SONDE_PROBE_FLAG, NULL, NULL, "table classes for every stream, not the best" },
};

static enum sonde_status bad_shapes(const char *text, struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "--hidden \"%s\": expected widths from 1 to %d such as 128,128 (at most "
                           "%d), - for no hidden layer, at most %d shapes apart by ';'",
                           text, SONDE_MLP_WIDTH_MAX, SONDE_MLP_HIDDEN_MAX, SONDE_MLP_SHAPES_MAX);
}

/* One shape of n characters; false where it is none. */
static bool read_shape(const char *text, size_t n, struct sonde_mlp_hidden *out)
{
    *out = (struct sonde_mlp_hidden){ 0 };
    if (n == 1 && text[0] == '-')
        return true;
    for (size_t at = 0; at <= n;) {
        const char *comma = memchr(text + at, ',', n - at);
        size_t length = comma ? (size_t)(comma - text) - at : n - at;
        int64_t width;
        if (out->n == SONDE_MLP_HIDDEN_MAX || !sonde_parse_i64(text + at, length, &width) ||
            width < 1 || width > SONDE_MLP_WIDTH_MAX)
            return false;
        out->width[out->n++] = width;
        at += length + 1;
    }
    return true;
}

static void write_shape(const struct sonde_mlp_hidden *shape, char *out, size_t n)
{
    size_t at = 0;
    snprintf(out, n, "-");
    for (int i = 0; i < shape->n && at < n; i++)
        at +=
            (size_t)snprintf(out + at, n - at, "%s%lld", i ? "," : "", (long long)shape->width[i]);
}

enum sonde_status sonde_mlp_read_shapes(const char *text, struct sonde_mlp_settings *out,
                                        struct sonde_error *error)
{
    out->n_shapes = 0;
    for (const char *at = text;;) {
        const char *end = strchr(at, ';');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (out->n_shapes == SONDE_MLP_SHAPES_MAX || !read_shape(at, n, &out->shape[out->n_shapes]))
            return bad_shapes(text, error);
        write_shape(&out->shape[out->n_shapes], out->text[out->n_shapes], SONDE_MLP_TEXT_MAX);
        out->n_shapes++;
        if (!end)
            return SONDE_STATUS_OK;
        at = end + 1;
    }
}

static enum sonde_status read_rule(const struct sonde_builtin *run, struct sonde_update_rule *out,
                                   struct sonde_error *error)
{
    static const char *const names[] = { "sgd", "rmsprop", "adam", "adamw" };
    static const enum sonde_update_kind kinds[] = { SONDE_UPDATE_SGD, SONDE_UPDATE_RMSPROP,
                                                    SONDE_UPDATE_ADAM, SONDE_UPDATE_ADAMW };
    const char *name = sonde_builtin_text(run, "optimizer");
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            *out = sonde_update_defaults(kinds[i]);
    enum sonde_status status = sonde_builtin_real(run, "lr", 1e-12, 1e6, &out->lr, error);
    return status ? status
                  : sonde_builtin_real(run, "weight-decay", 0, 1e6, &out->weight_decay, error);
}

static enum sonde_status read_settings(struct sonde_mlp_probe *p, struct sonde_error *error)
{
    const struct sonde_builtin *run = p->s.run;
    struct sonde_mlp_settings *o = &p->settings;
    bool paper = strcmp(sonde_builtin_text(run, "protocol"), "emergent-stack") == 0;
    const char *select = sonde_builtin_text(run, "select");
    const char *scale = sonde_builtin_text(run, "scale");
    select = select ? select : paper ? "test" : "validation";
    scale = scale ? scale : paper ? "all" : "train";
    o->select = strcmp(select, "test") == 0   ? SONDE_MLP_SELECT_TEST
                : strcmp(select, "last") == 0 ? SONDE_MLP_SELECT_LAST
                                              : SONDE_MLP_SELECT_VALIDATION;
    o->scale = strcmp(scale, "all") == 0    ? SONDE_MLP_SCALE_ALL
               : strcmp(scale, "none") == 0 ? SONDE_MLP_SCALE_NONE
                                            : SONDE_MLP_SCALE_TRAIN;
    /* Three tenths of the rate are nothing any more. The paper goes on to its last epoch. */
    o->stop_after = paper ? 0 : 3;
    o->batch = paper ? 32 : 0;
    o->epochs = paper ? 10 : 0;
    enum sonde_status status = sonde_mlp_read_shapes(sonde_builtin_text(run, "hidden"), o, error);
    if (!status)
        status = read_rule(run, &o->rule, error);
    if (!status && sonde_builtin_text(run, "batch"))
        status = sonde_builtin_integer(run, "batch", 1, 1 << 20, &o->batch, error);
    if (!status && sonde_builtin_text(run, "epochs"))
        status = sonde_builtin_integer(run, "epochs", 1, 1000000, &o->epochs, error);
    if (!status)
        status = sonde_builtin_integer(run, "patience", -1, 1000000, &o->patience, error);
    if (!status)
        status =
            sonde_builtin_real(run, "validation-share", 0.01, 0.9, &o->validation_share, error);
    if (!status) {
        sonde_result_parameter_text(run->result, "select", select);
        sonde_result_parameter_text(run->result, "scale", scale);
        sonde_result_parameter_text(run->result, "split",
                                    p->s.options.by_position ? "position" : "sequence");
    }
    return status;
}

/* Small data needs many passes over small batches, large data few over large ones. */
static void settle_sizes(struct sonde_mlp_probe *p)
{
    struct sonde_mlp_settings *o = &p->settings;
    if (o->batch == 0)
        for (o->batch = 32; o->batch < 256 && p->n_train / o->batch > 200;)
            o->batch *= 2;
    int64_t steps = (p->n_train + o->batch - 1) / o->batch;
    if (o->epochs == 0) {
        o->epochs = (4000 + steps - 1) / steps;
        o->epochs = o->epochs < 10 ? 10 : o->epochs > 300 ? 300 : o->epochs;
    }
    sonde_result_parameter_i64(p->s.run->result, "batch", o->batch);
    sonde_result_parameter_i64(p->s.run->result, "epochs", o->epochs);
}

/* Sequences of the training side are held out as the test's are: whole, or rows where the split is
 * by position or the training side is one sequence. */
static enum sonde_status hold_out(struct sonde_mlp_probe *p, struct sonde_error *error)
{
    const struct sonde_dataset *d = p->s.dataset;
    p->train = malloc((size_t)(d->n + 1) * sizeof(int64_t));
    p->validation = malloc((size_t)(d->n + 1) * sizeof(int64_t));
    int64_t *unit = malloc((size_t)(d->n_train + 1) * sizeof(*unit)), n_groups = 0;
    uint8_t *side = calloc((size_t)d->n_train + 1, 1);
    enum sonde_status status = SONDE_STATUS_OK;
    if (!p->train || !p->validation || !unit || !side)
        status = sonde_error_memory(error, "the split");
    for (int64_t i = 0; i < d->n_train && !status; i++)
        unit[i] = d->group[d->train[i]];
    if (!status)
        status = sonde_split_count_groups(unit, d->n_train, &n_groups, error);
    for (int64_t i = 0; i < d->n_train && !status; i++)
        if (p->s.options.by_position || n_groups < 2)
            unit[i] = i;
    bool test = p->settings.select == SONDE_MLP_SELECT_TEST;
    if (!status && !test)
        status =
            sonde_split_test(unit, d->n_train, p->settings.validation_share,
                             p->s.run->args->seed ^ sonde_rng_stream("validation"), side, error);
    for (int64_t i = 0; i < d->n_train && !status; i++) {
        if (side[i])
            p->validation[p->n_validation++] = d->train[i];
        else
            p->train[p->n_train++] = d->train[i];
    }
    for (int64_t i = 0; i < d->n_test && test && !status; i++)
        p->validation[p->n_validation++] = d->test[i];
    free(unit);
    free(side);
    return status;
}

/* What cannot be learnt is said before hours are spent on it. */
static enum sonde_status check_values(const struct sonde_mlp_probe *p, struct sonde_error *error)
{
    const struct sonde_dataset *d = p->s.dataset;
    if (d->task != SONDE_TASK_REAL)
        return SONDE_STATUS_OK;
    for (int64_t i = 0; i < p->n_train; i++)
        if (d->real[p->train[i]] != d->real[p->train[0]])
            return SONDE_STATUS_OK;
    char value[SONDE_FORMAT_F64_MAX];
    sonde_format_f64(value, d->real[p->train[0]]);
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "label set %s: the %lld training samples all have the value %s: there "
                           "is nothing to tell apart",
                           p->s.options.labels, (long long)p->n_train, value);
}

static enum sonde_status prepare(struct sonde_mlp_probe *p, struct sonde_error *error)
{
    enum sonde_status status = sonde_supervised_open(&p->s, error);
    if (!status)
        status = read_settings(p, error);
    if (!status)
        status = hold_out(p, error);
    if (!status)
        status = check_values(p, error);
    if (status)
        return status;
    settle_sizes(p);
    const struct sonde_dataset *d = p->s.dataset;
    size_t n_rows = (size_t)p->s.n_streams * (size_t)p->settings.n_shapes;
    p->row = calloc(n_rows + 1, sizeof(*p->row));
    p->control_target = calloc((size_t)d->n + 1, sizeof(int32_t));
    p->control_real = calloc((size_t)d->n + 1, sizeof(double));
    if (!p->row || !p->control_target || !p->control_real)
        return sonde_error_memory(error, "the fits");
    if (p->s.options.control)
        sonde_supervised_control(&p->s, p->control_target, p->control_real);
    return sonde_supervised_majority(&p->s, &p->majority, error);
}

static enum sonde_status mlp_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    struct sonde_mlp_probe *p = calloc(1, sizeof(*p));
    if (!p)
        return sonde_error_memory(error, "the probe");
    p->s = (struct sonde_supervised){ .run = run,
                                      .options.method = SONDE_LINEAR_NONE,
                                      .mem_bytes = sonde_builtin_mem_bytes(run) };
    enum sonde_status status = prepare(p, error);
    if (!status) {
        sonde_mlp_probe_tables(p);
        status = sonde_mlp_probe_fit(p, error);
    }
    if (!status)
        status = sonde_mlp_probe_report(p, error);
    sonde_supervised_close(&p->s);
    free(p->train);
    free(p->validation);
    free(p->control_target);
    free(p->control_real);
    free(p->row);
    free(p);
    return status;
}

static int32_t mlp_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, mlp_body);
}

const struct sonde_probe sonde_probe_mlp = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "mlp",
    .version = "1",
    .summary = "what a multi-layer perceptron reads from each stream, shape by shape",
    .description =
        "ReLU layers of any widths between the standardised row [D] and the classes [K] (or one "
        "real label, standardised on the training rows): softmax cross-entropy or squared error, "
        "minibatches in a random order, PyTorch's initialisation and update rules, the rate cut to "
        "a tenth where the validation loss stands still (ReduceLROnPlateau). Several shapes in one "
        "run (--hidden '-;128;128,128') give the curve of what is there against how hard it is to "
        "reach; read it beside --control, since a large net learns random labels too (Hewitt and "
        "Liang, \"Designing and Interpreting Probes with Control Tasks\", EMNLP 2019).\n"
        "The same splits, masks and table as linear, with the columns hidden, "
        "parameters, epoch (the one that answers) and validation (its value on the rows that chose "
        "it) behind; table sweep has the shapes one below the other, table epochs every epoch. By "
        "default a tenth of the training sequences is "
        "held out to steer the rate and to choose the epoch, and the test side is asked once.\n"
        "--protocol emergent-stack is that of Tiwari, Gupta and Hahn, \"Emergent Stack "
        "Representations in Modeling Counter Languages Using Transformers\" (2025): Adam 1e-3, "
        "batches of 32, 10 epochs, features standardised on all rows, rows split by position, the "
        "best epoch on the test rows, control labels uniform over the classes. It is there to "
        "reproduce numbers, not to make new ones.\n"
        "A fit depends on the seed alone: threads fit different streams, shapes and control tasks, "
        "or help each other where there are fewer fits than threads. All rows of a stream must fit "
        "into --mem.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS,
    .run = mlp_run,
};
