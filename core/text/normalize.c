/* Text on its way to the model: replacement of invalid bytes and the normalizers, each byte keeping
 * the place in the original it came from. */
#include <stdlib.h>
#include <string.h>

#include "core/text/tokenizer_internal.h"

void sonde_mapped_finish(struct sonde_mapped *mapped)
{
    sonde_buf_finish(&mapped->text);
    free(mapped->from);
    *mapped = (struct sonde_mapped){ 0 };
}

void sonde_mapped_clear(struct sonde_mapped *mapped)
{
    sonde_buf_clear(&mapped->text);
}

bool sonde_mapped_append(struct sonde_mapped *mapped, const char *text, size_t n, uint32_t begin,
                         uint32_t end)
{
    size_t at = mapped->text.size;
    void *items = mapped->from;

    if (!sonde_grow(&items, &mapped->capacity, (int64_t)(at + n), sizeof(*mapped->from),
                    UINT32_MAX))
        return false;
    mapped->from = items;
    if (!sonde_buf_append(&mapped->text, text, n))
        return false;
    for (size_t i = 0; i < n; i++)
        mapped->from[at + i] = (struct sonde_origin){ .begin = begin, .end = end };
    return true;
}

struct sonde_view sonde_mapped_view(const struct sonde_mapped *mapped)
{
    return (struct sonde_view){
        .data = mapped->text.data ? mapped->text.data : "",
        .n = mapped->text.size,
        .from = mapped->from,
    };
}

struct sonde_view sonde_view_slice(struct sonde_view view, size_t begin, size_t end)
{
    return (struct sonde_view){
        .data = view.data + begin,
        .n = end - begin,
        .from = view.from ? view.from + begin : NULL,
        .base = view.base + (uint32_t)begin,
    };
}

struct sonde_origin sonde_view_origin(const struct sonde_view *view, size_t i)
{
    if (view->from)
        return view->from[i];
    size_t begin = i, end = i + 1;
    while (begin > 0 && ((unsigned char)view->data[begin] & 0xC0) == 0x80)
        begin--;
    while (end < view->n && ((unsigned char)view->data[end] & 0xC0) == 0x80)
        end++;
    return (struct sonde_origin){
        .begin = view->base + (uint32_t)begin,
        .end = view->base + (uint32_t)end,
    };
}

uint32_t sonde_view_begin(const struct sonde_view *view)
{
    return view->from && view->n > 0 ? view->from[0].begin : view->base;
}

enum sonde_status sonde_sanitize_view(const char *text, size_t n, struct sonde_mapped *work,
                                      struct sonde_view *out, struct sonde_error *error)
{
    size_t i = 0;

    if (sonde_utf8_valid(text, n)) {
        *out = (struct sonde_view){ .data = text, .n = n };
        return SONDE_STATUS_OK;
    }
    sonde_mapped_clear(work);
    while (i < n) {
        int32_t code;
        size_t length = sonde_utf8_next(text + i, n - i, &code);
        bool ok = sonde_mapped_append(work, code < 0 ? "\xEF\xBF\xBD" : text + i,
                                      code < 0 ? 3 : length, (uint32_t)i, (uint32_t)(i + length));
        if (!ok)
            return sonde_error_memory(error, "a text");
        i += length;
    }
    *out = sonde_mapped_view(work);
    return SONDE_STATUS_OK;
}

/* Copies [begin, end) of the view, places kept. */
static bool copy_part(struct sonde_mapped *out, const struct sonde_view *in, size_t begin,
                      size_t end)
{
    while (begin < end) {
        int32_t code;
        size_t length = sonde_utf8_next(in->data + begin, end - begin, &code);
        struct sonde_origin from = sonde_view_origin(in, begin);
        if (!sonde_mapped_append(out, in->data + begin, length, from.begin, from.end))
            return false;
        begin += length;
    }
    return true;
}

static bool run_replace(const struct sonde_normalizer *step, const struct sonde_view *in,
                        struct sonde_mapped *out)
{
    size_t n_pattern = strlen(step->pattern), n_content = strlen(step->content), i = 0;

    while (i < in->n) {
        if (in->n - i >= n_pattern && memcmp(in->data + i, step->pattern, n_pattern) == 0) {
            struct sonde_origin first = sonde_view_origin(in, i);
            struct sonde_origin last = sonde_view_origin(in, i + n_pattern - 1);
            if (!sonde_mapped_append(out, step->content, n_content, first.begin, last.end))
                return false;
            i += n_pattern;
            continue;
        }
        int32_t code;
        size_t length = sonde_utf8_next(in->data + i, in->n - i, &code);
        struct sonde_origin from = sonde_view_origin(in, i);
        if (!sonde_mapped_append(out, in->data + i, length, from.begin, from.end))
            return false;
        i += length;
    }
    return true;
}

static bool run_lowercase(const struct sonde_view *in, struct sonde_mapped *out)
{
    size_t i = 0;

    while (i < in->n) {
        int32_t code, lower[2];
        size_t length = sonde_utf8_next(in->data + i, in->n - i, &code);
        struct sonde_origin from = sonde_view_origin(in, i);
        int n = sonde_utf8_lower(code, lower);
        for (int k = 0; k < n; k++) {
            char bytes[4];
            if (!sonde_mapped_append(out, bytes, sonde_utf8_put(bytes, lower[k]), from.begin,
                                     from.end))
                return false;
        }
        i += length;
    }
    return true;
}

/* A changed piece has no finer places than itself: all its bytes come from the whole piece. */
static enum sonde_status run_form(const struct sonde_normalizer *step, const struct sonde_view *in,
                                  struct sonde_mapped *out, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    struct sonde_buf form = { 0 };
    size_t i = 0;

    while (i < in->n && status == SONDE_STATUS_OK) {
        bool changes;
        size_t n = sonde_utf8_normal_piece(in->data + i, in->n - i, step->form, &changes);
        bool ok = true;
        sonde_buf_clear(&form);
        if (changes)
            status = sonde_utf8_normalize(&form, in->data + i, n, step->form, error);
        if (changes && status == SONDE_STATUS_OK &&
            (form.size != n || memcmp(form.data, in->data + i, n) != 0)) {
            struct sonde_origin first = sonde_view_origin(in, i);
            struct sonde_origin last = sonde_view_origin(in, i + n - 1);
            ok = sonde_mapped_append(out, form.data, form.size, first.begin, last.end);
        } else if (status == SONDE_STATUS_OK) {
            ok = copy_part(out, in, i, i + n);
        }
        if (!ok)
            status = sonde_error_memory(error, "a normalised text");
        i += n;
    }
    sonde_buf_finish(&form);
    return status;
}

static bool changes_nothing(const struct sonde_normalizer *step, const struct sonde_view *in)
{
    if (step->kind == SONDE_NORMALIZER_PREPEND)
        return in->n == 0;
    if (step->kind != SONDE_NORMALIZER_FORM)
        return false;
    for (size_t i = 0; i < in->n; i++) {
        if ((unsigned char)in->data[i] >= 0x80)
            return false;
    }
    return true;
}

enum sonde_status sonde_normalize_view(const struct sonde_tokenizer *t, struct sonde_view in,
                                       struct sonde_mapped work[2], struct sonde_view *out,
                                       struct sonde_error *error)
{
    int turn = 0;

    for (int k = 0; k < t->n_normalizers; k++) {
        const struct sonde_normalizer *step = &t->normalizers[k];
        struct sonde_mapped *to = &work[turn];
        enum sonde_status status = SONDE_STATUS_OK;
        bool ok = true;
        if (changes_nothing(step, &in))
            continue;
        sonde_mapped_clear(to);
        switch (step->kind) {
        case SONDE_NORMALIZER_PREPEND: {
            uint32_t at = sonde_view_begin(&in);
            ok = sonde_mapped_append(to, step->content, strlen(step->content), at, at) &&
                 copy_part(to, &in, 0, in.n);
            break;
        }
        case SONDE_NORMALIZER_REPLACE:
            ok = run_replace(step, &in, to);
            break;
        case SONDE_NORMALIZER_LOWERCASE:
            ok = run_lowercase(&in, to);
            break;
        case SONDE_NORMALIZER_FORM:
            status = run_form(step, &in, to, error);
            break;
        }
        if (!ok)
            status = sonde_error_memory(error, "a normalised text");
        if (status != SONDE_STATUS_OK)
            return status;
        in = sonde_mapped_view(to);
        turn = 1 - turn;
    }
    *out = in;
    return SONDE_STATUS_OK;
}
