#include "analysis/figure/png_encode.h"

#include <assert.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "analysis/display.h"

#define SIDE_MAX 1000000
/* Maps are large flat areas or noise in a few hundred colours: filters cost time and gain little.
 * Level 1 takes a third of level 3's time on noise (0.15 of 0.43 s for 2,048 x 2,048 cells) and
 * less on smooth maps, for files of nine tenths to eleven tenths of its bytes. */
#define LEVEL 1

static_assert(sizeof(struct sonde_color) == 3, "cells are copied as rows of RGB bytes");

struct job {
    const struct sonde_png_image *image;
    struct sonde_buf *out;
    uint8_t *row;           /* [3 * width] */
    struct sonde_buf *text; /* [n_texts] cleaned values */
    png_text *chunk;        /* [n_texts] */
    char empty[1];          /* stays "" */
    char message[200];
};

static void on_error(png_structp png, png_const_charp message)
{
    struct job *job = png_get_error_ptr(png);
    size_t n = strlen(message);
    n = n < sizeof(job->message) - 1 ? n : sizeof(job->message) - 1;
    memcpy(job->message, message, n);
    job->message[n] = '\0';
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_write(png_structp png, png_bytep data, size_t n)
{
    struct job *job = png_get_io_ptr(png);
    if (!sonde_buf_append(job->out, data, n))
        png_error(png, "out of memory");
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void fill_row(const struct job *job, int64_t y)
{
    const struct sonde_png_image *image = job->image;
    uint8_t *out = job->row;
    if (image->cell) {
        memcpy(out, image->cell + y * image->width, (size_t)image->width * 3);
        return;
    }
    const uint32_t *pixel = image->pixel + y * image->stride;
    for (int64_t x = 0; x < image->width; x++) {
        *out++ = (uint8_t)(pixel[x] >> 16);
        *out++ = (uint8_t)(pixel[x] >> 8);
        *out++ = (uint8_t)pixel[x];
    }
}

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* Values with control characters or broken UTF-8 would make a file that readers refuse. */
static bool prepare_text(struct job *job, int *n_chunks)
{
    int n = 0;
    for (int i = 0; i < job->image->n_texts; i++) {
        const struct sonde_png_text *text = &job->image->text[i];
        if (!text->value)
            continue;
        sonde_display_clean(&job->text[i], text->value, strlen(text->value));
        if (job->text[i].failed)
            return false;
        char *value = job->text[i].data ? job->text[i].data : job->empty;
        job->chunk[n++] = (png_text){
            .compression = is_ascii(value) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
            .key = (char *)(uintptr_t)text->key,
            .text = value,
            .text_length = strlen(value),
            .lang = job->empty,
            .lang_key = job->empty,
        };
    }
    *n_chunks = n;
    return true;
}

/* Everything that libpng may jump out of. */
static bool write_image(struct job *job, png_structp png, png_infop info, int n_chunks)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    const struct sonde_png_image *image = job->image;
    png_set_write_fn(png, job, on_write, on_flush);
    png_set_user_limits(png, SIDE_MAX, SIDE_MAX);
    png_set_compression_level(png, LEVEL);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (image->scale > 0) /* 96 points an inch */
        png_set_pHYs(png, info, (png_uint_32)(3780 * image->scale),
                     (png_uint_32)(3780 * image->scale), PNG_RESOLUTION_METER);
    if (n_chunks > 0)
        png_set_text(png, info, job->chunk, n_chunks);
    png_write_info(png, info);
    for (int64_t y = 0; y < image->height; y++) {
        fill_row(job, y);
        png_write_row(png, job->row);
    }
    png_write_end(png, NULL);
    return true;
}

enum sonde_status sonde_png_encode(const struct sonde_png_image *image, struct sonde_buf *out,
                                   struct sonde_error *error)
{
    if (image->width < 1 || image->height < 1 || image->width > SIDE_MAX ||
        image->height > SIDE_MAX)
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "PNG: %lld x %lld pixels, expected 1 to %d a side",
                               (long long)image->width, (long long)image->height, SIDE_MAX);
    size_t n = image->n_texts > 0 ? (size_t)image->n_texts : 1;
    size_t start = out->size;
    int n_chunks = 0;
    struct job job = { .image = image, .out = out };
    job.row = malloc((size_t)image->width * 3);
    job.text = calloc(n, sizeof(*job.text));
    job.chunk = calloc(n, sizeof(*job.chunk));
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool ready = job.row && job.text && job.chunk && info && prepare_text(&job, &n_chunks);
    bool ok = ready && write_image(&job, png, info, n_chunks);
    if (png)
        png_destroy_write_struct(&png, info ? &info : NULL);
    for (size_t i = 0; job.text && i < n; i++)
        sonde_buf_finish(&job.text[i]);
    free(job.text);
    free(job.chunk);
    free(job.row);
    if (!ok && !out->failed)
        out->size = start;
    if (!ready || out->failed)
        return sonde_error_memory(error, "a PNG image");
    return ok ? SONDE_STATUS_OK : sonde_error_set(error, SONDE_STATUS_IO, "PNG: %s", job.message);
}
