/*
 * Study: Bhattamishra, Ahuja and Goyal, On the Ability and Limitations of Transformers to Recognize
 * Formal Languages (2020), on models trained here: counters are learned without positions, an even
 * number of 1s is not; what the attention computes; how length and positions matter.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "tools/studies/formal_targets.h"
#include "tools/studies/lab_train.h"
#include "tools/studies/study.h"

#define BINS 3
static const int bin_lengths[BINS][2] = { { 2, 50 }, { 52, 100 }, { 100, 150 } };

/* One model of the study. */
struct trial {
    const char *language, *position, *depth; /* depth: label of the counter; NULL = has none */
    enum sonde_lab_target target;
    int n_train, n_bin; /* strings; --quick takes a tenth */
    bool quick;         /* one of those that --quick trains */
};
static const struct trial trials[] = {
    { "dyck-1", "none", "depth", SONDE_LAB_TARGET_NEXT, 10000, 2000, true },
    { "shuffle-2", "none", "depth:1", SONDE_LAB_TARGET_NEXT, 10000, 2000, false },
    { "parity", "none", NULL, SONDE_LAB_TARGET_ACCEPTED, 10000, 2000, true },
    { "dyck-1", "sinusoidal", NULL, SONDE_LAB_TARGET_NEXT, 10000, 2000, false },
    { "dyck-1", "cosine", NULL, SONDE_LAB_TARGET_NEXT, 10000, 2000, false },
    { "dyck-1", "learned", NULL, SONDE_LAB_TARGET_NEXT, 10000, 2000, false },
    { "aa-star", "none", NULL, SONDE_LAB_TARGET_ACCEPTED, 10000, 50, true },
    { "aa-star", "cosine", NULL, SONDE_LAB_TARGET_ACCEPTED, 10000, 50, true },
};
#define N_TRIALS ((int)(sizeof(trials) / sizeof(trials[0])))

struct outcome {
    struct sonde_model *model;
    struct sonde_lab_strings bin[BINS];
    int64_t attempts, epochs; /* seeds tried; the epoch that was kept */
    double loss, validation;  /* of the kept epoch */
    bool own;                 /* validation strings are none of bin 0 */
    double accuracy[BINS];
};

static void finish(struct outcome *o)
{
    sonde_model_close(&o->model);
    for (int b = 0; b < BINS; b++)
        sonde_lab_strings_finish(&o->bin[b]);
}

static enum sonde_status make_strings(struct sonde_lab *lab, const struct trial *trial, int bin,
                                      struct sonde_lab_strings *out, struct sonde_error *error)
{
    char spec[96], name[16];
    int n = bin < 0 ? trial->n_train : trial->n_bin;
    const int *length = bin_lengths[bin < 0 ? 0 : bin];
    if (lab->quick)
        n = bin < 0 ? n / 4 : n / 10;
    snprintf(spec, sizeof(spec), "%s:n=%d,len=%d..%d,seed=%lld", trial->language, n, length[0],
             length[1], (long long)lab->cli->common.seed + (bin < 0 ? 0 : 1000 + bin));
    snprintf(name, sizeof(name), bin < 0 ? "train" : "bin %d", bin);
    return sonde_lab_strings_generate(out, name, spec, error);
}

static enum sonde_status train(struct sonde_lab *lab, const struct trial *trial, struct outcome *o,
                               struct sonde_error *error)
{
    struct sonde_lab_strings strings = { 0 }, validation = { 0 };
    struct sonde_lab_epoch epoch[SONDE_LAB_EPOCHS_MAX];
    int64_t n = 0;
    char name[48];
    snprintf(name, sizeof(name), "%s-%s", trial->language, trial->position);
    const struct sonde_lab_training what = { .name = name,
                                             .position = trial->position,
                                             .n_positions = 256,
                                             .target = trial->target,
                                             .max_epochs = 10,
                                             .enough = 1,
                                             .max_attempts = lab->quick ? 2 : 6,
                                             .good = 0.99 };
    enum sonde_status status = make_strings(lab, trial, -1, &strings, error);
    for (int b = 0; !status && b < BINS; b++)
        status = make_strings(lab, trial, b, &o->bin[b], error);
    if (!status)
        status = sonde_lab_make_validation(lab, &o->bin[0], NULL, bin_lengths[0][0],
                                           bin_lengths[0][1], &validation, &o->own, error);
    if (!status)
        status = sonde_lab_train(lab, &what, &strings, o->own ? &validation : &o->bin[0], &o->model,
                                 epoch, &n, error);
    for (int64_t e = 0; !status && e < n; e++) {
        o->attempts = epoch[e].attempt + 1;
        o->epochs = epoch[e].kept ? epoch[e].epoch : o->epochs;
        o->loss = epoch[e].kept ? epoch[e].loss : o->loss;
        o->validation = epoch[e].kept ? epoch[e].accuracy : o->validation;
    }
    for (int b = 0; !status && b < BINS; b++) {
        struct sonde_lab_score score;
        status = sonde_lab_score(lab, o->model, &o->bin[b], 0, trial->target, NULL, &score, error);
        o->accuracy[b] = score.n > 0 ? (double)score.n_right / (double)score.n : (double)NAN;
    }
    sonde_lab_strings_finish(&strings);
    sonde_lab_strings_finish(&validation);
    return status;
}

static void report_trial(struct sonde_lab *lab, struct sonde_result *section, struct sonde_table *t,
                         struct sonde_figure *figure, const struct trial *trial,
                         const struct outcome *o)
{
    double x[BINS], rise = -1;
    char name[48];
    sonde_table_add_row(t);
    sonde_table_text(t, 0, trial->language);
    sonde_table_text(t, 1, trial->position);
    sonde_table_i64(t, 2, o->attempts);
    sonde_table_i64(t, 3, o->epochs);
    sonde_table_f64(t, 4, o->loss);
    sonde_table_text(t, 5, o->own ? "validation" : "bin 0");
    sonde_table_f64(t, 6, o->validation);
    for (int b = 0; b < BINS; b++) {
        x[b] = bin_lengths[b][1];
        sonde_table_f64(t, 7 + b, o->accuracy[b]);
        if (b > 0 && o->accuracy[b] - o->accuracy[b - 1] > rise)
            rise = o->accuracy[b] - o->accuracy[b - 1];
    }
    snprintf(name, sizeof(name), "%s, %s", trial->language, trial->position);
    sonde_figure_add_series(figure, name, BINS, x, o->accuracy, NULL, NULL);
    sonde_lab_check_named(lab, section, rise <= 0, rise, "<= 0",
                          "%s, positions %s: accuracy rises with length by", trial->language,
                          trial->position);
}

/* Within the same budget Dyck-1 is learned and Parity is not. */
static void check_budget(struct sonde_lab *lab, struct sonde_result *section,
                         const struct trial *trial, const struct outcome *o)
{
    if (!sonde_str_equal(trial->position, "none"))
        return;
    if (sonde_str_equal(trial->language, "parity"))
        sonde_lab_check(lab, section, "parity, no positions: bin 0 after 10 epochs",
                        o->accuracy[0] < 0.5, o->accuracy[0], "< 0.5");
    if (sonde_str_equal(trial->language, "dyck-1"))
        sonde_lab_check(lab, section, "dyck-1, no positions: bin 0 within 10 epochs",
                        o->accuracy[0] >= 0.99, o->accuracy[0], ">= 0.99");
}

/* Depth over length in one coordinate of the attention's output. */
static enum sonde_status localise(struct sonde_lab *lab, struct sonde_result *section,
                                  struct sonde_table *t, const struct trial *trial,
                                  const struct outcome *o, struct sonde_error *error)
{
    static const char *const options[] = { "streams",      "*",        "labels",
                                           "depth/length", "controls", "5",
                                           "bootstrap",    "0",        NULL };
    struct sonde_result *probe = NULL;
    char ratio[32];
    const struct sonde_lab_recording what = {
        .name = trial->language,
        .sites = "blocks.0.hook_attn_out,blocks.0.hook_resid_post",
        .n = 1000,
    };
    snprintf(ratio, sizeof(ratio), "%s/length", trial->depth);
    enum sonde_status status = sonde_lab_record(lab, o->model, &o->bin[0], &what, error);
    if (!status)
        status = sonde_lab_label(lab, what.name, &o->bin[0], ratio, true, SONDE_LAB_PADS_MASKED,
                                 "depth/length", error);
    if (!status)
        status = sonde_lab_probe(lab, what.name, "correlation", options, &probe, error);
    for (int64_t r = 0; !status && r < sonde_lab_rows(probe, "layers"); r++) {
        const char *site = sonde_lab_cell_text(probe, "layers", r, "stream");
        double pearson = sonde_lab_cell(probe, "layers", r, "pearson");
        sonde_table_add_row(t);
        sonde_table_text(t, 0, trial->language);
        sonde_table_text(t, 1, site);
        sonde_table_f64(t, 2, pearson);
        sonde_table_f64(t, 3, sonde_lab_cell(probe, "layers", r, "control"));
        if (strstr(site, "attn_out"))
            sonde_lab_check_named(lab, section, fabs(pearson) >= 0.98, fabs(pearson), ">= 0.98",
                                  "%s: depth/length at the attention output", trial->language);
    }
    sonde_result_destroy(&probe);
    return status;
}

static enum sonde_status run_trials(struct sonde_lab *lab, struct sonde_error *error)
{
    static const char *const columns[] = { "language", "positions", "seeds", "epoch",
                                           "loss",     "chosen on", "on it", "bin 0",
                                           "bin 1",    "bin 2",     NULL };
    static const char *const found[] = { "language", "site", "r", "control", NULL };
    struct sonde_result *section = sonde_lab_section(
        lab, "Languages, positions and length",
        "Whole strings right of lengths 2-50 (trained), 52-100 and 100-150. One post-LN layer of "
        "width 32, RMSprop 0.005, batches of 32, at most 10 epochs. 500 validation strings, none "
        "of "
        "them in bin 0, choose: training ends where all are right, seeds are tried until one gets "
        ".99 of them right, the weights of the best epoch are kept. aa-star has no hundred strings "
        "beside "
        "those of bin 0: there bin 0 chooses (column chosen on). parity and aa-star: "
        "whether the prefix is in the language; the others: k-hot next symbols.");
    struct sonde_result *inside = sonde_lab_section(
        lab, "What the attention computes",
        "Pearson's r of the best single coordinate with depth/length (shuffle-2: the counter of "
        "type 1); control: the same with the label moved along the samples.");
    struct sonde_table *t = sonde_result_add_table(section, "trials", columns);
    struct sonde_table *coordinates = sonde_result_add_table(inside, "coordinates", found);
    struct sonde_figure *figure =
        sonde_figure_create(SONDE_FIGURE_LINE, "length", "Whole strings right, by length");
    sonde_figure_set_axes(figure, "longest string of the bin (symbols)", "share of strings right");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int i = 0; !status && i < N_TRIALS; i++) {
        struct outcome o = { 0 };
        if (lab->quick && !trials[i].quick)
            continue;
        status = train(lab, &trials[i], &o, error);
        if (!status) {
            report_trial(lab, section, t, figure, &trials[i], &o);
            check_budget(lab, section, &trials[i], &o);
        }
        if (!status && trials[i].depth)
            status = localise(lab, inside, coordinates, &trials[i], &o, error);
        finish(&o);
    }
    sonde_result_add_figure(section, figure);
    return status;
}

static enum sonde_status run(struct sonde_lab *lab, struct sonde_error *error)
{
    enum sonde_status status =
        lab->weights ? sonde_formal_targets_compare(lab, error) : SONDE_STATUS_OK;
    return status ? status : run_trials(lab, error);
}

const struct sonde_study sonde_study_formal_languages = {
    .name = "formal-languages",
    .paper = "Bhattamishra, Ahuja, Goyal: On the Ability and Limitations of Transformers to "
             "Recognize Formal Languages, EMNLP 2020 (arXiv 2009.11264)",
    .summary = "which languages a small transformer learns, with which positions, up to which "
               "length, and the depth/length that its attention computes",
    .time = "about 2 minutes",
    .weights = "published targets in ../data beside it are compared; models are trained all the "
               "same",
    .run = run,
};
