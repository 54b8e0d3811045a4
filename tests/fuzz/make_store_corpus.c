/* Makes the seeds of fuzz_store: small stores with pages of 512 bytes, so that a mutation has a
 * chance to hit something. make_store_corpus FOLDER writes none.db, zlib.db, open.db. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/unit/storage/store_fixture.h"
#include "tests/support/check.h"

static void shrink(const struct fixture *f, const char *folder, const char *name)
{
    char sql[900];
    sqlite3 *db = NULL;
    snprintf(sql, sizeof(sql), "%s/%s", folder, name);
    unlink(sql);
    snprintf(sql, sizeof(sql), "PRAGMA page_size = 512; VACUUM INTO '%s/%s'", folder, name);
    sqlite3_open(f->path, &db);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void label(const struct fixture *f)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_label_writer *w = NULL;
    int64_t n = 0;
    check_ok(sonde_store_open(&store, f->path, SONDE_STORE_WRITE, &error), &error);
    check_ok(sonde_store_label_sql(store, NULL, "text", "SELECT token, text AS value FROM tokens",
                                   false, &n, &error),
             &error);
    check_ok(sonde_store_label_begin(store, NULL, "spans", SONDE_LABEL_SPAN, SONDE_ROWS_TOKEN, "",
                                     false, &w, &error),
             &error);
    check_ok(sonde_store_label_span(w, 1, 0, 1, "A", &error), &error);
    check_ok(sonde_store_label_commit(&w, &n, &error), &error);
    check_ok(sonde_store_add_result(store, NULL, "probe", "sonde probe", "{}", 2, &error), &error);
    sonde_store_close(&store);
}

static void make(const char *folder, const char *name, enum sonde_codec codec, bool open)
{
    struct fixture f;
    struct sonde_error error = { 0 };
    fixture_init(&f);
    f.T_max = 5;
    f.codec = codec;
    fixture_add(&f, "hook_embed", SONDE_ROWS_TOKEN, SONDE_DTYPE_F32, 8, 0);
    if (!open) {
        fixture_add(&f, "blocks.0.attn.hook_pattern", SONDE_ROWS_MAP, SONDE_DTYPE_F16, 2, 0);
        fixture_add(&f, "pooled", SONDE_ROWS_SEQUENCE, SONDE_DTYPE_BF16, 3, 2);
        fixture_record(&f, "a", 5, 2);
        label(&f);
    } else {
        struct sonde_store *store = NULL;
        struct sonde_sink *sink = NULL;
        struct sonde_store_model model = fixture_model();
        struct sonde_run_info info = fixture_info(&f, "a", false);
        int64_t n = 0;
        check_ok(sonde_store_open(&store, f.path, SONDE_STORE_CREATE, &error), &error);
        check_ok(sonde_store_begin_run(store, &model, &info, f.streams, 1, 0, &sink, &n, &error),
                 &error);
        fixture_put(&f, sink, 0, 6, 2);
        sink->abandon(sink);
        sonde_store_close(&store);
    }
    shrink(&f, folder, name);
    fixture_finish(&f);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    make(argv[1], "none.db", SONDE_CODEC_NONE, false);
    make(argv[1], "zlib.db", SONDE_CODEC_ZLIB, false);
    make(argv[1], "open.db", SONDE_CODEC_NONE, true);
    return 0;
}
