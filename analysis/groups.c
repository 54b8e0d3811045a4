#include "analysis/groups.h"

#include <stdbool.h>
#include <stdlib.h>

#include "core/base/num.h"

struct keyed {
    int64_t group, row;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

enum sonde_status sonde_groups_init(struct sonde_groups *g, const int64_t *group, int64_t rows,
                                    struct sonde_error *error)
{
    struct sonde_groups made = { 0 };
    struct keyed *item = NULL;
    size_t bytes = 0;
    bool fits =
        rows >= 0 && rows < INT64_MAX && sonde_mul_size((size_t)rows + 1, sizeof(*item), &bytes);
    if (fits) {
        item = malloc(bytes);
        made.row = malloc(((size_t)rows + 1) * sizeof(*made.row));
        made.begin = malloc(((size_t)rows + 1) * sizeof(*made.begin));
    }
    if (!item || !made.row || !made.begin) {
        free(item);
        sonde_groups_finish(&made);
        return sonde_error_memory(error, "groups");
    }
    bool sorted = true;
    for (int64_t i = 0; i < rows; i++) {
        item[i] = (struct keyed){ .group = group[i], .row = i };
        sorted = sorted && (i == 0 || group[i - 1] <= group[i]);
    }
    if (!sorted)
        qsort(item, (size_t)rows, sizeof(*item), compare_keyed);
    for (int64_t i = 0; i < rows; i++) {
        if (i == 0 || item[i].group != item[i - 1].group)
            made.begin[made.n++] = i;
        made.row[i] = item[i].row;
    }
    made.begin[made.n] = rows;
    free(item);
    *g = made;
    return SONDE_STATUS_OK;
}

void sonde_groups_finish(struct sonde_groups *g)
{
    free(g->row);
    free(g->begin);
    *g = (struct sonde_groups){ 0 };
}
