#include "tools/compute_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/tensor/gemm.h"

#define VALUES_MAX (INT64_C(1) << 40)

struct comparison {
    float *value; /* [n] of f32, layer after layer */
    int64_t n, capacity;
    int64_t at; /* how many the other model has given */
    bool comparing;
    double worst, squares, difference_squares;
    int64_t n_finite;
};

static void compare(struct comparison *c, const float *value, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double a = (double)value[i], b = (double)c->value[c->at + i];
        if (a == b && isinf(b))
            continue;
        const double difference = fabs(a - b);
        if (!(difference <= c->worst))
            c->worst = difference;
        c->squares += b * b;
        c->difference_squares += difference * difference;
        c->n_finite++;
    }
    c->at += n;
}

static enum sonde_status on_value(void *ctx, struct sonde_site site,
                                  const struct sonde_tensor *value, struct sonde_error *error)
{
    struct comparison *c = ctx;
    const int64_t n = sonde_tensor_elements(value);
    (void)site;
    if (c->comparing) {
        compare(c, value->data, n);
        return SONDE_STATUS_OK;
    }
    if (!sonde_grow((void **)&c->value, &c->capacity, c->n + n, sizeof(*c->value), VALUES_MAX))
        return sonde_error_memory(error, "the values in f32");
    memcpy(c->value + c->n, value->data, (size_t)n * sizeof(*c->value));
    c->n += n;
    return SONDE_STATUS_OK;
}

static enum sonde_status run_pass(const struct sonde_model *model, struct comparison *c,
                                  const struct sonde_site_set *sites, const int32_t *ids,
                                  int64_t n_ids, const int32_t *types, struct sonde_error *error)
{
    struct sonde_session *session = NULL;
    enum sonde_status status = sonde_session_create(&session, model, NULL, error);
    const struct sonde_hook hook = { .observe = sites, .on_value = on_value, .ctx = c };
    const struct sonde_forward_args args = { .ids = ids,
                                             .n_tokens = n_ids,
                                             .token_types = types,
                                             .hooks = &hook,
                                             .n_hooks = 1,
                                             .no_logits = true };
    if (!status)
        status = sonde_forward(session, &args, error);
    sonde_session_destroy(&session);
    return status;
}

/* What of the kind the model has. */
static void sites_of_kind(const struct sonde_model *model, enum sonde_site_kind kind,
                          struct sonde_site_set *out)
{
    struct sonde_site site;
    for (int64_t i = 0; sonde_site_set_next(sonde_model_sites(model), &i, &site);)
        if (site.kind == kind)
            sonde_site_set_add(out, site);
}

static void report(const struct comparison *c, enum sonde_site_kind kind, struct sonde_table *table,
                   struct sonde_result *result, double *worst)
{
    const double rms = c->n_finite ? sqrt(c->squares / (double)c->n_finite) : 0.0;
    const double away = c->n_finite ? sqrt(c->difference_squares / (double)c->n_finite) : 0.0;
    const double relative = c->worst == 0.0 ? 0.0 : c->worst / rms;
    sonde_table_add_row(table);
    sonde_table_text(table, 0, sonde_site_describe(kind)->name);
    sonde_table_f64(table, 1, c->worst);
    sonde_table_f64(table, 2, relative);
    sonde_table_f64(table, 3, away == 0.0 ? 0.0 : away / rms);
    if (!(relative <= *worst))
        *worst = relative;
    if (kind == SONDE_SITE_LOGITS) {
        sonde_result_scalar_f64(result, "compute_logits_max_abs", c->worst);
        sonde_result_scalar_f64(result, "compute_logits_relative", relative);
    }
}

enum sonde_status sonde_compute_error_add(const struct sonde_model *model,
                                          const struct sonde_model *f32, const int32_t *ids,
                                          int64_t n_ids, const int32_t *types,
                                          struct sonde_result *result, struct sonde_error *error)
{
    static const char *const columns[] = { "site", "max_abs", "relative", "rms", NULL };
    struct sonde_table *table = sonde_result_add_table(result, "compute", columns);
    struct sonde_site_set *sites = malloc(sizeof(*sites));
    double worst = 0.0;
    int one = 1;
    enum sonde_status status = sites ? SONDE_STATUS_OK : sonde_error_memory(error, "the sites");
    if (!status)
        status = sonde_gemm_check_room(&one, error);
    for (int kind = 0; kind < SONDE_SITE_KINDS && !status; kind++) {
        struct comparison c = { 0 };
        *sites = (struct sonde_site_set){ 0 };
        sites_of_kind(model, (enum sonde_site_kind)kind, sites);
        if (sonde_site_set_is_empty(sites))
            continue;
        status = run_pass(f32, &c, sites, ids, n_ids, types, error);
        c.comparing = true;
        if (!status)
            status = run_pass(model, &c, sites, ids, n_ids, types, error);
        if (!status)
            report(&c, (enum sonde_site_kind)kind, table, result, &worst);
        free(c.value);
    }
    if (!status)
        sonde_result_scalar_f64(result, "compute_worst", worst);
    free(sites);
    return status;
}
