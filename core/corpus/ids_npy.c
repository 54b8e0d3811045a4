/* Token ids from a .npy file (NumPy enhancement proposal 1): a header in Python's notation, then
 * the array. */
#include <stdlib.h>
#include <string.h>

#include "core/base/num.h"
#include "core/corpus/corpus_internal.h"

#define MAX_HEADER_BYTES 65536

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t\r\n");
}

/* The value of a key of the header's dict; NULL where it is not there. */
static const char *find_value(const char *header, const char *key)
{
    size_t n = strlen(key);

    for (const char *s = strchr(header, '\''); s; s = strchr(s + 1, '\'')) {
        if (strncmp(s + 1, key, n) != 0 || s[n + 1] != '\'')
            continue;
        const char *colon = skip_blanks(s + n + 2);
        if (*colon == ':')
            return skip_blanks(colon + 1);
    }
    return NULL;
}

/* "(n,)" or "(n, T)". */
static bool read_shape(struct sonde_ids_file *ids, const char *s)
{
    int64_t dim[2] = { 1, 1 };
    int rank = 0;

    if (*s != '(')
        return false;
    s = skip_blanks(s + 1);
    while (*s != ')') {
        size_t digits = strspn(s, "0123456789");
        if (rank == 2 || !sonde_parse_i64(s, digits, &dim[rank++]))
            return false;
        s = skip_blanks(s + digits);
        if (*s == ',')
            s = skip_blanks(s + 1);
        else if (*s != ')')
            return false;
    }
    if (rank == 0)
        return false;
    ids->n_rows = rank == 2 ? dim[0] : 1;
    ids->n_columns = rank == 2 ? dim[1] : dim[0];
    return true;
}

static enum sonde_status read_header(struct sonde_ids_file *ids, const char *header,
                                     struct sonde_error *error)
{
    const char *type = find_value(header, "descr");
    const char *order = find_value(header, "fortran_order");
    const char *shape = find_value(header, "shape");

    if (!type || !order || !shape)
        return sonde_error_set(error, SONDE_STATUS_FORMAT,
                               "the header has no descr, fortran_order or shape");
    if (strncmp(type, "'<i4'", 5) == 0)
        ids->item_bytes = 4;
    else if (strncmp(type, "'<i8'", 5) == 0)
        ids->item_bytes = 8;
    else
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "dtype %.*s, expected '<i4' or '<i8'", (int)strcspn(type, ",}"),
                               type);
    if (strncmp(order, "False", 5) != 0)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "fortran_order %.*s, expected False", (int)strcspn(order, ",}"),
                               order);
    if (!read_shape(ids, shape))
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "shape %.*s), expected (n,) or (n, T)",
                               (int)strcspn(shape, ")}\n"), shape);
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
    uint8_t start[12] = { 0 };
    int64_t n_header;

    if (sonde_file_size(ids->file) < 12)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "%lld bytes are too few for a .npy file",
                               (long long)sonde_file_size(ids->file));
    enum sonde_status status = sonde_file_read(ids->file, 0, start, 12, error);
    if (status != SONDE_STATUS_OK)
        return status;
    if (memcmp(start, "\x93NUMPY", 6) != 0)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "not a .npy file");
    if (start[6] < 1 || start[6] > 3)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               ".npy version %d, expected 1, 2 or 3", start[6]);
    if (start[6] == 1) {
        ids->data_at = 10;
        n_header = start[8] | start[9] << 8;
    } else {
        ids->data_at = 12;
        n_header = (int64_t)(start[8] | start[9] << 8 | start[10] << 16) | (int64_t)start[11] << 24;
    }
    if (n_header > MAX_HEADER_BYTES || n_header > sonde_file_size(ids->file) - ids->data_at)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "a header of %lld bytes",
                               (long long)n_header);
    char *header = calloc((size_t)n_header + 1, 1);
    if (!header)
        return sonde_error_memory(error, "a header");
    status = sonde_file_read(ids->file, ids->data_at, header, n_header, error);
    ids->data_at += n_header;
    if (status == SONDE_STATUS_OK)
        status = read_header(ids, header, error);
    free(header);
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
