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
#include "probes/vocabulary_scan.h"

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
    int64_t n, n_next;                         /* readings, and those with a true next token */
    double kl, entropy, logprob, agrees, hits; /* sums */
    double *rank;                              /* [n_next] of the true next token */
    int64_t rank_capacity;
};

struct lens {
    const struct sonde_builtin *run;
    struct sonde_source *source;
    const struct sonde_model *model;
    struct lens_site *site; /* [n_sites]; the last is the final one */
    int64_t n_sites, n_rows, n_total, k;
    int64_t n_nonfinite;   /* readings that are not finite */
    int64_t logits_stream; /* -1 = not recorded */
    int64_t first, last;   /* positions, as asked for */
    bool *chosen;          /* [n_sequences] */
    struct sonde_table *lens_table, *next_table;
    int64_t n_sequences, sequence; /* met so far, the present one (-1 = none) */
    double off_logits, largest_logit;
    struct sonde_lens_figure figure;
    struct sonde_buf text;
};

/* Buffers of a wave of blocks. Blocks go on over the end of a sequence. */
struct wave {
    int64_t n_blocks, block_rows;
    struct sonde_pool *pool;            /* NULL where the budget is for one thread */
    struct sonde_lens_block *block;     /* [n_blocks] */
    int64_t *row;                       /* [n_blocks, block_rows] token rows */
    float *x;                           /* [n_blocks, n_sites, block_rows, D] */
    float *logits;                      /* [n_blocks, block_rows, V] or NULL */
    int32_t *next;                      /* [n_blocks, block_rows] */
    struct sonde_lens_reading *reading; /* [n_blocks, n_sites, block_rows] */
    struct sonde_top_entry *top;        /* [n_blocks, n_sites, block_rows, k] */
};

/* The next position to read. */
struct place {
    int64_t sequence, row, end; /* token rows; row = end: the sequence is read */
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
    free(w->row);
    free(w->x);
    free(w->logits);
    free(w->next);
    free(w->reading);
    free(w->top);
}

static int64_t wave_bytes(const struct lens *l, const struct wave *w)
{
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    int64_t reading =
        (int64_t)sizeof(struct sonde_lens_reading) + l->k * (int64_t)sizeof(struct sonde_top_entry);
    int64_t site = spec->d_model * (int64_t)sizeof(float) + reading;
    int64_t recorded = l->logits_stream >= 0 ? spec->d_vocab * (int64_t)sizeof(float) : 0;
    return w->n_blocks * w->block_rows * (l->n_sites * site + recorded) +
           sonde_lens_read_bytes(l->model, sonde_pool_threads(w->pool), w->n_blocks,
                                 l->n_sites * w->block_rows, l->k);
}

/* The rows of a block do not depend on the budget: with too little of it one thread works alone. */
static enum sonde_status plan_wave(struct wave *w, const struct lens *l, struct sonde_error *error)
{
    bool with_logits = l->logits_stream >= 0;
    int64_t mem = sonde_builtin_mem_bytes(l->run);
    w->block_rows =
        sonde_lens_block_rows(sonde_model_spec(l->model)->d_vocab, l->n_sites, with_logits);
    w->pool = l->run->args->pool;
    w->n_blocks = sonde_scan_wave_blocks(w->pool);
    if (wave_bytes(l, w) > mem) {
        w->pool = NULL;
        w->n_blocks = 1;
    }
    int64_t bytes = wave_bytes(l, w);
    if (bytes <= mem)
        return SONDE_STATUS_OK;
    char need[SONDE_FORMAT_F64_MAX], have[SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(need, bytes);
    sonde_format_bytes(have, mem);
    return sonde_error_set(error, SONDE_STATUS_LIMIT,
                           "the readout takes %s, over the memory budget of %s", need, have);
}

static enum sonde_status wave_init(struct wave *out, const struct lens *l,
                                   struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    struct wave w = { 0 };
    enum sonde_status status = plan_wave(&w, l, error);
    if (status)
        return status;
    bool with_logits = l->logits_stream >= 0;
    size_t rows = (size_t)(w.n_blocks * w.block_rows), sites = (size_t)l->n_sites;
    w.block = calloc((size_t)w.n_blocks, sizeof(*w.block));
    w.row = malloc(rows * sizeof(*w.row));
    w.x = malloc(rows * sites * (size_t)spec->d_model * sizeof(float));
    w.logits = with_logits ? malloc(rows * (size_t)spec->d_vocab * sizeof(float)) : NULL;
    w.next = malloc(rows * sizeof(int32_t));
    w.reading = malloc(rows * sites * sizeof(*w.reading));
    w.top = malloc(rows * sites * (size_t)l->k * sizeof(*w.top));
    if (!w.block || !w.row || !w.x || !w.next || !w.reading || !w.top ||
        (with_logits && !w.logits)) {
        wave_finish(&w);
        return sonde_error_memory(error, "the lens");
    }
    *out = w;
    return SONDE_STATUS_OK;
}

/* Token rows [*first, *end) of the positions asked for; none: *first >= *end. */
static void sequence_rows(const struct lens *l, int64_t sequence, int64_t *first, int64_t *end)
{
    const struct sonde_source_sequence *s = &l->source->sequences[sequence];
    int64_t last = l->last < 0 ? s->n_tokens + l->last : l->last;
    *first = s->first_row + l->first;
    *end = s->first_row + (last + 1 < s->n_tokens ? last + 1 : s->n_tokens);
}

/* Moves on to the next sequence that has a position to read; false: there is none. */
static bool next_sequence(const struct lens *l, struct place *at)
{
    while (at->row >= at->end) {
        if (++at->sequence >= l->source->n_sequences)
            return false;
        if (l->chosen[at->sequence])
            sequence_rows(l, at->sequence, &at->row, &at->end);
    }
    return true;
}

/* The next positions, as many as a block holds, into block b of the wave: their rows and next
 * tokens. */
static int64_t plan_block(const struct lens *l, struct wave *w, int64_t b, struct place *at)
{
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    int64_t place = b * w->block_rows, n = 0;
    for (; n < w->block_rows && next_sequence(l, at); n++) {
        const struct sonde_source_sequence *s = &l->source->sequences[at->sequence];
        int64_t row = at->row++;
        int32_t next = row + 1 < s->first_row + s->n_tokens ? l->source->token_id[row + 1] : -1;
        w->row[place + n] = row;
        /* An encoder sees the next token: it predicts none. */
        w->next[place + n] = spec->causal && next < spec->d_vocab ? next : -1;
    }
    float *x = w->x + place * l->n_sites * spec->d_model;
    w->block[b] = (struct sonde_lens_block){
        .x = x,
        .n_sites = l->n_sites,
        .n_rows = n,
        .next = w->next + place,
        .logits = w->logits ? w->logits + place * spec->d_vocab : NULL,
        .k = l->k,
        .reading = w->reading + place * l->n_sites,
        .top = w->top + place * l->n_sites * l->k,
    };
    return n;
}

/* Reads token rows row [n] of a stream, neighbours at once. */
static enum sonde_status read_rows(const struct lens *l, int64_t stream, const int64_t *row,
                                   int64_t n, float *x, struct sonde_error *error)
{
    int64_t width = l->source->streams[stream].width;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0, end; i < n && !status; i = end) {
        for (end = i + 1; end < n && row[end] == row[end - 1] + 1;)
            end++;
        status = l->source->read_rows(l->source, stream, row[i], end - i, x + i * width, error);
    }
    return status;
}

/* Reads the activations of block b of the wave. */
static enum sonde_status fill_block(const struct lens *l, struct wave *w, int64_t b,
                                    struct sonde_error *error)
{
    const struct sonde_spec *spec = sonde_model_spec(l->model);
    const struct sonde_lens_block *block = &w->block[b];
    int64_t place = b * w->block_rows, n = block->n_rows;
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t s = 0; s < l->n_sites && !status; s++)
        status = read_rows(l, l->site[s].stream, w->row + place, n,
                           block->x + s * n * spec->d_model, error);
    if (!status && w->logits)
        status = read_rows(l, l->logits_stream, w->row + place, n,
                           w->logits + place * spec->d_vocab, error);
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

/* Adds a reading to its site's sums; one that is not finite is only counted. */
static enum sonde_status add_reading(struct lens *l, struct lens_site *site,
                                     const struct sonde_lens_reading *r, bool has_next,
                                     struct sonde_error *error)
{
    if (!isfinite(r->log_sum) || !isfinite(r->entropy) || !isfinite(r->kl)) {
        l->n_nonfinite++;
        return SONDE_STATUS_OK;
    }
    void *rank = site->rank;
    if (!sonde_grow(&rank, &site->rank_capacity, site->n_next + 1, sizeof(double),
                    (int64_t)1 << 34))
        return sonde_error_memory(error, "the ranks");
    site->rank = rank;
    site->n++;
    site->kl += r->kl;
    site->entropy += r->entropy;
    site->agrees += r->agrees;
    if (has_next) {
        site->logprob += r->logprob;
        site->hits += r->rank == 1;
        site->rank[site->n_next++] = (double)r->rank;
    }
    return SONDE_STATUS_OK;
}

/* Position i of a block, all sites. */
static enum sonde_status take_position(struct lens *l, int64_t row,
                                       const struct sonde_lens_block *b, int64_t i,
                                       struct sonde_error *error)
{
    int64_t sequence = l->source->token_sequence[row], first, end;
    enum sonde_status status = SONDE_STATUS_OK;
    if (sequence != l->sequence) {
        l->sequence = sequence;
        sequence_rows(l, sequence, &first, &end);
        if (l->n_sequences++ == 0)
            status = sonde_lens_figure_begin(&l->figure, l->n_sites, first, end, error);
    }
    for (int64_t s = 0; s < l->n_sites && !status; s++) {
        const struct sonde_lens_reading *r = &b->reading[s * b->n_rows + i];
        const struct sonde_top_entry *top = b->top + (s * b->n_rows + i) * b->k;
        status = add_reading(l, &l->site[s], r, b->next[i] >= 0, error);
        if (status || l->n_sequences > TABLE_SEQUENCES_MAX)
            continue;
        put_row(l, sequence, row, row - l->source->sequences[sequence].first_row, b, i, s);
        if (l->n_sequences == 1)
            sonde_lens_figure_cell(&l->figure, s, row, exp((double)top[0].value - r->log_sum),
                                   vocabulary_text(l, top[0].index));
    }
    l->n_rows++;
    return status;
}

static enum sonde_status take_block(struct lens *l, const int64_t *row,
                                    const struct sonde_lens_block *b, struct sonde_error *error)
{
    enum sonde_status status = SONDE_STATUS_OK;
    for (int64_t i = 0; i < b->n_rows && !status; i++)
        status = take_position(l, row[i], b, i, error);
    l->off_logits = fmax(l->off_logits, b->off_logits);
    l->largest_logit = fmax(l->largest_logit, b->largest_logit);
    return status;
}

/* Reads the next wave; *done: there was none. */
static enum sonde_status read_wave(struct lens *l, struct wave *w, struct place *at, bool *done,
                                   struct sonde_error *error)
{
    int64_t n = 0;
    enum sonde_status status = SONDE_STATUS_OK;
    for (; n < w->n_blocks && !status && plan_block(l, w, n, at) > 0; n++)
        status = fill_block(l, w, n, error);
    *done = n == 0;
    if (!status)
        status = sonde_lens_read(l->model, w->pool, w->block, n, error);
    for (int64_t b = 0; b < n && !status; b++)
        status = take_block(l, w->row + b * w->block_rows, &w->block[b], error);
    if (!status && n > 0 &&
        !sonde_progress_update(l->run->args->progress, "lens", l->n_rows, l->n_total, "positions"))
        status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
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
    float *value = malloc((size_t)(spec->d_vocab + spec->d_model) * sizeof(float));
    struct sonde_top_entry *top = malloc((size_t)l->k * sizeof(*top));
    enum sonde_status status =
        value && top ? SONDE_STATUS_OK : sonde_error_memory(error, "the check");
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
    float *x = value ? value + spec->d_vocab : NULL;
    if (!status)
        status = l->source->read_rows(l->source, l->site[l->n_sites - 1].stream,
                                      s->first_row + s->n_tokens - 1, 1, x, error);
    const int32_t next = -1;
    struct sonde_lens_reading reading;
    struct sonde_lens_block block = { .x = x,
                                      .n_sites = 1,
                                      .n_rows = 1,
                                      .next = &next,
                                      .logits = value,
                                      .k = l->k,
                                      .reading = &reading,
                                      .top = top };
    if (!status)
        status = sonde_lens_read(l->model, NULL, &block, 1, error);
    l->off_logits = fmax(l->off_logits, block.off_logits);
    l->largest_logit = fmax(l->largest_logit, block.largest_logit);
    sonde_session_destroy(&session);
    free(value);
    free(top);
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
    for (int64_t s = 0; s < l->n_sites; s++) {
        const struct lens_site *site = &l->site[s];
        double n = (double)site->n, n_next = (double)site->n_next;
        sonde_table_add_row(t);
        sonde_table_text(t, 0, l->source->streams[site->stream].name);
        sonde_table_i64(t, 1, site->layer);
        sonde_table_i64(t, 2, site->n);
        if (site->n == 0)
            continue;
        sonde_table_f64(t, 3, site->kl / n);
        sonde_table_f64(t, 4, site->entropy / n);
        sonde_table_f64(t, 8, site->agrees / n);
        if (site->n_next == 0)
            continue;
        double median;
        enum sonde_status status =
            sonde_stats_quantile(site->rank, site->n_next, 0.5, &median, error);
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
    int64_t n_chosen = 0, first, end;
    for (int64_t s = 0; s < l->source->n_sequences; s++) {
        if (!l->chosen[s])
            continue;
        n_chosen++;
        sequence_rows(l, s, &first, &end);
        l->n_total += first < end ? end - first : 0;
    }
    struct place at = { .sequence = -1 };
    l->sequence = -1;
    for (bool done = false; !done && !status;)
        status = read_wave(l, &wave, &at, &done, error);
    wave_finish(&wave);
    if (!status && l->n_rows == 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "no position is left by --first %lld and --last %lld",
                                 (long long)l->first, (long long)l->last);
    if (status)
        return status;
    if (l->n_sequences > TABLE_SEQUENCES_MAX)
        sonde_result_warn(l->run->result,
                          "tables lens and next show the first %d of %lld sequences; table sites "
                          "is over all",
                          TABLE_SEQUENCES_MAX, (long long)l->n_sequences);
    if (l->n_nonfinite > 0)
        sonde_result_warn(l->run->result, "%lld readings are not finite: left out of table sites",
                          (long long)l->n_nonfinite);
    sonde_result_scalar_i64(l->run->result, "sequences", n_chosen);
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
        "KL(final || site), in nats. The vocabulary is read tile by tile: no [T, V] array is "
        "formed. "
        "Checked: the last site's readout equals the model's logits.",
    .options = lens_options,
    .n_options = sizeof(lens_options) / sizeof(lens_options[0]),
    .needs = SONDE_PROBE_NEEDS_STREAMS | SONDE_PROBE_NEEDS_MODEL,
    .sites = "hook_embed,blocks.*.hook_resid_*",
    .select_sites = lens_sites,
    .run = lens_run,
};
