#include "probes/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/split.h"
#include "core/base/buf.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "probes/word_type.h"

enum { CLASSES_OF_VALUES_MAX = 1000 };
static const uint32_t special_flags = SONDE_TOKEN_BOS | SONDE_TOKEN_EOS | SONDE_TOKEN_SPECIAL;

static int64_t *new_i64(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(int64_t));
}

void sonde_dataset_destroy(struct sonde_dataset **dataset)
{
    struct sonde_dataset *d = *dataset;
    *dataset = NULL;
    if (!d)
        return;
    for (int64_t i = 0; d->class_name && i < d->n_classes; i++)
        free(d->class_name[i]);
    free(d->class_name);
    free(d->class_count);
    free(d->first);
    free(d->count);
    free(d->sequence);
    free(d->group);
    free(d->type);
    free(d->class_of);
    free(d->real);
    free(d->side);
    free(d->train);
    free(d->test);
    free(d->target);
    free(d->target_class);
    free(d);
}

struct sonde_feature_rows sonde_dataset_rows(const struct sonde_dataset *dataset)
{
    return (struct sonde_feature_rows){
        .n = dataset->n,
        .first = dataset->first,
        .count = dataset->count,
        .skip_flags = dataset->skip_flags,
    };
}

/* FNV-1a over the token ids of a sequence: equal texts, equal keys. */
static uint64_t sequence_key(const struct sonde_source *source, int64_t sequence)
{
    const struct sonde_source_sequence *s = &source->sequences[sequence];
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < s->n_tokens; i++) {
        uint32_t id = (uint32_t)source->token_id[s->first_row + i];
        for (int b = 0; b < 4; b++)
            hash = (hash ^ ((id >> (8 * b)) & 0xff)) * 1099511628211u;
    }
    return hash;
}

static bool is_labelled(const struct sonde_labels *labels, int64_t row)
{
    return labels->kind == SONDE_LABEL_REAL ? isfinite(labels->real[row])
                                            : labels->class_of[row] >= 0;
}

static void add_sample(struct sonde_dataset *d, const struct sonde_source *source,
                       const struct sonde_labels *labels, int64_t label_row, int64_t sequence,
                       int64_t first, int64_t count, int64_t type)
{
    int64_t i = d->n++;
    d->first[i] = first;
    d->count[i] = count;
    d->sequence[i] = sequence;
    d->group[i] = source->sequences[sequence].group;
    d->type[i] = type;
    if (labels->kind == SONDE_LABEL_REAL)
        d->real[i] = labels->real[label_row];
    else
        d->class_of[i] = labels->class_of[label_row];
}

static bool is_masked_out(const struct sonde_labels *mask, int64_t row)
{
    return mask && !is_labelled(mask, row);
}

static void collect_tokens(struct sonde_dataset *d, struct sonde_source *source,
                           const struct sonde_labels *labels, const struct sonde_labels *mask,
                           bool keep_special)
{
    for (int64_t row = 0; row < source->n_tokens; row++) {
        if (!is_labelled(labels, row))
            continue;
        if (is_masked_out(mask, row)) {
            d->n_masked_out++;
            continue;
        }
        if (!keep_special && (source->token_flags[row] & special_flags)) {
            d->n_special_left_out++;
            continue;
        }
        add_sample(d, source, labels, row, source->token_sequence[row], row, 1,
                   sonde_word_type(source, row));
    }
}

/* The rows that a sequence's features come from. */
static void pool_rows(const struct sonde_source *source, int64_t sequence,
                      enum sonde_pooling pooling, bool keep_special, int64_t *first, int64_t *count)
{
    const struct sonde_source_sequence *s = &source->sequences[sequence];
    int64_t begin = s->first_row, end = s->first_row + s->n_tokens;
    while (!keep_special && begin < end - 1 && (source->token_flags[begin] & special_flags))
        begin++;
    while (!keep_special && end > begin + 1 && (source->token_flags[end - 1] & special_flags))
        end--;
    *first = pooling == SONDE_POOLING_LAST ? end - 1 : begin;
    *count = pooling == SONDE_POOLING_MEAN ? end - begin : 1;
}

static void collect_sequences(struct sonde_dataset *d, struct sonde_source *source,
                              const struct sonde_labels *labels, const struct sonde_labels *mask,
                              const struct sonde_dataset_options *options)
{
    for (int64_t s = 0; s < source->n_sequences; s++) {
        if (!is_labelled(labels, s) || source->sequences[s].n_tokens < 1)
            continue;
        if (is_masked_out(mask, s)) {
            d->n_masked_out++;
            continue;
        }
        int64_t first = s, count = 1;
        if (d->space == SONDE_ROWS_TOKEN)
            pool_rows(source, s, options->pooling, options->keep_special, &first, &count);
        bool one_row = d->space == SONDE_ROWS_TOKEN && count == 1;
        int64_t type = one_row ? sonde_word_type(source, first) : (int64_t)sequence_key(source, s);
        add_sample(d, source, labels, s, s, first, count, type);
    }
    d->skip_flags = options->keep_special ? 0 : special_flags;
}

static enum sonde_status allocate(struct sonde_dataset *d, int64_t n, struct sonde_error *error)
{
    d->first = new_i64(n);
    d->count = new_i64(n);
    d->sequence = new_i64(n);
    d->group = new_i64(n);
    d->type = new_i64(n);
    d->train = new_i64(n);
    d->test = new_i64(n);
    d->class_of = calloc((size_t)n + 1, sizeof(int32_t));
    d->target = calloc((size_t)n + 1, sizeof(int32_t));
    d->real = calloc((size_t)n + 1, sizeof(double));
    d->side = calloc((size_t)n + 1, 1);
    if (!d->first || !d->count || !d->sequence || !d->group || !d->type || !d->train || !d->test ||
        !d->class_of || !d->target || !d->real || !d->side)
        return sonde_error_memory(error, "the samples");
    return SONDE_STATUS_OK;
}

static enum sonde_status copy_class_names(struct sonde_dataset *d,
                                          const struct sonde_labels *labels,
                                          struct sonde_error *error)
{
    d->class_name = calloc((size_t)labels->n_classes + 1, sizeof(char *));
    if (!d->class_name)
        return sonde_error_memory(error, "the classes");
    d->n_classes = labels->n_classes;
    for (int64_t i = 0; i < labels->n_classes; i++)
        if (!(d->class_name[i] = sonde_strdup(labels->class_name[i])))
            return sonde_error_memory(error, "the classes");
    return SONDE_STATUS_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Real labels as classes: one a distinct value, in ascending order. */
static enum sonde_status classes_of_values(struct sonde_dataset *d, const char *set,
                                           struct sonde_error *error)
{
    double *value = malloc((size_t)(d->n + 1) * sizeof(double));
    if (!value)
        return sonde_error_memory(error, "the values");
    memcpy(value, d->real, (size_t)d->n * sizeof(double));
    qsort(value, (size_t)d->n, sizeof(double), compare_doubles);
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++)
        if (n == 0 || value[i] != value[n - 1])
            value[n++] = value[i];
    enum sonde_status status = SONDE_STATUS_OK;
    if (n > CLASSES_OF_VALUES_MAX)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "label set %s: %lld different values, expected at most %d for "
                                 "--task class",
                                 set, (long long)n, CLASSES_OF_VALUES_MAX);
    if (!status && !(d->class_name = calloc((size_t)n + 1, sizeof(char *))))
        status = sonde_error_memory(error, "the classes");
    d->n_classes = status ? 0 : n;
    for (int64_t i = 0; i < n && !status; i++) {
        char text[SONDE_FORMAT_F64_MAX];
        sonde_format_f64(text, value[i]);
        if (!(d->class_name[i] = sonde_strdup(text)))
            status = sonde_error_memory(error, "the classes");
    }
    for (int64_t i = 0; i < d->n && !status; i++) {
        const double *found =
            bsearch(&d->real[i], value, (size_t)n, sizeof(double), compare_doubles);
        d->class_of[i] = found ? (int32_t)(found - value) : -1;
    }
    free(value);
    return status;
}

/* Class labels as values: names that are numbers. */
static enum sonde_status values_of_classes(struct sonde_dataset *d,
                                           const struct sonde_labels *labels,
                                           struct sonde_error *error)
{
    for (int64_t i = 0; i < d->n; i++) {
        const char *name = labels->class_name[d->class_of[i]];
        if (!sonde_parse_f64(name, strlen(name), &d->real[i]))
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "label set %s: class \"%s\" is no number: it cannot be fitted "
                                   "as a real label",
                                   labels->name, name);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status set_task(struct sonde_dataset *d, const struct sonde_labels *labels,
                                  const struct sonde_dataset_options *options,
                                  struct sonde_error *error)
{
    bool is_real = labels->kind == SONDE_LABEL_REAL;
    d->task = options->task != SONDE_TASK_AUTO ? options->task
              : is_real                        ? SONDE_TASK_REAL
                                               : SONDE_TASK_CLASS;
    enum sonde_status status = SONDE_STATUS_OK;
    if (d->task == SONDE_TASK_REAL && !is_real)
        status = values_of_classes(d, labels, error);
    else if (d->task == SONDE_TASK_CLASS && is_real)
        status = classes_of_values(d, labels->name, error);
    else if (!is_real)
        status = copy_class_names(d, labels, error);
    if (status || d->task != SONDE_TASK_CLASS)
        return status;
    d->class_count = new_i64(d->n_classes);
    if (!d->class_count)
        return sonde_error_memory(error, "the classes");
    for (int64_t i = 0; i < d->n; i++)
        d->class_count[d->class_of[i]]++;
    return SONDE_STATUS_OK;
}

static enum sonde_status split(struct sonde_dataset *d, const struct sonde_source *source,
                               const struct sonde_dataset_options *options,
                               struct sonde_error *error)
{
    double share = options->test_share > 0 ? options->test_share : 0.2;
    int64_t *unit = new_i64(d->n);
    uint64_t *key = calloc((size_t)d->n + 1, sizeof(*key));
    enum sonde_status status =
        unit && key ? SONDE_STATUS_OK : sonde_error_memory(error, "the split");
    for (int64_t i = 0; i < d->n && !status; i++) {
        unit[i] = options->by_position ? i : d->group[i];
        bool same = i > 0 && d->sequence[i] == d->sequence[i - 1];
        key[i] = same ? key[i - 1] : sequence_key(source, d->sequence[i]);
    }
    if (!status)
        status = sonde_split_count_groups(d->group, d->n, &d->n_groups, error);
    if (!status && share >= 1)
        memset(d->side, 1, (size_t)d->n);
    else if (!status)
        status = sonde_split_test(unit, d->n, share, options->seed, d->side, error);
    if (!status && share < 1 && !options->by_position)
        status =
            sonde_split_count_duplicates(d->group, key, d->side, d->n, &d->n_duplicates, error);
    for (int64_t i = 0; i < d->n && !status; i++) {
        if (d->side[i])
            d->test[d->n_test++] = i;
        else
            d->train[d->n_train++] = i;
    }
    for (int64_t i = 0; i < d->n_test && !status; i++)
        unit[i] = d->group[d->test[i]];
    if (!status && d->n_test > 0)
        status = sonde_split_count_groups(unit, d->n_test, &d->n_test_groups, error);
    free(unit);
    free(key);
    return status;
}

/* Numbers the classes that training knows. */
static enum sonde_status set_targets(struct sonde_dataset *d, const char *set,
                                     struct sonde_error *error)
{
    if (d->task != SONDE_TASK_CLASS)
        return SONDE_STATUS_OK;
    int32_t *number = malloc((size_t)(d->n_classes + 1) * sizeof(*number));
    d->target_class = calloc((size_t)d->n_classes + 1, sizeof(int32_t));
    if (!number || !d->target_class) {
        free(number);
        return sonde_error_memory(error, "the classes");
    }
    for (int64_t c = 0; c < d->n_classes; c++)
        number[c] = -1;
    bool all = d->n_train == 0;
    for (int64_t i = 0; i < (all ? d->n : d->n_train); i++)
        number[d->class_of[all ? i : d->train[i]]] = 0;
    for (int64_t c = 0; c < d->n_classes; c++) {
        if (number[c] == 0) {
            number[c] = (int32_t)d->n_targets;
            d->target_class[d->n_targets++] = (int32_t)c;
        }
    }
    for (int64_t i = 0; i < d->n; i++) {
        d->target[i] = number[d->class_of[i]];
        d->n_only_test += d->target[i] < 0;
    }
    free(number);
    if (d->n_targets < 2 && !all)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "label set %s: the %lld training samples are all \"%s\": there is "
                               "nothing to tell apart",
                               set, (long long)d->n_train,
                               d->n_targets ? d->class_name[d->target_class[0]] : "");
    return SONDE_STATUS_OK;
}

static enum sonde_status find_labels(struct sonde_source *source, enum sonde_row_space space,
                                     const char *set, const struct sonde_labels **out,
                                     struct sonde_error *error)
{
    enum sonde_status status = source->labels(source, set, out, error);
    if (status)
        return status;
    const struct sonde_labels *labels = *out;
    if (labels->kind != SONDE_LABEL_CLASS && labels->kind != SONDE_LABEL_REAL)
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "label set %s: %s labels, expected class or real", set,
                               sonde_label_kind_name(labels->kind));
    int64_t expected = labels->space == SONDE_ROWS_TOKEN ? source->n_tokens : source->n_sequences;
    if (labels->n_rows != expected)
        return sonde_error_set(error, SONDE_STATUS_FORMAT, "label set %s: %lld rows, expected %lld",
                               set, (long long)labels->n_rows, (long long)expected);
    if (labels->space == SONDE_ROWS_TOKEN && space != SONDE_ROWS_TOKEN)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "label set %s: labels of tokens, but the streams have a row a %s",
                               set, sonde_row_space_name(space));
    return SONDE_STATUS_OK;
}

static enum sonde_status find_mask(struct sonde_source *source, enum sonde_row_space space,
                                   const struct sonde_dataset_options *options,
                                   const struct sonde_labels *labels,
                                   const struct sonde_labels **out, struct sonde_error *error)
{
    enum sonde_row_space labelled = labels->space;
    enum sonde_status status = find_labels(source, space, options->mask, out, error);
    if (!status && (*out)->space != labelled)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "label set %s: a label a %s, but %s has a label a %s: it is no "
                                 "mask for it",
                                 options->mask, sonde_row_space_name((*out)->space),
                                 options->labels, sonde_row_space_name(labelled));
    return status;
}

enum sonde_status sonde_dataset_create(struct sonde_dataset **out, struct sonde_source *source,
                                       enum sonde_row_space space,
                                       const struct sonde_dataset_options *options,
                                       struct sonde_error *error)
{
    const struct sonde_labels *labels = NULL, *mask = NULL;
    enum sonde_status status = find_labels(source, space, options->labels, &labels, error);
    if (!status && options->mask)
        status = find_mask(source, space, options, labels, &mask, error);
    if (status)
        return status;
    struct sonde_dataset *d = calloc(1, sizeof(*d));
    if (!d)
        return sonde_error_memory(error, "the samples");
    d->space = space;
    status = allocate(d, labels->n_rows, error);
    if (!status && labels->space == SONDE_ROWS_TOKEN)
        collect_tokens(d, source, labels, mask, options->keep_special);
    else if (!status)
        collect_sequences(d, source, labels, mask, options);
    if (!status && d->n == 0)
        status =
            sonde_error_set(error, SONDE_STATUS_ARGUMENT, "label set %s: no row has a label%s%s",
                            options->labels, mask ? " and one of " : "", mask ? options->mask : "");
    if (!status)
        status = set_task(d, labels, options, error);
    if (!status) {
        status = split(d, source, options, error);
        if (status)
            sonde_error_prepend(error, "label set %s", options->labels);
    }
    if (!status)
        status = set_targets(d, options->labels, error);
    if (status) {
        sonde_dataset_destroy(&d);
        return status;
    }
    *out = d;
    return SONDE_STATUS_OK;
}

void sonde_dataset_control(const struct sonde_dataset *d, uint64_t seed, int32_t *target,
                           double *real)
{
    uint64_t stream = sonde_rng_stream("control task");
    for (int64_t i = 0; i < d->n; i++) {
        /* The draw is a function of (seed, type) alone, so a type keeps its label wherever it is.
         */
        struct sonde_rng rng = sonde_rng_make(seed ^ stream, (uint64_t)d->type[i]);
        if (d->task == SONDE_TASK_REAL) {
            int64_t drawn = d->n_train > 0 ? d->train[sonde_rng_below(&rng, d->n_train)]
                                           : sonde_rng_below(&rng, d->n);
            real[i] = d->real[drawn];
            continue;
        }
        int64_t drawn = d->n_train > 0 ? d->train[sonde_rng_below(&rng, d->n_train)]
                                       : sonde_rng_below(&rng, d->n);
        target[i] = d->target[drawn];
    }
}

void sonde_dataset_control_uniform(const struct sonde_dataset *d, uint64_t seed, int32_t *target,
                                   double *real)
{
    uint64_t stream = sonde_rng_stream("uniform control");
    for (int64_t i = 0; i < d->n; i++) {
        struct sonde_rng rng = sonde_rng_make(seed ^ stream, (uint64_t)i);
        if (d->task == SONDE_TASK_CLASS)
            target[i] = (int32_t)sonde_rng_below(&rng, d->n_targets);
        else
            real[i] = d->real[d->n_train > 0 ? d->train[sonde_rng_below(&rng, d->n_train)]
                                             : sonde_rng_below(&rng, d->n)];
    }
}
