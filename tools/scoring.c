#include "tools/scoring.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tensor/vector.h"

struct scorer {
    struct sonde_sink sink; /* first: the recorder hands it back */
    struct sonde_formal_walk walk;
    bool next_token;
    int64_t n_outputs;
    float *row; /* [n_outputs] scratch, next token */
    struct sonde_score score;
};

/* logits[n_outputs] against what can follow the walk's prefix. sigmoid(x) > .5 where x > 0. */
static bool symbols_are_right(const struct scorer *s, const float *logits)
{
    bool hot[SONDE_FORMAL_MAX_SYMBOLS] = { false };
    sonde_formal_next(&s->walk, hot);
    for (int64_t k = 0; k < s->n_outputs; k++) {
        if ((logits[k] > 0.0F) != hot[k])
            return false;
    }
    return true;
}

static enum sonde_status put_string(struct scorer *s, const struct sonde_sequence *sequence,
                                    const float *logits, struct sonde_error *error)
{
    bool all = true;
    if (sequence->window > 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "string %lld is longer than the model's context: a string is scored "
                               "as a whole",
                               (long long)sequence->source + 1);
    sonde_formal_walk_start(&s->walk, s->walk.formal);
    for (int64_t t = 0; t < sequence->n_tokens; t++) {
        const struct sonde_token *token = &sequence->tokens[t];
        if (token->flags & (SONDE_TOKEN_BOS | SONDE_TOKEN_EOS | SONDE_TOKEN_SPECIAL))
            continue;
        enum sonde_status status = sonde_formal_walk_step(&s->walk, token->text[0], error);
        if (status)
            return status;
        bool right = symbols_are_right(s, logits + t * s->n_outputs);
        s->score.positions++;
        s->score.positions_right += right;
        all = all && right;
    }
    s->score.sequences++;
    s->score.sequences_right += all;
    return SONDE_STATUS_OK;
}

static void put_text(struct scorer *s, const struct sonde_sequence *sequence, const float *logits)
{
    const struct sonde_vector_kernels *kernels = sonde_vector_kernels();
    bool all = true;
    for (int64_t t = 0; t + 1 < sequence->n_tokens; t++) {
        const float *row = logits + t * s->n_outputs;
        const struct sonde_token *next = &sequence->tokens[t + 1];
        const float top = kernels->max(row, s->n_outputs);
        int64_t best = 0;
        while (best < s->n_outputs - 1 && row[best] != top)
            best++;
        kernels->exp(s->row, row, top, s->n_outputs);
        s->score.nats +=
            log(kernels->sum(s->row, s->n_outputs)) + (double)top - (double)row[next->id];
        s->score.bytes += next->begin >= 0 ? next->end - next->begin : 0;
        s->score.positions++;
        s->score.positions_right += best == next->id;
        all = all && best == next->id;
    }
    s->score.sequences++;
    s->score.sequences_right += all;
}

static enum sonde_status put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                             const struct sonde_record *records, struct sonde_error *error)
{
    struct scorer *s = (struct scorer *)sink;
    if (!s->next_token)
        return put_string(s, sequence, records[0].value, error);
    put_text(s, sequence, records[0].value);
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

static enum sonde_status check_outputs(const struct scorer *s, const struct sonde_model *model,
                                       struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(model);
    if (s->next_token && (!spec->causal || s->n_outputs != spec->d_vocab))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: no model of the next token: %s, %lld outputs for %lld tokens",
                               sonde_model_path(model),
                               spec->causal ? "causal" : "it sees what follows",
                               (long long)s->n_outputs, (long long)spec->d_vocab);
    if (s->next_token)
        return SONDE_STATUS_OK;
    const char *symbols = sonde_formal_symbols(s->walk.formal);
    if (s->n_outputs != (int64_t)strlen(symbols))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: %lld outputs, %s needs one for each of %s",
                               sonde_model_path(model), (long long)s->n_outputs,
                               sonde_formal_name(s->walk.formal), symbols);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_scoring_run(const struct sonde_model *model,
                                    const struct sonde_sequence_reader *reader,
                                    const struct sonde_scoring *what, struct sonde_score *out,
                                    struct sonde_error *error)
{
    struct sonde_site_set sites = { 0 };
    struct sonde_stream stream;
    struct scorer s = {
        .sink = { .put = put, .commit = commit, .finish = commit, .abandon = abandon },
        .next_token = what->formal == NULL,
    };
    sonde_site_set_add(&sites, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    sonde_recorder_streams(model, &sites, SONDE_DTYPE_F32, &stream);
    s.n_outputs = stream.width;
    if (what->formal)
        sonde_formal_walk_start(&s.walk, what->formal);
    enum sonde_status status = check_outputs(&s, model, error);
    if (status == SONDE_STATUS_OK && s.next_token) {
        s.row = malloc((size_t)s.n_outputs * sizeof(*s.row));
        if (!s.row)
            status = sonde_error_memory(error, "a row of logits");
    }
    struct sonde_edit_pass pass = { .edits = what->edits };
    struct sonde_hook hook = { 0 };
    if (what->edits)
        hook = sonde_edits_hook(&pass);
    struct sonde_recorder_options options = {
        .sites = &sites,
        .dtype = SONDE_DTYPE_F32,
        .n_threads = what->n_threads,
        .hooks = &hook,
        .n_hooks = what->edits != NULL,
        .progress = what->progress,
    };
    struct sonde_recorder_stats stats;
    if (status == SONDE_STATUS_OK)
        status = sonde_recorder_run(model, reader, &s.sink, &options, &stats, error);
    if (status == SONDE_STATUS_OK)
        *out = s.score;
    sonde_formal_walk_finish(&s.walk);
    free(s.row);
    return status;
}
