/* A whole sequence: the text, and what the policy puts around it. */
#include <string.h>

#include "core/text/tokenizer_internal.h"

/* What the policy puts around the text. */
struct surround {
    int32_t before[SONDE_TOKENIZER_MAX_TEMPLATE + 1];
    int n_before;
    const int32_t *after;
    int n_after;
};

static enum sonde_status plan(const struct sonde_tokenizer *t, enum sonde_bos_policy bos,
                              struct surround *plan, struct sonde_error *error)
{
    *plan = (struct surround){ 0 };
    if (bos == SONDE_BOS_NEVER)
        return SONDE_STATUS_OK;
    if (bos == SONDE_BOS_ALWAYS && t->bos < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "the tokenizer has no beginning-of-sequence token");
    if (bos == SONDE_BOS_ALWAYS && (t->n_prefix == 0 || t->prefix[0] != t->bos))
        plan->before[plan->n_before++] = t->bos;
    for (int i = 0; i < t->n_prefix; i++)
        plan->before[plan->n_before++] = t->prefix[i];
    plan->after = t->suffix;
    plan->n_after = t->n_suffix;
    return SONDE_STATUS_OK;
}

static enum sonde_status encode_text(const struct sonde_tokenizer *t, const char *text, size_t n,
                                     struct sonde_encoding *out, struct sonde_error *error)
{
    switch (t->type) {
    case SONDE_TOKENIZER_BPE:
        return sonde_encode_bpe(t, text, n, out, error);
    case SONDE_TOKENIZER_LLAMA2C:
        return sonde_encode_llama2c(t, text, n, out, error);
    case SONDE_TOKENIZER_CHARACTERS:
        return sonde_encode_characters(t, text, n, out, error);
    }
    return SONDE_STATUS_ARGUMENT;
}

enum sonde_status sonde_tokenizer_encode(const struct sonde_tokenizer *t, const char *text,
                                         size_t n, enum sonde_bos_policy bos,
                                         struct sonde_encoding *out, struct sonde_error *error)
{
    struct surround around;
    int64_t start = out->n;

    if (n > SONDE_TOKENIZER_MAX_TEXT_BYTES)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "a text of %zu bytes, at most %lld in one sequence", n,
                               (long long)SONDE_TOKENIZER_MAX_TEXT_BYTES);
    enum sonde_status status = plan(t, bos, &around, error);
    for (int i = 0; i < around.n_before && status == SONDE_STATUS_OK; i++)
        status = sonde_encoding_push(t, out, around.before[i], 0, 0, error);
    int64_t first = out->n;
    if (status == SONDE_STATUS_OK)
        status = encode_text(t, text ? text : "", n, out, error);
    if (status == SONDE_STATUS_OK && around.n_before > 0 && t->bos >= 0 &&
        around.before[around.n_before - 1] == t->bos && out->n > first &&
        out->tokens[first].id == t->bos) {
        /* The text brings its own: keep that one, it has a span. */
        memmove(&out->tokens[first - 1], &out->tokens[first],
                (size_t)(out->n - first) * sizeof(*out->tokens));
        out->n--;
    }
    for (int i = 0; i < around.n_after && status == SONDE_STATUS_OK; i++)
        status = sonde_encoding_push(t, out, around.after[i], (int64_t)n, (int64_t)n, error);
    if (status != SONDE_STATUS_OK) {
        out->n = start;
        return status;
    }
    /* One id for beginning and end (GPT-2): the first of a sequence begins it. */
    if (out->n > start && t->bos >= 0 && out->tokens[start].id == t->bos) {
        out->tokens[start].flags |= SONDE_TEXT_FLAG_BOS;
        out->tokens[start].flags &= ~(uint32_t)SONDE_TEXT_FLAG_EOS;
    }
    return SONDE_STATUS_OK;
}
