#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/num.h"
#include "core/base/str.h"

/* Copies from[0..n) into out as one line of valid UTF-8: what a file name or a file's content
 * brought along must not be able to steer the terminal that shows the message. `cut`: the text goes
 * on after n, so that a character broken off there is dropped and not marked. */
static void copy_clean(char out[SONDE_ERROR_TEXT_MAX], const char *from, size_t n, bool cut)
{
    const unsigned char *text = (const unsigned char *)from;
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        size_t length = sonde_str_sequence(from + i, n - i);
        if (length == 0 && cut && n - i < 4 && text[i] >= 0xc2)
            break;
        bool control = length == 1 ? text[i] < 0x20 || text[i] == 0x7f
                                   : length == 2 && text[i] == 0xc2 && text[i + 1] < 0xa0;
        size_t width = length == 0 || control ? 1 : length;
        if (used + width >= SONDE_ERROR_TEXT_MAX)
            break;
        if (length == 0 || control)
            out[used] = '?';
        else
            memcpy(out + used, from + i, length);
        used += width;
        i += length ? length : 1;
    }
    out[used] = '\0';
}

/* Formats into text; returns the length there and sets *cut where more did not fit. */
SONDE_PRINTF(2, 0)
static size_t format_message(char text[SONDE_ERROR_TEXT_MAX], const char *format, va_list args,
                             bool *cut)
{
    int length = sonde_format_text(text, SONDE_ERROR_TEXT_MAX, format, args);
    if (length < 0) {
        static const char fallback[] = "a message that cannot be formatted";
        memcpy(text, fallback, sizeof(fallback));
        length = (int)strlen(fallback);
    }
    *cut = length >= SONDE_ERROR_TEXT_MAX;
    return *cut ? SONDE_ERROR_TEXT_MAX - 1 : (size_t)length;
}

enum sonde_status(sonde_error_set)(struct sonde_error *error, enum sonde_status status,
                                   const char *format, ...)
{
    if (!error)
        return status;
    char text[SONDE_ERROR_TEXT_MAX];
    bool cut;
    va_list args;
    va_start(args, format);
    size_t n = format_message(text, format, args, &cut);
    va_end(args);
    copy_clean(error->text, text, n, cut);
    error->status = status;
    return status;
}

enum sonde_status(sonde_error_memory)(struct sonde_error *error, const char *what)
{
    return sonde_error_set(error, SONDE_STATUS_MEMORY, "out of memory for %s", what);
}

void sonde_error_prepend(struct sonde_error *error, const char *format, ...)
{
    if (!error)
        return;
    char text[2 * SONDE_ERROR_TEXT_MAX + 2];
    bool cut;
    va_list args;
    va_start(args, format);
    size_t n = format_message(text, format, args, &cut);
    va_end(args);
    if (!cut) {
        int more = snprintf(text + n, sizeof(text) - n, ": %s", error->text);
        n += more > 0 ? (size_t)more : 0;
    }
    copy_clean(error->text, text, n, cut);
}

const char *sonde_status_name(enum sonde_status status)
{
    switch (status) {
    case SONDE_STATUS_OK:
        return "ok";
    case SONDE_STATUS_ARGUMENT:
        return "argument";
    case SONDE_STATUS_NOT_FOUND:
        return "not found";
    case SONDE_STATUS_IO:
        return "input/output";
    case SONDE_STATUS_FORMAT:
        return "format";
    case SONDE_STATUS_UNSUPPORTED:
        return "unsupported";
    case SONDE_STATUS_LIMIT:
        return "limit";
    case SONDE_STATUS_MEMORY:
        return "memory";
    case SONDE_STATUS_NUMERIC:
        return "numeric";
    case SONDE_STATUS_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}
