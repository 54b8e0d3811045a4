/* Labels from the inner variables of a formal language, computed from the text that was recorded.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/corpus/formal.h"
#include "tools/label/labelling.h"

struct formal_labelling {
    struct sonde_labelling *l;
    struct sonde_formal *formal;
    struct sonde_formal_label label;
    bool real;
    struct sonde_formal_walk walk;
    struct sonde_buf value;
    int64_t *begin, *end; /* [capacity] spans of a sequence's tokens */
    int64_t capacity;
    int64_t at;     /* bytes of the item that were walked */
    bool lost;      /* the item is no string of the language from here on */
    int64_t n_lost; /* sequences */
};

/* The language of the run's own --formal specification. */
static enum sonde_status find_language(struct sonde_labelling *l, struct sonde_formal **out,
                                       struct sonde_error *error)
{
    struct sonde_store_runs runs = { 0 };
    struct sonde_json *input = NULL;
    struct sonde_formal_spec spec;
    enum sonde_status status = sonde_store_list_runs(l->store, &runs, error);
    for (int64_t i = 0; !status && i < runs.n; i++)
        if (strcmp(runs.run[i].name, l->source->run_name) == 0 && !input)
            status = sonde_json_parse(&input, runs.run[i].input, strlen(runs.run[i].input), error);
    const char *text = sonde_json_string(sonde_json_get(input, "spec"), "");
    if (!status && !*text)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "run '%s' was not recorded with --formal; name its language with "
                                 "--language",
                                 l->source->run_name);
    if (!status)
        status = sonde_formal_parse_spec(text, &spec, error);
    if (!status)
        status = sonde_formal_create(out, spec.name, error);
    sonde_json_destroy(&input);
    sonde_store_runs_finish(&runs);
    return status;
}

/* Whether the sequence goes on where the one before it ended. */
static bool continues(const struct formal_labelling *f, int64_t sequence, int64_t text_begin)
{
    const struct sonde_source_sequence *s = &f->l->source->sequences[sequence];
    return sequence > 0 && s->window > 0 && s[-1].source == s->source &&
           s[-1].window + 1 == s->window && f->at == text_begin;
}

static enum sonde_status walk_to(struct formal_labelling *f, const char *text, int64_t text_begin,
                                 int64_t end, struct sonde_error *error)
{
    while (!f->lost && f->at < end) {
        enum sonde_status status =
            sonde_formal_walk_step(&f->walk, text[f->at - text_begin], error);
        if (status && status != SONDE_STATUS_FORMAT)
            return status;
        f->lost = status != SONDE_STATUS_OK;
        f->n_lost += f->lost;
        f->at += !f->lost;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status put_value(struct formal_labelling *f, struct sonde_label_writer *w,
                                   int64_t row, struct sonde_error *error)
{
    if (f->real)
        return sonde_store_label_real(w, row, sonde_formal_number(&f->walk, &f->label), error);
    sonde_buf_clear(&f->value);
    sonde_formal_text(&f->walk, &f->label, &f->value);
    enum sonde_status status = sonde_buf_status(&f->value, error);
    return status ? status : sonde_store_label_class(w, row, f->value.data, error);
}

static enum sonde_status label_sequence(struct formal_labelling *f, struct sonde_label_writer *w,
                                        int64_t sequence, struct sonde_error *error)
{
    struct sonde_source *source = f->l->source;
    const struct sonde_source_sequence *s = &source->sequences[sequence];
    int64_t capacity = f->capacity, text_begin = 0;
    if (!s->text) { /* recorded from ids: nothing to compute from */
        f->n_lost++;
        return SONDE_STATUS_OK;
    }
    if (!sonde_grow((void **)&f->begin, &capacity, s->n_tokens, sizeof(*f->begin), INT32_MAX) ||
        !sonde_grow((void **)&f->end, &f->capacity, s->n_tokens, sizeof(*f->end), INT32_MAX))
        return sonde_error_memory(error, "a sequence");
    enum sonde_status status =
        sonde_store_read_spans(source, sequence, f->begin, f->end, &text_begin, error);
    if (status)
        return status;
    if (!continues(f, sequence, text_begin)) {
        sonde_formal_walk_start(&f->walk, f->formal);
        f->at = text_begin;
        f->lost = text_begin > 0;
        f->n_lost += f->lost;
    }
    int64_t size = (int64_t)strlen(s->text);
    for (int64_t t = 0; !status && t < s->n_tokens; t++) {
        if (f->begin[t] < 0)
            continue;
        if (f->end[t] > size)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "sequence %lld: token %lld ends at byte %lld of a text of %lld",
                                   (long long)sequence, (long long)t, (long long)f->end[t],
                                   (long long)size);
        status = walk_to(f, s->text, text_begin, text_begin + f->end[t], error);
        if (!status && !f->lost)
            status = put_value(f, w, s->first_row + t, error);
    }
    return status;
}

/* How the values are kept: depths are classes unless --kind says real. */
static enum sonde_status choose_kind(struct formal_labelling *f, const char *name,
                                     struct sonde_error *error)
{
    bool number =
        f->label.variable != SONDE_FORMAL_STACK_TOP && f->label.variable != SONDE_FORMAL_STATE;
    enum sonde_label_choice kind = f->l->kind;
    f->real = kind == SONDE_LABEL_CHOICE_REAL ||
              (kind == SONDE_LABEL_CHOICE_AUTO && f->label.variable == SONDE_FORMAL_DEPTH_RATIO);
    if (kind == SONDE_LABEL_CHOICE_SPAN || kind == SONDE_LABEL_CHOICE_PAIR || (f->real && !number))
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "--builtin %s: its kind is class%s",
                               name, number ? " or real" : "");
    return SONDE_STATUS_OK;
}

static enum sonde_status label_all(struct formal_labelling *f, const char *name,
                                   struct sonde_error *error)
{
    struct sonde_labelling *l = f->l;
    struct sonde_label_writer *w = NULL;
    struct sonde_buf origin = { 0 };
    sonde_buf_printf(&origin, "builtin %s of %s", name, sonde_formal_name(f->formal));
    enum sonde_status status = sonde_buf_status(&origin, error);
    if (!status)
        status = sonde_labelling_begin(l, f->real ? SONDE_LABEL_REAL : SONDE_LABEL_CLASS,
                                       SONDE_ROWS_TOKEN, origin.data, &w, error);
    for (int64_t s = 0; !status && s < l->source->n_sequences; s++) {
        status = label_sequence(f, w, s, error);
        if (!status && s % 256 == 0 &&
            !sonde_progress_update(&l->cli->progress, "label", s, l->source->n_sequences,
                                   "sequences"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    sonde_buf_finish(&origin);
    return sonde_labelling_end(l, &w, status, error);
}

enum sonde_status sonde_label_formal(struct sonde_labelling *l, const char *name,
                                     const char *language, struct sonde_error *error)
{
    struct formal_labelling f = { .l = l };
    enum sonde_status status = language ? sonde_formal_create(&f.formal, language, error)
                                        : find_language(l, &f.formal, error);
    if (!status)
        status = sonde_formal_find_label(f.formal, name, &f.label, error);
    if (!status)
        status = choose_kind(&f, name, error);
    if (!status)
        status = label_all(&f, name, error);
    if (!status && f.n_lost)
        sonde_result_warn(l->result,
                          "%lld sequences are no prefix of a string of %s; their "
                          "tokens are masked from where it ends",
                          (long long)f.n_lost, sonde_formal_name(f.formal));
    sonde_formal_walk_finish(&f.walk);
    sonde_formal_destroy(&f.formal);
    sonde_buf_finish(&f.value);
    free(f.begin);
    free(f.end);
    return status;
}
