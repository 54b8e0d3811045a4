/* Every allocation of building, rendering, drawing and archiving a result fails once: there is an
 * error, no crash, no leak (under the sanitizer), and the next try works. */
#include <string.h>

#include "analysis/optimise.h"
#include "analysis/report/article.h"
#include "analysis/split.h"
#include "analysis/stats.h"
#include "tests/support/check.h"
#include "tests/unit/analysis/gallery.h"
#include "tests/unit/analysis/sample.h"

/* The wrapped allocator: the state of the one test program. */
static long countdown = -1; /* allocations until one fails; negative: never */
static long made;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool fails(void)
{
    made++;
    return countdown >= 0 && countdown-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

static enum sonde_status render_all(const struct sonde_result *r, struct sonde_buf *out,
                                    struct sonde_error *error)
{
    const struct sonde_html_page page = { .result = &r, .n_results = 1 };
    enum sonde_status status = sonde_render_json(r, out, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_render_terminal(r, NULL, out, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_render_markdown(r, out, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_render_html(&page, out, error);
    const char *const words[] = { "a `b` c", NULL };
    const struct sonde_figure *figure = r->figure[0];
    const struct sonde_article_section section = {
        .id = "a", .title = "b", .text = words, .figure = &figure, .n_figures = 1, .command = words
    };
    const struct sonde_article article = { .section = &section, .n_sections = 1, .checks = r };
    if (status == SONDE_STATUS_OK)
        status = sonde_render_article(&article, out, error);
    return status;
}

/* Building, archiving and reading back. */
static enum sonde_status build(struct sonde_error *error)
{
    struct sonde_buf archive = { 0 };
    struct sonde_result *r = sample_make(), *back = NULL;
    enum sonde_status status = sonde_result_status(r, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_result_archive(r, &archive, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_result_restore(&back, archive.data, archive.size, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_render_csv(back->table[0], &archive, error);
    sonde_buf_finish(&archive);
    sonde_result_destroy(&r);
    sonde_result_destroy(&back);
    return status;
}

/* One small result in all formats, its heatmap drawn twice over. */
static enum sonde_status draw(struct sonde_error *error)
{
    struct sonde_buf out = { 0 };
    struct sonde_result *r = sonde_result_create("c");
    static const char *const columns[] = { "a", "b", NULL };
    struct sonde_table *t = sonde_result_add_table(r, "t", columns);
    sonde_table_add_row(t);
    sonde_table_text(t, 0, " x");
    sonde_result_add_figure(r, gallery_make(15));
    sonde_result_add_figure(r, gallery_make(7));
    enum sonde_status status = sonde_result_status(r, error);
    if (status == SONDE_STATUS_OK)
        status = render_all(r, &out, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_figure_png(r->figure[0], NULL, &out, error);
    sonde_buf_finish(&out);
    sonde_result_destroy(&r);
    return status;
}

static double first(void *ctx, const int64_t *row, int64_t n)
{
    (void)ctx;
    return n > 0 ? (double)row[0] : 0;
}

static enum sonde_status compute(struct sonde_error *error)
{
    double x[] = { 3, 1, 2, 2 }, low, high, q;
    int64_t group[] = { 0, 1, 2, 3 }, n;
    int32_t truth[] = { 0, 1, 0, 1 }, fold[4];
    uint8_t side[4];
    uint64_t key[] = { 1, 2, 1, 2 };
    const struct sonde_bootstrap_options o = { .n_samples = 20 };
    enum sonde_status status = sonde_stats_spearman(x, x, 4, &q, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_stats_quantile(x, 4, 0.5, &q, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_stats_auroc(truth, x, 4, &q, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_stats_bootstrap(first, NULL, group, 4, &o, &low, &high, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_stats_bootstrap_mean(x, group, 4, &o, &low, &high, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_split_test(group, 4, 0.5, 1, side, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_split_folds(group, 4, 2, 1, fold, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_split_count_duplicates(group, key, side, 4, &n, error);
    return status;
}

/* Fails allocation 0, step, 2 step, ... of the work until it gets through. */
static void sweep(enum sonde_status (*work)(struct sonde_error *), long step)
{
    struct sonde_error error = { 0 };
    check_ok(work(&error), &error); /* fonts are found and kept now */
    made = 0;
    check_ok(work(&error), &error);
    long all = made;
    assert_true(all > 5);
    for (long k = 0; k < all; k += step) {
        countdown = k;
        error = (struct sonde_error){ 0 };
        enum sonde_status status = work(&error);
        bool hit = countdown < 0;
        countdown = -1;
        assert_true(hit);
        assert_int_equal(status, SONDE_STATUS_MEMORY);
        assert_true(strstr(error.text, "memory") != NULL);
    }
    printf("# %ld allocations\n", all);
    check_ok(work(&error), &error);
}

static void test_building(void **state)
{
    (void)state;
    sweep(build, 1);
}

static void test_drawing(void **state)
{
    (void)state;
    sweep(draw, 1);
}

static void test_computing(void **state)
{
    (void)state;
    sweep(compute, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_building),
        cmocka_unit_test(test_drawing),
        cmocka_unit_test(test_computing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
