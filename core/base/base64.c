#include "core/base/base64.h"

#include <stdint.h>

void sonde_base64_encode(struct sonde_buf *out, const void *data, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *d = data;
    if (!sonde_buf_reserve(out, n / 3 * 4 + 4))
        return;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        uint32_t word = (uint32_t)d[i] << 16;
        word |= left > 1 ? (uint32_t)d[i + 1] << 8 : 0;
        word |= left > 2 ? d[i + 2] : 0;
        char text[4] = { digit[word >> 18], digit[word >> 12 & 63],
                         left > 1 ? digit[word >> 6 & 63] : '=',
                         left > 2 ? digit[word & 63] : '=' };
        sonde_buf_append(out, text, 4);
    }
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool sonde_base64_decode(struct sonde_buf *out, const char *text, size_t n)
{
    if (n % 4 != 0 || !sonde_buf_reserve(out, n / 4 * 3))
        return false;
    for (size_t i = 0; i < n; i += 4) {
        bool last = i + 4 == n;
        int pad = last && text[i + 3] == '=' ? text[i + 2] == '=' ? 2 : 1 : 0;
        uint32_t word = 0;
        for (int k = 0; k < 4; k++) {
            int digit = k >= 4 - pad ? 0 : base64_digit(text[i + (size_t)k]);
            if (digit < 0)
                return false;
            word = word << 6 | (uint32_t)digit;
        }
        /* bits beyond the last byte must be zero, so that every value has one spelling */
        if (pad && word & (pad == 1 ? 0xffu : 0xffffu))
            return false;
        char byte[3] = { (char)(word >> 16), (char)(word >> 8 & 0xff), (char)(word & 0xff) };
        sonde_buf_append(out, byte, (size_t)(3 - pad));
    }
    return !out->failed;
}
