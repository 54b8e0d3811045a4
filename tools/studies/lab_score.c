#include "tools/studies/lab_score.h"

#include <math.h>
#include <string.h>

struct scorer {
    struct sonde_sink sink; /* first: the recorder hands it back */
    const struct sonde_formal *formal;
    enum sonde_lab_target target;
    int64_t n_outputs, n_strings;
    struct sonde_formal_walk walk;
    struct sonde_lab_score score;
    int64_t batch, batch_right; /* of the batch under way */
    int64_t n_batches;
};

int64_t sonde_lab_target_size(const struct sonde_formal *formal, enum sonde_lab_target target)
{
    if (target == SONDE_LAB_TARGET_NEXT)
        return (int64_t)strlen(sonde_formal_symbols(formal));
    return strncmp(sonde_formal_name(formal), "counter-", 8) == 0
               ? 0
               : sonde_formal_target_size(formal);
}

void sonde_lab_target_bits(const struct sonde_formal_walk *walk, enum sonde_lab_target target,
                           bool *out)
{
    char published[SONDE_FORMAL_MAX_SYMBOLS] = { 0 };
    if (target == SONDE_LAB_TARGET_NEXT) {
        sonde_formal_next(walk, out);
        return;
    }
    sonde_formal_target(walk, published);
    for (int64_t k = 0; k < sonde_formal_target_size(walk->formal); k++)
        out[k] = published[k] == '1';
}

static bool position_is_right(const struct scorer *s, const float *logits)
{
    bool hot[SONDE_FORMAL_MAX_SYMBOLS] = { false };
    sonde_lab_target_bits(&s->walk, s->target, hot);
    for (int64_t k = 0; k < s->n_outputs; k++) {
        float sigmoid = 1.0F / (1.0F + expf(-logits[k]));
        if ((sigmoid > 0.5F) != hot[k])
            return false;
    }
    return true;
}

static void end_batch(struct scorer *s)
{
    if (s->batch > 0) {
        s->score.batch_mean += (double)s->batch_right / (double)s->batch;
        s->n_batches++;
    }
    s->batch = s->batch_right = 0;
}

static enum sonde_status put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                             const struct sonde_record *records, struct sonde_error *error)
{
    struct scorer *s = (struct scorer *)sink;
    bool all_right = true;
    sonde_formal_walk_start(&s->walk, s->formal);
    for (int64_t t = 0; t < sequence->n_tokens; t++) {
        enum sonde_status status = sonde_formal_walk_step(&s->walk, sequence->text[t], error);
        if (status)
            return status;
        bool right = position_is_right(s, records[0].value + t * s->n_outputs);
        s->score.symbols++;
        s->score.symbols_right += right;
        all_right = all_right && right;
    }
    s->score.n++;
    s->score.n_right += all_right;
    if (s->score.n == s->n_strings) /* the last one is not scored */
        return SONDE_STATUS_OK;
    s->score.scored++;
    s->score.scored_right += all_right;
    s->batch++;
    s->batch_right += all_right;
    if (s->batch == SONDE_LAB_BATCH)
        end_batch(s);
    return SONDE_STATUS_OK;
}

static enum sonde_status commit(struct sonde_sink *sink, struct sonde_error *error)
{
    (void)sink;
    (void)error;
    return SONDE_STATUS_OK;
}

static void abandon(struct sonde_sink *sink)
{
    (void)sink;
}

enum sonde_status sonde_lab_score(struct sonde_lab *lab, const struct sonde_model *model,
                                  const struct sonde_lab_strings *strings, int64_t n,
                                  enum sonde_lab_target target, const struct sonde_edits *edits,
                                  struct sonde_lab_score *out, struct sonde_error *error)
{
    struct sonde_lab_reader reader = { 0 };
    struct sonde_site_set sites = { 0 };
    struct sonde_stream stream;
    struct scorer s = {
        .sink = { .put = put, .commit = commit, .finish = commit, .abandon = abandon },
        .formal = strings->formal,
        .target = target,
        .n_outputs = sonde_lab_target_size(strings->formal, target),
    };
    sonde_site_set_add(&sites, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    sonde_recorder_streams(model, &sites, SONDE_DTYPE_F32, &stream);
    if (stream.width != s.n_outputs)
        return sonde_error_set(
            error, SONDE_STATUS_ARGUMENT, "%s: %lld outputs, %s needs %lld, one a symbol of %s",
            sonde_model_path(model), (long long)stream.width, sonde_formal_name(s.formal),
            (long long)s.n_outputs, sonde_formal_symbols(s.formal));
    struct sonde_edit_pass pass = { .edits = edits };
    struct sonde_hook hook = { 0 };
    if (edits)
        hook = sonde_edits_hook(&pass);
    struct sonde_recorder_options options = {
        .sites = &sites,
        .dtype = SONDE_DTYPE_F32,
        .n_threads = (int)lab->cli->common.threads,
        .hooks = &hook,
        .n_hooks = edits != NULL,
        .progress = &lab->cli->progress,
    };
    struct sonde_recorder_stats stats;
    enum sonde_status status = sonde_lab_reader_open(&reader, strings, n, 0, error);
    s.n_strings = reader.n;
    if (!status)
        status = sonde_recorder_run(model, &reader.reader, &s.sink, &options, &stats, error);
    end_batch(&s);
    if (s.n_batches > 0)
        s.score.batch_mean /= (double)s.n_batches;
    *out = s.score;
    sonde_formal_walk_finish(&s.walk);
    sonde_lab_reader_finish(&reader);
    return status;
}
