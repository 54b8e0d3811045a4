/* What recording gives: its streams, and the losses that it can take gradients of. */
#include "core/model/recorder.h"

static void describe(const struct sonde_model *model, const struct sonde_site_set *sites,
                     enum sonde_dtype dtype, bool gradients, struct sonde_stream *streams)
{
    struct sonde_site site;
    int64_t n = 0;
    for (int64_t i = 0; sonde_site_set_next(sites, &i, &site); n++) {
        struct sonde_stream *s = &streams[n];
        *s = (struct sonde_stream){ .layer = site.layer, .dtype = dtype };
        if (gradients) {
            sonde_site_format_gradient(site, s->name);
        } else {
            sonde_site_format(site, s->name);
        }
        s->space = sonde_site_is_map(site.kind) ? SONDE_ROWS_MAP : SONDE_ROWS_TOKEN;
        s->rank = sonde_spec_site_shape(sonde_model_spec(model), site.kind, s->dim);
        s->width = s->dim[0] * s->dim[1];
    }
}

void sonde_recorder_streams(const struct sonde_model *model, const struct sonde_site_set *sites,
                            enum sonde_dtype dtype, struct sonde_stream *streams)
{
    describe(model, sites, dtype, false, streams);
}

void sonde_recorder_gradient_streams(const struct sonde_model *model,
                                     const struct sonde_site_set *sites, enum sonde_dtype dtype,
                                     struct sonde_stream *streams)
{
    describe(model, sites, dtype, true, streams);
}

enum sonde_status sonde_recorder_check_loss(const struct sonde_model *model,
                                            const struct sonde_loss *loss, int64_t n_targets,
                                            struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    const int64_t V = sonde_spec_outputs(spec);
    if (spec->headless) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "this model has no unembedding, so no loss");
    }
    if (loss->kind == SONDE_LOSS_NEXT_TOKEN && !spec->causal) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s attends in both directions and sees the next token: its loss "
                               "is of given targets or a logit",
                               spec->family);
    }
    if (loss->kind == SONDE_LOSS_NEXT_TOKEN && V != spec->d_vocab) {
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "this model has %lld outputs, which are not its vocabulary: its "
                               "loss is of given targets or a logit",
                               (long long)V);
    }
    if (loss->kind == SONDE_LOSS_LOGIT && (loss->id < 0 || loss->id >= V)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "logit %lld: the model has 0 to %lld",
                               (long long)loss->id, (long long)V - 1);
    }
    for (int64_t i = 0; loss->kind == SONDE_LOSS_TARGETS && i < n_targets; i++) {
        if (loss->targets[i] >= V) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "target %lld is %d: the model has outputs 0 to %lld",
                                   (long long)i, loss->targets[i], (long long)V - 1);
        }
    }
    return SONDE_STATUS_OK;
}
