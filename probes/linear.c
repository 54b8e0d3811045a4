/* The linear probes' descriptors: linear (logistic regression, or ridge for real labels), ridge,
 * lda, mean-difference and covariance. They share data options, run and report. */
#include "probes/builtin.h"
#include "probes/supervised.h"

static const struct sonde_probe_option options[] = {
    { "streams", SONDE_PROBE_TEXT, "resid", NULL, "pattern of the streams to probe, one fit each" },
    { "labels", SONDE_PROBE_TEXT, NULL, NULL, "label set of the store (required)" },
    { "l2", SONDE_PROBE_TEXT, "auto", NULL,
      "penalty (linear: 1/C of scikit-learn); auto: by cross-validation over training sequences" },
    { "folds", SONDE_PROBE_INTEGER, "5", NULL, "folds of --l2 auto" },
    { "control", SONDE_PROBE_FLAG, NULL, NULL,
      "also a control task: random labels; gives selectivity" },
    { "control-labels", SONDE_PROBE_CHOICE, "word-type", "word-type|uniform",
      "of the control task: one a word type, or one a sample, classes drawn uniformly" },
    { "baseline", SONDE_PROBE_CHOICE, NULL, "random-weights",
      "also the same probe on the model with random weights" },
    { "metric", SONDE_PROBE_CHOICE, "auto", "auto|accuracy|macro-f1|auroc|r2|spearman",
      "what the table's value is; auto: accuracy, r2 for real labels" },
    { "task", SONDE_PROBE_CHOICE, "auto", "auto|class|real", "how to read the labels" },
    { "split", SONDE_PROBE_CHOICE, "sequence", "sequence|position",
      "what goes to one side of the split as a whole" },
    { "test-share", SONDE_PROBE_REAL, "0.2", NULL, "share of the sequences that are test" },
    { "mask", SONDE_PROBE_TEXT, NULL, NULL,
      "label set: only rows that have a label of it too are samples" },
    { "pool", SONDE_PROBE_CHOICE, "last", "last|mean|first",
      "row of a sequence, for labels of sequences" },
    { "keep-special", SONDE_PROBE_FLAG, NULL, NULL, "special and BOS tokens are samples too" },
    { "no-standardise", SONDE_PROBE_FLAG, NULL, NULL, "fit the features as they are" },
    { "bootstrap", SONDE_PROBE_INTEGER, "1000", NULL,
      "resamples of the test sequences for the interval; 0 = none" },
    { "per-class", SONDE_PROBE_FLAG, NULL, NULL, "table classes for every stream, not the best" },
    { "save", SONDE_PROBE_PATH, NULL, NULL, "write the weights (safetensors)" },
    { "load", SONDE_PROBE_PATH, NULL, NULL,
      "apply saved weights to all labelled rows, fit nothing" },
    { "save-direction", SONDE_PROBE_PATH, NULL, NULL,
      "write each stream's direction for --edit (.npy; NAME/: a folder, a file a stream)" },
    { "penalty", SONDE_PROBE_CHOICE, "l2", "l2|l1|none", "kind of the penalty (classes)" },
    { "max-iterations", SONDE_PROBE_INTEGER, "1000", NULL, "at most so many of L-BFGS" },
    { "tolerance", SONDE_PROBE_REAL, "1e-5", NULL,
      "end where no gradient entry of the mean loss is larger, times the loss below 1" },
};
/* The closed forms stop before the last three, which do not apply to them. */
enum { N_OPTIONS = sizeof(options) / sizeof(options[0]), N_CLOSED_OPTIONS = N_OPTIONS - 3 };

static enum sonde_status linear_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    return sonde_supervised_run(run, SONDE_LINEAR_LOGISTIC, error);
}

static enum sonde_status ridge_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    return sonde_supervised_run(run, SONDE_LINEAR_RIDGE, error);
}

static enum sonde_status lda_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    return sonde_supervised_run(run, SONDE_LINEAR_LDA, error);
}

static enum sonde_status mean_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    return sonde_supervised_run(run, SONDE_LINEAR_MEAN_DIFFERENCE, error);
}

static enum sonde_status covariance_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    return sonde_supervised_run(run, SONDE_LINEAR_COVARIANCE, error);
}

static int32_t linear_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, linear_body);
}

static int32_t ridge_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, ridge_body);
}

static int32_t lda_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, lda_body);
}

static int32_t mean_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, mean_body);
}

static int32_t covariance_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, covariance_body);
}

const struct sonde_probe sonde_probe_linear = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "linear",
    .version = "1",
    .summary = "what a linear map reads from each stream, with baselines in the same row",
    .description =
        "Multinomial logistic regression (two classes: one sigmoid, as scikit-learn does it), "
        "ridge "
        "regression for real labels. L-BFGS over all training rows, in a basis where features are "
        "independent; objective: sum of losses + "
        "l2/2 |W|^2, the intercept not penalised, features standardised on the training rows.\n"
        "The split is by sequence, so that no test sequence is seen in training. Every row of the "
        "table has the majority baseline, an interval from a bootstrap over test sequences and, "
        "where asked for, a control task (Hewitt and Liang, EMNLP 2019: a random label for every "
        "word type, drawn from the labels' distribution, learnt with the same penalty; selectivity "
        "= value - control) and the same probe on random weights. Test rows that training has met, "
        "as sequences or as the same tokens from the beginning, are counted.\n"
        "--save-direction writes the weights [D] in the stream's own units (two classes or real "
        "labels).",
    .options = options,
    .n_options = N_OPTIONS,
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS,
    .run = linear_run,
};

const struct sonde_probe sonde_probe_ridge = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "ridge",
    .version = "1",
    .summary = "ridge regression of a real label on each stream",
    .description = "Closed form: minimises the sum of squared errors + l2 "
                   "|w|^2, the intercept not penalised. Products in single precision where "
                   "samples times features squared is above 2^24, sums in double. The same data "
                   "options, baselines and table "
                   "as linear, which does this for real labels too.",
    .options = options,
    .n_options = N_CLOSED_OPTIONS,
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS,
    .run = ridge_run,
};

const struct sonde_probe sonde_probe_lda = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "lda",
    .version = "1",
    .summary = "linear discriminant analysis of each stream, in closed form",
    .description = "W = S^-1 M with the pooled within-class covariance S (l2/n is added to its "
                   "diagonal) and the class means M; priors are the training shares. The same data "
                   "options, baselines and table as linear.",
    .options = options,
    .n_options = N_CLOSED_OPTIONS,
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS,
    .run = lda_run,
};

const struct sonde_probe sonde_probe_mean_difference = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "mean-difference",
    .version = "1",
    .summary = "the difference of the class means as a direction",
    .description = "The nearest class mean in standardised features. For two classes the direction "
                   "is mean(1) - mean(0) and the threshold lies half way. Nothing is fitted, so "
                   "--l2 has no effect. The same data options, baselines and table as linear.\n"
                   "--save-direction writes the difference of the two means in the stream's own "
                   "units [D]: added to the state of class 0 it makes, on average, class 1.",
    .options = options,
    .n_options = N_CLOSED_OPTIONS,
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS,
    .run = mean_run,
};

const struct sonde_probe sonde_probe_covariance = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "covariance",
    .version = "1",
    .summary = "the covariance of each stream with a real label as a direction",
    .description =
        "v = Cov(x, y) over the training rows, features as they are [D]; the answer is a (v x) + b "
        "with a and b by least squares. Along v the state moves with the label; a fitted probe's "
        "weights may lie where hardly anything moves (Tiwari, Gupta and Hahn, \"Emergent Stack "
        "Representations\", 2025: taking out v ends what the model can do, taking out the least "
        "squares weights changes nothing). Real labels, or classes whose names are numbers. "
        "Nothing is penalised, so --l2 has no effect; the same data options, baselines and table "
        "as linear.\n"
        "--save-direction writes v / Var(y), the state's step for one unit of the label, for "
        "--edit 'project-out SITE F.npy'. Once v is taken out, no coordinate covaries with the "
        "label.",
    .options = options,
    .n_options = N_CLOSED_OPTIONS,
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_LABELS,
    .run = covariance_run,
};
