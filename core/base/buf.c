#include "core/base/buf.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"

#define DEFAULT_MAX ((size_t)1 << 30)
#define FIRST_CAPACITY 64

static size_t buf_max(const struct sonde_buf *buf)
{
    size_t max = buf->max ? buf->max : DEFAULT_MAX;
    return max < SIZE_MAX ? max : SIZE_MAX - 1;
}

void sonde_buf_finish(struct sonde_buf *buf)
{
    free(buf->data);
    *buf = (struct sonde_buf){ .max = buf->max };
}

void sonde_buf_clear(struct sonde_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
    buf->over_max = false;
    if (buf->data)
        buf->data[0] = '\0';
}

bool sonde_buf_reserve(struct sonde_buf *buf, size_t extra)
{
    if (buf->failed)
        return false;
    size_t max = buf_max(buf);
    if (buf->size > max || extra > max - buf->size) {
        buf->failed = true;
        buf->over_max = true;
        return false;
    }
    size_t need = buf->size + extra + 1;
    if (need <= buf->capacity)
        return true;
    size_t capacity = buf->capacity > FIRST_CAPACITY ? buf->capacity : FIRST_CAPACITY;
    while (capacity < need)
        capacity = capacity <= max / 2 ? capacity * 2 : max + 1;
    char *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    if (!buf->data)
        data[0] = '\0';
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

bool sonde_buf_append(struct sonde_buf *buf, const void *data, size_t n)
{
    if (!sonde_buf_reserve(buf, n))
        return false;
    if (n)
        memcpy(buf->data + buf->size, data, n);
    buf->size += n;
    buf->data[buf->size] = '\0';
    return true;
}

bool sonde_buf_puts(struct sonde_buf *buf, const char *text)
{
    return sonde_buf_append(buf, text, strlen(text));
}

bool sonde_buf_putc(struct sonde_buf *buf, char c)
{
    return sonde_buf_append(buf, &c, 1);
}

bool sonde_buf_printf(struct sonde_buf *buf, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int length = sonde_format_text(text, sizeof(text), format, args);
    va_end(args);
    if (length < 0) {
        buf->failed = true;
        return false;
    }
    if ((size_t)length < sizeof(text))
        return sonde_buf_append(buf, text, (size_t)length);
    if (!sonde_buf_reserve(buf, (size_t)length))
        return false;
    va_start(args, format);
    sonde_format_text(buf->data + buf->size, (size_t)length + 1, format, args);
    va_end(args);
    buf->size += (size_t)length;
    return true;
}

bool sonde_buf_put_f64(struct sonde_buf *buf, double value)
{
    char text[SONDE_FORMAT_F64_MAX];
    int length = sonde_format_f64(text, value);
    return sonde_buf_append(buf, text, (size_t)length);
}

enum sonde_status sonde_buf_status(const struct sonde_buf *buf, struct sonde_error *error)
{
    if (!buf->failed)
        return SONDE_STATUS_OK;
    if (buf->over_max) {
        char text[SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(text, (int64_t)buf_max(buf));
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "text grew over its maximum of %s", text);
    }
    return sonde_error_memory(error, "a text buffer");
}

bool sonde_grow(void **items, int64_t *capacity, int64_t need, size_t size, int64_t max)
{
    if (need <= *capacity)
        return true;
    if (need > max)
        return false;
    int64_t target = *capacity > 8 ? *capacity : 8;
    while (target < need)
        target = target <= max / 2 ? target * 2 : max;
    if (target > max)
        target = max;
    size_t bytes;
    if (!sonde_mul_size((size_t)target, size, &bytes))
        return false;
    void *grown = realloc(*items, bytes);
    if (!grown)
        return false;
    *items = grown;
    *capacity = target;
    return true;
}
