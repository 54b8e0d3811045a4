/* Recorded gradients: those of each sequence's own backward pass, whatever the threads, the memory
 * and the point of resumption. */
#include <string.h>

#include "core/model/recorder.h"
#include "tests/support/check.h"
#include "tests/unit/model/model_maker.h"

enum { N_SEQUENCES = 24, TOKENS_MAX = 26, V = 50, D = 24, L = 3 };

static const struct model_recipe recipe = {
    .family = "llama", .D = D, .H = 6, .G = 2, .F = 30, .L = L, .V = V, .n_ctx = 40
};

struct feed {
    int at, n;
    struct sonde_token tokens[TOKENS_MAX];
    struct sonde_sequence sequence;
};

static int n_tokens_of(int sequence)
{
    return 1 + (sequence * 11) % TOKENS_MAX;
}

static int32_t id_of(int sequence, int t)
{
    return (sequence * 5 + t * t * 3) % V;
}

static enum sonde_status feed_next(void *self, const struct sonde_sequence **out,
                                   struct sonde_error *error)
{
    struct feed *f = self;
    (void)error;
    *out = NULL;
    if (f->at == f->n) {
        return SONDE_STATUS_OK;
    }
    for (int t = 0; t < n_tokens_of(f->at); t++) {
        f->tokens[t] = (struct sonde_token){ .id = id_of(f->at, t), .position = t };
    }
    f->sequence = (struct sonde_sequence){ .source = f->at,
                                           .n_tokens = n_tokens_of(f->at),
                                           .tokens = f->tokens };
    f->at++;
    *out = &f->sequence;
    return SONDE_STATUS_OK;
}

static enum sonde_status record(const struct sonde_model *model,
                                const struct sonde_recorder_options *options,
                                struct sonde_sink *sink, struct sonde_recorder_stats *stats,
                                struct sonde_error *error)
{
    struct feed feed = { .n = N_SEQUENCES };
    const struct sonde_sequence_reader reader = { &feed, feed_next };
    return sonde_recorder_run(model, &reader, sink, options, stats, error);
}

static void digest(const struct sonde_model *model, const struct sonde_recorder_options *options,
                   char hex[65], struct sonde_recorder_stats *stats)
{
    struct sonde_error error = { 0 };
    struct sonde_sink *sink = NULL;
    const int64_t n =
        sonde_site_set_count(options->sites) + sonde_site_set_count(options->gradients);
    check_ok(sonde_sink_digest_create(&sink, n, hex, &error), &error);
    check_ok(record(model, options, sink, stats, &error), &error);
    check_ok(sink->finish(sink, &error), &error);
}

static enum sonde_status refused(const struct sonde_model *model,
                                 const struct sonde_recorder_options *options,
                                 struct sonde_error *error)
{
    struct sonde_sink *sink = NULL;
    check_ok(sonde_sink_null_create(&sink, error), error);
    const enum sonde_status status = record(model, options, sink, NULL, error);
    sink->abandon(sink);
    return status;
}

static struct sonde_model *open_recipe(const struct model_recipe *r, char **folder)
{
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    *folder = model_make(r);
    check_ok(sonde_model_open(&model, *folder,
                              &(struct sonde_model_options){ .allow_missing_tokenizer = true },
                              &error),
             &error);
    return model;
}

static void close_recipe(struct sonde_model *model, char *folder)
{
    sonde_model_close(&model);
    model_remove(folder);
}

/* The least budget for the longest sequence, by the plans. */
static int64_t least_bytes(const struct sonde_model *model,
                           const struct sonde_recorder_options *options)
{
    struct sonde_site_set wanted = *options->sites;
    struct sonde_site site;
    int64_t bytes = 0;
    sonde_site_set_union(&wanted, options->gradients);
    sonde_site_set_add(&wanted, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_site_set *sets[] = { options->sites, options->gradients };
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; sonde_site_set_next(sets[k], &i, &site);) {
            const int64_t width = sonde_spec_site_width(sonde_model_spec(model), site.kind);
            bytes += 4 * width * TOKENS_MAX * (sonde_site_is_map(site.kind) ? TOKENS_MAX : 1);
        }
    }
    return bytes + sonde_session_plan_bytes(model, TOKENS_MAX, &wanted) +
           sonde_gradient_plan_checkpoint_bytes(model, TOKENS_MAX, 1, options->gradients);
}

static void test_threads_and_memory(void **state)
{
    char *folder, first[65], other[65];
    struct sonde_error error = { 0 };
    struct sonde_recorder_stats stats, again;
    struct sonde_model *model = open_recipe(&recipe, &folder);
    struct sonde_recorder_options options = { .sites = sonde_model_sites(model),
                                              .gradients = sonde_model_sites(model),
                                              .n_threads = 1 };
    (void)state;
    digest(model, &options, first, &stats);
    assert_int_equal(stats.n_by_layer, 0);
    assert_true(stats.loss_sum > 0.0);
    assert_int_equal(stats.n_nonfinite, 0);
    for (int n = 2; n <= 4; n++) {
        options.n_threads = n;
        digest(model, &options, other, &again);
        assert_string_equal(first, other);
        assert_true(again.loss_sum == stats.loss_sum);
    }
    options.mem_bytes = least_bytes(model, &options);
    digest(model, &options, other, &again);
    assert_string_equal(first, other);
    assert_true(again.n_by_layer > 0);
    char need[32];
    snprintf(need, sizeof need, "(%lld bytes)", (long long)options.mem_bytes--);
    assert_int_equal(refused(model, &options, &error), SONDE_STATUS_LIMIT);
    assert_non_null(strstr(error.text, need));
    close_recipe(model, folder);
}

struct taken {
    float *to;
    int64_t n;
};

static enum sonde_status take(void *ctx, struct sonde_site site,
                              const struct sonde_tensor *gradient, struct sonde_error *error)
{
    struct taken *taken = ctx;
    (void)site, (void)error;
    taken->n = sonde_tensor_elements(gradient);
    memcpy(taken->to, gradient->data, (size_t)taken->n * sizeof(float));
    return SONDE_STATUS_OK;
}

/* One site of one sequence on its own: [T, D]. */
static double alone(const struct sonde_model *model, int sequence, const struct sonde_site_set *set,
                    float *out)
{
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct sonde_gradient *gradient = NULL;
    int32_t ids[TOKENS_MAX];
    struct taken taken = { .to = out };
    double loss = 0.0;
    for (int t = 0; t < n_tokens_of(sequence); t++) {
        ids[t] = id_of(sequence, t);
    }
    const struct sonde_gradient_args args = { .ids = ids,
                                              .n_tokens = n_tokens_of(sequence),
                                              .sites = set,
                                              .on_gradient = take,
                                              .ctx = &taken };
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    check_ok(sonde_gradient_create(&gradient, session, 0, &error), &error);
    check_ok(sonde_gradient_run(gradient, &args, &loss, &error), &error);
    assert_int_equal(taken.n, D * args.n_tokens);
    sonde_gradient_destroy(&gradient);
    sonde_session_destroy(&session);
    return loss;
}

static void test_values_and_resume(void **state)
{
    enum { FROM = 9, STREAMS = 2 + L + 1 };
    char *folder;
    struct sonde_error error = { 0 };
    struct sonde_model *model = open_recipe(&recipe, &folder);
    struct sonde_site_set values, gradients, one = { 0 };
    struct sonde_stream streams[STREAMS];
    struct sonde_sink *sink[2];
    struct sonde_source *source[2];
    struct sonde_recorder_stats stats;
    (void)state;
    check_ok(sonde_site_set_parse_both(&values, &gradients, "hook_embed, grad:resid,logits",
                                       sonde_model_sites(model), L, &error),
             &error);
    sonde_recorder_streams(model, &values, SONDE_DTYPE_F32, streams);
    sonde_recorder_gradient_streams(model, &gradients, SONDE_DTYPE_F32, streams + 2);
    assert_string_equal(streams[3].name, "grad:blocks.0.hook_resid_post");
    struct sonde_recorder_options options = { .sites = &values,
                                              .gradients = &gradients,
                                              .n_threads = 2 };
    double sum = 0.0;
    for (int i = 0; i < 2; i++) {
        check_ok(sonde_memory_create(&sink[i], &source[i], streams, STREAMS, &error), &error);
        options.skip_sequences = i ? FROM : 0;
        check_ok(record(model, &options, sink[i], &stats, &error), &error);
        check_ok(sink[i]->finish(sink[i], &error), &error);
        sum = i ? sum : stats.loss_sum;
    }
    const int64_t stream = sonde_source_find_stream(source[0], "grad:l_out-1");
    assert_int_equal(stream, 4);
    assert_int_equal(sonde_source_find_stream(source[0], "blocks.1.hook_resid_post"), -1);
    sonde_site_set_add(&one, (struct sonde_site){ SONDE_SITE_RESID_POST, 1 });
    for (int s = 0; s < N_SEQUENCES; s++) {
        float own[TOKENS_MAX * D], stored[TOKENS_MAX * D];
        const int64_t n = n_tokens_of(s);
        sum -= alone(model, s, &one, own);
        for (int i = 0; i < (s < FROM ? 1 : 2); i++) {
            const int64_t row = source[i]->sequences[s - (i ? FROM : 0)].first_row;
            check_ok(source[i]->read_rows(source[i], stream, row, n, stored, &error), &error);
            assert_memory_equal(own, stored, (size_t)(n * D) * sizeof(float));
        }
    }
    check_close(sum, 0.0, 1e-10);
    source[0]->destroy(&source[0]);
    source[1]->destroy(&source[1]);
    close_recipe(model, folder);
}

/* Targets that are the next tokens give what next-token gives, resumed or not. */
static void test_targets(void **state)
{
    char *folder, first[65], other[65];
    struct sonde_error error = { 0 };
    struct sonde_recorder_stats stats;
    struct sonde_model *model = open_recipe(&recipe, &folder);
    struct sonde_site_set none = { 0 };
    int32_t targets[N_SEQUENCES * TOKENS_MAX + 1];
    int64_t n = 0;
    struct sonde_recorder_options options = { .sites = &none,
                                              .gradients = sonde_model_sites(model) };
    (void)state;
    for (int s = 0; s < N_SEQUENCES; s++) {
        for (int t = 0; t < n_tokens_of(s); t++) {
            targets[n++] = t + 1 < n_tokens_of(s) ? id_of(s, t + 1) : -1;
        }
    }
    for (int skip = 0; skip < 8; skip += 7) {
        options.skip_sequences = skip;
        options.loss = (struct sonde_loss){ .kind = SONDE_LOSS_NEXT_TOKEN };
        digest(model, &options, first, &stats);
        options.loss = (struct sonde_loss){ .kind = SONDE_LOSS_TARGETS, .targets = targets };
        options.n_targets = n;
        digest(model, &options, other, &stats);
        assert_string_equal(first, other);
    }
    options.n_targets = n - 1;
    assert_int_equal(refused(model, &options, &error), SONDE_STATUS_ARGUMENT);
    targets[n] = 0;
    options.n_targets = n + 1;
    assert_int_equal(refused(model, &options, &error), SONDE_STATUS_ARGUMENT);
    assert_non_null(strstr(error.text, "targets for"));
    targets[3] = V;
    options.n_targets = n;
    assert_int_equal(refused(model, &options, &error), SONDE_STATUS_ARGUMENT);
    options.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = -1, .id = V };
    assert_int_equal(refused(model, &options, &error), SONDE_STATUS_ARGUMENT);
    options.loss.id = V - 1;
    digest(model, &options, other, &stats);
    assert_string_not_equal(first, other);
    close_recipe(model, folder);
}

static void test_losses_of_encoders(void **state)
{
    struct model_recipe bert = {
        .family = "bert", .D = 12, .H = 3, .F = 14, .L = 2, .V = V, .n_ctx = 30
    };
    struct sonde_error error = { 0 };
    char *folder, hex[65];
    struct sonde_recorder_stats stats;
    (void)state;
    for (int headless = 0; headless < 2; headless++) {
        bert.no_head = headless;
        struct sonde_model *model = open_recipe(&bert, &folder);
        struct sonde_recorder_options options = { .sites = sonde_model_sites(model),
                                                  .gradients = sonde_model_sites(model) };
        assert_int_equal(refused(model, &options, &error), SONDE_STATUS_UNSUPPORTED);
        options.loss = (struct sonde_loss){ .kind = SONDE_LOSS_LOGIT, .row = -1, .id = 3 };
        if (headless) {
            assert_int_equal(refused(model, &options, &error), SONDE_STATUS_UNSUPPORTED);
        } else {
            digest(model, &options, hex, &stats);
        }
        close_recipe(model, folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_memory),
        cmocka_unit_test(test_values_and_resume),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_losses_of_encoders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
