/* Every built-in probe gives the same answer, to the last bit of every number and figure, on any
 * number of threads, with any memory that is enough, and from any store of the same rows. */
#include <string.h>

#include "analysis/report/result.h"
#include "core/base/num.h"
#include "probes/registry.h"
#include "tests/property/property_bits.h"
#include "tests/support/check.h"
#include "tests/unit/storage/store_fixture.h"

enum { ROUNDS = 12, OPTIONS_MAX = 40, WAYS = 3 };
#define MEM_MAX (INT64_C(1) << 30)

/* A store of the case's rows with two sets of labels. */
struct lab {
    struct property_case c;
    struct fixture fixture[2]; /* without and with compression */
};

struct ask {
    const struct sonde_probe *probe;
    const char *name[OPTIONS_MAX], *value[OPTIONS_MAX];
    char text[OPTIONS_MAX][48];
    int64_t n;
};

static void label_store(const struct lab *lab, struct sonde_store *store, int64_t n_tokens,
                        const int32_t *ids)
{
    struct sonde_rng rng = sonde_rng_make(lab->c.model.recipe.seed, 77);
    struct sonde_error error = { 0 };
    struct sonde_label_writer *w = NULL;
    const int64_t n_classes = 2 + (int64_t)(lab->c.model.recipe.seed / 2 % 4);
    int64_t n = 0;
    check_ok(sonde_store_label_begin(store, "run", "c", SONDE_LABEL_CLASS, SONDE_ROWS_TOKEN, NULL,
                                     false, &w, &error),
             &error);
    for (int64_t row = 0; row < n_tokens; row++) {
        char name[8];
        const int64_t noise = property_chance(&rng, 0.3) ? sonde_rng_below(&rng, n_classes) : 0;
        snprintf(name, sizeof name, "%d", (int)((ids[row] + noise) % n_classes));
        if (property_chance(&rng, 0.9)) {
            check_ok(sonde_store_label_class(w, row, name, &error), &error);
        }
    }
    check_ok(sonde_store_label_commit(&w, &n, &error), &error);
    check_ok(sonde_store_label_begin(store, "run", "r", SONDE_LABEL_REAL, SONDE_ROWS_TOKEN, NULL,
                                     false, &w, &error),
             &error);
    for (int64_t row = 0; row < n_tokens; row++) {
        const double value = (double)(ids[row] % 7) + 0.3 * sonde_rng_normal(&rng);
        check_ok(sonde_store_label_real(w, row, value, &error), &error);
    }
    check_ok(sonde_store_label_commit(&w, &n, &error), &error);
}

static void make_store(struct lab *lab, struct fixture *fixture, enum sonde_codec codec)
{
    struct property_case *c = &lab->c;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_sink *sink = NULL;
    struct sonde_source *source = NULL;
    struct sonde_store_model model = fixture_model();
    const char *hash = NULL;
    int64_t done = 0, n_streams = sonde_site_set_count(&c->sites);
    struct sonde_stream *streams = calloc((size_t)n_streams, sizeof *streams);
    int64_t *order = calloc((size_t)c->corpus.n, sizeof *order);
    assert_true(streams && order);
    for (int64_t i = 0; i < c->corpus.n; i++) {
        order[i] = i;
    }
    sonde_recorder_streams(c->model.model, &c->sites, SONDE_DTYPE_F32, streams);
    fixture_init(fixture);
    fixture->codec = codec;
    check_ok(sonde_model_hash(c->model.model, &hash, &error), &error);
    model.hash = hash;
    model.n_layers = sonde_model_spec(c->model.model)->n_layers;
    const struct sonde_run_info info = fixture_info(fixture, "run", false);
    check_ok(sonde_store_open(&store, fixture->path, SONDE_STORE_CREATE, &error), &error);
    check_ok(
        sonde_store_begin_run(store, &model, &info, streams, n_streams, 0, &sink, &done, &error),
        &error);
    const struct property_way way = { .order = order, .n_order = c->corpus.n, .n_threads = 2 };
    check_ok(property_record(c, &way, NULL, sink, &error), &error);
    check_ok(sink->finish(sink, &error), &error);
    check_ok(sonde_store_open_source(store, "run", 0, &source, &error), &error);
    label_store(lab, store, source->n_tokens, source->token_id);
    source->destroy(&source);
    sonde_store_close(&store);
    free(streams);
    free(order);
}

static void lab_draw(struct lab *lab, struct sonde_rng *rng)
{
    struct sonde_error error = { 0 };
    lab->c = (struct property_case){ 0 };
    property_model_draw(&lab->c.model, rng, false);
    const struct sonde_model *model = lab->c.model.model;
    const int64_t n_ctx = lab->c.model.recipe.n_ctx;
    property_corpus_draw(&lab->c.corpus, rng, property_between(rng, 10, 40),
                         n_ctx < 80 ? n_ctx : 80, lab->c.model.recipe.V);
    check_ok(sonde_site_set_parse(&lab->c.sites, "resid,attn,ffn", sonde_model_sites(model),
                                  sonde_model_spec(model)->n_layers, &error),
             &error);
    make_store(lab, &lab->fixture[0], SONDE_CODEC_NONE);
    make_store(lab, &lab->fixture[1], SONDE_CODEC_ZLIB);
}

static void lab_free(struct lab *lab)
{
    fixture_finish(&lab->fixture[0]);
    fixture_finish(&lab->fixture[1]);
    property_case_free(&lab->c);
}

static void add(struct ask *ask, const char *name, const char *value)
{
    assert_true(ask->n < OPTIONS_MAX);
    snprintf(ask->text[ask->n], sizeof ask->text[0], "%s", value);
    ask->name[ask->n] = name;
    ask->value[ask->n] = ask->text[ask->n];
    ask->n++;
}

/* One of the choices "a|b|c". */
static void add_choice(struct ask *ask, struct sonde_rng *rng,
                       const struct sonde_probe_option *option)
{
    int64_t n = 1;
    for (const char *at = option->choices; *at; at++) {
        n += *at == '|';
    }
    const char *at = option->choices;
    for (int64_t k = sonde_rng_below(rng, n); k > 0; k--) {
        at = strchr(at, '|') + 1;
    }
    char word[48];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(at, "|"), at);
    add(ask, option->name, word);
}

/* Options of any probe: those known here get values that keep a fit small; flags and choices are
 * drawn. Files and further models are left out. */
static void draw_options(struct ask *ask, struct sonde_rng *rng)
{
    static const struct {
        const char *name, *values[4];
    } known[] = {
        { "streams", { "resid", "resid", "*hook_post" } },
        { "labels", { "c", "c", "r" } },
        { "hidden", { "8", "-", "-;7;5,3" } },
        { "l2", { "auto", "1.5", "0.01" } },
        { "folds", { "3" } },
        { "bootstrap", { "30", "0" } },
        { "epochs", { "2" } },
        { "batch", { "32", "64", "19" } },
        { "controls", { "3" } },
        { "max-iterations", { "25" } },
        { "top", { "3" } },
        { "neurons", { "all", "0" } },
        { "sequence", { "all", "0" } },
        { "optimizer", { "adam", "sgd" } },
        { "metric", { "auto" } },
        { "task", { "auto" } },
    };
    for (uint32_t i = 0; i < ask->probe->n_options; i++) {
        const struct sonde_probe_option *option = &ask->probe->options[i];
        const char *values[5] = { NULL };
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            if (strcmp(known[k].name, option->name) == 0) {
                memcpy(values, known[k].values, sizeof known[k].values);
            }
        }
        if (values[0]) {
            add(ask, option->name, property_pick(rng, values));
        } else if (option->type == SONDE_PROBE_FLAG && property_chance(rng, 0.3)) {
            add(ask, option->name, "1");
        } else if (option->type == SONDE_PROBE_CHOICE && property_chance(rng, 0.3) &&
                   strcmp(option->name, "baseline") != 0) {
            add_choice(ask, rng, option);
        }
    }
}

/* What the probe says: its result as an archive, or its error. Memory that is not enough is
 * doubled. */
static struct sonde_buf answer(const struct lab *lab, const struct ask *ask, int store_of,
                               int64_t cache_bytes, int n_threads, int64_t mem)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    struct sonde_pool *pool = NULL;
    struct sonde_result *result = NULL;
    struct sonde_buf out = { 0 };
    const char *path = lab->fixture[store_of].path;
    check_ok(sonde_store_open(&store, path, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_open_source(store, "run", cache_bytes, &source, &error), &error);
    check_ok(sonde_pool_create(&pool, n_threads, &error), &error);
    struct sonde_probe_run_args args = {
        .values = { .name = ask->name, .value = ask->value, .n = ask->n },
        .source = source,
        .model = lab->c.model.model,
        .pool = pool,
        .mem_bytes = mem,
        .seed = SONDE_SEED_DEFAULT,
    };
    enum sonde_status status = sonde_probe_run(ask->probe, &args, &result, &error);
    while (status == SONDE_STATUS_LIMIT && args.mem_bytes < MEM_MAX) {
        args.mem_bytes *= 2;
        status = sonde_probe_run(ask->probe, &args, &result, &error);
    }
    if (status) {
        sonde_buf_printf(&out, "%s: %s", sonde_status_name(status), error.text);
    } else {
        check_ok(sonde_result_archive(result, &out, &error), &error);
    }
    sonde_result_destroy(&result);
    sonde_pool_destroy(&pool);
    source->destroy(&source);
    sonde_store_close(&store);
    return out;
}

static void say_difference(const struct ask *ask, const struct sonde_buf *a,
                           const struct sonde_buf *b)
{
    size_t at = 0;
    while (at < a->size && at < b->size && a->data[at] == b->data[at]) {
        at++;
    }
    const size_t from = at > 100 ? at - 100 : 0;
    fprintf(stderr, "# %s", ask->probe->name);
    for (int64_t i = 0; i < ask->n; i++) {
        fprintf(stderr, " --%s %s", ask->name[i], ask->value[i]);
    }
    fprintf(stderr, "\n# first: %.160s\n# other: %.160s\n", a->data + from, b->data + from);
}

static bool same_answers(const struct lab *lab, const struct ask *ask, struct sonde_rng *rng)
{
    bool same = true;
    struct sonde_buf first = answer(lab, ask, 0, 0, 1, MEM_MAX);
    for (int i = 0; i < WAYS && same; i++) {
        const int store_of = (int)sonde_rng_below(rng, 2);
        const int n_threads = (int)property_between(rng, 1, 4);
        const int64_t cache = property_chance(rng, 0.5) ? 0 : property_between(rng, 1, 1 << 18);
        const int64_t mem =
            property_chance(rng, 0.3) ? MEM_MAX : property_between(rng, 1000, 2000000);
        struct sonde_buf other = answer(lab, ask, store_of, cache, n_threads, mem);
        same = first.size == other.size && memcmp(first.data, other.data, first.size) == 0;
        if (!same) {
            fprintf(stderr, "# store %d, cache %lld, %d threads, mem from %lld\n", store_of,
                    (long long)cache, n_threads, (long long)mem);
            say_difference(ask, &first, &other);
        }
        sonde_buf_finish(&other);
    }
    sonde_buf_finish(&first);
    return same;
}

static void test_answers(void **state)
{
    const struct property_rounds rounds = property_rounds_read(ROUNDS);
    (void)state;
    for (int64_t i = 0; i < rounds.n; i++) {
        struct sonde_rng rng = property_rng(&rounds, rounds.first + i, "probe");
        struct lab *lab = malloc(sizeof *lab);
        bool same = true;
        assert_non_null(lab);
        lab_draw(lab, &rng);
        for (int64_t k = 0; sonde_probe_builtin(k) && same; k++) {
            struct ask ask = { .probe = sonde_probe_builtin(k) };
            draw_options(&ask, &rng);
            same = same_answers(lab, &ask, &rng);
        }
        if (!same) {
            property_case_say(&lab->c);
            property_say(&rounds, rounds.first + i, "test_property_probe");
        }
        lab_free(lab);
        free(lab);
        assert_true(same);
    }
}

/* The drawn options are such that most probes answer: else the test would compare errors. */
static void test_most_answers_are_results(void **state)
{
    const struct property_rounds rounds = { .seed = SONDE_SEED_DEFAULT };
    struct lab *lab = malloc(sizeof *lab);
    int n_results = 0, n = 0;
    (void)state;
    assert_non_null(lab);
    for (int64_t i = 0; i < 3; i++) {
        struct sonde_rng rng = property_rng(&rounds, i, "probe");
        lab_draw(lab, &rng);
        for (int64_t k = 0; sonde_probe_builtin(k); k++, n++) {
            struct ask ask = { .probe = sonde_probe_builtin(k) };
            draw_options(&ask, &rng);
            struct sonde_buf text = answer(lab, &ask, 0, 0, 1, MEM_MAX);
            n_results += text.data[0] == '{';
            if (text.data[0] != '{') {
                fprintf(stderr, "# %s: %.200s\n", ask.probe->name, text.data);
            }
            sonde_buf_finish(&text);
        }
        lab_free(lab);
    }
    free(lab);
    assert_true(2 * n_results > n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_most_answers_are_results),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
