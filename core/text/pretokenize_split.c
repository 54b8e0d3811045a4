/* Pre-tokenizer steps as iterators: each takes a piece and gives smaller ones, in order. */
#include <string.h>

#include "core/text/tokenizer_internal.h"

/* Byte b's character: printable ASCII and Latin-1 stand for themselves, the other 68 bytes for
 * U+0100 up, in order (GPT-2's bytes_to_unicode). */
int32_t sonde_byte_level_code(unsigned char byte)
{
    if ((byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE)
        return byte;
    if (byte <= ' ')
        return 0x100 + byte;
    if (byte <= 0xA0)
        return 0x100 + 33 + (byte - 0x7F);
    return 0x100 + 67;
}

int sonde_byte_level_byte(int32_t code)
{
    if (code < 0x100)
        return code >= 0 && sonde_byte_level_code((unsigned char)code) == code ? code : -1;
    if (code <= 0x100 + ' ')
        return code - 0x100;
    if (code < 0x100 + 67)
        return code - 0x100 - 33 + 0x7F;
    return code == 0x100 + 67 ? 0xAD : -1;
}

bool sonde_byte_level_bytes(struct sonde_buf *out, const char *piece, size_t n)
{
    size_t i = 0;

    while (i < n) {
        int32_t code;
        i += sonde_utf8_next(piece + i, n - i, &code);
        int byte = sonde_byte_level_byte(code);
        if (byte < 0)
            return false;
        sonde_buf_putc(out, (char)byte);
    }
    return true;
}

/* Metaspace: ' ' -> replacement, then the replacement in front where the scheme wants it. */
static bool run_metaspace(const struct sonde_splitter *splitter, struct sonde_split_state *state,
                          const struct sonde_view *view)
{
    size_t n_content = strlen(splitter->content), i = 0;
    uint32_t start = sonde_view_begin(view);
    bool prepend = splitter->scheme == SONDE_PREPEND_ALWAYS ||
                   (splitter->scheme == SONDE_PREPEND_FIRST && start == 0);

    if (prepend && view->n > 0 && view->data[0] != ' ' &&
        (view->n < n_content || memcmp(view->data, splitter->content, n_content) != 0) &&
        !sonde_mapped_append(&state->work, splitter->content, n_content, start, start))
        return false;
    while (i < view->n) {
        int32_t code;
        size_t length = sonde_utf8_next(view->data + i, view->n - i, &code);
        struct sonde_origin from = sonde_view_origin(view, i);
        bool blank = code == ' ';
        if (!sonde_mapped_append(&state->work, blank ? splitter->content : view->data + i,
                                 blank ? n_content : length, from.begin, from.end))
            return false;
        i += length;
    }
    return true;
}

static bool run_prefix(struct sonde_split_state *state, const struct sonde_view *view)
{
    uint32_t start = sonde_view_begin(view);
    size_t i = 0;

    if (!sonde_mapped_append(&state->work, " ", 1, start, start))
        return false;
    while (i < view->n) {
        int32_t code;
        size_t length = sonde_utf8_next(view->data + i, view->n - i, &code);
        struct sonde_origin from = sonde_view_origin(view, i);
        if (!sonde_mapped_append(&state->work, view->data + i, length, from.begin, from.end))
            return false;
        i += length;
    }
    return true;
}

enum sonde_status sonde_split_init(const struct sonde_splitter *splitter,
                                   struct sonde_split_state *state, struct sonde_view view,
                                   struct sonde_error *error)
{
    bool ok = true;

    state->view = view;
    state->at = 0;
    state->pending = state->pending_end = 0;
    sonde_mapped_clear(&state->work);
    if (splitter->kind == SONDE_SPLITTER_METASPACE) {
        ok = run_metaspace(splitter, state, &view);
        state->view = sonde_mapped_view(&state->work);
    } else if (splitter->kind == SONDE_SPLITTER_PREFIX && view.n > 0 && view.data[0] != ' ') {
        ok = run_prefix(state, &view);
        state->view = sonde_mapped_view(&state->work);
    }
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "a pre-tokenizer");
}

/* The next place of `what` in data[from..n), n where there is none. */
static size_t find_text(const char *data, size_t n, size_t from, const char *what, size_t n_what)
{
    while (from + n_what <= n) {
        const char *hit = memchr(data + from, what[0], n - from - n_what + 1);
        if (!hit)
            return n;
        from = (size_t)(hit - data);
        if (memcmp(hit, what, n_what) == 0)
            return from;
        from++;
    }
    return n;
}

static size_t next_at_text(const struct sonde_splitter *splitter,
                           const struct sonde_split_state *state,
                           enum sonde_split_behavior behavior)
{
    const struct sonde_view *view = &state->view;
    size_t n_what = strlen(splitter->content);
    size_t hit = find_text(view->data, view->n, state->at, splitter->content, n_what);

    switch (behavior) {
    case SONDE_SPLIT_ISOLATED:
        return hit == state->at ? hit + n_what : hit;
    case SONDE_SPLIT_WITH_PREVIOUS:
        return hit == view->n ? hit : hit + n_what;
    case SONDE_SPLIT_WITH_NEXT:
        if (hit == state->at)
            hit = find_text(view->data, view->n, hit + n_what, splitter->content, n_what);
        return hit;
    }
    return view->n;
}

static size_t next_digits(const struct sonde_splitter *splitter,
                          const struct sonde_split_state *state)
{
    const struct sonde_view *view = &state->view;
    size_t i = state->at;
    bool first = true, numeric = false;

    while (i < view->n) {
        int32_t code;
        size_t length = sonde_utf8_next(view->data + i, view->n - i, &code);
        bool is = sonde_utf8_is_numeric(code);
        if (!first && (is != numeric || (is && splitter->split)))
            break;
        numeric = is;
        first = false;
        i += length;
    }
    return i;
}

static enum sonde_status next_match(const struct sonde_splitter *splitter,
                                    struct sonde_split_state *state,
                                    struct sonde_pattern_scratch *scratch, size_t *end,
                                    struct sonde_error *error)
{
    if (state->pending_end > state->at) { /* the match behind the unmatched part given last */
        *end = state->pending_end;
        return SONDE_STATUS_OK;
    }
    enum sonde_status status =
        sonde_pattern_find(splitter->pattern, scratch, state->view.data, state->view.n, state->at,
                           &state->pending, &state->pending_end, error);
    *end = state->pending > state->at ? state->pending : state->pending_end;
    return status;
}

enum sonde_status sonde_split_next(const struct sonde_splitter *splitter,
                                   struct sonde_split_state *state,
                                   struct sonde_pattern_scratch *scratch, struct sonde_view *piece,
                                   bool *more, struct sonde_error *error)
{
    size_t end = state->view.n;

    *more = state->at < state->view.n;
    if (!*more)
        return SONDE_STATUS_OK;
    switch (splitter->kind) {
    case SONDE_SPLITTER_PATTERN: {
        enum sonde_status status = next_match(splitter, state, scratch, &end, error);
        if (status != SONDE_STATUS_OK)
            return status;
        break;
    }
    case SONDE_SPLITTER_PREFIX:
        break;
    case SONDE_SPLITTER_METASPACE:
        if (splitter->split)
            end = next_at_text(splitter, state, SONDE_SPLIT_WITH_NEXT);
        break;
    case SONDE_SPLITTER_STRING:
        end = next_at_text(splitter, state, splitter->behavior);
        break;
    case SONDE_SPLITTER_DIGITS:
        end = next_digits(splitter, state);
        break;
    }
    *piece = sonde_view_slice(state->view, state->at, end);
    state->at = end;
    return SONDE_STATUS_OK;
}
