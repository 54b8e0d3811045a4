/* A picture of 512 x 512 pixels as PNG, without fonts: count_png FILE. For instructions.py. */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figure/png_encode.h"
#include "core/base/file.h"
#include "core/base/rng.h"

enum { SIZE = 512, COARSE = 8 };

int main(int argc, char **argv)
{
    struct sonde_error error = { 0 };
    struct sonde_buf out = { 0 };
    struct sonde_color *cell = calloc((size_t)SIZE * SIZE, sizeof(*cell));
    if (argc != 2 || !cell)
        return 2;
    /* A heat map: squares of one random colour each, and a smooth half. */
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++) {
            struct sonde_rng rng = sonde_rng_make((uint64_t)(y / COARSE), (uint64_t)(x / COARSE));
            uint8_t value = (uint8_t)(x < SIZE / 2 ? sonde_rng_below(&rng, 256) : (x + y) / 4);
            cell[y * SIZE + x] = (struct sonde_color){ value, (uint8_t)(255 - value), 128 };
        }
    const struct sonde_png_image image = { .width = SIZE, .height = SIZE, .cell = cell };
    enum sonde_status status = sonde_png_encode(&image, &out, &error);
    if (!status)
        status = sonde_file_save(argv[1], out.data, out.size, &error);
    if (status)
        fprintf(stderr, "count_png: %s\n", error.text);
    sonde_buf_finish(&out);
    free(cell);
    return status ? 2 : 0;
}
