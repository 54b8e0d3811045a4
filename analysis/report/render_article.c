#include "analysis/report/article.h"

#include <stdio.h>
#include <string.h>

#include "analysis/report/html_parts.h"
#include "analysis/report/html_style.h"

#define MARK_OPEN "\u00ab"
#define MARK_CLOSE "\u00bb"

static void put_part(struct sonde_buf *out, const char *text, size_t n)
{
    struct sonde_buf part = { 0 };
    sonde_buf_append(&part, text, n);
    sonde_html_text(out, part.data ? part.data : "");
    out->failed = out->failed || part.failed;
    sonde_buf_finish(&part);
}

/* Text where what stands between `open` and `close` becomes an element. */
static void put_marked(struct sonde_buf *out, const char *text, const char *open, const char *close,
                       const char *element)
{
    for (;;) {
        const char *begin = strstr(text, open);
        const char *end = begin ? strstr(begin + strlen(open), close) : NULL;
        if (!end)
            break;
        put_part(out, text, (size_t)(begin - text));
        begin += strlen(open);
        sonde_buf_printf(out, "<%s>", element);
        put_part(out, begin, (size_t)(end - begin));
        sonde_buf_printf(out, "</%s>", element);
        text = end + strlen(close);
    }
    sonde_html_text(out, text);
}

static void put_prose(struct sonde_buf *out, const char *text)
{
    put_marked(out, text, "`", "`", "code");
}

static void put_paragraphs(struct sonde_buf *out, const char *const *text, const char *style)
{
    for (; text && *text; text++) {
        sonde_buf_printf(out, "<p%s>", style);
        put_prose(out, *text);
        sonde_buf_puts(out, "</p>\n");
    }
}

static void put_claim(struct sonde_buf *out, const char *title, const char *text)
{
    if (!text)
        return;
    sonde_buf_printf(out, "<div><h3>%s</h3><p>", title);
    put_prose(out, text);
    sonde_buf_puts(out, "</p></div>\n");
}

static void put_card(struct sonde_buf *out, const struct sonde_article_card *card)
{
    sonde_buf_puts(out, "<article class=\"card\">\n<h3>");
    put_prose(out, card->title);
    if (card->note) {
        sonde_buf_puts(out, " <small>");
        put_prose(out, card->note);
        sonde_buf_puts(out, "</small>");
    }
    sonde_buf_puts(out, "</h3>\n<ul class=\"lines\">\n");
    for (int64_t i = 0; i < card->n_lines; i++) {
        sonde_buf_puts(out, "<li>");
        put_marked(out, card->line[i], MARK_OPEN, MARK_CLOSE, "mark");
        sonde_buf_puts(out, "</li>\n");
    }
    sonde_buf_puts(out, "</ul>\n");
    if (card->n_chips > 0) {
        sonde_buf_puts(out, "<p class=\"chips\">");
        if (card->chips_title) {
            sonde_buf_puts(out, "<b>");
            put_prose(out, card->chips_title);
            sonde_buf_puts(out, "</b> ");
        }
        for (int64_t i = 0; i < card->n_chips; i++) {
            bool marked = card->chip_marked && card->chip_marked[i];
            sonde_buf_puts(out, marked ? "<span class=\"strong\">" : "<span>");
            sonde_html_text(out, card->chip[i]);
            sonde_buf_puts(out, "</span> ");
        }
        sonde_buf_puts(out, "</p>\n");
    }
    sonde_buf_puts(out, "</article>\n");
}

static enum sonde_status put_figures(struct sonde_buf *out, const struct sonde_article *a,
                                     const struct sonde_article_section *s,
                                     struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    if (s->n_figures > 0)
        sonde_buf_puts(out, "<div class=\"figures\">\n");
    for (int64_t i = 0; i < s->n_figures && status == SONDE_STATUS_OK; i++) {
        /* a table of tokens keeps its size and scrolls; a grid of maps wants more room */
        enum sonde_figure_kind kind = s->figure[i]->kind;
        sonde_buf_printf(out, "<figure%s tabindex=\"0\">\n",
                         kind == SONDE_FIGURE_TEXT   ? " class=\"whole\""
                         : kind == SONDE_FIGURE_GRID ? " class=\"grid\""
                                                     : "");
        status = sonde_html_picture(out, s->figure[i], &a->provenance, error);
        sonde_buf_puts(out, "</figure>\n");
    }
    if (s->n_figures > 0)
        sonde_buf_puts(out, "</div>\n");
    return status;
}

static void put_tables(struct sonde_buf *out, const struct sonde_article_section *s)
{
    for (int64_t i = 0; i < s->n_tables; i++) {
        if (s->table[i].caption) {
            sonde_buf_puts(out, "<p class=\"caption\">");
            put_prose(out, s->table[i].caption);
            sonde_buf_puts(out, "</p>\n");
        }
        sonde_buf_puts(out, "<div class=\"scroll\" tabindex=\"0\">");
        sonde_html_table(out, s->table[i].table, s->table[i].table->n_rows);
        sonde_buf_puts(out, "</div>\n");
    }
}

/* A command line; options are set apart, and never broken at their hyphens. */
static void put_command_line(struct sonde_buf *out, const char *line)
{
    sonde_buf_puts(out, "<code>");
    while (*line) {
        size_t n = strcspn(line, " ");
        bool option = line[0] == '-' && n > 1;
        sonde_buf_puts(out, option ? "<i>" : "");
        put_part(out, line, n);
        sonde_buf_puts(out, option ? "</i>" : "");
        line += n;
        if (*line == ' ') {
            sonde_buf_putc(out, ' ');
            line++;
        }
    }
    sonde_buf_puts(out, "</code>\n");
}

static void put_command(struct sonde_buf *out, const struct sonde_article_section *s)
{
    const char *const *command = s->command;
    if (!command || !*command)
        return;
    sonde_buf_puts(out, "<details open class=\"command\"><summary>");
    put_prose(out, s->command_title ? s->command_title : "Make this part yourself");
    sonde_buf_puts(out, "</summary>\n<pre tabindex=\"0\">");
    for (; *command; command++)
        put_command_line(out, *command);
    sonde_buf_puts(out, "</pre></details>\n");
}

static void put_claims(struct sonde_buf *out, const struct sonde_article_section *s)
{
    if (!s->seen && !s->opposite)
        return;
    sonde_buf_puts(out, "<div class=\"claims\">\n");
    put_claim(out, "What is seen", s->seen);
    put_claim(out, "What would show the opposite", s->opposite);
    sonde_buf_puts(out, "</div>\n");
}

static void put_cards(struct sonde_buf *out, const struct sonde_article_section *s)
{
    if (s->n_cards > 0)
        sonde_buf_puts(out, "<div class=\"cards\">\n");
    for (int64_t i = 0; i < s->n_cards; i++)
        put_card(out, &s->card[i]);
    if (s->n_cards > 0)
        sonde_buf_puts(out, "</div>\n");
}

/* One picture stands beside the text, several stand below it side by side. */
static enum sonde_status put_section(struct sonde_buf *out, const struct sonde_article *a,
                                     int64_t index, struct sonde_error *error)
{
    const struct sonde_article_section *s = &a->section[index];
    bool beside = s->n_figures == 1 && s->figure[0]->kind != SONDE_FIGURE_TEXT;
    sonde_buf_printf(out, "<section id=\"%s\">\n<h2><span>%lld</span> ", s->id,
                     (long long)index + 1);
    put_prose(out, s->title);
    sonde_buf_puts(out, beside ? "</h2>\n<div class=\"beside\">\n<div>\n" : "</h2>\n");
    put_paragraphs(out, s->text, "");
    if (beside) {
        put_claims(out, s);
        sonde_buf_puts(out, "</div>\n");
    }
    enum sonde_status status = put_figures(out, a, s, error);
    if (beside)
        sonde_buf_puts(out, "</div>\n");
    put_cards(out, s);
    put_tables(out, s);
    if (!beside)
        put_claims(out, s);
    put_command(out, s);
    sonde_buf_puts(out, "</section>\n");
    return status;
}

static void put_header(struct sonde_buf *out, const struct sonde_article *a)
{
    sonde_buf_puts(out, "<header>\n<h1>");
    sonde_html_text(out, a->title ? a->title : "Sonde");
    sonde_buf_puts(out, "</h1>\n");
    if (a->subtitle) {
        sonde_buf_puts(out, "<p class=\"subtitle\">");
        put_prose(out, a->subtitle);
        sonde_buf_puts(out, "</p>\n");
    }
    put_paragraphs(out, a->lead, " class=\"lead\"");
    if (a->n_numbers > 0) {
        sonde_buf_puts(out, "<ul class=\"numbers\">\n");
        for (int64_t i = 0; i < a->n_numbers; i++) {
            sonde_buf_puts(out, "<li><b>");
            sonde_html_text(out, a->number[i].value);
            sonde_buf_puts(out, "</b> ");
            put_prose(out, a->number[i].what);
            sonde_buf_puts(out, "</li>\n");
        }
        sonde_buf_puts(out, "</ul>\n");
    }
    sonde_buf_puts(out, "<nav aria-label=\"Contents\"><ol>\n");
    for (int64_t i = 0; i < a->n_sections; i++) {
        sonde_buf_printf(out, "<li><a href=\"#%s\">", a->section[i].id);
        put_prose(out, a->section[i].title);
        sonde_buf_puts(out, "</a></li>\n");
    }
    sonde_buf_puts(out, "</ol></nav>\n</header>\n");
}

enum sonde_status sonde_render_article(const struct sonde_article *a, struct sonde_buf *out,
                                       struct sonde_error *error)
{
    sonde_html_head(out, a->title ? a->title : "Sonde", sonde_html_article_style, "light");
    put_header(out, a);
    sonde_buf_puts(out, "<main>\n");
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < a->n_sections && status == SONDE_STATUS_OK; i++)
        status = put_section(out, a, i, error);
    if (a->checks && a->checks->n_checks > 0) {
        sonde_buf_puts(out, "<section id=\"checks\">\n");
        sonde_html_checks(out, a->checks);
        sonde_buf_puts(out, "</section>\n");
    }
    sonde_buf_puts(out, "</main>\n");
    sonde_html_footer(out, &a->provenance);
    sonde_buf_puts(out, "</body>\n</html>\n");
    return status == SONDE_STATUS_OK ? sonde_buf_status(out, error) : status;
}
