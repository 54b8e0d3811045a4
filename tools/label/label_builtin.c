#include <stdio.h>
#include <string.h>

#include "tools/label/labelling.h"

const char *const sonde_label_builtins[] = {
    "token-id",
    "token",
    "previous-token",
    "previous-token-id",
    "position",
    "relative-position",
    "length",
    "sequence",
    NULL,
};

enum builtin {
    BUILTIN_TOKEN_ID,
    BUILTIN_TOKEN,
    BUILTIN_PREVIOUS_TOKEN,
    BUILTIN_PREVIOUS_TOKEN_ID,
    BUILTIN_POSITION,
    BUILTIN_RELATIVE_POSITION,
    BUILTIN_LENGTH,
    BUILTIN_SEQUENCE,
};

static enum sonde_status put_id(struct sonde_label_writer *w, int64_t row, int64_t id,
                                struct sonde_error *error)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)id);
    return sonde_store_label_class(w, row, text, error);
}

static enum sonde_status put_text(struct sonde_labelling *l, struct sonde_label_writer *w,
                                  int64_t row, int64_t of, struct sonde_error *error)
{
    const char *text = l->source->token_text(l->source, of);
    if (!text)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "token row %lld has no text",
                               (long long)of);
    return sonde_store_label_class(w, row, text, error);
}

static enum sonde_status put_row(struct sonde_labelling *l, struct sonde_label_writer *w,
                                 enum builtin kind, int64_t row, struct sonde_error *error)
{
    const struct sonde_source *s = l->source;
    int64_t sequence = s->token_sequence[row];
    const struct sonde_source_sequence *in = &s->sequences[sequence];
    int64_t position = row - in->first_row;
    switch (kind) {
    case BUILTIN_TOKEN_ID:
        return put_id(w, row, s->token_id[row], error);
    case BUILTIN_TOKEN:
        return put_text(l, w, row, row, error);
    case BUILTIN_PREVIOUS_TOKEN:
        return position ? put_text(l, w, row, row - 1, error) : SONDE_STATUS_OK;
    case BUILTIN_PREVIOUS_TOKEN_ID:
        return position ? put_id(w, row, s->token_id[row - 1], error) : SONDE_STATUS_OK;
    case BUILTIN_POSITION:
        return sonde_store_label_real(w, row, (double)position, error);
    case BUILTIN_RELATIVE_POSITION:
        return sonde_store_label_real(
            w, row, in->n_tokens > 1 ? (double)position / (double)(in->n_tokens - 1) : 0, error);
    case BUILTIN_LENGTH:
        return sonde_store_label_real(w, row, (double)in->n_tokens, error);
    case BUILTIN_SEQUENCE:
        return in->name && *in->name ? sonde_store_label_class(w, row, in->name, error)
                                     : put_id(w, row, sequence, error);
    }
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_label_builtin(struct sonde_labelling *l, const char *kind,
                                      struct sonde_error *error)
{
    int which = 0;
    while (sonde_label_builtins[which] && strcmp(sonde_label_builtins[which], kind) != 0)
        which++;
    bool real = which >= BUILTIN_POSITION && which <= BUILTIN_LENGTH;
    char origin[64];
    snprintf(origin, sizeof(origin), "builtin %s", sonde_label_builtins[which]);
    struct sonde_label_writer *w = NULL;
    enum sonde_status status = sonde_labelling_begin(l, real ? SONDE_LABEL_REAL : SONDE_LABEL_CLASS,
                                                     SONDE_ROWS_TOKEN, origin, &w, error);
    for (int64_t row = 0; !status && row < l->source->n_tokens; row++) {
        status = put_row(l, w, (enum builtin)which, row, error);
        if (!status && row % 4096 == 0 &&
            !sonde_progress_update(&l->cli->progress, "label", row, l->source->n_tokens, "tokens"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    return sonde_labelling_end(l, &w, status, error);
}
