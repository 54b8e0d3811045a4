/* What is recorded of a sequence has the same bits, whatever else is recorded with it, in which
 * order, with how many threads, how much memory and from which point on. */
#include <string.h>

#include "tests/property/property_bits.h"
#include "tests/support/check.h"

enum { ROUNDS = 48, WAYS = 5, ORDER_MAX = 400 };

/* Whole or a part, in order, reversed or shuffled, with repetitions. */
static int64_t draw_order(struct sonde_rng *rng, int64_t n, int64_t order[ORDER_MAX])
{
    const int kind = (int)sonde_rng_below(rng, 5);
    int64_t n_order = n;
    for (int64_t i = 0; i < n; i++) {
        order[i] = kind == 1 ? n - 1 - i : i;
    }
    if (kind >= 2) {
        sonde_rng_shuffle(rng, order, n);
    }
    if (kind == 3) {
        n_order = property_between(rng, 1, n);
    }
    if (kind == 4) {
        n_order = property_between(rng, 1, n + 20 < ORDER_MAX ? n + 20 : ORDER_MAX);
        for (int64_t i = 0; i < n_order; i++) {
            order[i] = sonde_rng_below(rng, n);
        }
    }
    return n_order;
}

static struct property_way draw_way(const struct property_case *c, struct sonde_rng *rng,
                                    int64_t order[ORDER_MAX])
{
    static const int64_t batches[] = { 0, 1, 20000, 1000000 };
    struct property_way way = { .order = order };
    way.n_order = draw_order(rng, c->corpus.n, order);
    way.n_threads = (int)property_between(rng, 1, 4);
    way.batch_bytes = batches[sonde_rng_below(rng, 4)];
    way.skip = property_chance(rng, 0.3) ? sonde_rng_below(rng, way.n_order + 1) : 0;
    if (property_chance(rng, 0.5)) {
        const int64_t least = property_least_bytes(c, &way);
        way.mem_bytes = least;
        if (property_chance(rng, 0.5)) {
            way.mem_bytes += sonde_rng_below(rng, 4 * least);
        }
    }
    return way;
}

/* What a pass shows of one sequence. */
struct seen {
    const struct property_bits *bits;
    int64_t sequence, n;
    struct sonde_record *records;
    bool same;
};

static enum sonde_status see(void *ctx, struct sonde_site site, const struct sonde_tensor *value,
                             struct sonde_error *error)
{
    struct seen *seen = ctx;
    char name[SONDE_SITE_NAME_MAX];
    (void)error;
    sonde_site_format(site, name);
    for (int64_t i = 0; i < seen->bits->n_streams; i++) {
        const struct sonde_record *own = &seen->bits->records[seen->sequence][i];
        if (strcmp(seen->bits->streams[i].name, name) == 0) {
            seen->n++;
            seen->same =
                seen->same && own->n_values == sonde_tensor_elements(value) &&
                memcmp(own->value, value->data, (size_t)own->n_values * sizeof(float)) == 0;
        }
    }
    return SONDE_STATUS_OK;
}

enum { PACK_MAX = 24 };

/* One pass of a session of one's own over n sequences at once, with threads inside the pass. */
static const char *check_pass(const struct property_bits *bits, const int64_t *sequence, int n,
                              int n_threads, char text[256])
{
    const struct property_case *c = bits->c;
    const int n_edits = c->edits != NULL;
    struct sonde_error error = { 0 };
    struct sonde_pool *pool = NULL;
    struct sonde_session *session = NULL;
    struct seen seen[PACK_MAX];
    struct sonde_hook hooks[PACK_MAX][2];
    struct sonde_forward_segment segments[PACK_MAX];
    const char *why = NULL;
    for (int i = 0; i < n; i++) {
        seen[i] = (struct seen){ .bits = bits, .sequence = sequence[i], .same = true };
        hooks[i][0] = c->hook;
        hooks[i][n_edits] =
            (struct sonde_hook){ .observe = &c->sites, .on_value = see, .ctx = &seen[i] };
        segments[i] = (struct sonde_forward_segment){ .ids = c->corpus.ids[sequence[i]],
                                                      .n_tokens = c->corpus.n_tokens[sequence[i]],
                                                      .hooks = hooks[i],
                                                      .n_hooks = n_edits + 1 };
    }
    check_ok(sonde_pool_create(&pool, n_threads, &error), &error);
    const struct sonde_session_options options = { .pool = pool };
    check_ok(sonde_session_create(&session, c->model.model, &options, &error), &error);
    struct sonde_forward_args args = { .no_logits = true };
    if (n == 1) {
        args.ids = segments[0].ids;
        args.n_tokens = segments[0].n_tokens;
        args.hooks = hooks[0];
        args.n_hooks = n_edits + 1;
    } else {
        args.segments = segments;
        args.n_segments = n;
    }
    check_ok(sonde_forward(session, &args, &error), &error);
    sonde_session_destroy(&session);
    sonde_pool_destroy(&pool);
    for (int i = 0; i < n && !why; i++) {
        if (!seen[i].same || seen[i].n != sonde_site_set_count(&c->sites)) {
            snprintf(text, 256, "sequence %lld, number %d of %d in a pass of %d threads: %s",
                     (long long)sequence[i], i, n, n_threads,
                     seen[i].same ? "sites are missing" : "other bits than recorded");
            why = text;
        }
    }
    return why;
}

/* A few passes over one sequence, and over several where rows may share a product. */
static const char *check_passes(const struct property_bits *bits, struct sonde_rng *rng,
                                char text[256])
{
    const bool pack = sonde_model_rows_stand_alone(bits->c->model.model);
    const char *why = NULL;
    for (int i = 0; i < 5 && !why; i++) {
        int64_t sequence[PACK_MAX];
        const int n = pack && i > 0 ? (int)property_between(rng, 2, PACK_MAX) : 1;
        for (int k = 0; k < n; k++) {
            sequence[k] = sonde_rng_below(rng, bits->c->corpus.n);
        }
        why = check_pass(bits, sequence, n, (int)property_between(rng, 1, 4), text);
    }
    return why;
}

static void report(const struct property_rounds *rounds, int64_t round, const char *why,
                   const struct property_case *c, const struct property_way *way)
{
    fprintf(stderr, "# round %lld: %s\n", (long long)round, why);
    if (way) {
        property_way_say(way);
    }
    property_case_say(c);
    property_say(rounds, round, "test_property_record");
}

static void run_round(const struct property_rounds *rounds, int64_t round)
{
    struct sonde_rng rng = property_rng(rounds, round, "record");
    struct property_case *c = malloc(sizeof *c);
    struct property_bits bits;
    int64_t order[ORDER_MAX];
    char text[256];
    const char *why = NULL;
    assert_non_null(c);
    property_case_draw(c, &rng, round % 8 == 7);
    property_bits_make(&bits, c);
    for (int i = 0; i < WAYS && !why; i++) {
        const struct property_way way = draw_way(c, &rng, order);
        why = property_check_way(&bits, &way, text);
        if (why) {
            report(rounds, round, why, c, &way);
        }
    }
    if (!why) {
        why = check_passes(&bits, &rng, text);
        if (why) {
            report(rounds, round, why, c, NULL);
        }
    }
    property_bits_free(&bits);
    property_case_free(c);
    free(c);
    if (why) {
        fail();
    }
}

static void test_recorded_bits(void **state)
{
    const struct property_rounds rounds = property_rounds_read(ROUNDS);
    (void)state;
    for (int64_t i = 0; i < rounds.n; i++) {
        run_round(&rounds, rounds.first + i);
    }
}

/* The comparison sees one bit in one value, and a sequence in another's place. */
static void test_differences_are_seen(void **state)
{
    const struct property_rounds rounds = { .seed = SONDE_SEED_DEFAULT };
    struct sonde_rng rng = property_rng(&rounds, 0, "seen");
    struct property_case *c = malloc(sizeof *c);
    struct property_bits bits;
    char text[256];
    (void)state;
    assert_non_null(c);
    *c = (struct property_case){ 0 };
    property_model_draw(&c->model, &rng, false);
    property_corpus_draw(&c->corpus, &rng, 6, c->model.recipe.n_ctx, c->model.recipe.V);
    c->sites = *sonde_model_sites(c->model.model);
    property_bits_make(&bits, c);
    const int64_t order[] = { 5, 0, 1, 2, 3, 4 };
    const struct property_way way = { .order = order, .n_order = 6, .n_threads = 2 };
    assert_null(property_check_way(&bits, &way, text));
    const struct sonde_record *record = &bits.records[3][bits.n_streams / 2];
    uint8_t *byte = (uint8_t *)(bits.values[3] + (record->value - bits.values[3]));
    byte[0] ^= 1;
    assert_non_null(property_check_way(&bits, &way, text));
    assert_non_null(strstr(text, "sequence 3"));
    byte[0] ^= 1;
    assert_null(property_check_way(&bits, &way, text));
    property_bits_free(&bits);
    property_case_free(c);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences_are_seen),
        cmocka_unit_test(test_recorded_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
