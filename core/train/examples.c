#include "core/train/examples.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"

enum part {
    PART_TYPES,
    PART_TARGETS,
    PART_HOT,
    PART_COUNTS,
    N_PARTS,
};

/* The optional parts lie behind each other like the ids, so that an offset in tokens finds them
 * all. */
struct sonde_examples {
    int64_t n_outputs;
    int64_t n, n_tokens, longest;
    int64_t *begin; /* [n + 1] in tokens */
    int32_t *ids, *types, *targets;
    uint8_t *hot; /* [n_tokens, n_outputs] */
    bool *counts;
    int64_t begin_capacity, ids_capacity, part_capacity[N_PARTS];
    bool has[N_PARTS];
};

enum sonde_status sonde_examples_create(struct sonde_examples **out, int64_t n_outputs,
                                        struct sonde_error *error)
{
    if (n_outputs < 0 || n_outputs > INT64_C(1) << 24) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "examples with %lld outputs",
                               (long long)n_outputs);
    }
    struct sonde_examples *e = calloc(1, sizeof *e);
    if (!e || !sonde_grow((void **)&e->begin, &e->begin_capacity, 1, sizeof *e->begin, 1)) {
        free(e);
        return sonde_error_memory(error, "the examples");
    }
    e->begin[0] = 0;
    e->n_outputs = n_outputs;
    *out = e;
    return SONDE_STATUS_OK;
}

void sonde_examples_destroy(struct sonde_examples **examples)
{
    if (!examples || !*examples) {
        return;
    }
    struct sonde_examples *e = *examples;
    free(e->begin);
    free(e->ids);
    free(e->types);
    free(e->targets);
    free(e->hot);
    free(e->counts);
    free(e);
    *examples = NULL;
}

static enum sonde_status check_parts(const struct sonde_examples *e, const bool has[N_PARTS],
                                     struct sonde_error *error)
{
    static const char *const names[N_PARTS] = { "token types", "targets", "k-hot targets",
                                                "a mask of rows" };
    for (int i = 0; i < N_PARTS && e->n > 0; i++) {
        if (has[i] != e->has[i]) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "example %lld has %s%s, those before it %s", (long long)e->n,
                                   has[i] ? "" : "no ", names[i], has[i] ? "have not" : "have");
        }
    }
    if (has[PART_HOT] && e->n_outputs == 0) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "k-hot targets in a set of examples without outputs");
    }
    return SONDE_STATUS_OK;
}

static bool reserve(struct sonde_examples *e, const bool has[N_PARTS], int64_t n_tokens)
{
    void **const items[N_PARTS] = { (void **)&e->types, (void **)&e->targets, (void **)&e->hot,
                                    (void **)&e->counts };
    const int64_t row[N_PARTS] = { 1, 1, e->n_outputs, 1 };
    const size_t size[N_PARTS] = { sizeof *e->types, sizeof *e->targets, sizeof *e->hot,
                                   sizeof *e->counts };
    const int64_t most = SONDE_EXAMPLES_MAX_TOKENS;
    if (!sonde_grow((void **)&e->begin, &e->begin_capacity, e->n + 2, sizeof *e->begin, most) ||
        !sonde_grow((void **)&e->ids, &e->ids_capacity, n_tokens, sizeof *e->ids, most)) {
        return false;
    }
    for (int i = 0; i < N_PARTS; i++) {
        if (has[i] && !sonde_grow(items[i], &e->part_capacity[i], n_tokens * row[i], size[i],
                                  most * row[i])) {
            return false;
        }
    }
    return true;
}

enum sonde_status sonde_examples_add(struct sonde_examples *e, const struct sonde_example *example,
                                     struct sonde_error *error)
{
    const bool has[N_PARTS] = { example->token_types != NULL, example->targets != NULL,
                                example->hot != NULL, example->counts != NULL };
    const int64_t T = example->n_tokens, at = e->n_tokens;
    if (T < 1 || T > SONDE_EXAMPLES_MAX_TOKENS - at) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "example %lld has %lld tokens",
                               (long long)e->n, (long long)T);
    }
    enum sonde_status status = check_parts(e, has, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    if (!reserve(e, has, at + T)) {
        return sonde_error_memory(error, "the examples");
    }
    memcpy(e->ids + at, example->ids, (size_t)T * sizeof *e->ids);
    if (has[PART_TYPES]) {
        memcpy(e->types + at, example->token_types, (size_t)T * sizeof *e->types);
    }
    if (has[PART_TARGETS]) {
        memcpy(e->targets + at, example->targets, (size_t)T * sizeof *e->targets);
    }
    if (has[PART_HOT]) {
        memcpy(e->hot + at * e->n_outputs, example->hot, (size_t)(T * e->n_outputs));
    }
    if (has[PART_COUNTS]) {
        memcpy(e->counts + at, example->counts, (size_t)T * sizeof *e->counts);
    }
    memcpy(e->has, has, sizeof e->has);
    e->n_tokens += T;
    e->longest = T > e->longest ? T : e->longest;
    e->begin[++e->n] = e->n_tokens;
    return SONDE_STATUS_OK;
}

int64_t sonde_examples_count(const struct sonde_examples *examples)
{
    return examples->n;
}

int64_t sonde_examples_tokens(const struct sonde_examples *examples)
{
    return examples->n_tokens;
}

int64_t sonde_examples_longest(const struct sonde_examples *examples)
{
    return examples->longest;
}

int64_t sonde_examples_outputs(const struct sonde_examples *examples)
{
    return examples->n_outputs;
}

int64_t sonde_examples_bytes(const struct sonde_examples *e)
{
    int64_t words = e->ids_capacity + e->part_capacity[PART_TYPES] + e->part_capacity[PART_TARGETS];
    return 8 * e->begin_capacity + 4 * words + e->part_capacity[PART_HOT] +
           e->part_capacity[PART_COUNTS];
}

static enum sonde_status get(void *ctx, int64_t index, struct sonde_example *out,
                             struct sonde_error *error)
{
    const struct sonde_examples *e = ctx;
    (void)error;
    assert(index >= 0 && index < e->n);
    const int64_t at = e->begin[index];
    *out = (struct sonde_example){
        .ids = e->ids + at,
        .n_tokens = e->begin[index + 1] - at,
        .token_types = e->has[PART_TYPES] ? e->types + at : NULL,
        .targets = e->has[PART_TARGETS] ? e->targets + at : NULL,
        .hot = e->has[PART_HOT] ? e->hot + at * e->n_outputs : NULL,
        .n_hot = e->has[PART_HOT] ? e->n_outputs : 0,
        .counts = e->has[PART_COUNTS] ? e->counts + at : NULL,
    };
    return SONDE_STATUS_OK;
}

struct sonde_example_source sonde_examples_source(struct sonde_examples *examples)
{
    return (struct sonde_example_source){ .ctx = examples, .n = examples->n, .get = get };
}
