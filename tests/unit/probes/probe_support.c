#include "tests/unit/probes/probe_support.h"

#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/model/recorder.h"
#include "core/tensor/safetensors.h"

struct sonde_stream toy_stream(const char *name, int layer, int64_t width)
{
    struct sonde_stream stream = { .layer = layer,
                                   .space = SONDE_ROWS_TOKEN,
                                   .dtype = SONDE_DTYPE_F32,
                                   .rank = 1,
                                   .dim = { width },
                                   .width = width };
    snprintf(stream.name, sizeof(stream.name), "%s", name);
    return stream;
}

struct sonde_stream toy_map(const char *name, int layer, int64_t heads)
{
    struct sonde_stream stream = toy_stream(name, layer, heads);
    stream.space = SONDE_ROWS_MAP;
    return stream;
}

static void put_sequence(struct sonde_sink *sink, const struct toy_run *run, int64_t s)
{
    int64_t T = run->length(run->ctx, s);
    struct sonde_token *token = calloc((size_t)T + 1, sizeof(*token));
    char(*text)[16] = calloc((size_t)T + 1, sizeof(*text));
    struct sonde_record record[8];
    float *value[8] = { 0 };
    assert_non_null(token);
    assert_non_null(text);
    for (int64_t t = 0; t < T; t++) {
        int32_t id = run->id(run->ctx, s, t);
        snprintf(text[t], sizeof(*text), " t%d", (int)id);
        token[t] = (struct sonde_token){ .id = id,
                                         .position = (int32_t)t,
                                         .begin = -1,
                                         .end = -1,
                                         .flags = id == 0 ? SONDE_TOKEN_BOS : 0,
                                         .text = text[t] };
    }
    for (int64_t i = 0; i < run->n_streams; i++) {
        bool map = run->stream[i].space == SONDE_ROWS_MAP;
        int64_t n = run->stream[i].width * T * (map ? T : 1);
        value[i] = calloc((size_t)n + 1, sizeof(float));
        assert_non_null(value[i]);
        run->fill(run->ctx, i, s, T, value[i]);
        record[i] = (struct sonde_record){ .value = value[i], .n_values = n };
    }
    struct sonde_sequence sequence = { .source = s,
                                       .group = run->group ? run->group(run->ctx, s) : NULL,
                                       .n_tokens = T,
                                       .tokens = token };
    struct sonde_error error = { 0 };
    check_ok(sink->put(sink, &sequence, record, &error), &error);
    for (int64_t i = 0; i < run->n_streams; i++)
        free(value[i]);
    free(token);
    free(text);
}

struct sonde_source *toy_source(const struct toy_run *run)
{
    struct sonde_sink *sink = NULL;
    struct sonde_source *source = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_memory_create(&sink, &source, run->stream, run->n_streams, &error), &error);
    for (int64_t s = 0; s < run->n_sequences; s++)
        put_sequence(sink, run, s);
    check_ok(sink->finish(sink, &error), &error);
    return source;
}

void toy_labels(struct sonde_source *source, const char *name, enum sonde_row_space space,
                const int32_t *class_of, const char *const *class_name, int64_t n_classes)
{
    struct sonde_labels labels = {
        .name = name,
        .kind = SONDE_LABEL_CLASS,
        .space = space,
        .n_rows = space == SONDE_ROWS_TOKEN ? source->n_tokens : source->n_sequences,
        .class_of = class_of,
        .class_name = class_name,
        .n_classes = n_classes,
    };
    struct sonde_error error = { 0 };
    check_ok(sonde_memory_add_labels(source, &labels, &error), &error);
}

void toy_real_labels(struct sonde_source *source, const char *name, enum sonde_row_space space,
                     const double *real)
{
    struct sonde_labels labels = {
        .name = name,
        .kind = SONDE_LABEL_REAL,
        .space = space,
        .n_rows = space == SONDE_ROWS_TOKEN ? source->n_tokens : source->n_sequences,
        .real = real,
    };
    struct sonde_error error = { 0 };
    check_ok(sonde_memory_add_labels(source, &labels, &error), &error);
}

struct sonde_result *toy_probe(const struct sonde_probe *probe, const struct toy_args *args,
                               struct sonde_error *error)
{
    const char *name[32], *value[32];
    struct sonde_probe_run_args run = {
        .values = { .name = name, .value = value },
        .source = args->source,
        .model = args->model,
        .pool = args->pool,
        .mem_bytes = args->mem_bytes,
        .seed = 42,
        .open_baseline = args->open_baseline,
        .baseline_ctx = args->baseline_ctx,
    };
    for (const char *const *at = args->option; at && *at; at += 2, run.values.n++) {
        name[run.values.n] = at[0];
        value[run.values.n] = at[1];
    }
    struct sonde_result *result = NULL;
    struct sonde_error why = { 0 };
    enum sonde_status status = sonde_probe_run(probe, &run, &result, &why);
    if (error)
        *error = why;
    else if (status)
        fprintf(stderr, "# %s\n", why.text);
    assert_true((status == SONDE_STATUS_OK) == (result != NULL));
    return result;
}

const struct sonde_probe *toy_builtin(const char *name)
{
    for (int64_t i = 0; sonde_probe_builtin(i); i++)
        if (strcmp(sonde_probe_builtin(i)->name, name) == 0)
            return sonde_probe_builtin(i);
    fail_msg("no built-in probe %s", name);
    return NULL;
}

const struct sonde_table *toy_table(const struct sonde_result *result, const char *name)
{
    for (int64_t i = 0; i < result->n_tables; i++)
        if (strcmp(result->table[i]->name, name) == 0)
            return result->table[i];
    fail_msg("no table %s", name);
    static const struct sonde_table none;
    return &none;
}

static const struct sonde_cell *cell_of(const struct sonde_table *table, int64_t row,
                                        const char *column)
{
    assert_true(row < table->n_rows);
    for (int64_t c = 0; c < table->n_columns; c++)
        if (strcmp(table->column[c], column) == 0)
            return &table->cell[row * table->n_columns + c];
    fail_msg("no column %s", column);
    static const struct sonde_cell none;
    return &none;
}

double toy_real(const struct sonde_table *table, int64_t row, const char *column)
{
    const struct sonde_cell *cell = cell_of(table, row, column);
    return cell->kind == SONDE_CELL_INTEGER ? (double)cell->integer
           : cell->kind == SONDE_CELL_REAL  ? cell->real
                                            : (double)NAN;
}

const char *toy_text(const struct sonde_table *table, int64_t row, const char *column)
{
    return cell_of(table, row, column)->text;
}

double toy_scalar(const struct sonde_result *result, const char *name)
{
    for (int64_t i = 0; i < result->n_scalars; i++) {
        const struct sonde_cell *cell = &result->scalar[i].value;
        if (strcmp(result->scalar[i].name, name) == 0)
            return cell->kind == SONDE_CELL_INTEGER ? (double)cell->integer : cell->real;
    }
    fail_msg("no scalar %s", name);
    return 0.0;
}

bool toy_warned(const struct sonde_result *result, const char *part)
{
    for (int64_t i = 0; i < result->n_warnings; i++)
        if (strstr(result->warning[i], part))
            return true;
    return false;
}

char *toy_path(const char *name)
{
    const char *root = getenv("TMPDIR");
    struct sonde_buf path = { 0 };
    sonde_buf_printf(&path, "%s/sonde-probes-%ld-%s", root ? root : "/tmp", (long)getpid(), name);
    assert_non_null(path.data);
    return path.data;
}

struct tensors {
    const struct toy_model *model;
    struct sonde_safetensors_item item[64];
    char name[64][96];
    int64_t n;
};

static void add_tensor(struct tensors *t, const char *name, int64_t rows, int64_t columns)
{
    int64_t n = rows * (columns ? columns : 1);
    float *data = malloc((size_t)n * sizeof(float));
    assert_non_null(data);
    assert_true(t->n < 64);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < (columns ? columns : 1); c++)
            data[r * (columns ? columns : 1) + c] = t->model->weight(t->model->ctx, name, r, c);
    snprintf(t->name[t->n], sizeof(t->name[0]), "%s", name);
    t->item[t->n] = (struct sonde_safetensors_item){ .name = t->name[t->n],
                                                     .dtype = SONDE_DTYPE_F32,
                                                     .rank = columns ? 2 : 1,
                                                     .dim = { rows, columns },
                                                     .data = data };
    t->n++;
}

static void add_layer(struct tensors *t, int64_t layer)
{
    static const char *const square[] = { "self_attn.q_proj", "self_attn.k_proj",
                                          "self_attn.v_proj", "self_attn.o_proj" };
    const struct toy_model *m = t->model;
    char name[96];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "model.layers.%d.%s.weight", (int)layer, square[i]);
        add_tensor(t, name, m->D, m->D);
    }
    snprintf(name, sizeof(name), "model.layers.%d.mlp.gate_proj.weight", (int)layer);
    add_tensor(t, name, m->F, m->D);
    snprintf(name, sizeof(name), "model.layers.%d.mlp.up_proj.weight", (int)layer);
    add_tensor(t, name, m->F, m->D);
    snprintf(name, sizeof(name), "model.layers.%d.mlp.down_proj.weight", (int)layer);
    add_tensor(t, name, m->D, m->F);
    snprintf(name, sizeof(name), "model.layers.%d.input_layernorm.weight", (int)layer);
    add_tensor(t, name, m->D, 0);
    snprintf(name, sizeof(name), "model.layers.%d.post_attention_layernorm.weight", (int)layer);
    add_tensor(t, name, m->D, 0);
}

struct sonde_model *toy_model_open(const struct toy_model *m)
{
    struct tensors t = { .model = m };
    struct sonde_error error = { 0 };
    struct sonde_buf config = { 0 };
    char *folder = toy_path("model"), *weights = sonde_path_join(folder, "model.safetensors");
    char *json = sonde_path_join(folder, "config.json");
    check_ok(sonde_path_make_directory(folder, &error), &error);
    add_tensor(&t, "model.embed_tokens.weight", m->V, m->D);
    for (int64_t l = 0; l < m->L; l++)
        add_layer(&t, l);
    add_tensor(&t, "model.norm.weight", m->D, 0);
    add_tensor(&t, "lm_head.weight", m->V, m->D);
    check_ok(sonde_safetensors_write(weights, t.item, t.n, NULL, 0, &error), &error);
    sonde_buf_printf(&config,
                     "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], "
                     "\"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, "
                     "\"num_attention_heads\": 1, \"num_key_value_heads\": 1, \"vocab_size\": %d, "
                     "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, "
                     "\"rope_theta\": 10000.0, \"hidden_act\": \"silu\", "
                     "\"tie_word_embeddings\": false}",
                     (int)m->D, (int)m->F, (int)m->L, (int)m->V);
    check_ok(sonde_file_save(json, config.data, config.size, &error), &error);
    struct sonde_model *model = NULL;
    struct sonde_model_options options = { .allow_missing_tokenizer = true };
    check_ok(sonde_model_open(&model, folder, &options, &error), &error);
    /* The mapping outlives the name. */
    unlink(weights);
    unlink(json);
    rmdir(folder);
    for (int64_t i = 0; i < t.n; i++)
        free((void *)(uintptr_t)t.item[i].data);
    sonde_buf_finish(&config);
    free(folder);
    free(weights);
    free(json);
    return model;
}

struct id_reader {
    const int32_t *const *ids;
    const int64_t *n_ids;
    int64_t n, at;
    struct sonde_token token[64];
    char text[64][16];
    struct sonde_sequence sequence;
};

static enum sonde_status next_ids(void *self, const struct sonde_sequence **out,
                                  struct sonde_error *error)
{
    (void)error;
    struct id_reader *r = self;
    *out = NULL;
    if (r->at == r->n)
        return SONDE_STATUS_OK;
    for (int64_t t = 0; t < r->n_ids[r->at]; t++) {
        snprintf(r->text[t], sizeof(r->text[t]), " t%d", (int)r->ids[r->at][t]);
        r->token[t] = (struct sonde_token){ .id = r->ids[r->at][t],
                                            .position = (int32_t)t,
                                            .begin = -1,
                                            .end = -1,
                                            .text = r->text[t] };
    }
    r->sequence =
        (struct sonde_sequence){ .source = r->at, .n_tokens = r->n_ids[r->at], .tokens = r->token };
    r->at++;
    *out = &r->sequence;
    return SONDE_STATUS_OK;
}

struct sonde_source *toy_record(const struct sonde_model *model, const char *sites,
                                const int32_t *const *ids, const int64_t *n_ids, int64_t n)
{
    struct sonde_site_set set = { 0 };
    struct sonde_error error = { 0 };
    check_ok(sonde_site_set_parse(&set, sites, sonde_model_sites(model),
                                  sonde_model_spec(model)->n_layers, &error),
             &error);
    int64_t n_streams = sonde_site_set_count(&set);
    struct sonde_stream *stream = calloc((size_t)n_streams, sizeof(*stream));
    assert_non_null(stream);
    sonde_recorder_streams(model, &set, SONDE_DTYPE_F32, stream);
    struct sonde_sink *sink = NULL;
    struct sonde_source *source = NULL;
    check_ok(sonde_memory_create(&sink, &source, stream, n_streams, &error), &error);
    struct id_reader ids_reader = { .ids = ids, .n_ids = n_ids, .n = n };
    struct sonde_sequence_reader reader = { .self = &ids_reader, .next = next_ids };
    struct sonde_recorder_options options = { .sites = &set, .n_threads = 1 };
    struct sonde_recorder_stats stats;
    check_ok(sonde_recorder_run(model, &reader, sink, &options, &stats, &error), &error);
    check_ok(sink->finish(sink, &error), &error);
    free(stream);
    return source;
}
