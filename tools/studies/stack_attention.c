/* Emergent stack: where attention looks, for a few strings, and how even it is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/studies/stack_subjects.h"

#define STRINGS 3

/* Mean over the queries behind the first of entropy / log(number of keys): 1 = uniform. */
static double evenness(const float *pattern /* [n, n] */, int64_t n)
{
    double sum = 0;
    for (int64_t q = 1; q < n; q++) {
        double entropy = 0;
        for (int64_t k = 0; k <= q; k++) {
            double p = (double)pattern[q * n + k];
            entropy -= p > 0 ? p * log(p) : 0;
        }
        sum += entropy / log((double)(q + 1));
    }
    return n > 1 ? sum / (double)(n - 1) : (double)NAN;
}

static void add_figure(struct sonde_result *section, const struct sonde_stack_subject *s,
                       int64_t index, const char *text, int64_t n, float *pattern)
{
    char name[64], title[128];
    const char **tick = calloc((size_t)n + 1, sizeof(*tick));
    char(*symbol)[2] = calloc((size_t)n + 1, sizeof(*symbol));
    snprintf(name, sizeof(name), "attention-%s-%lld", s->slug, (long long)index + 1);
    snprintf(title, sizeof(title), "%s: attention of head 0, string %lld", s->name,
             (long long)index + 1);
    struct sonde_figure *figure = sonde_figure_create(SONDE_FIGURE_HEATMAP, name, title);
    for (int64_t q = 0; q < n; q++)
        for (int64_t k = q + 1; k < n; k++)
            pattern[q * n + k] = NAN;
    for (int64_t i = 0; tick && symbol && i < n; i++) {
        symbol[i][0] = text[i];
        tick[i] = symbol[i];
    }
    if (figure && tick && symbol) {
        sonde_figure_set_axes(figure, "key", "query");
        sonde_figure_set_matrix(figure, n, n, pattern);
        sonde_figure_set_ticks(figure, &figure->x, tick, n);
        sonde_figure_set_ticks(figure, &figure->y, tick, n);
        sonde_figure_set_scale(figure, SONDE_COLORMAP_SEQUENTIAL, "attention", true, 0, 1);
        figure->y_from_top = true;
    }
    free(tick);
    free(symbol);
    sonde_result_add_figure(section, figure);
}

static enum sonde_status show(struct sonde_result *section, struct sonde_table *t,
                              const struct sonde_stack_subject *s, struct sonde_source *source,
                              const struct sonde_lab_strings *strings, struct sonde_error *error)
{
    int64_t stream = sonde_source_find_stream(source, "blocks.0.attn.hook_pattern");
    if (stream < 0)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND, "no attention pattern was recorded");
    int64_t heads = source->streams[stream].width;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < source->n_sequences; i++) {
        int64_t n;
        const char *text = sonde_lab_string(strings, i, &n);
        float *pattern = calloc((size_t)(heads * n * n), sizeof(*pattern));
        status = pattern ? source->read_map(source, stream, i, pattern, error)
                         : sonde_error_memory(error, "a pattern");
        for (int64_t h = 0; !status && h < heads; h++) {
            char copy[64];
            snprintf(copy, sizeof(copy), "%.*s", (int)n, text);
            sonde_table_add_row(t);
            sonde_table_text(t, 0, s->slug);
            sonde_table_text(t, 1, copy);
            sonde_table_i64(t, 2, h);
            sonde_table_f64(t, 3, evenness(pattern + h * n * n, n));
        }
        if (!status)
            add_figure(section, s, i, text, n, pattern);
        free(pattern);
    }
    return status;
}

static enum sonde_status attend(struct sonde_stack *stack, struct sonde_result *section,
                                struct sonde_table *t, const struct sonde_stack_subject *s,
                                struct sonde_error *error)
{
    struct sonde_lab_strings strings = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    char run[64], spec[96];
    snprintf(run, sizeof(run), "%s-attention", s->slug);
    /* The walk: strings of Shuffle-k that really are shuffled. */
    snprintf(spec, sizeof(spec), "%s:n=%d,len=20..20,seed=%lld,generator=walk", s->language->name,
             STRINGS, (long long)stack->lab->cli->common.seed);
    const struct sonde_lab_recording what = { .name = run, .sites = "attn" };
    enum sonde_status status = sonde_lab_strings_generate(&strings, "attention", spec, error);
    if (!status)
        status = sonde_lab_record(stack->lab, s->model, &strings, &what, error);
    if (!status)
        status = sonde_store_open(&store, stack->lab->store, SONDE_STORE_READ, error);
    if (!status)
        status = sonde_store_open_source(store, run, 0, &source, error);
    if (!status)
        status = show(section, t, s, source, &strings, error);
    if (source)
        source->destroy(&source);
    sonde_store_close(&store);
    sonde_lab_strings_finish(&strings);
    return status;
}

enum sonde_status sonde_stack_attention(struct sonde_stack *stack, struct sonde_error *error)
{
    static const char *const columns[] = { "model", "string", "head", "evenness", NULL };
    struct sonde_result *section = sonde_lab_section(
        stack->lab, "Attention",
        "Evenness: entropy of a query's attention over the logarithm of the number of keys, mean "
        "of the string; 1 is uniform. Uniform attention averages +1 and -1: depth/length.");
    struct sonde_table *t = sonde_result_add_table(section, "attention", columns);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; !status && i < stack->n; i++)
        status = attend(stack, section, t, &stack->subject[i], error);
    return status;
}
