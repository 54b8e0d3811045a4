/* Renders the sample result in every format into a folder: render-sample FOLDER */
#include <stdio.h>
#include <string.h>

#include "analysis/report/result.h"
#include "core/base/file.h"
#include "analysis/report/article.h"
#include "tests/unit/analysis/sample.h"

static int save(const char *folder, const char *name, struct sonde_buf *out,
                enum sonde_status status, struct sonde_error *error)
{
    char path[1000];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (status == SONDE_STATUS_OK)
        status = sonde_file_save(path, out->data, out->size, error);
    sonde_buf_finish(out);
    if (status != SONDE_STATUS_OK)
        fprintf(stderr, "%s: %s\n", name, error->text);
    return status != SONDE_STATUS_OK;
}

/* Every part of an article, with the sample's hostile texts. */
static enum sonde_status render_article(const struct sonde_result *r, struct sonde_buf *out,
                                        struct sonde_error *error)
{
    static const char *const hostile = "<script>alert(1)</script> `a < b` & \"c\" \xff";
    const char *const text[] = { hostile, "an open ` alone", NULL };
    const char *const command[] = { "sonde probe linear '<b>' --labels upos -o x -", "", NULL };
    const char *const line[] = { "a \u00ab<i>\u00bb b \u00abc", hostile };
    const bool marked[] = { true, false };
    const struct sonde_article_number number = { "<1>", hostile };
    const struct sonde_article_card card = { hostile, hostile, line, 2, hostile, text, marked, 2 };
    const struct sonde_article_table table = { r->table[1], hostile };
    const struct sonde_figure *figure[] = { r->figure[0], r->figure[1] };
    const struct sonde_article_section section[] = {
        { .id = "first",
          .title = hostile,
          .text = text,
          .seen = hostile,
          .opposite = hostile,
          .figure = figure,
          .n_figures = 2,
          .card = &card,
          .n_cards = 1,
          .table = &table,
          .n_tables = 1,
          .command_title = hostile,
          .command = command },
        { .id = "second", .title = "beside", .seen = hostile, .figure = figure, .n_figures = 1 },
        { .id = "third", .title = "nothing" },
    };
    const struct sonde_article article = { .title = "Sample & <title>",
                                           .subtitle = hostile,
                                           .lead = text,
                                           .number = &number,
                                           .n_numbers = 1,
                                           .section = section,
                                           .n_sections = 3,
                                           .checks = r,
                                           .provenance = { .command = hostile } };
    return sonde_render_article(&article, out, error);
}

static int render(const char *folder, struct sonde_result *r)
{
    struct sonde_error error = { 0 };
    struct sonde_buf out = { 0 };
    const struct sonde_terminal_options narrow = { .width = 50, .max_rows = 3 };
    const struct sonde_terminal_options wide = { .width = 160, .color = true };
    const struct sonde_figure_provenance provenance = { .command = "sonde probe linear '<b>'",
                                                        .model_hash = "00ff",
                                                        .version = "0.1.0" };
    const struct sonde_result *const results[] = { r, r };
    const char *const time[] = { "2026-01-01 12:00:00 UTC", NULL };
    const struct sonde_html_page page = { .title = "Sample & <title>",
                                          .subtitle = "a store",
                                          .result = results,
                                          .result_time = time,
                                          .n_results = 2,
                                          .provenance = provenance };
    char figures[1000];
    snprintf(figures, sizeof(figures), "%s/figures", folder);
    int bad = save(folder, "result.json", &out, sonde_render_json(r, &out, &error), &error);
    bad += save(folder, "terminal.txt", &out, sonde_render_terminal(r, NULL, &out, &error), &error);
    bad += save(folder, "terminal-50.txt", &out, sonde_render_terminal(r, &narrow, &out, &error),
                &error);
    bad += save(folder, "terminal-color.txt", &out, sonde_render_terminal(r, &wide, &out, &error),
                &error);
    bad += save(folder, "result.md", &out, sonde_render_markdown(r, &out, &error), &error);
    bad += save(folder, "layers.csv", &out, sonde_render_csv(r->table[0], &out, &error), &error);
    bad += save(folder, "tokens.csv", &out, sonde_render_csv(r->table[1], &out, &error), &error);
    bad += save(folder, "page.html", &out, sonde_render_html(&page, &out, &error), &error);
    bad += save(folder, "article.html", &out, render_article(r, &out, &error), &error);
    if (sonde_result_write_figures(r, figures, &provenance, &error) != SONDE_STATUS_OK) {
        fprintf(stderr, "figures: %s\n", error.text);
        bad++;
    }
    bad += save(folder, "written.json", &out, sonde_render_json(r, &out, &error), &error);
    return bad;
}

int main(int argc, char **argv)
{
    struct sonde_error error = { 0 };
    if (argc != 2 || sonde_path_make_directory(argv[1], &error) != SONDE_STATUS_OK) {
        fprintf(stderr, "usage: render-sample FOLDER\n");
        return 2;
    }
    struct sonde_result *r = sample_make();
    int bad = render(argv[1], r);
    sonde_result_destroy(&r);
    return bad != 0;
}
