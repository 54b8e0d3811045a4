#include "tests/unit/storage/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/base/hash.h"
#include "core/base/rng.h"
#include "tests/support/check.h"

void fixture_init(struct fixture *f)
{
    /* In memory where there is such a file system: the tests commit often. */
    const char *root = getenv("TMPDIR");
    if (!root)
        root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    memset(f, 0, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "%s/sonde-store-XXXXXX", root);
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/x.db", f->folder);
    f->seed = 42;
    f->T_max = 24;
}

void fixture_finish(struct fixture *f)
{
    char command[400];
    snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
    assert_int_equal(system(command), 0);
}

void fixture_add(struct fixture *f, const char *name, enum sonde_row_space space,
                 enum sonde_dtype dtype, int64_t dim0, int64_t dim1)
{
    struct sonde_stream *s = &f->streams[f->n_streams++];
    memset(s, 0, sizeof(*s));
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->layer = (int)f->n_streams - 2;
    s->space = space;
    s->dtype = dtype;
    s->rank = dim1 ? 2 : 1;
    s->dim[0] = dim0;
    s->dim[1] = dim1;
    s->width = dim0 * (dim1 ? dim1 : 1);
}

void fixture_add_mixture(struct fixture *f)
{
    fixture_add(f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 8, 0);
    fixture_add(f, "blocks.0.attn.hook_q", SONDE_ROWS_TOKEN, SONDE_DTYPE_F16, 3, 5);
    fixture_add(f, "blocks.0.hook_resid_post", SONDE_ROWS_TOKEN, SONDE_DTYPE_BF16, 17, 0);
    fixture_add(f, "blocks.0.ln1.hook_scale", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 1, 0);
    fixture_add(f, "blocks.0.attn.hook_pattern", SONDE_ROWS_MAP, SONDE_DTYPE_F32, 2, 0);
    fixture_add(f, "blocks.1.attn.hook_pattern", SONDE_ROWS_MAP, SONDE_DTYPE_F16, 3, 0);
    fixture_add(f, "pooled", SONDE_ROWS_SEQUENCE, SONDE_DTYPE_F32, 6, 0);
}

struct sonde_store_model fixture_model(void)
{
    return (struct sonde_store_model){ .path = "tiny",
                                       .family = "llama",
                                       .config_json = "{\"a\":1}",
                                       .hash = "00ff",
                                       .tokenizer = "bpe",
                                       .n_layers = 2,
                                       .d_model = 8,
                                       .n_heads = 2,
                                       .d_vocab = 100,
                                       .n_ctx = 64 };
}

struct sonde_run_info fixture_info(const struct fixture *f, const char *name, bool resume)
{
    return (struct sonde_run_info){ .name = name,
                                    .command_line = "sonde record tiny",
                                    .input = "text",
                                    .options_json = "{}",
                                    .edits_json = "[]",
                                    .machine = "test",
                                    .seed = 42,
                                    .codec = f->codec,
                                    .resume = resume };
}

int64_t fixture_tokens(const struct fixture *f, int64_t sequence)
{
    struct sonde_rng rng = sonde_rng_make(f->seed, (uint64_t)sequence);
    return sonde_rng_below(&rng, f->T_max + 1);
}

float fixture_value(const struct fixture *f, int64_t s, int64_t sequence, int64_t k)
{
    uint64_t x = f->seed + (uint64_t)(s + 1) * 1000003u + (uint64_t)sequence * 7919u + (uint64_t)k;
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 31;
    /* A few values that narrowing, compression and comparison like to get wrong. */
    if (x % 101 == 0)
        return NAN;
    if (x % 103 == 0)
        return -INFINITY;
    if (x % 107 == 0)
        return -0.0F;
    if (x % 109 == 0)
        return 1e-42F;
    return (float)((double)(x % 2000001u) / 1000000.0 - 1.0);
}

static int64_t count_values(const struct sonde_stream *s, int64_t T)
{
    return s->space == SONDE_ROWS_MAP        ? s->width * T * T
           : s->space == SONDE_ROWS_SEQUENCE ? s->width
                                             : s->width * T;
}

/* Every third sequence is a second window of the one before; one in five has no text; one in four
 * names a group. */
static void describe(int64_t i, struct sonde_sequence *sequence, char name[32], char text[64],
                     char group[32])
{
    snprintf(name, 32, "s-%lld", (long long)i);
    snprintf(text, 64, "text of number %lld \xc3\xa9", (long long)i);
    snprintf(group, 32, "g%lld", (long long)(i / 8));
    sequence->source = i % 3 == 2 ? i - 1 : i;
    sequence->window = i % 3 == 2;
    sequence->name = name;
    sequence->text = i % 5 == 4 ? NULL : text;
    sequence->text_begin = i % 3 == 2 ? 11 : 0;
    sequence->group = i % 4 == 3 ? group : NULL;
}

static void describe_token(int64_t i, int64_t t, struct sonde_token *token, char text[24])
{
    snprintf(text, 24, "t%lld", (long long)((i + t) % 50));
    token->id = (int32_t)((i + t) % 50 * 81 + 3);
    token->position = (int32_t)t;
    token->begin = t == 0 ? -1 : t;
    token->end = t == 0 ? -1 : t + 1;
    token->flags = t == 0 ? SONDE_TOKEN_BOS : 0;
    token->text = text;
}

enum sonde_status fixture_put_one(const struct fixture *f, struct sonde_sink *sink, int64_t i,
                                  struct sonde_error *error)
{
    int64_t T = fixture_tokens(f, i);
    char name[32], text[64], group[32];
    char(*texts)[24] = malloc((size_t)(T + 1) * sizeof(*texts));
    struct sonde_token *tokens = calloc((size_t)T + 1, sizeof(*tokens));
    struct sonde_record records[FIXTURE_STREAMS_MAX];
    float *values[FIXTURE_STREAMS_MAX];
    struct sonde_sequence sequence = { .n_tokens = T, .tokens = tokens };
    describe(i, &sequence, name, text, group);
    for (int64_t t = 0; t < T; t++)
        describe_token(i, t, &tokens[t], texts[t]);
    for (int64_t s = 0; s < f->n_streams; s++) {
        int64_t n = count_values(&f->streams[s], T);
        values[s] = malloc((size_t)(n + 1) * sizeof(float));
        for (int64_t k = 0; k < n; k++)
            values[s][k] = fixture_value(f, s, i, k);
        records[s] = (struct sonde_record){ values[s], n };
    }
    enum sonde_status status = sink->put(sink, &sequence, records, error);
    for (int64_t s = 0; s < f->n_streams; s++)
        free(values[s]);
    free(tokens);
    free(texts);
    return status;
}

void fixture_put(const struct fixture *f, struct sonde_sink *sink, int64_t from, int64_t to,
                 int64_t commit_every)
{
    struct sonde_error error = { 0 };
    for (int64_t i = from; i < to; i++) {
        check_ok(fixture_put_one(f, sink, i, &error), &error);
        if ((i + 1) % commit_every == 0)
            check_ok(sink->commit(sink, &error), &error);
    }
}

void fixture_record(const struct fixture *f, const char *name, int64_t n, int64_t commit_every)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    struct sonde_store_model model = fixture_model();
    struct sonde_run_info info = fixture_info(f, name, false);
    int64_t n_done = -1;
    check_ok(sonde_store_open(&store, f->path, SONDE_STORE_CREATE, &error), &error);
    check_ok(sonde_store_begin_run(store, &model, &info, f->streams, f->n_streams, 0, &sink,
                                   &n_done, &error),
             &error);
    assert_int_equal(n_done, 0);
    fixture_put(f, sink, 0, n, commit_every);
    check_ok(sink->finish(sink, &error), &error);
    sonde_store_close(&store);
}

/* What the store must give back for a value: narrowed to the stream's dtype and widened. */
static float stored_value(enum sonde_dtype dtype, float value)
{
    return dtype == SONDE_DTYPE_F16    ? sonde_f16_to_f32(sonde_f32_to_f16(value))
           : dtype == SONDE_DTYPE_BF16 ? sonde_bf16_to_f32(sonde_f32_to_bf16(value))
                                       : value;
}

static void verify_values(const struct fixture *f, int64_t s, int64_t sequence, const float *got,
                          int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        float want = stored_value(f->streams[s].dtype, fixture_value(f, s, sequence, k));
        if (memcmp(&got[k], &want, sizeof(float)) != 0)
            fail_msg("stream %s sequence %lld value %lld: %g, expected %g", f->streams[s].name,
                     (long long)sequence, (long long)k, (double)got[k], (double)want);
    }
}

static void verify_keys(const struct fixture *f, struct sonde_source *source, int64_t n)
{
    int64_t row = 0;
    assert_int_equal(source->n_sequences, n);
    for (int64_t i = 0; i < n; i++) {
        struct sonde_sequence want = { 0 };
        char name[32], text[64], group[32], piece[24];
        describe(i, &want, name, text, group);
        const struct sonde_source_sequence *got = &source->sequences[i];
        assert_int_equal(got->first_row, row);
        assert_int_equal(got->n_tokens, fixture_tokens(f, i));
        assert_int_equal(got->source, want.source);
        assert_int_equal(got->window, want.window);
        assert_string_equal(got->name, name);
        if (want.text)
            assert_string_equal(got->text, text);
        else
            assert_null(got->text);
        for (int64_t t = 0; t < got->n_tokens; t++, row++) {
            struct sonde_token token;
            describe_token(i, t, &token, piece);
            assert_int_equal(source->token_id[row], token.id);
            assert_int_equal(source->token_position[row], t);
            assert_int_equal(source->token_sequence[row], i);
            assert_int_equal(source->token_flags[row], token.flags);
            assert_string_equal(source->token_text(source, row), piece);
        }
    }
    assert_int_equal(source->n_tokens, row);
}

void fixture_verify(const struct fixture *f, const char *run, int64_t n)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    check_ok(sonde_store_open(&store, f->path, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_open_source(store, run, 0, &source, &error), &error);
    assert_int_equal(source->n_streams, f->n_streams);
    verify_keys(f, source, n);
    for (int64_t s = 0; s < f->n_streams; s++) {
        const struct sonde_stream *stream = &f->streams[s];
        assert_string_equal(source->streams[s].name, stream->name);
        assert_int_equal(source->streams[s].layer, stream->layer);
        assert_int_equal(source->streams[s].rank, stream->rank);
        assert_int_equal(source->streams[s].n_rows,
                         stream->space == SONDE_ROWS_TOKEN ? source->n_tokens : n);
        for (int64_t i = 0; i < n; i++) {
            int64_t T = source->sequences[i].n_tokens, count = count_values(stream, T);
            float *out = malloc((size_t)(count + 1) * sizeof(float));
            if (stream->space == SONDE_ROWS_MAP)
                check_ok(source->read_map(source, s, i, out, &error), &error);
            else if (stream->space == SONDE_ROWS_SEQUENCE)
                check_ok(source->read_rows(source, s, i, 1, out, &error), &error);
            else
                check_ok(
                    source->read_rows(source, s, source->sequences[i].first_row, T, out, &error),
                    &error);
            verify_values(f, s, i, out, count);
            free(out);
        }
    }
    source->destroy(&source);
    assert_null(source);
    sonde_store_close(&store);
    assert_null(store);
}

void fixture_digest(const char *path, char out[65])
{
    /* created is the time of the recording, and is left out. */
    static const char *const sql[] = {
        "SELECT type, name, sql FROM sqlite_schema ORDER BY name",
        "SELECT * FROM model ORDER BY id",
        ("SELECT id, model, name, state, version, command_line, input, options, edits, machine,"
         " seed, n_sequences, n_tokens FROM run ORDER BY id"),
        "SELECT * FROM sequence ORDER BY id",
        "SELECT * FROM token ORDER BY id",
        "SELECT * FROM token_pack ORDER BY run, ordinal",
        "SELECT * FROM stream ORDER BY id",
        "SELECT * FROM chunk ORDER BY id",
        "SELECT * FROM tail ORDER BY id",
        "SELECT * FROM label_set ORDER BY id",
        "SELECT * FROM label ORDER BY label_set, item",
    };
    sqlite3 *db = NULL;
    uint8_t digest[SONDE_SHA256_BYTES];
    struct sonde_sha256 *hash = sonde_sha256_create();
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
        sqlite3_stmt *statement = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, sql[i], -1, &statement, NULL), SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW)
            for (int c = 0; c < sqlite3_column_count(statement); c++) {
                int type = sqlite3_column_type(statement, c);
                const void *data = sqlite3_column_blob(statement, c);
                int n = sqlite3_column_bytes(statement, c);
                sonde_sha256_update(hash, &type, sizeof(type));
                sonde_sha256_update(hash, &n, sizeof(n));
                if (n)
                    sonde_sha256_update(hash, data, (size_t)n);
            }
        sqlite3_finalize(statement);
    }
    sqlite3_close(db);
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, out);
    sonde_sha256_destroy(&hash);
}

static void keep_first(void *ctx, const char *text)
{
    char *first = ctx;
    if (first && !first[0])
        snprintf(first, 1024, "%s", text);
}

int64_t fixture_check(const char *path, bool full, char text[1024])
{
    struct sonde_error error = { 0 };
    int64_t n_problems = -1, n_chunks = 0;
    if (text)
        text[0] = '\0';
    if (sonde_store_check(path, full, NULL, keep_first, text, &n_problems, &n_chunks, &error) !=
        SONDE_STATUS_OK) {
        if (text)
            snprintf(text, 1024, "%s", error.text);
        return -1;
    }
    return n_problems;
}
