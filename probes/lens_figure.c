#include "probes/lens_figure.h"

#include <stdio.h>
#include <stdlib.h>

#include "probes/select.h"

enum sonde_status sonde_lens_figure_begin(struct sonde_lens_figure *f, int64_t n_sites,
                                          int64_t first_row, int64_t end_row,
                                          struct sonde_error *error)
{
    const int64_t most = (int64_t)SONDE_LENS_FIGURE_COLUMNS * SONDE_LENS_FIGURES_MAX;
    int64_t n = end_row - first_row < most ? end_row - first_row : most;
    float *probability = calloc((size_t)(n_sites * n) + 1, sizeof(float));
    char **text = calloc((size_t)(n_sites * n) + 1, sizeof(char *));
    if (!probability || !text) {
        free(probability);
        free(text);
        return sonde_error_memory(error, "the lens table");
    }
    *f = (struct sonde_lens_figure){
        .n_sites = n_sites,
        .first_row = first_row,
        .n_rows = n,
        .n_wanted = end_row - first_row,
        .probability = probability,
        .text = text,
    };
    return SONDE_STATUS_OK;
}

void sonde_lens_figure_cell(struct sonde_lens_figure *f, int64_t site, int64_t row,
                            double probability, const char *token)
{
    int64_t column = row - f->first_row;
    if (column < 0 || column >= f->n_rows)
        return;
    struct sonde_buf shown = { 0 };
    sonde_select_show_token(token, &shown);
    f->probability[site * f->n_rows + column] = (float)probability;
    f->text[site * f->n_rows + column] = shown.data;
    f->failed = f->failed || shown.failed;
}

/* "blocks.3.hook_resid_mid" -> "3 mid"; other names as they are. */
static void site_label(const char *name, char *out, size_t n)
{
    struct sonde_site site;
    bool known = sonde_site_parse(name, &site);
    if (known && site.kind == SONDE_SITE_EMBED)
        snprintf(out, n, "embed");
    else if (known && site.kind == SONDE_SITE_RESID_PRE)
        snprintf(out, n, "%d pre", site.layer);
    else if (known && site.kind == SONDE_SITE_RESID_MID)
        snprintf(out, n, "%d mid", site.layer);
    else if (known && site.kind == SONDE_SITE_RESID_POST)
        snprintf(out, n, "%d post", site.layer);
    else
        snprintf(out, n, "%s", name);
}

static enum sonde_status set_ticks(struct sonde_figure *figure, const struct sonde_lens_figure *f,
                                   struct sonde_source *source, const char *const *site_name,
                                   int64_t first, int64_t n, struct sonde_error *error)
{
    char(*site)[SONDE_SITE_NAME_MAX] = calloc((size_t)f->n_sites, sizeof(*site));
    const char **label = calloc((size_t)(f->n_sites + n), sizeof(*label));
    struct sonde_buf token[SONDE_LENS_FIGURE_COLUMNS] = { { 0 } };
    bool ok = site && label;
    for (int64_t s = 0; s < f->n_sites && ok; s++) {
        site_label(site_name[s], site[s], sizeof(*site));
        label[s] = site[s];
    }
    for (int64_t i = 0; i < n && ok; i++) {
        const char *text = source->token_text(source, f->first_row + first + i);
        sonde_select_show_token(text ? text : "", &token[i]);
        ok = !token[i].failed;
        label[f->n_sites + i] = token[i].data;
    }
    if (ok) {
        sonde_figure_set_ticks(figure, &figure->y, label, f->n_sites);
        sonde_figure_set_ticks(figure, &figure->x, label + f->n_sites, n);
    }
    for (int64_t i = 0; i < n; i++)
        sonde_buf_finish(&token[i]);
    free(site);
    free(label);
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the lens table");
}

static enum sonde_status draw_part(const struct sonde_lens_figure *f, struct sonde_source *source,
                                   const char *const *site_name, int64_t part,
                                   struct sonde_result *result, struct sonde_error *error)
{
    int64_t first = part * SONDE_LENS_FIGURE_COLUMNS;
    int64_t n = f->n_rows - first < SONDE_LENS_FIGURE_COLUMNS ? f->n_rows - first
                                                              : SONDE_LENS_FIGURE_COLUMNS;
    int64_t sequence = source->token_sequence[f->first_row];
    int64_t position = f->first_row + first - source->sequences[sequence].first_row;
    char name[32], title[160], caption[320];
    snprintf(name, sizeof(name), part ? "lens-%lld" : "lens", (long long)part + 1);
    snprintf(title, sizeof(title), "Logit lens: sequence %lld, positions %lld to %lld",
             (long long)sequence, (long long)position, (long long)(position + n - 1));
    snprintf(caption, sizeof(caption),
             "In each cell the most likely next token, read from that site through the final norm "
             "and the unembedding.%s",
             f->n_rows < f->n_wanted ? " Later positions are not drawn." : "");
    struct sonde_figure *figure = sonde_figure_create(SONDE_FIGURE_TEXT, name, title);
    float *value = malloc((size_t)(f->n_sites * n) * sizeof(float));
    if (!figure || !value) {
        sonde_figure_destroy(&figure);
        free(value);
        return sonde_error_memory(error, "the lens table");
    }
    for (int64_t s = 0; s < f->n_sites; s++)
        for (int64_t i = 0; i < n; i++)
            value[s * n + i] = f->probability[s * f->n_rows + first + i];
    sonde_figure_set_axes(figure, "token fed", "site");
    sonde_figure_set_matrix(figure, f->n_sites, n, value);
    for (int64_t s = 0; s < f->n_sites; s++)
        for (int64_t i = 0; i < n; i++)
            sonde_figure_set_cell_text(figure, s, i, f->text[s * f->n_rows + first + i]);
    sonde_figure_set_scale(figure, SONDE_COLORMAP_SEQUENTIAL, "probability of that token", true, 0,
                           1);
    sonde_figure_set_caption(figure, caption);
    free(value);
    enum sonde_status status = set_ticks(figure, f, source, site_name, first, n, error);
    if (status)
        sonde_figure_destroy(&figure);
    else
        sonde_result_add_figure(result, figure);
    return status;
}

enum sonde_status sonde_lens_figure_draw(const struct sonde_lens_figure *f,
                                         struct sonde_source *source, const char *const *site_name,
                                         struct sonde_result *result, struct sonde_error *error)
{
    if (f->failed)
        return sonde_error_memory(error, "the lens table");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t part = 0; part * SONDE_LENS_FIGURE_COLUMNS < f->n_rows && !status; part++)
        status = draw_part(f, source, site_name, part, result, error);
    if (!status && f->n_rows < f->n_wanted)
        sonde_result_warn(result, "the lens is drawn for the first %lld of %lld positions",
                          (long long)f->n_rows, (long long)f->n_wanted);
    return status;
}

void sonde_lens_figure_finish(struct sonde_lens_figure *f)
{
    for (int64_t i = 0; f->text && i < f->n_sites * f->n_rows; i++)
        free(f->text[i]);
    free(f->text);
    free(f->probability);
    *f = (struct sonde_lens_figure){ 0 };
}
