/* Token ids from a .npy file: rows of whole numbers, read one at a time. */
#include <stdlib.h>
#include <string.h>

#include "core/base/npy_header.h"
#include "core/base/num.h"
#include "core/corpus/corpus_internal.h"

static enum sonde_status read_header(struct sonde_ids_file *ids,
                                     const struct sonde_npy_header *header,
                                     struct sonde_error *error)
{
    bool narrow = header->n_descr == 3 && memcmp(header->descr, "<i4", 3) == 0;
    bool wide = header->n_descr == 3 && memcmp(header->descr, "<i8", 3) == 0;

    if (!narrow && !wide)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "dtype '%.*s', expected '<i4' or '<i8'",
                               (int)(header->n_descr < 40 ? header->n_descr : 40), header->descr);
    if (header->rank != 1 && header->rank != 2)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "an array of rank %d, expected (n,) or (n, T)", header->rank);
    ids->item_bytes = wide ? 8 : 4;
    ids->n_rows = header->rank == 2 ? header->dim[0] : 1;
    ids->n_columns = header->rank == 2 ? header->dim[1] : header->dim[0];
    ids->data_at = header->data_at;
    return SONDE_STATUS_OK;
}

static enum sonde_status check_size(struct sonde_ids_file *ids, struct sonde_error *error)
{
    int64_t row = 0, bytes = 0, all = 0;

    bool fits = sonde_mul_i64(ids->n_columns, ids->item_bytes, &row) &&
                sonde_mul_i64(ids->n_rows, row, &bytes) && sonde_add_i64(bytes, ids->data_at, &all);
    if (!fits || all != sonde_file_size(ids->file))
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "[%lld, %lld] of %d bytes behind a header of %lld, but the file has "
                               "%lld bytes",
                               (long long)ids->n_rows, (long long)ids->n_columns, ids->item_bytes,
                               (long long)ids->data_at, (long long)sonde_file_size(ids->file));
    if (ids->n_columns == 0)
        ids->n_rows = 0; /* nothing is stored, however many rows are claimed */
    if (row > SONDE_CORPUS_MAX_ITEM_BYTES)
        return sonde_error_set(error, SONDE_STATUS_LIMIT, "a row of %lld bytes, at most %lld",
                               (long long)row, (long long)SONDE_CORPUS_MAX_ITEM_BYTES);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_start(struct sonde_ids_file *ids, struct sonde_error *error)
{
    int64_t size = sonde_file_size(ids->file);
    int64_t n = size < SONDE_NPY_START_MAX ? size : SONDE_NPY_START_MAX;
    uint8_t *start = malloc((size_t)n + 1);
    struct sonde_npy_header header;

    if (!start)
        return sonde_error_memory(error, "a header");
    enum sonde_status status = sonde_file_read(ids->file, 0, start, n, error);
    if (status == SONDE_STATUS_OK)
        status = sonde_npy_header_parse(&header, start, n, size, error);
    if (status == SONDE_STATUS_OK)
        status = read_header(ids, &header, error);
    free(start);
    return status == SONDE_STATUS_OK ? check_size(ids, error) : status;
}

enum sonde_status sonde_ids_open(struct sonde_ids_file *ids, const char *path,
                                 struct sonde_error *error)
{
    *ids = (struct sonde_ids_file){ 0 };
    enum sonde_status status = sonde_file_open(&ids->file, path, error);
    if (status != SONDE_STATUS_OK)
        return status;
    status = read_start(ids, error);
    if (status != SONDE_STATUS_OK) {
        sonde_error_prepend(error, "%s", path);
        return status;
    }
    ids->raw = malloc((size_t)(ids->n_columns * ids->item_bytes) + 1);
    ids->ids = malloc((size_t)ids->n_columns * sizeof(*ids->ids) + 1);
    return ids->raw && ids->ids ? SONDE_STATUS_OK : sonde_error_memory(error, "a row of ids");
}

void sonde_ids_close(struct sonde_ids_file *ids)
{
    sonde_file_close(&ids->file);
    free(ids->raw);
    free(ids->ids);
    *ids = (struct sonde_ids_file){ 0 };
}

enum sonde_status sonde_ids_next(struct sonde_ids_file *ids, struct sonde_corpus_item *item,
                                 bool *more, struct sonde_error *error)
{
    int64_t row_bytes = ids->n_columns * ids->item_bytes;

    *more = ids->row < ids->n_rows;
    if (!*more)
        return SONDE_STATUS_OK;
    enum sonde_status status = SONDE_STATUS_OK;
    if (row_bytes > 0)
        status = sonde_file_read(ids->file, ids->data_at + ids->row * row_bytes, ids->raw,
                                 row_bytes, error);
    if (status != SONDE_STATUS_OK)
        return status;
    const int32_t *narrow = ids->raw;
    const int64_t *wide = ids->raw;
    int64_t n = 0;
    for (; n < ids->n_columns; n++) {
        int64_t id = ids->item_bytes == 4 ? narrow[n] : wide[n];
        if (id < 0)
            break;
        if (id > INT32_MAX)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "%s: row %lld, column %lld: id %lld, at most %d",
                                   sonde_file_path(ids->file), (long long)ids->row, (long long)n,
                                   (long long)id, INT32_MAX);
        ids->ids[n] = (int32_t)id;
    }
    ids->row++;
    item->ids = ids->ids;
    item->n_ids = n;
    return SONDE_STATUS_OK;
}
