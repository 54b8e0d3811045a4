#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/base/num.h"

/* Length of the UTF-8 sequence at text[0..n), 0 where it is invalid, -1 where it is cut off. */
static int sequence_length(const unsigned char *text, size_t n)
{
    unsigned char c = text[0];
    size_t length = c < 0x80                 ? 1
                    : c >= 0xc2 && c <= 0xdf ? 2
                    : c >= 0xe0 && c <= 0xef ? 3
                    : c >= 0xf0 && c <= 0xf4 ? 4
                                             : 0;
    if (length == 0)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (i >= n)
            return -1;
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) ||
        (c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return (int)length;
}

/* Copies `from` into out as one line of valid UTF-8: what a file name or a file's content brought
 * along must not be able to steer the terminal that shows the message. */
static void copy_clean(char out[SONDE_ERROR_TEXT_MAX], const char *from)
{
    const unsigned char *text = (const unsigned char *)from;
    size_t n = strlen(from);
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        int length = sequence_length(text + i, n - i);
        bool control = length == 1 ? text[i] < 0x20 || text[i] == 0x7f
                                   : length == 2 && text[i] == 0xc2 && text[i + 1] < 0xa0;
        size_t width = length > 0 && !control ? (size_t)length : 1;
        if (used + width >= SONDE_ERROR_TEXT_MAX || (length < 0 && n + 1 >= SONDE_ERROR_TEXT_MAX))
            break;
        if (length > 0 && !control)
            memcpy(out + used, text + i, width);
        else
            out[used] = '?';
        used += width;
        i += length > 0 ? (size_t)length : 1;
    }
    out[used] = '\0';
}

enum sonde_status sonde_error_set(struct sonde_error *error, enum sonde_status status,
                                  const char *format, ...)
{
    if (!error)
        return status;
    char text[SONDE_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int length = sonde_format_text(text, sizeof(text), format, args);
    va_end(args);
    copy_clean(error->text, length < 0 ? "a message that cannot be formatted" : text);
    error->status = status;
    return status;
}

enum sonde_status sonde_error_memory(struct sonde_error *error, const char *what)
{
    return sonde_error_set(error, SONDE_STATUS_MEMORY, "out of memory for %s", what);
}

void sonde_error_prepend(struct sonde_error *error, const char *format, ...)
{
    if (!error)
        return;
    char text[SONDE_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int length = sonde_format_text(text, sizeof(text), format, args);
    va_end(args);
    if (length < 0)
        return;
    size_t used = strlen(text);
    const char *parts[] = { ": ", error->text };
    for (size_t i = 0; i < 2; i++) {
        size_t room = sizeof(text) - 1 - used;
        size_t n = strlen(parts[i]);
        n = n < room ? n : room;
        memcpy(text + used, parts[i], n);
        used += n;
    }
    text[used] = '\0';
    copy_clean(error->text, text);
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
