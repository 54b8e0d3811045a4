/* Emergent stack without --weights: the study's models, trained here. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/studies/lab_train.h"
#include "tools/studies/stack_subjects.h"

/* Languages of the table that are trained; the longer ones of 4 and 6 types take more time than
 * they add. */
#define TRAINED 2

/* Of attempts that were not kept only the last epoch is in the table, none in the figure. Gives the
 * epoch whose weights are the model. */
static struct sonde_lab_epoch add_epochs(struct sonde_table *t, struct sonde_figure *figure,
                                         const struct sonde_stack_subject *s,
                                         const struct sonde_lab_epoch *epoch, int64_t n)
{
    double x[SONDE_LAB_EPOCHS_MAX], y[SONDE_LAB_EPOCHS_MAX];
    struct sonde_lab_epoch kept = { 0 };
    int64_t n_chosen = 0;
    for (int64_t e = 0; e < n; e++) {
        bool last = e + 1 == n || epoch[e + 1].attempt != epoch[e].attempt;
        if (epoch[e].chosen) {
            x[n_chosen] = (double)epoch[e].epoch;
            y[n_chosen++] = epoch[e].accuracy;
            kept = epoch[e].kept ? epoch[e] : kept;
        } else if (!last) {
            continue;
        }
        sonde_table_add_row(t);
        sonde_table_text(t, 0, s->slug);
        sonde_table_i64(t, 1, (int64_t)epoch[e].seed);
        sonde_table_i64(t, 2, epoch[e].epoch);
        sonde_table_f64(t, 3, epoch[e].loss);
        sonde_table_f64(t, 4, epoch[e].accuracy);
        sonde_table_f64(t, 5, epoch[e].seconds);
        sonde_table_text(t, 6, epoch[e].kept ? "yes" : "no");
    }
    sonde_figure_add_series(figure, s->slug, n_chosen, x, y, NULL, NULL);
    return kept;
}

/* What bin 0, which chose nothing, says of the kept weights. */
static enum sonde_status add_model(struct sonde_stack *stack, struct sonde_result *section,
                                   struct sonde_table *t, const struct sonde_stack_subject *s,
                                   const struct sonde_lab_epoch *kept, int64_t within,
                                   struct sonde_error *error)
{
    struct sonde_lab_score score;
    enum sonde_status status = sonde_lab_score(stack->lab, s->model, &s->bin[0], 0,
                                               SONDE_LAB_TARGET_NEXT, NULL, &score, error);
    if (status)
        return status;
    double accuracy = (double)score.n_right / (double)score.n;
    sonde_table_add_row(t);
    sonde_table_text(t, 0, s->slug);
    sonde_table_i64(t, 1, (int64_t)kept->seed);
    sonde_table_i64(t, 2, kept->epoch);
    sonde_table_f64(t, 3, kept->accuracy);
    sonde_table_f64(t, 4, accuracy);
    sonde_lab_check_named(stack->lab, section, accuracy >= 0.99, accuracy, ">= 0.99",
                          "%s: bin 0 within %lld epochs (seed %lld)", s->slug, (long long)within,
                          (long long)kept->seed);
    return SONDE_STATUS_OK;
}

static enum sonde_status train_one(struct sonde_stack *stack, struct sonde_result *section,
                                   struct sonde_table *epochs, struct sonde_table *models,
                                   struct sonde_figure *figure, struct sonde_stack_subject *s,
                                   struct sonde_error *error)
{
    struct sonde_lab_strings validation = { 0 };
    bool own = false;
    struct sonde_lab_epoch epoch[SONDE_LAB_EPOCHS_MAX];
    int64_t n = 0;
    /* The published runs of Dyck-1 were there at epoch 2 or 3; the others take longer. */
    int64_t within = stack->n == 0 && !stack->lab->quick ? 5 : 10;
    const struct sonde_lab_training what = {
        .name = s->slug,
        .position = "none",
        .n_positions = 512,
        .target = SONDE_LAB_TARGET_NEXT,
        .max_epochs = within,
        .enough = 1,
        .max_attempts = 8,
        .good = 0.99,
    };
    enum sonde_status status = sonde_stack_make_strings(stack, s, error);
    if (!status)
        status = sonde_lab_make_validation(stack->lab, &s->bin[0], "grammar", 2,
                                           s->language->train_max, &validation, &own, error);
    if (!status && !own)
        status = sonde_error_set(error, SONDE_STATUS_LIMIT, "%s: no strings beside bin 0", s->slug);
    if (!status)
        status =
            sonde_lab_train(stack->lab, &what, &s->train, &validation, &s->model, epoch, &n, error);
    sonde_lab_strings_finish(&validation);
    if (status)
        return status;
    struct sonde_lab_epoch kept = add_epochs(epochs, figure, s, epoch, n);
    s->epoch = kept.epoch;
    return add_model(stack, section, models, s, &kept, within, error);
}

enum sonde_status sonde_stack_train(struct sonde_stack *stack, struct sonde_error *error)
{
    static const char *const columns[] = { "model",      "seed",    "epoch", "loss",
                                           "validation", "seconds", "kept",  NULL };
    static const char *const model_columns[] = { "model",      "seed",  "epoch",
                                                 "validation", "bin 0", NULL };
    struct sonde_result *section = sonde_lab_section(
        stack->lab, "Training",
        "The published recipe: one post-LN layer of width 32, no positions, ReLU of 64, sigmoid "
        "outputs and squared error, RMSprop 0.005, batches of 32 strings in the order of the set. "
        "500 validation strings, none of them in bin 0, choose the epoch and the seed: training "
        "ends with the first epoch that gets all of them right, and the weights of the best epoch "
        "are kept. Bin 0 is met once, by the kept model. With this rate the attention of many "
        "seeds dies in the first epoch and stays dead: the next seed is tried then; of such "
        "attempts the last epoch is shown.");
    struct sonde_table *models = sonde_result_add_table(section, "models", model_columns);
    struct sonde_table *epochs = sonde_result_add_table(section, "epochs", columns);
    struct sonde_figure *figure =
        sonde_figure_create(SONDE_FIGURE_LINE, "training", "Validation strings right, by epoch");
    sonde_figure_set_axes(figure, "epoch", "share of strings right");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int i = 0; !status && i < TRAINED; i++) {
        struct sonde_stack_subject *s = &stack->subject[stack->n];
        s->language = &sonde_stack_languages[i];
        s->name = sonde_strdup(s->language->name);
        s->slug = sonde_strdup(s->language->name);
        status = s->name && s->slug ? train_one(stack, section, epochs, models, figure, s, error)
                                    : sonde_error_memory(error, "a model");
        stack->n += status == SONDE_STATUS_OK;
    }
    sonde_result_add_figure(section, figure);
    return status;
}
