/* Texts of a source's tokens, read a block at a time when one of it is asked for. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "storage/source.h"

enum { BLOCK = 1024, MEMO_IDS_MAX = 4000000 };

/* Tokens of one id mostly have one text; only what differs is copied. */
static const char *keep_text(struct source *source, int64_t id, const char *text)
{
    if (id < MEMO_IDS_MAX && id >= source->n_text_of_id) {
        int64_t before = source->n_text_of_id;
        if (!sonde_grow((void **)&source->text_of_id, &source->n_text_of_id, id + 1,
                        sizeof(*source->text_of_id), 2 * MEMO_IDS_MAX))
            return NULL;
        memset(source->text_of_id + before, 0,
               (size_t)(source->n_text_of_id - before) * sizeof(*source->text_of_id));
    }
    const char *known = id < source->n_text_of_id ? source->text_of_id[id] : NULL;
    if (known && strcmp(known, text) == 0)
        return known;
    const char *copy = sonde_arena_strndup(source->arena, text, strlen(text));
    if (copy && id < source->n_text_of_id)
        source->text_of_id[id] = copy;
    return copy;
}

static void read_block(struct source *source, int64_t first)
{
    sqlite3_stmt *statement = NULL;
    int64_t past = first + BLOCK, n = source->base.n_tokens;
    bool row = true;
    if (sonde_db_prepare(source->store, &statement,
                         "SELECT id, text FROM token WHERE id >= ?1 AND id < ?2", NULL))
        return;
    sqlite3_bind_int64(statement, 1, source->id_base + first);
    sqlite3_bind_int64(statement, 2, source->id_base + (past < n ? past : n));
    while (!sonde_db_step(source->store, statement, &row, NULL) && row) {
        int64_t i = sqlite3_column_int64(statement, 0) - source->id_base;
        const char *text = (const char *)sqlite3_column_text(statement, 1);
        if (i >= first && i < past && i < n && !source->token_text[i])
            source->token_text[i] = keep_text(source, source->token_id[i], text ? text : "");
    }
    sqlite3_finalize(statement);
}

const char *sonde_source_token_text(struct sonde_source *base, int64_t row)
{
    struct source *source = base->self;
    if (row < 0 || row >= base->n_tokens)
        return "";
    if (!source->token_text[row])
        read_block(source, row - row % BLOCK);
    return source->token_text[row] ? source->token_text[row] : "";
}
