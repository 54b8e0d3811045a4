#include "analysis/display.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/display_table.h"
#include "core/base/num.h"

size_t sonde_display_decode(const char *text, size_t n, uint32_t *point)
{
    const unsigned char *t = (const unsigned char *)text;
    size_t length = sonde_str_sequence(text, n);
    if (length == 0)
        return 0;
    uint32_t c = length == 1 ? t[0] : t[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        c = c << 6 | (t[i] & 0x3fu);
    *point = c;
    return length;
}

/* Code points that change how the text around them is drawn, or draw nothing at all. Joiners and
 * variation selectors stay: emoji and several scripts need them. */
static bool is_unsafe(uint32_t c)
{
    return (c >= 0x80 && c < 0xa0) || c == 0x61c || c == 0x200b || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef) ||
           c == 0xe0001;
}

void sonde_display_clean(struct sonde_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        size_t length = sonde_display_decode(text + i, n - i, &c);
        if (length == 0) {
            sonde_buf_printf(out, "<0x%02X>", (unsigned)(unsigned char)text[i]);
            i++;
            continue;
        }
        if (c < 0x20 || c == 0x7f) {
            if (c == '\n')
                sonde_buf_puts(out, "\xe2\x86\xb5");
            else if (c == '\t')
                sonde_buf_puts(out, "\xe2\x87\xa5");
            else
                sonde_buf_printf(out, "<0x%02X>", (unsigned)c);
        } else if (is_unsafe(c)) {
            sonde_buf_printf(out, "<U+%04X>", (unsigned)c);
        } else {
            sonde_buf_append(out, text + i, length);
        }
        i += length;
    }
}

void sonde_display_token(struct sonde_buf *out, const char *text, size_t n)
{
    size_t begin = 0, end = n;
    while (begin < n && text[begin] == ' ')
        begin++;
    while (end > begin && text[end - 1] == ' ')
        end--;
    for (size_t i = 0; i < begin; i++)
        sonde_buf_puts(out, "\xe2\x90\xa3");
    sonde_display_clean(out, text + begin, end - begin);
    for (size_t i = end; i < n; i++)
        sonde_buf_puts(out, "\xe2\x90\xa3");
}

static int compare_range(const void *key, const void *item)
{
    uint32_t c = *(const uint32_t *)key;
    const struct sonde_display_range *range = item;
    return c < range->first ? -1 : c > range->last;
}

static int width_of(uint32_t c)
{
    if (c < 0x300)
        return c < 0x20 || (c >= 0x7f && c < 0xa0) ? 0 : 1;
    if (bsearch(&c, sonde_display_zero, (size_t)sonde_display_zero_count,
                sizeof(sonde_display_zero[0]), compare_range))
        return 0;
    return bsearch(&c, sonde_display_wide, (size_t)sonde_display_wide_count,
                   sizeof(sonde_display_wide[0]), compare_range)
               ? 2
               : 1;
}

int64_t sonde_display_width(const char *text, size_t n)
{
    int64_t width = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        size_t length = sonde_display_decode(text + i, n - i, &c);
        width += length ? width_of(c) : 1;
        i += length ? length : 1;
    }
    return width;
}

int64_t sonde_display_fit(struct sonde_buf *out, const char *text, size_t n, int64_t width)
{
    int64_t whole = sonde_display_width(text, n);
    if (whole <= width) {
        sonde_buf_append(out, text, n);
        return whole;
    }
    if (width < 1)
        return 0;
    int64_t used = 0;
    size_t i = 0;
    while (i < n) {
        uint32_t c = 0;
        size_t length = sonde_display_decode(text + i, n - i, &c);
        int w = length ? width_of(c) : 1;
        if (used + w > width - 1)
            break;
        used += w;
        i += length ? length : 1;
    }
    sonde_buf_append(out, text, i);
    sonde_buf_puts(out, "\xe2\x80\xa6");
    return used + 1;
}

static void format_number(char out[SONDE_DISPLAY_NUMBER_MAX], const char *format, ...)
    SONDE_PRINTF(2, 3);
static void format_number(char out[SONDE_DISPLAY_NUMBER_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sonde_format_text(out, SONDE_DISPLAY_NUMBER_MAX, format, args);
    va_end(args);
}

void sonde_display_number(char out[SONDE_DISPLAY_NUMBER_MAX], double value, int digits)
{
    if (digits <= 0)
        digits = 4;
    if (!isfinite(value)) {
        format_number(out, "%s", isnan(value) ? "-" : value > 0 ? "inf" : "-inf");
        return;
    }
    double size = fabs(value);
    if (size >= 1e6 || (size < 1e-4 && size > 0)) {
        format_number(out, "%.*g", digits, value);
        return;
    }
    int before = size >= 1 ? (int)floor(log10(size)) + 1 : 0;
    int after = digits - before;
    if (size < 1 && size > 0)
        after = digits - 1 - (int)floor(log10(size));
    format_number(out, "%.*f", after > 0 ? after : 0, value);
    if (strchr(out, '.')) {
        size_t end = strlen(out);
        while (out[end - 1] == '0')
            out[--end] = '\0';
        if (out[end - 1] == '.')
            out[--end] = '\0';
    }
    if (strcmp(out, "-0") == 0)
        format_number(out, "0");
}
