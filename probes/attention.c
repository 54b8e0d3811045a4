/* Attention patterns: a table of what each head looks at, and maps of a head, a layer, the model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/attention_read.h"
#include "probes/builtin.h"
#include "probes/select.h"

enum {
    MAP_CELLS = 1024, /* a side of one head's map */
    LAYER_CELLS = 128,
    MODEL_CELLS = 48,
    MAPS_MAX = 4, /* heads that are drawn one by one without being asked for */
    MAPS_ASKED_MAX = 64,
    LAYER_FIGURES_MAX = 12,
    TOKEN_TICKS_MAX = 256,
};

static const struct sonde_probe_option attention_options[] = {
    { "layers", SONDE_PROBE_TEXT, "all", NULL, "layers: 0,2-5,-1 or all" },
    { "heads", SONDE_PROBE_TEXT, "all", NULL, "heads: 0,2-5,-1 or all" },
    { "sequence", SONDE_PROBE_TEXT, "0", NULL,
      "number of the sequence, a list, or all; the first of them is drawn" },
    { "grid", SONDE_PROBE_CHOICE, "auto", "auto|head|layer|model|none",
      "what to draw: one map a head, a grid a layer, a grid of the model; auto: up to 4 heads one "
      "by "
      "one, more as grids" },
};

struct attention_layer {
    int64_t stream;
    int layer;
    struct sonde_attention_sums *sums; /* [H] */
    struct sonde_attention_map *map;   /* [H, N_MAPS] of the drawn sequence */
};

enum { OF_HEAD, OF_LAYER, OF_MODEL, N_MAPS };

struct attention {
    const struct sonde_builtin *run;
    struct sonde_source *source;
    int64_t H;
    bool *chosen_head, *chosen_sequence; /* [H], [n_sequences] */
    struct attention_layer *layer;       /* [n_layers] that are chosen */
    int64_t n_layers, n_heads;           /* chosen */
    int64_t drawn;                       /* sequence; -1 = none */
    bool draws[N_MAPS];
    struct sonde_buf text;
};

static int compare_layers(const void *a, const void *b)
{
    const struct attention_layer *x = a, *y = b;
    return (x->layer > y->layer) - (x->layer < y->layer);
}

static enum sonde_status find_layers(struct attention *a, struct sonde_error *error)
{
    const struct sonde_source *source = a->source;
    int n = sonde_select_n_layers(source);
    bool *chosen = calloc((size_t)n + 1, sizeof(bool));
    a->layer = calloc((size_t)source->n_streams + 1, sizeof(*a->layer));
    if (!chosen || !a->layer) {
        free(chosen);
        return sonde_error_memory(error, "the layers");
    }
    enum sonde_status status =
        sonde_select_numbers(sonde_builtin_text(a->run, "layers"), "layer", n, chosen, error);
    for (int64_t i = 0; i < source->n_streams && !status; i++) {
        const struct sonde_stream *stream = &source->streams[i];
        struct sonde_site site;
        if (stream->space != SONDE_ROWS_MAP || !sonde_site_parse(stream->name, &site) ||
            site.kind != SONDE_SITE_PATTERN || site.layer < 0 || site.layer >= n ||
            !chosen[site.layer])
            continue;
        if (a->H > 0 && stream->width != a->H)
            status = sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                     "%s: %lld heads, another layer has %lld", stream->name,
                                     (long long)stream->width, (long long)a->H);
        a->H = stream->width;
        a->layer[a->n_layers++] = (struct attention_layer){ .stream = i, .layer = site.layer };
    }
    free(chosen);
    if (!status && a->n_layers == 0)
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                                 "no attention pattern of layers %s is recorded (record --sites "
                                 "attn)",
                                 sonde_builtin_text(a->run, "layers"));
    if (!status)
        qsort(a->layer, (size_t)a->n_layers, sizeof(*a->layer), compare_layers);
    return status;
}

static void choose_figures(struct attention *a)
{
    const char *grid = sonde_builtin_text(a->run, "grid");
    int64_t n_maps = a->n_layers * a->n_heads;
    bool is_auto = strcmp(grid, "auto") == 0;
    a->draws[OF_HEAD] = strcmp(grid, "head") == 0 || (is_auto && n_maps <= MAPS_MAX);
    a->draws[OF_LAYER] =
        strcmp(grid, "layer") == 0 || (is_auto && n_maps > MAPS_MAX && a->n_heads > 1);
    a->draws[OF_MODEL] =
        strcmp(grid, "model") == 0 || (is_auto && n_maps > MAPS_MAX && a->n_layers > 1);
    if (a->draws[OF_HEAD] && n_maps > MAPS_ASKED_MAX) {
        a->draws[OF_HEAD] = false;
        sonde_result_warn(a->run->result,
                          "%lld heads are too many to draw one by one (at most %d): choose with "
                          "--layers and --heads",
                          (long long)n_maps, MAPS_ASKED_MAX);
    }
    if (a->draws[OF_LAYER] && a->n_layers > LAYER_FIGURES_MAX)
        sonde_result_warn(a->run->result, "grids are drawn for the first %d of %lld layers",
                          LAYER_FIGURES_MAX, (long long)a->n_layers);
}

static enum sonde_status prepare(struct attention *a, struct sonde_error *error)
{
    enum sonde_status status = find_layers(a, error);
    if (status)
        return status;
    a->chosen_head = calloc((size_t)a->H + 1, sizeof(bool));
    a->chosen_sequence = calloc((size_t)a->source->n_sequences + 1, sizeof(bool));
    if (!a->chosen_head || !a->chosen_sequence)
        return sonde_error_memory(error, "the heads");
    status = sonde_select_numbers(sonde_builtin_text(a->run, "heads"), "head", a->H, a->chosen_head,
                                  error);
    if (!status)
        status = sonde_select_numbers(sonde_builtin_text(a->run, "sequence"), "sequence",
                                      a->source->n_sequences, a->chosen_sequence, error);
    for (int64_t h = 0; h < a->H; h++)
        a->n_heads += a->chosen_head[h];
    a->drawn = -1;
    for (int64_t s = 0; s < a->source->n_sequences && a->drawn < 0; s++)
        if (a->chosen_sequence[s] && a->source->sequences[s].n_tokens > 0)
            a->drawn = s;
    if (!status && a->drawn < 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "the chosen sequences are empty");
    for (int64_t i = 0; i < a->n_layers && !status; i++) {
        a->layer[i].sums = calloc((size_t)a->H, sizeof(*a->layer[i].sums));
        a->layer[i].map = calloc((size_t)a->H * N_MAPS, sizeof(*a->layer[i].map));
        if (!a->layer[i].sums || !a->layer[i].map)
            status = sonde_error_memory(error, "the heads");
    }
    if (!status)
        choose_figures(a);
    return status;
}

static enum sonde_status read_head(struct attention *a, struct attention_layer *layer,
                                   int64_t sequence, int64_t head, struct sonde_error *error)
{
    static const int64_t cells[N_MAPS] = { MAP_CELLS, LAYER_CELLS, MODEL_CELLS };
    struct sonde_attention_map made[N_MAPS] = { { 0 } };
    int which[N_MAPS], n = 0;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int m = 0; m < N_MAPS && sequence == a->drawn && !status; m++) {
        if (!a->draws[m])
            continue;
        status = sonde_attention_map_init(&made[n], a->source->sequences[sequence].n_tokens,
                                          cells[m], error);
        which[n] = m;
        n += !status;
    }
    if (!status)
        status = sonde_attention_read(a->source, layer->stream, sequence, head,
                                      sonde_builtin_mem_bytes(a->run), &layer->sums[head], made, n,
                                      error);
    for (int m = 0; m < n; m++)
        layer->map[head * N_MAPS + which[m]] = made[m];
    return status;
}

static enum sonde_status read_all(struct attention *a, struct sonde_error *error)
{
    for (int64_t s = 0; s < a->source->n_sequences; s++) {
        if (!a->chosen_sequence[s])
            continue;
        for (int64_t i = 0; i < a->n_layers; i++) {
            for (int64_t h = 0; h < a->H; h++) {
                enum sonde_status status =
                    a->chosen_head[h] ? read_head(a, &a->layer[i], s, h, error) : SONDE_STATUS_OK;
                if (status)
                    return status;
            }
        }
        if (!sonde_progress_update(a->run->args->progress, "attention", s + 1,
                                   a->source->n_sequences, "sequences"))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    return SONDE_STATUS_OK;
}

enum { N_MEASURES = 4 };
static const char *const measure_names[N_MEASURES] = { "mean_distance", "entropy", "first_token",
                                                       "previous_token" };

static double measure(const struct sonde_attention_sums *sums, int which)
{
    double n = (double)sums->n_rows;
    switch (which) {
    case 0:
        return sums->distance / n;
    case 1:
        return sums->entropy / n;
    case 2:
        return sums->first / n;
    default:
        return sums->n_previous > 0 ? sums->previous / (double)sums->n_previous : (double)NAN;
    }
}

/* What an edit puts there need not be a distribution. A stored run says only that it was edited. */
static bool pattern_is_edited(const struct attention *a)
{
    bool edited = false;
    for (int h = 0; h < a->run->args->n_hooks; h++)
        for (int64_t i = 0; i < a->n_layers; i++)
            edited = edited || sonde_site_set_has(
                                   a->run->args->hooks[h].edit,
                                   (struct sonde_site){ SONDE_SITE_PATTERN, a->layer[i].layer });
    return edited;
}

static void put_heads(struct attention *a)
{
    static const char *const columns[] = { "layer",   "head",        "mean_distance",
                                           "entropy", "first_token", "previous_token",
                                           "rows",    NULL };
    struct sonde_table *t = sonde_result_add_table(a->run->result, "heads", columns);
    double off_one = 0.0, limit = 1e-5;
    int64_t n_nonfinite = 0;
    for (int64_t i = 0; i < a->n_layers; i++) {
        enum sonde_dtype dtype = a->source->streams[a->layer[i].stream].dtype;
        /* What rounding of the stored weights may do to a sum of 1: half a step of each, 2^-11 and
         * 2^-8 of it, and for f16 some 2^-25 for each weight below the normal numbers. */
        limit = dtype == SONDE_DTYPE_F16 ? 6e-4 : dtype == SONDE_DTYPE_BF16 ? 4e-3 : limit;
        for (int64_t h = 0; h < a->H; h++) {
            const struct sonde_attention_sums *sums = &a->layer[i].sums[h];
            if (!a->chosen_head[h])
                continue;
            sonde_table_add_row(t);
            sonde_table_i64(t, 0, a->layer[i].layer);
            sonde_table_i64(t, 1, h);
            for (int m = 0; m < N_MEASURES; m++)
                if (!isnan(measure(sums, m)))
                    sonde_table_f64(t, 2 + m, measure(sums, m));
            sonde_table_i64(t, 6, sums->n_rows);
            off_one = fmax(off_one, sums->off_one);
            n_nonfinite += sums->n_nonfinite;
        }
    }
    bool holds = off_one <= limit && n_nonfinite == 0;
    if (pattern_is_edited(a) || (a->run->args->edited && !holds))
        sonde_result_warn(
            a->run->result, "%s: whether the pattern's rows sum to 1 is not checked (off by %.3g)",
            a->run->args->edited ? "the run was recorded with edits" : "the pattern is edited",
            off_one);
    else
        sonde_result_check(a->run->result, "pattern rows sum to 1", holds, off_one,
                           limit < 2e-5   ? "<= 1e-5"
                           : limit < 2e-3 ? "<= 6e-4 (f16)"
                                          : "<= 4e-3 (bf16)");
    if (n_nonfinite > 0)
        sonde_result_warn(a->run->result, "%lld attention weights are not finite",
                          (long long)n_nonfinite);
}

/* Tokens along both axes, where every cell is one token. */
static enum sonde_status set_tokens(struct attention *a, struct sonde_figure *f, int64_t cells,
                                    struct sonde_error *error)
{
    const struct sonde_source_sequence *s = &a->source->sequences[a->drawn];
    if (cells != s->n_tokens || cells > TOKEN_TICKS_MAX)
        return SONDE_STATUS_OK;
    size_t *begin = calloc((size_t)cells + 1, sizeof(*begin));
    const char **tick = calloc((size_t)cells + 1, sizeof(*tick));
    sonde_buf_clear(&a->text);
    for (int64_t i = 0; i < cells && begin && tick; i++) {
        const char *token = a->source->token_text(a->source, s->first_row + i);
        begin[i] = a->text.size;
        sonde_select_show_token(token ? token : "", &a->text);
        sonde_buf_append(&a->text, "", 1);
    }
    bool ok = begin && tick && !a->text.failed;
    for (int64_t i = 0; i < cells && ok; i++)
        tick[i] = a->text.data + begin[i];
    if (ok) {
        sonde_figure_set_ticks(f, &f->x, tick, cells);
        sonde_figure_set_ticks(f, &f->y, tick, cells);
    }
    free(begin);
    free(tick);
    return ok ? SONDE_STATUS_OK : sonde_error_memory(error, "the tokens of an attention map");
}

static void set_map_caption(const struct attention *a, struct sonde_figure *f, int64_t cells)
{
    int64_t T = a->source->sequences[a->drawn].n_tokens;
    char text[160];
    if (cells >= T)
        return;
    snprintf(text, sizeof(text),
             "%lld x %lld weights; each cell is the largest of the weights that fall on it.",
             (long long)T, (long long)T);
    sonde_figure_set_caption(f, text);
}

/* Without token labels the axes count cells: their titles say how much a cell is. */
static void set_map_axes(struct attention *a, struct sonde_figure *f, int64_t cells)
{
    int64_t T = a->source->sequences[a->drawn].n_tokens;
    struct sonde_buf query = { 0 };
    sonde_buf_clear(&a->text);
    sonde_buf_puts(&a->text, "attended token (key)");
    sonde_buf_puts(&query, "attending token (query)");
    if (cells < T) {
        sonde_buf_printf(&a->text, ", %.3g a cell", (double)T / (double)cells);
        sonde_buf_printf(&query, ", %.3g a cell", (double)T / (double)cells);
    }
    sonde_figure_set_axes(f, a->text.data, query.data);
    sonde_buf_finish(&query);
}

static enum sonde_status draw_head(struct attention *a, const struct attention_layer *layer,
                                   int64_t head, struct sonde_error *error)
{
    const struct sonde_attention_map *map = &layer->map[head * N_MAPS + OF_HEAD];
    char name[64], title[128];
    snprintf(name, sizeof(name), "layer-%d-head-%lld", layer->layer, (long long)head);
    snprintf(title, sizeof(title), "Attention of layer %d, head %lld, sequence %lld", layer->layer,
             (long long)head, (long long)a->drawn);
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, name, title);
    enum sonde_status status = SONDE_STATUS_OK;
    if (f) {
        f->y_from_top = true;
        set_map_axes(a, f, map->cells);
        sonde_figure_set_matrix(f, map->cells, map->cells, map->value);
        sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "attention weight", true, 0, 1);
        set_map_caption(a, f, map->cells);
        status = set_tokens(a, f, map->cells, error);
    }
    sonde_result_add_figure(a->run->result, f);
    return status;
}

/* One panel a head: of one layer, or of all layers (a row of panels each). */
static void draw_grid(struct attention *a, int64_t first, int64_t n, int which)
{
    char name[64] = "model-heads", title[128], label[48];
    snprintf(title, sizeof(title), "Attention of every head, sequence %lld", (long long)a->drawn);
    if (which == OF_LAYER) {
        snprintf(name, sizeof(name), "layer-%d-heads", a->layer[first].layer);
        snprintf(title, sizeof(title), "Attention of layer %d, sequence %lld",
                 a->layer[first].layer, (long long)a->drawn);
    }
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_GRID, name, title);
    for (int64_t i = first; f && i < first + n; i++) {
        for (int64_t h = 0; h < a->H; h++) {
            const struct sonde_attention_map *map = &a->layer[i].map[h * N_MAPS + which];
            if (!a->chosen_head[h])
                continue;
            if (which == OF_LAYER)
                snprintf(label, sizeof(label), "head %lld", (long long)h);
            else
                snprintf(label, sizeof(label), "%d.%lld", a->layer[i].layer, (long long)h);
            sonde_figure_add_panel(f, label, map->cells, map->cells, map->value);
            set_map_caption(a, f, map->cells);
        }
    }
    if (f) {
        f->y_from_top = true;
        int64_t square = (int64_t)ceil(sqrt((double)a->n_heads));
        f->panel_columns = which == OF_MODEL ? a->n_heads : square < 4 ? square : 4;
        sonde_figure_set_axes(f, "key", "query");
        sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, "attention weight", true, 0, 1);
    }
    sonde_result_add_figure(a->run->result, f);
}

/* The table as a picture: a measure a figure, layers by heads. */
static enum sonde_status draw_measures(struct attention *a, struct sonde_error *error)
{
    static const char *const titles[N_MEASURES] = { "Mean attention distance in tokens",
                                                    "Entropy of the attention in nats",
                                                    "Attention on the first token",
                                                    "Attention on the previous token" };
    static const char *const names[N_MEASURES] = { "heads-mean-distance", "heads-entropy",
                                                   "heads-first-token", "heads-previous-token" };
    int64_t cells = a->n_layers * a->n_heads;
    float *value = malloc((size_t)cells * sizeof(float));
    char(*label)[24] = calloc((size_t)(a->n_layers + a->n_heads), sizeof(*label));
    const char **tick = calloc((size_t)(a->n_layers + a->n_heads), sizeof(*tick));
    if (!value || !label || !tick) {
        free(value);
        free(label);
        free(tick);
        return sonde_error_memory(error, "the picture of the heads");
    }
    for (int64_t i = 0; i < a->n_layers; i++)
        snprintf(label[i], sizeof(*label), "%d", a->layer[i].layer);
    for (int64_t h = 0, n = 0; h < a->H; h++)
        if (a->chosen_head[h])
            snprintf(label[a->n_layers + n++], sizeof(*label), "%lld", (long long)h);
    for (int64_t i = 0; i < a->n_layers + a->n_heads; i++)
        tick[i] = label[i];
    for (int m = 0; m < N_MEASURES; m++) {
        for (int64_t i = 0, n = 0; i < a->n_layers; i++)
            for (int64_t h = 0; h < a->H; h++)
                if (a->chosen_head[h])
                    value[n++] = (float)measure(&a->layer[i].sums[h], m);
        struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_HEATMAP, names[m], titles[m]);
        if (f) {
            sonde_figure_set_axes(f, "head", "layer");
            sonde_figure_set_matrix(f, a->n_layers, a->n_heads, value);
            sonde_figure_set_ticks(f, &f->y, tick, a->n_layers);
            sonde_figure_set_ticks(f, &f->x, tick + a->n_layers, a->n_heads);
            sonde_figure_set_scale(f, SONDE_COLORMAP_SEQUENTIAL, measure_names[m], m >= 2, 0, 1);
        }
        sonde_result_add_figure(a->run->result, f);
    }
    free(value);
    free(label);
    free(tick);
    return SONDE_STATUS_OK;
}

static enum sonde_status draw_all(struct attention *a, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < a->n_layers && a->draws[OF_HEAD]; i++)
        for (int64_t h = 0; h < a->H && !status; h++)
            if (a->chosen_head[h])
                status = draw_head(a, &a->layer[i], h, error);
    if (a->draws[OF_MODEL])
        draw_grid(a, 0, a->n_layers, OF_MODEL);
    for (int64_t i = 0; i < a->n_layers && i < LAYER_FIGURES_MAX && a->draws[OF_LAYER]; i++)
        draw_grid(a, i, 1, OF_LAYER);
    if (!status && a->n_layers * a->n_heads > 1 &&
        strcmp(sonde_builtin_text(a->run, "grid"), "none") != 0)
        status = draw_measures(a, error);
    return status;
}

static void finish(struct attention *a)
{
    for (int64_t i = 0; i < a->n_layers; i++) {
        for (int64_t m = 0; a->layer[i].map && m < a->H * N_MAPS; m++)
            sonde_attention_map_finish(&a->layer[i].map[m]);
        free(a->layer[i].map);
        free(a->layer[i].sums);
    }
    free(a->layer);
    free(a->chosen_head);
    free(a->chosen_sequence);
    sonde_buf_finish(&a->text);
}

static enum sonde_status attention_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    struct attention a = { .run = run, .source = run->args->source };
    enum sonde_status status = prepare(&a, error);
    if (!status)
        status = read_all(&a, error);
    if (!status) {
        put_heads(&a);
        status = draw_all(&a, error);
    }
    finish(&a);
    return status;
}

static int32_t attention_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, attention_body);
}

static int32_t attention_sites(const struct sonde_probe_host *host, char *out, size_t n)
{
    return sonde_select_layer_sites(host->option(host->ctx, "layers"), "attn.hook_pattern", out, n)
               ? SONDE_PROBE_OK
               : SONDE_PROBE_ARGUMENT;
}

const struct sonde_probe sonde_probe_attention = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "attention",
    .version = "1",
    .summary = "attention maps of a head, a layer or the model, and what each head looks at",
    .description =
        "From recorded attention patterns: for each head, as means over the query rows of the "
        "chosen sequences, the attention distance in tokens, the entropy in nats, the share on the "
        "first token and (from the second row on) on the previous token. Maps are read row by row "
        "and made smaller on the way by block maxima, so that long texts need little memory. "
        "Checked: every row sums to 1.",
    .options = attention_options,
    .n_options = sizeof(attention_options) / sizeof(attention_options[0]),
    .needs = SONDE_PROBE_NEEDS_STREAMS,
    .sites = "attn",
    .select_sites = attention_sites,
    .run = attention_run,
};
