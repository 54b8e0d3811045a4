/* The logit lens: what each place of the residual stream would say if it were the last. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stats.h"
#include "core/base/num.h"
#include "probes/builtin.h"
#include "probes/lens_figure.h"
#include "probes/lens_read.h"
#include "probes/select.h"

enum {
    TABLE_SEQUENCES_MAX = 8, /* of --sequence all: that many are written out position by position */
    TOP_MAX = 100,
};

static const struct sonde_probe_option lens_options[] = {
    { "sites", SONDE_PROBE_TEXT, NULL, NULL,
      "pattern of the sites to read; default: the embedding and all of the residual stream" },
    { "top", SONDE_PROBE_INTEGER, "5", NULL, "tokens that are named at each site" },
    { "sequence", SONDE_PROBE_TEXT, "0", NULL, "number of the sequence, a list, or all" },
    { "first", SONDE_PROBE_INTEGER, "0", NULL, "first position to read" },
    { "last", SONDE_PROBE_INTEGER, "-1", NULL, "last position to read; negative from the end" },
};

struct lens_site {
    int64_t stream;
    int kind, layer;
    double kl, entropy, logprob, agrees, hits; /* sums */
    double *rank;                              /* [n_next] of the true next token */
    int64_t rank_capacity;
};

struct lens {
    const struct sonde_builtin *run;
    struct sonde_source *source;
    const struct sonde_model *model;
    struct lens_site *site; /* [n_sites]; the last is the final one */
    int64_t n_sites, n_rows, n_next, k;
    int64_t logits_stream; /* -1 = not recorded */
    int64_t first, last;   /* positions, as asked for */
    bool *chosen;          /* [n_sequences] */
    struct sonde_table *lens_table, *next_table;
    int64_t n_written; /* sequences in these tables */
    double off_logits, largest_logit;
    struct sonde_lens_figure figure;
    struct sonde_buf text;
};

/* Buffers of a wave of blocks: one block a thread. */
struct wave {
    int64_t n_blocks, block_rows;
    struct sonde_lens_block *block;     /* [n_blocks] */
    float *x;                           /* [n_blocks, n_sites, block_rows, D] */
    float *logits;                      /* [n_blocks, block_rows, V] or NULL */
    int32_t *next;                      /* [n_blocks, block_rows] */
    struct sonde_lens_reading *reading; /* [n_blocks, n_sites, block_rows] */
    struct sonde_top_entry *top;        /* [n_blocks, n_sites, block_rows, k] */
};

static int compare_sites(const void *a, const void *b)
{
    const struct lens_site *x = a, *y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return (x->kind > y->kind) - (x->kind < y->kind);
}

static bool is_read(const struct lens *l, const struct sonde_stream *stream,
                    const struct sonde_site *site, const char *pattern)
{
    int64_t D = sonde_model_spec(l->model)->d_model;
    if (stream->space != SONDE_ROWS_TOKEN || stream->width != D)
        return false;
    if (pattern)
        return sonde_select_matches(pattern, stream->name, sonde_model_spec(l->model)->n_layers);
    /* Without positions or a norm in between, the first block's input is the embedding again. */
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    bool pre_differs = spec->position == SONDE_POSITION_LEARNED || spec->norm_embedding;
    return site->kind == SONDE_SITE_EMBED || site->kind == SONDE_SITE_RESID_MID ||
           site->kind == SONDE_SITE_RESID_POST ||
           (site->kind == SONDE_SITE_RESID_PRE && site->layer == 0 && pre_differs);
}

static enum sonde_status choose_sites(struct lens *l, struct sonde_error *error)
{
    const struct sonde_source *source = l->source;
    const char *pattern = sonde_builtin_text(l->run, "sites");
    int last_layer = sonde_model_spec(l->model)->n_layers - 1;
    l->site = calloc((size_t)source->n_streams + 1, sizeof(*l->site));
    if (!l->site)
        return sonde_error_memory(error, "the sites");
    struct lens_site final = { .stream = -1 };
    l->logits_stream = -1;
    for (int64_t i = 0; i < source->n_streams; i++) {
        const struct sonde_stream *stream = &source->streams[i];
        struct sonde_site site;
        if (!sonde_site_parse(stream->name, &site))
            continue;
        struct lens_site found = { .stream = i, .kind = (int)site.kind, .layer = site.layer };
        if (site.kind == SONDE_SITE_LOGITS && stream->space == SONDE_ROWS_TOKEN)
            l->logits_stream = i;
        if (site.kind == SONDE_SITE_RESID_POST && site.layer == last_layer)
            final = found;
        else if (is_read(l, stream, &site, pattern))
            l->site[l->n_sites++] = found;
    }
    if (final.stream < 0)
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                               "blocks.%d.hook_resid_post is not recorded: the lens compares with "
                               "it (record --sites resid)",
                               last_layer);
    int64_t D = sonde_model_spec(l->model)->d_model;
    if (source->streams[final.stream].width != D)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: width %lld, the model has %lld",
                               source->streams[final.stream].name,
                               (long long)source->streams[final.stream].width, (long long)D);
    if (pattern && l->n_sites == 0 &&
        !sonde_select_matches(pattern, source->streams[final.stream].name, last_layer + 1))
        return sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                               "--sites \"%s\": no recorded site of the residual stream matches",
                               pattern);
    qsort(l->site, (size_t)l->n_sites, sizeof(*l->site), compare_sites);
    l->site[l->n_sites++] = final;
    return SONDE_STATUS_OK;
}

static enum sonde_status choose_rows(struct lens *l, struct sonde_error *error)
{
    enum sonde_status status = sonde_builtin_integer(l->run, "top", 1, TOP_MAX, &l->k, error);
    if (!status)
        status = sonde_builtin_integer(l->run, "first", 0, INT32_MAX, &l->first, error);
    if (!status)
        status = sonde_builtin_integer(l->run, "last", -INT32_MAX, INT32_MAX, &l->last, error);
    if (status)
        return status;
    int64_t V = sonde_model_spec(l->model)->d_vocab;
    l->k = l->k < V ? l->k : V;
    l->chosen = calloc((size_t)l->source->n_sequences + 1, sizeof(bool));
    if (!l->chosen)
        return sonde_error_memory(error, "the sequences");
    return sonde_select_numbers(sonde_builtin_text(l->run, "sequence"), "sequence",
                                l->source->n_sequences, l->chosen, error);
}

static void wave_finish(struct wave *w)
{
    free(w->block);
    free(w->x);
    free(w->logits);
    free(w->next);
    free(w->reading);
    free(w->top);
}

static enum sonde_status wave_init(struct wave *w, const struct lens *l, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    size_t rows = (size_t)sonde_lens_block_rows(spec->d_vocab);
    size_t n = (size_t)sonde_pool_threads(l->run->args->pool), sites = (size_t)l->n_sites;
    bool with_logits = l->logits_stream >= 0;
    double bytes = (double)(n * rows) * 4.0 *
                   ((double)sites * (double)spec->d_model + 3.0 * (double)spec->d_vocab);
    int64_t mem = sonde_builtin_mem_bytes(l->run);
    if (bytes > (double)mem && n > 1)
        n = 1, bytes /= sonde_pool_threads(l->run->args->pool);
    if (bytes > (double)mem) {
        char need[SONDE_FORMAT_F64_MAX], have[SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(need, (int64_t)bytes);
        sonde_format_bytes(have, mem);
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "the readout takes %s, over the memory budget of %s", need, have);
    }
    *w = (struct wave){
        .n_blocks = (int64_t)n,
        .block_rows = (int64_t)rows,
        .block = calloc(n, sizeof(*w->block)),
        .x = malloc(n * sites * rows * (size_t)spec->d_model * sizeof(float)),
        .logits = with_logits ? malloc(n * rows * (size_t)spec->d_vocab * sizeof(float)) : NULL,
        .next = malloc(n * rows * sizeof(int32_t)),
        .reading = malloc(n * sites * rows * sizeof(*w->reading)),
        .top = malloc(n * sites * rows * (size_t)l->k * sizeof(*w->top)),
    };
    if (w->block && w->x && w->next && w->reading && w->top && (w->logits || !with_logits))
        return SONDE_STATUS_OK;
    wave_finish(w);
    return sonde_error_memory(error, "the lens");
}

/* Reads the activations of rows [row, row + n) of a sequence into block b of the wave. */
static enum sonde_status fill_block(const struct lens *l, struct wave *w, int64_t b, int64_t row,
                                    int64_t n, int64_t end_row, struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    int64_t D = spec->d_model, at = b * w->block_rows;
    struct sonde_lens_block *block = &w->block[b];
    float *x = w->x + at * l->n_sites * D;
    *block = (struct sonde_lens_block){
        .x = x,
        .n_sites = l->n_sites,
        .n_rows = n,
        .D = D,
        .next = w->next + at,
        .logits = w->logits ? w->logits + at * spec->d_vocab : NULL,
        .k = l->k,
        .reading = w->reading + at * l->n_sites,
        .top = w->top + at * l->n_sites * l->k,
    };
    for (int64_t i = 0; i < n; i++) {
        int32_t next = row + i + 1 < end_row ? l->source->token_id[row + i + 1] : -1;
        /* An encoder sees the next token: it predicts none. */
        w->next[at + i] = spec->causal && next < spec->d_vocab ? next : -1;
    }
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t s = 0; s < l->n_sites && !status; s++)
        status = l->source->read_rows(l->source, l->site[s].stream, row, n, x + s * n * D, error);
    if (!status && w->logits)
        status = l->source->read_rows(l->source, l->logits_stream, row, n,
                                      w->logits + at * spec->d_vocab, error);
    return status;
}

static const char *vocabulary_text(struct lens *l, int64_t id)
{
    sonde_buf_clear(&l->text);
    return sonde_select_vocabulary_text(l->model, id, &l->text) ? l->text.data : "";
}

static void put_row(struct lens *l, int64_t sequence, int64_t row, int64_t position,
                    const struct sonde_lens_block *b, int64_t i, int64_t s)
{
    const struct sonde_stream *stream = &l->source->streams[l->site[s].stream];
    const struct sonde_lens_reading *r = &b->reading[s * b->n_rows + i];
    const struct sonde_top_entry *top = b->top + (s * b->n_rows + i) * b->k;
    const char *token = l->source->token_text(l->source, row);
    for (int64_t k = 0; k < b->k; k++) {
        struct sonde_table *t = l->lens_table;
        sonde_table_add_row(t);
        sonde_table_i64(t, 0, sequence);
        sonde_table_i64(t, 1, position);
        sonde_table_text(t, 2, token);
        sonde_table_i64(t, 3, stream->layer);
        sonde_table_i64(t, 4, k + 1);
        sonde_table_i64(t, 5, top[k].index);
        sonde_table_text(t, 6, vocabulary_text(l, top[k].index));
        sonde_table_f64(t, 7, (double)top[k].value - r->log_sum);
        sonde_table_text(t, 8, stream->name);
    }
    struct sonde_table *t = l->next_table;
    sonde_table_add_row(t);
    sonde_table_i64(t, 0, sequence);
    sonde_table_i64(t, 1, position);
    sonde_table_text(t, 2, token);
    sonde_table_i64(t, 3, stream->layer);
    sonde_table_text(t, 4, stream->name);
    if (b->next[i] >= 0) {
        sonde_table_i64(t, 5, b->next[i]);
        sonde_table_text(t, 6, vocabulary_text(l, b->next[i]));
        sonde_table_f64(t, 7, r->logprob);
        sonde_table_i64(t, 8, r->rank);
    }
    sonde_table_f64(t, 9, r->kl);
    sonde_table_f64(t, 10, r->entropy);
}

static enum sonde_status take_block(struct lens *l, int64_t sequence, int64_t row, bool write,
                                    const struct sonde_lens_block *b, struct sonde_error *error)
{
    int64_t first_row = l->source->sequences[sequence].first_row;
    for (int64_t i = 0; i < b->n_rows; i++) {
        for (int64_t s = 0; s < l->n_sites; s++) {
            struct lens_site *site = &l->site[s];
            const struct sonde_lens_reading *r = &b->reading[s * b->n_rows + i];
            void *rank = site->rank;
            if (!sonde_grow(&rank, &site->rank_capacity, l->n_next + 1, sizeof(double),
                            (int64_t)1 << 34))
                return sonde_error_memory(error, "the ranks");
            site->rank = rank;
            site->kl += r->kl;
            site->entropy += r->entropy;
            site->agrees += r->agrees;
            if (b->next[i] >= 0) {
                site->logprob += r->logprob;
                site->hits += r->rank == 1;
                site->rank[l->n_next] = (double)r->rank;
            }
            if (write) {
                const struct sonde_top_entry *top = b->top + (s * b->n_rows + i) * b->k;
                put_row(l, sequence, row + i, row + i - first_row, b, i, s);
                if (l->n_written == 0)
                    sonde_lens_figure_cell(&l->figure, s, row + i,
                                           exp((double)top[0].value - r->log_sum),
                                           vocabulary_text(l, top[0].index));
            }
        }
        l->n_next += b->next[i] >= 0;
    }
    l->n_rows += b->n_rows;
    l->off_logits = fmax(l->off_logits, b->off_logits);
    l->largest_logit = fmax(l->largest_logit, b->largest_logit);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_sequence(struct lens *l, struct wave *w, int64_t sequence,
                                       struct sonde_error *error)
{
    const struct sonde_source_sequence *s = &l->source->sequences[sequence];
    int64_t last = l->last < 0 ? s->n_tokens + l->last : l->last;
    int64_t row = s->first_row + l->first, n_left = last + 1 < s->n_tokens ? last + 1 : s->n_tokens;
    int64_t end = s->first_row + n_left, end_row = s->first_row + s->n_tokens;
    if (row >= end)
        return SONDE_STATUS_OK;
    bool write = l->n_written < TABLE_SEQUENCES_MAX;
    enum sonde_status status = SONDE_STATUS_OK;
    if (l->n_written == 0)
        status = sonde_lens_figure_begin(&l->figure, l->n_sites, row, end, error);
    while (row < end && !status) {
        int64_t first = row, n_blocks = 0;
        for (; n_blocks < w->n_blocks && row < end && !status; n_blocks++) {
            int64_t n = end - row < w->block_rows ? end - row : w->block_rows;
            status = fill_block(l, w, n_blocks, row, n, end_row, error);
            row += n;
        }
        if (!status)
            status = sonde_lens_read(l->model, l->run->args->pool, w->block, n_blocks, error);
        for (int64_t b = 0; b < n_blocks && !status; b++)
            status = take_block(l, sequence, first + b * w->block_rows, write, &w->block[b], error);
        if (!status && !sonde_progress_update(l->run->args->progress, "lens", row, end, "rows"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    l->n_written += write;
    return status;
}

/* Where the logits are not recorded, the model is run on the sequence once more, and its last
 * position is compared. */
static enum sonde_status check_by_forward(struct lens *l, int64_t sequence,
                                          struct sonde_error *error)
{
    const struct sonde_source_sequence *s = &l->source->sequences[sequence];
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    struct sonde_session_options options = { .max_tokens = s->n_tokens,
                                             .pool = l->run->args->pool };
    struct sonde_session *session = NULL;
    struct sonde_arena *arena = sonde_arena_create(0);
    float *value = malloc((size_t)(2 * spec->d_vocab + spec->d_model) * sizeof(float));
    enum sonde_status status =
        arena && value ? SONDE_STATUS_OK : sonde_error_memory(error, "the check");
    if (!status)
        status = sonde_session_create(&session, l->model, &options, error);
    struct sonde_forward_args args = {
        .ids = l->source->token_id + s->first_row,
        .n_tokens = s->n_tokens,
        .hooks = l->run->args->hooks,
        .n_hooks = l->run->args->n_hooks,
        .no_logits = true,
        .logits_last = value,
    };
    if (!status)
        status = sonde_forward(session, &args, error);
    float *lens = value + spec->d_vocab, *x = lens + spec->d_vocab;
    if (!status)
        status = l->source->read_rows(l->source, l->site[l->n_sites - 1].stream,
                                      s->first_row + s->n_tokens - 1, 1, x, error);
    if (!status)
        status = sonde_model_readout(l->model, arena, x, 1, 0, 0, lens, error);
    for (int64_t v = 0; v < spec->d_vocab && !status; v++) {
        l->off_logits = fmax(l->off_logits, fabs((double)lens[v] - (double)value[v]));
        l->largest_logit = fmax(l->largest_logit, fabs((double)value[v]));
    }
    sonde_session_destroy(&session);
    sonde_arena_destroy(&arena);
    free(value);
    return status;
}

/* Behind the last row of the stream the lens is the model's own readout, unless that is edited. */
static bool has_own_readout(const struct sonde_probe_run_args *args)
{
    const enum sonde_site_kind kinds[] = {
        SONDE_SITE_LN_FINAL_SCALE, SONDE_SITE_LN_FINAL_NORMALIZED, SONDE_SITE_LN_FINAL_OUT,
        SONDE_SITE_HEAD_LN_SCALE,  SONDE_SITE_HEAD_LN_NORMALIZED,  SONDE_SITE_HEAD_LN_OUT,
        SONDE_SITE_LOGITS,
    };
    bool own = !args->edited;
    for (int h = 0; h < args->n_hooks; h++) {
        for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
            own = own &&
                  !sonde_site_set_has(args->hooks[h].edit, (struct sonde_site){ kinds[k], -1 });
    }
    return own;
}

static enum sonde_status check_final(struct lens *l, struct sonde_error *error)
{
    struct sonde_result *result = l->run->result;
    const struct sonde_stream *final = &l->source->streams[l->site[l->n_sites - 1].stream];
    if (final->dtype != SONDE_DTYPE_F32 && final->dtype != SONDE_DTYPE_NONE) {
        sonde_result_warn(result,
                          "activations are stored as %s: the lens reads rounded rows, and its last "
                          "row is not compared with the logits",
                          sonde_dtype_name(final->dtype));
        return SONDE_STATUS_OK;
    }
    if (!has_own_readout(l->run->args)) {
        sonde_result_warn(result, "%s: the lens's last row is not compared with the logits",
                          l->run->args->edited ? "the run was recorded with edits"
                                               : "the edits change the readout itself");
        return SONDE_STATUS_OK;
    }
    enum sonde_status status = SONDE_STATUS_OK;
    if (l->logits_stream < 0) {
        int64_t sequence = 0;
        while (!l->chosen[sequence] || l->source->sequences[sequence].n_tokens < 1)
            sequence++;
        status = check_by_forward(l, sequence, error);
    }
    if (status)
        return status;
    double scale = fmax(1.0, l->largest_logit);
    sonde_result_check(result, "lens at the last layer equals the logits",
                       l->off_logits <= 1e-5 * scale, l->off_logits / scale, "<= 1e-5");
    return status;
}

static enum sonde_status put_sites(struct lens *l, struct sonde_error *error)
{
    static const char *const columns[] = { "site",
                                           "layer",
                                           "positions",
                                           "kl",
                                           "entropy",
                                           "next_logprob",
                                           "next_rank_median",
                                           "next_accuracy",
                                           "agreement",
                                           NULL };
    struct sonde_table *t = sonde_result_add_table(l->run->result, "sites", columns);
    double n = (double)l->n_rows, n_next = (double)l->n_next;
    for (int64_t s = 0; s < l->n_sites; s++) {
        const struct lens_site *site = &l->site[s];
        sonde_table_add_row(t);
        sonde_table_text(t, 0, l->source->streams[site->stream].name);
        sonde_table_i64(t, 1, site->layer);
        sonde_table_i64(t, 2, l->n_rows);
        sonde_table_f64(t, 3, site->kl / n);
        sonde_table_f64(t, 4, site->entropy / n);
        sonde_table_f64(t, 8, site->agrees / n);
        if (l->n_next == 0)
            continue;
        double median;
        enum sonde_status status = sonde_stats_quantile(site->rank, l->n_next, 0.5, &median, error);
        if (status)
            return status;
        sonde_table_f64(t, 5, site->logprob / n_next);
        sonde_table_f64(t, 6, median);
        sonde_table_f64(t, 7, site->hits / n_next);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status read_all(struct lens *l, struct sonde_error *error)
{
    static const char *const lens_columns[] = { "sequence",  "position", "token",
                                                "layer",     "rank",     "predicted_id",
                                                "predicted", "logprob",  "site",
                                                NULL };
    static const char *const next_columns[] = { "sequence", "position", "token",   "layer",
                                                "site",     "next_id",  "next",    "logprob",
                                                "rank",     "kl",       "entropy", NULL };
    struct wave wave = { 0 };
    enum sonde_status status = wave_init(&wave, l, error);
    if (status)
        return status;
    l->lens_table = sonde_result_add_table(l->run->result, "lens", lens_columns);
    l->next_table = sonde_result_add_table(l->run->result, "next", next_columns);
    int64_t n_sequences = 0;
    for (int64_t s = 0; s < l->source->n_sequences && !status; s++) {
        if (!l->chosen[s])
            continue;
        n_sequences++;
        status = read_sequence(l, &wave, s, error);
    }
    wave_finish(&wave);
    if (!status && l->n_rows == 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "no position is left by --first %lld and --last %lld",
                                 (long long)l->first, (long long)l->last);
    if (status)
        return status;
    if (n_sequences > l->n_written)
        sonde_result_warn(l->run->result,
                          "tables lens and next show the first %lld of %lld sequences; table sites "
                          "is over all",
                          (long long)l->n_written, (long long)n_sequences);
    sonde_result_scalar_i64(l->run->result, "sequences", n_sequences);
    sonde_result_scalar_i64(l->run->result, "positions", l->n_rows);
    return put_sites(l, error);
}

static enum sonde_status draw(const struct lens *l, struct sonde_error *error)
{
    const char **name = calloc((size_t)l->n_sites, sizeof(*name));
    if (!name)
        return sonde_error_memory(error, "the lens table");
    for (int64_t s = 0; s < l->n_sites; s++)
        name[s] = l->source->streams[l->site[s].stream].name;
    enum sonde_status status =
        sonde_lens_figure_draw(&l->figure, l->source, name, l->run->result, error);
    free(name);
    return status;
}

static enum sonde_status lens_body(const struct sonde_builtin *run, struct sonde_error *error)
{
    struct lens l = { .run = run, .source = run->args->source, .model = run->args->model };
    enum sonde_status status = sonde_select_same_model(l.model, l.source, error);
    if (!status)
        status = choose_sites(&l, error);
    if (!status)
        status = choose_rows(&l, error);
    if (!status)
        status = read_all(&l, error);
    if (!status)
        status = check_final(&l, error);
    if (!status)
        status = draw(&l, error);
    for (int64_t s = 0; s < l.n_sites; s++)
        free(l.site[s].rank);
    free(l.site);
    free(l.chosen);
    sonde_lens_figure_finish(&l.figure);
    sonde_buf_finish(&l.text);
    return status;
}

static int32_t lens_run(const struct sonde_probe_host *host, struct sonde_probe_error *error)
{
    (void)error;
    return sonde_builtin_run(host, lens_body);
}

static int32_t lens_sites(const struct sonde_probe_host *host, char *out, size_t n)
{
    const char *pattern = host->option(host->ctx, "sites");
    int length = snprintf(out, n, "%s", pattern ? pattern : "hook_embed,blocks.*.hook_resid_*");
    if (pattern && length >= 0 && (size_t)length < n)
        length += snprintf(out + length, n - (size_t)length, ",blocks.-1.hook_resid_post");
    return length >= 0 && (size_t)length < n ? SONDE_PROBE_OK : SONDE_PROBE_ARGUMENT;
}

const struct sonde_probe sonde_probe_logit_lens = {
    .abi = SONDE_PROBE_ABI,
    .struct_size = sizeof(struct sonde_probe),
    .name = "logit-lens",
    .version = "1",
    .summary = "what each layer would predict: the residual stream through final norm and "
               "unembedding",
    .description =
        "Every site of the residual stream is read out as the last one would be: the final norm "
        "computed on that site itself, then the unembedding (nostalgebraist 2020). Per position: "
        "the top tokens, log-probability and rank of the true next token, entropy and "
        "KL(final || site), in nats. Rows are read out in blocks: no [T, L, V] array is formed. "
        "Checked: the last site's readout equals the model's logits.",
    .options = lens_options,
    .n_options = sizeof(lens_options) / sizeof(lens_options[0]),
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_MODEL,
    .sites = "hook_embed,blocks.*.hook_resid_*",
    .select_sites = lens_sites,
    .run = lens_run,
};
