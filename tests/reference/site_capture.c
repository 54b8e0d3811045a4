#include "tests/reference/site_capture.h"

#include <string.h>

#include "tests/support/check.h"

static enum sonde_status keep(void *ctx, struct sonde_site site, const struct sonde_tensor *value,
                              struct sonde_error *error)
{
    struct capture *c = ctx;
    int64_t n = sonde_tensor_elements(value);
    (void)error;
    assert_true(sonde_tensor_is_contiguous(value));
    c->item = realloc(c->item, (size_t)(c->n + 1) * sizeof *c->item);
    assert_non_null(c->item);
    c->item[c->n] = (struct captured){ site, malloc((size_t)n * sizeof(float)), n };
    memcpy(c->item[c->n].value, value->data, (size_t)n * sizeof(float));
    c->n++;
    return SONDE_STATUS_OK;
}

static void run(struct capture *out, const struct sonde_model *model,
                const struct sonde_forward_args *args, struct sonde_pool *pool)
{
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    const struct sonde_session_options options = { .pool = pool };
    check_ok(sonde_session_create(&session, model, &options, &error), &error);
    check_ok(sonde_forward(session, args, &error), &error);
    (void)out;
    sonde_session_destroy(&session);
}

void capture_run(struct capture *out, const struct sonde_model *model, const int32_t *ids,
                 const int32_t *types, int64_t n_tokens, const struct sonde_site_set *set,
                 struct sonde_pool *pool)
{
    *out = (struct capture){ 0 };
    const struct sonde_hook hook = { .observe = set ? set : sonde_model_sites(model),
                                     .on_value = keep,
                                     .ctx = out };
    run(out, model,
        &(struct sonde_forward_args){ .ids = ids,
                                      .token_types = types,
                                      .n_tokens = n_tokens,
                                      .hooks = &hook,
                                      .n_hooks = 1,
                                      .no_logits = true },
        pool);
}

void capture_run_hooked(struct capture *out, const struct sonde_model *model, const int32_t *ids,
                        int64_t n_tokens, const struct sonde_hook *hooks, int n_hooks)
{
    struct sonde_hook all[8];
    assert_true(n_hooks < 8);
    *out = (struct capture){ 0 };
    for (int i = 0; i < n_hooks; i++)
        all[i] = hooks[i];
    all[n_hooks] =
        (struct sonde_hook){ .observe = sonde_model_sites(model), .on_value = keep, .ctx = out };
    run(out, model,
        &(struct sonde_forward_args){ .ids = ids,
                                      .n_tokens = n_tokens,
                                      .hooks = all,
                                      .n_hooks = n_hooks + 1,
                                      .no_logits = true },
        NULL);
}

void capture_free(struct capture *capture)
{
    for (int i = 0; i < capture->n; i++) {
        free(capture->item[i].value);
    }
    free(capture->item);
    *capture = (struct capture){ 0 };
}

const struct captured *capture_find(const struct capture *capture, struct sonde_site site)
{
    for (int i = 0; i < capture->n; i++) {
        if (capture->item[i].site.kind == site.kind && capture->item[i].site.layer == site.layer) {
            return &capture->item[i];
        }
    }
    return NULL;
}

struct sonde_model *capture_open(const char *path)
{
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    check_ok(sonde_model_open(&model, path, &options, &error), &error);
    return model;
}

void capture_compare(const float *a, const double *b, int64_t n, double *difference,
                     double *magnitude)
{
    *difference = 0.0;
    *magnitude = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)a[i];
        if (isinf(b[i]) && x == b[i]) {
            continue;
        }
        double d = fabs(x - b[i]);
        if (!(d <= *difference)) {
            *difference = isnan(d) ? (double)INFINITY : d;
        }
        *magnitude = fabs(b[i]) > *magnitude ? fabs(b[i]) : *magnitude;
    }
}
