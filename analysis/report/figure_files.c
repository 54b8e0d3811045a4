#include "analysis/report/result.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"

/* A figure's name as a file name: a name may hold a stream's or a token's text, and must neither
 * leave the directory nor hide. */
static bool put_stem(struct sonde_buf *out, const char *name)
{
    for (const char *c = name; *c; c++) {
        unsigned char u = (unsigned char)*c;
        bool keep = (u < 0x80 && isalnum(u)) || *c == '-' || *c == '_' || (*c == '.' && c != name);
        sonde_buf_putc(out, keep ? *c : '_');
    }
    if (out->size == 0)
        sonde_buf_puts(out, "figure");
    return !out->failed;
}

/* directory/stem[-k].extension; k > 0 tells figures of the same name apart. */
static char *make_path(const char *directory, const char *name, int64_t k, const char *extension)
{
    struct sonde_buf file = { 0 };
    char *path = NULL;
    if (put_stem(&file, name)) {
        if (k > 0)
            sonde_buf_printf(&file, "-%lld", (long long)k + 1);
        sonde_buf_puts(&file, extension);
        path = file.failed ? NULL : sonde_path_join(directory, file.data);
    }
    sonde_buf_finish(&file);
    return path;
}

static enum sonde_status write_one(struct sonde_result *r, int64_t i, const char *directory,
                                   const struct sonde_figure_provenance *provenance,
                                   struct sonde_error *error)
{
    const struct sonde_figure *f = r->figure[i];
    int64_t k = 0;
    for (int64_t j = 0; j < i; j++)
        k += strcmp(r->figure[j]->name, f->name) == 0;
    char *png = make_path(directory, f->name, k, ".png");
    char *svg = make_path(directory, f->name, k, ".svg");
    struct sonde_buf files = { 0 };
    enum sonde_status status = SONDE_STATUS_OK;
    if (!png || !svg)
        status = sonde_error_memory(error, f->name);
    if (status == SONDE_STATUS_OK)
        status = sonde_figure_write_png(f, png, provenance, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_figure_write_svg(f, svg, provenance, error);
    if (status == SONDE_STATUS_OK) {
        sonde_buf_printf(&files, "%s\n%s", png, svg);
        status = sonde_buf_status(&files, error);
    }
    if (status == SONDE_STATUS_OK) {
        free(r->figure_files[i]);
        r->figure_files[i] = files.data; /* the buffer's memory moves */
    } else {
        sonde_buf_finish(&files);
    }
    free(png);
    free(svg);
    return status;
}

enum sonde_status sonde_result_write_figures(struct sonde_result *r, const char *directory,
                                             const struct sonde_figure_provenance *provenance,
                                             struct sonde_error *error)
{
    if (r->n_figures == 0)
        return SONDE_STATUS_OK;
    enum sonde_status status = sonde_path_make_directory(directory, error);
    for (int64_t i = 0; i < r->n_figures && status == SONDE_STATUS_OK; i++)
        status = write_one(r, i, directory, provenance, error);
    return status;
}
