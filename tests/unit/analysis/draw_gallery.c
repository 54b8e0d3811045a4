/* Draws the gallery, or figure K of it, into a folder as NN.png and NN.svg, for looking at:
 * draw-gallery FOLDER [K] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/file.h"
#include "tests/unit/analysis/gallery.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct sonde_error error = { 0 };
    const struct sonde_figure_provenance provenance = { "sonde gallery", "0123abcd", "0.1.0" };
    if (argc < 2 || argc > 3 || sonde_path_make_directory(argv[1], &error) != SONDE_STATUS_OK) {
        fprintf(stderr, "usage: draw-gallery FOLDER [K]\n");
        return 2;
    }
    int only = argc == 3 ? atoi(argv[2]) : -1;
    for (int k = 0; k < GALLERY_SIZE; k++) {
        if (only >= 0 && k != only)
            continue;
        char path[1000];
        struct sonde_figure *f = gallery_make(k);
        double start = now();
        snprintf(path, sizeof(path), "%s/%02d.png", argv[1], k);
        enum sonde_status status = sonde_figure_write_png(f, path, &provenance, &error);
        double png = now();
        snprintf(path, sizeof(path), "%s/%02d.svg", argv[1], k);
        if (status == SONDE_STATUS_OK)
            status = sonde_figure_write_svg(f, path, &provenance, &error);
        printf("%02d %-16s png %.3f s, svg %.3f s %s\n", k, f->name, png - start, now() - png,
               status == SONDE_STATUS_OK ? "" : error.text);
        sonde_figure_destroy(&f);
    }
    return 0;
}
