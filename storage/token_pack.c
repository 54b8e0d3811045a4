#include "storage/token_pack.h"

#include <stdlib.h>
#include <string.h>

#include "storage/codec.h"

/* A pack of n tokens: int32 id [n], then uint8 flags [n], little-endian. */
enum { PACK_TOKENS = 131072, TOKEN_BYTES = 5 };

struct pack {
    int32_t *id;    /* [PACK_TOKENS] */
    uint8_t *flags; /* [PACK_TOKENS], right behind the ids of a full pack */
    int64_t n, ordinal;
};

static enum sonde_status insert_pack(struct sonde_store *store, sqlite3_stmt *insert, int64_t run,
                                     struct pack *pack, struct sonde_error *error)
{
    int64_t bytes = pack->n * TOKEN_BYTES;
    uint8_t *data = (uint8_t *)pack->id;
    memmove(data + pack->n * (int64_t)sizeof(int32_t), pack->flags, (size_t)pack->n);
    sqlite3_bind_int64(insert, 1, run);
    sqlite3_bind_int64(insert, 2, pack->ordinal++);
    sqlite3_bind_int64(insert, 3, pack->n);
    sqlite3_bind_int64(insert, 4, sonde_codec_crc32(data, bytes));
    sqlite3_bind_blob64(insert, 5, data, (sqlite3_uint64)bytes, SQLITE_STATIC);
    pack->n = 0;
    enum sonde_status status = sonde_db_run(store, insert, error);
    sqlite3_clear_bindings(insert);
    return status;
}

/* *fits: false where a token does not; what was inserted by then must go. */
static enum sonde_status fill_packs(struct sonde_store *store, sqlite3_stmt *select,
                                    sqlite3_stmt *insert, int64_t run, struct pack *pack,
                                    bool *fits, struct sonde_error *error)
{
    bool row = true;
    *fits = true;
    for (;;) {
        enum sonde_status status = sonde_db_step(store, select, &row, error);
        if (status == SONDE_STATUS_OK && (!row || pack->n == PACK_TOKENS) && pack->n > 0)
            status = insert_pack(store, insert, run, pack, error);
        if (status != SONDE_STATUS_OK || !row)
            return status;
        int64_t id = sqlite3_column_int64(select, 0), flags = sqlite3_column_int64(select, 1);
        if (id < 0 || id > INT32_MAX || flags < 0 || flags > UINT8_MAX) {
            *fits = false;
            return SONDE_STATUS_OK;
        }
        pack->id[pack->n] = (int32_t)id;
        pack->flags[pack->n++] = (uint8_t)flags;
    }
}

static enum sonde_status delete_packs(struct sonde_store *store, int64_t run,
                                      struct sonde_error *error)
{
    char sql[80];
    sqlite3_snprintf(sizeof(sql), sql, "DELETE FROM token_pack WHERE run = %lld", run);
    return sonde_db_exec(store, sql, error);
}

enum sonde_status sonde_token_pack_write(struct sonde_store *store, int64_t run, int64_t n_tokens,
                                         struct sonde_error *error)
{
    sqlite3_stmt *select = NULL, *insert = NULL;
    struct pack pack = { .id = malloc((size_t)PACK_TOKENS * TOKEN_BYTES) };
    int64_t base = (run - 1) * SONDE_STORE_ID_SPAN;
    bool fits = true;
    if (!pack.id)
        return sonde_error_memory(error, "the packs of a run's tokens");
    pack.flags = (uint8_t *)(pack.id + PACK_TOKENS);
    enum sonde_status status = delete_packs(store, run, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_prepare(store, &select,
                                  "SELECT vocab, flags FROM token WHERE id >= ?1 AND id < ?2"
                                  " ORDER BY id",
                                  error);
    if (status == SONDE_STATUS_OK)
        status = sonde_db_prepare(store, &insert,
                                  "INSERT INTO token_pack(run, ordinal, n_tokens, crc32, data)"
                                  " VALUES(?1, ?2, ?3, ?4, ?5)",
                                  error);
    if (status == SONDE_STATUS_OK) {
        sqlite3_bind_int64(select, 1, base);
        sqlite3_bind_int64(select, 2, base + n_tokens);
        status = fill_packs(store, select, insert, run, &pack, &fits, error);
    }
    sqlite3_finalize(select);
    sqlite3_finalize(insert);
    free(pack.id);
    if (status == SONDE_STATUS_OK && !fits)
        status = delete_packs(store, run, error);
    return status;
}

static enum sonde_status damaged(const struct sonde_store *store, const char *what,
                                 struct sonde_error *error)
{
    return sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: the packs of a run's tokens: %s",
                           store->path, what);
}

/* The sum of the packs' own counts and of their sizes, from the rows. */
static enum sonde_status count_packs(struct sonde_store *store, int64_t run, int64_t *n,
                                     struct sonde_error *error)
{
    char sql[160];
    sqlite3_snprintf(sizeof(sql), sql,
                     "SELECT coalesce(sum(iif(length(data) = n_tokens * %d AND n_tokens > 0,"
                     " n_tokens, -9e15)), 0) FROM token_pack WHERE run = %lld",
                     (int)TOKEN_BYTES, run);
    return sonde_db_read_i64(store, sql, 0, n, error);
}

/* Columns: ordinal, n_tokens, crc32, data. */
static enum sonde_status copy_pack(struct sonde_store *store, sqlite3_stmt *row, int64_t ordinal,
                                   int64_t room, int32_t *id, uint32_t *flags, int64_t *n,
                                   struct sonde_error *error)
{
    const uint8_t *data = sqlite3_column_blob(row, 3);
    int64_t bytes = sqlite3_column_bytes(row, 3);
    *n = sqlite3_column_int64(row, 1);
    if (!data || sqlite3_column_int64(row, 0) != ordinal || *n < 1 || *n > room ||
        bytes != *n * TOKEN_BYTES)
        return damaged(store, "one is out of place", error);
    if (sonde_codec_crc32(data, bytes) != (uint32_t)sqlite3_column_int64(row, 2))
        return damaged(store, "checksum mismatch", error);
    int32_t sign = 0;
    memcpy(id, data, (size_t)*n * sizeof(int32_t));
    for (int64_t i = 0; i < *n; i++) {
        sign |= id[i];
        flags[i] = data[*n * (int64_t)sizeof(int32_t) + i];
    }
    return sign < 0 ? damaged(store, "an id is negative", error) : SONDE_STATUS_OK;
}

static enum sonde_status read_packs(struct sonde_store *store, int64_t run, int64_t n_tokens,
                                    int32_t *id, uint32_t *flags, struct sonde_error *error)
{
    sqlite3_stmt *select = NULL;
    bool row = true;
    int64_t at = 0, n = 0;
    enum sonde_status status =
        sonde_db_prepare(store, &select,
                         "SELECT ordinal, n_tokens, crc32, data FROM token_pack WHERE run = ?1"
                         " ORDER BY ordinal",
                         error);
    if (status == SONDE_STATUS_OK)
        sqlite3_bind_int64(select, 1, run);
    for (int64_t ordinal = 0; status == SONDE_STATUS_OK; ordinal++) {
        status = sonde_db_step(store, select, &row, error);
        if (status != SONDE_STATUS_OK || !row)
            break;
        status = copy_pack(store, select, ordinal, n_tokens - at, id + at, flags + at, &n, error);
        at += n;
    }
    sqlite3_finalize(select);
    if (status == SONDE_STATUS_OK && at != n_tokens)
        status = damaged(store, "some are missing", error);
    return status;
}

enum sonde_status sonde_token_pack_read(struct sonde_store *store, int64_t run, int64_t n_tokens,
                                        int32_t **id, uint32_t **flags, struct sonde_error *error)
{
    int64_t n = 0;
    *id = NULL;
    *flags = NULL;
    if (store->version < 2)
        return SONDE_STATUS_OK;
    enum sonde_status status = count_packs(store, run, &n, error);
    if (status != SONDE_STATUS_OK || n == 0)
        return status;
    if (n != n_tokens)
        return damaged(store, "they are not of as many tokens as the run has", error);
    *id = malloc((size_t)n * sizeof(**id));
    *flags = malloc((size_t)n * sizeof(**flags));
    status = *id && *flags ? read_packs(store, run, n, *id, *flags, error)
                           : sonde_error_memory(error, "the tokens of a run");
    if (status == SONDE_STATUS_OK)
        return SONDE_STATUS_OK;
    free(*id);
    free(*flags);
    *id = NULL;
    *flags = NULL;
    return status;
}
