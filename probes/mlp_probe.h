/* The mlp probe over many streams and shapes of net: what its parts share. */
#ifndef SONDE_PROBES_MLP_PROBE_H
#define SONDE_PROBES_MLP_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "probes/mlp_fit.h"
#include "probes/supervised.h"

enum { SONDE_MLP_SHAPES_MAX = 32, SONDE_MLP_TEXT_MAX = 128 };
enum sonde_mlp_select { SONDE_MLP_SELECT_VALIDATION, SONDE_MLP_SELECT_TEST, SONDE_MLP_SELECT_LAST };
enum sonde_mlp_scale { SONDE_MLP_SCALE_TRAIN, SONDE_MLP_SCALE_ALL, SONDE_MLP_SCALE_NONE };

struct sonde_mlp_settings {
    int n_shapes;
    struct sonde_mlp_hidden shape[SONDE_MLP_SHAPES_MAX];
    char text[SONDE_MLP_SHAPES_MAX][SONDE_MLP_TEXT_MAX]; /* "128,128"; "-" for none */
    struct sonde_update_rule rule;
    int64_t batch, epochs; /* 0 = by the number of rows */
    int64_t patience, stop_after;
    double validation_share;
    enum sonde_mlp_select select;
    enum sonde_mlp_scale scale;
};
/* "-;128;128,128": shapes apart by ';', widths by ',', '-' for no hidden layer. */
SONDE_MUST_USE enum sonde_status
sonde_mlp_read_shapes(const char *text, struct sonde_mlp_settings *out, struct sonde_error *error);

/* A row of the table: one stream, one shape. Numbers that do not apply are NaN. */
struct sonde_mlp_row {
    int64_t stream; /* of the supervised probe's list */
    int shape;
    int64_t n_parameters, n_steps, epoch;
    double value, low, high, control, validation, train_loss;
};

struct sonde_mlp_probe {
    struct sonde_supervised s;
    struct sonde_mlp_settings settings;
    int64_t *train, *validation; /* parts of the training side; validation may be the test side */
    int64_t n_train, n_validation;
    int32_t *control_target; /* [n] */
    double *control_real;    /* [n] */
    double majority;
    struct sonde_mlp_row *row;                   /* [n_streams, n_shapes] */
    struct sonde_table *sweep, *layers, *epochs; /* sweep: NULL where there is one shape */
};

/* Fits all shapes to all streams, the control task beside them, and puts the rows of the tables. */
SONDE_MUST_USE enum sonde_status sonde_mlp_probe_fit(struct sonde_mlp_probe *p,
                                                     struct sonde_error *error);

/* The tables, and a finished fit's rows of them; then figures, scalars and warnings. */
void sonde_mlp_probe_tables(struct sonde_mlp_probe *p);
void sonde_mlp_probe_put_row(struct sonde_mlp_probe *p, const struct sonde_mlp_row *row);
void sonde_mlp_probe_put_epochs(struct sonde_mlp_probe *p, int64_t stream, int shape, bool control,
                                const struct sonde_mlp_fit *fit);
SONDE_MUST_USE enum sonde_status sonde_mlp_probe_report(struct sonde_mlp_probe *p,
                                                        struct sonde_error *error);

#endif
