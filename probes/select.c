#include "probes/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

int sonde_select_n_layers(const struct sonde_source *source)
{
    int n = 0;
    for (int64_t i = 0; i < source->n_streams; i++)
        if (source->streams[i].layer >= n)
            n = source->streams[i].layer + 1;
    return n;
}

bool sonde_select_matches(const char *patterns, const char *name, int n_layers)
{
    bool matches = patterns[0] == '-';
    char one[256];
    for (const char *at = patterns; at;) {
        const char *end = strchr(at, ',');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        bool minus = n > 0 && at[0] == '-';
        if (n - minus > 0 && n - minus < sizeof(one)) {
            memcpy(one, at + minus, n - minus);
            one[n - minus] = '\0';
            if (sonde_site_pattern_matches(one, name, n_layers))
                matches = !minus;
        }
        at = end ? end + 1 : NULL;
    }
    return matches;
}

enum sonde_status sonde_select_streams(const struct sonde_source *source, const char *patterns,
                                       int64_t **index, int64_t *n, struct sonde_error *error)
{
    int64_t *found = calloc((size_t)source->n_streams + 1, sizeof(*found));
    if (!found)
        return sonde_error_memory(error, "the list of streams");
    int n_layers = sonde_select_n_layers(source);
    int64_t n_found = 0;
    for (int64_t i = 0; i < source->n_streams; i++)
        if (sonde_select_matches(patterns, source->streams[i].name, n_layers))
            found[n_found++] = i;
    if (n_found > 0) {
        *index = found;
        *n = n_found;
        return SONDE_STATUS_OK;
    }
    free(found);
    struct sonde_buf names = { .max = SONDE_ERROR_TEXT_MAX / 2 };
    for (int64_t i = 0; i < source->n_streams && i < 8; i++)
        sonde_buf_printf(&names, "%s%s", i ? ", " : "", source->streams[i].name);
    if (source->n_streams > 8)
        sonde_buf_printf(&names, " and %lld more", (long long)source->n_streams - 8);
    sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "no stream matches \"%s\" (recorded: %s)",
                    patterns, names.data ? names.data : "none");
    sonde_buf_finish(&names);
    return SONDE_STATUS_NOT_FOUND;
}

/* Reads an optionally negative whole number at *at and moves past it. */
static bool read_number(const char **at, int64_t n, int64_t *out)
{
    const char *end = *at + (**at == '-');
    while (*end >= '0' && *end <= '9')
        end++;
    int64_t value;
    if (!sonde_parse_i64(*at, (size_t)(end - *at), &value))
        return false;
    *at = end;
    *out = value < 0 ? value + n : value;
    return true;
}

enum sonde_status sonde_select_numbers(const char *text, const char *what, int64_t n, bool *chosen,
                                       struct sonde_error *error)
{
    bool all = !text || strcmp(text, "all") == 0;
    for (int64_t i = 0; i < n; i++)
        chosen[i] = all;
    if (all)
        return SONDE_STATUS_OK;
    for (const char *at = text;;) {
        int64_t first, last;
        if (!read_number(&at, n, &first))
            break;
        last = first;
        if (*at == '-') {
            at++;
            if (!read_number(&at, n, &last))
                break;
        }
        if (first < 0 || last >= n || first > last)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%ss \"%s\": out of range, there are %s 0 to %lld", what, text,
                                   what, (long long)n - 1);
        for (int64_t i = first; i <= last; i++)
            chosen[i] = true;
        if (*at == '\0')
            return SONDE_STATUS_OK;
        if (*at++ != ',')
            break;
    }
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "%ss \"%s\": expected numbers and ranges such as 0,4-7,-1 or all", what,
                           text);
}

bool sonde_select_layer_sites(const char *layers, const char *name, char *out, size_t n)
{
    bool all = !layers || strcmp(layers, "all") == 0;
    if (!all && strspn(layers, "0123456789,-") != strlen(layers))
        return false;
    int length = snprintf(out, n, "blocks.%s.%s", all ? "*" : layers, name);
    if (length < 0 || (size_t)length >= n)
        return false;
    for (char *at = out; *at; at++)
        if (*at == ',')
            *at = '|';
    return true;
}

bool sonde_select_vocabulary_text(const struct sonde_model *model, int64_t id,
                                  struct sonde_buf *out)
{
    if (!model || id < 0 || id >= sonde_model_spec(model)->d_vocab)
        return false;
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(model);
    if (!tokenizer || id >= sonde_tokenizer_size(tokenizer))
        return sonde_buf_printf(out, "<%lld>", (long long)id);
    size_t before = out->size;
    if (sonde_tokenizer_token_text(tokenizer, (int32_t)id, out, NULL) != SONDE_STATUS_OK)
        return false;
    return out->size > before ? true : sonde_buf_puts(out, "");
}

void sonde_select_show_token(const char *text, struct sonde_buf *out)
{
    bool leading = true;
    for (const char *at = text; *at; at++) {
        bool space = *at == ' ';
        if (space && (leading || at[1] == '\0'))
            sonde_buf_puts(out, "\u00b7");
        else if (*at == '\n')
            sonde_buf_puts(out, "\u23ce");
        else if (*at == '\t')
            sonde_buf_puts(out, "\u21e5");
        else if ((unsigned char)*at < 0x20 || *at == 0x7f)
            sonde_buf_printf(out, "<0x%02X>", (unsigned)(unsigned char)*at);
        else
            sonde_buf_putc(out, *at);
        leading = leading && space;
    }
    sonde_buf_puts(out, "");
}

enum sonde_status sonde_select_same_model(const struct sonde_model *model,
                                          const struct sonde_source *source,
                                          struct sonde_error *error)
{
    if (!source || !source->model_hash || !source->model_hash[0])
        return SONDE_STATUS_OK;
    const char *hash = NULL;
    enum sonde_status status = sonde_model_hash(model, &hash, error);
    if (status)
        return status;
    if (strcmp(hash, source->model_hash) == 0)
        return SONDE_STATUS_OK;
    return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                           "%s: its weights (%.12s) are not those that were recorded (%.12s)",
                           sonde_model_path(model), hash, source->model_hash);
}
