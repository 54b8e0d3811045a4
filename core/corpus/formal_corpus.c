/* Strings of a formal language as the items of a corpus. */
#include <stdlib.h>
#include <string.h>

#include "core/corpus/corpus_internal.h"

enum sonde_status sonde_formal_corpus_open(struct sonde_formal_corpus *formal, const char *spec,
                                           struct sonde_error *error)
{
    struct sonde_formal_spec parsed;
    enum sonde_status status = sonde_formal_parse_spec(spec, &parsed, error);
    if (!status)
        status = sonde_formal_generator_create(&formal->generator, &parsed, error);
    return status;
}

void sonde_formal_corpus_close(struct sonde_formal_corpus *formal)
{
    sonde_formal_generator_destroy(&formal->generator);
    free(formal->ids);
    *formal = (struct sonde_formal_corpus){ 0 };
}

enum sonde_status sonde_formal_corpus_next(struct sonde_formal_corpus *formal,
                                           struct sonde_corpus_item *item, bool *more,
                                           struct sonde_error *error)
{
    const char *text = NULL;
    int64_t n = 0;
    enum sonde_status status = sonde_formal_generator_next(formal->generator, &text, &n, error);
    *more = !status && text;
    if (!*more)
        return status;
    if (!sonde_grow((void **)&formal->ids, &formal->capacity, n, sizeof(*formal->ids),
                    SONDE_FORMAL_MAX_LENGTH))
        return sonde_error_memory(error, "a formal string");
    const char *order = sonde_formal_generator_spec(formal->generator)->ids;
    for (int64_t i = 0; i < n; i++)
        formal->ids[i] = (int32_t)(strchr(order, text[i]) - order);
    item->text = text;
    item->text_bytes = n;
    item->ids = formal->ids;
    item->n_ids = n;
    return SONDE_STATUS_OK;
}
