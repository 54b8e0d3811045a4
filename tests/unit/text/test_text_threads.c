/* One tokenizer, many threads: it is immutable after open, so each gets the ids that one thread
 * alone gets. Run under the thread sanitizer too (suite "threads"). */
#include "tests/support/check.h"

#include <string.h>

#include "core/base/pool.h"
#include "tests/unit/text/text_laws.h"

#define N_TEXTS 400
#define MAX_TOKENS 1024

struct shared_work {
    const struct sonde_tokenizer *t;
    char text[N_TEXTS][1024];
    size_t n[N_TEXTS];
    int64_t n_ids[N_TEXTS];
    int32_t ids[N_TEXTS][MAX_TOKENS];
};

static void encode_one(void *ctx, int64_t i, int worker)
{
    struct shared_work *work = ctx;
    struct sonde_encoding encoding = { 0 };
    struct sonde_buf back = { 0 };

    (void)worker;
    work->n_ids[i] = -1;
    if (sonde_tokenizer_encode(work->t, work->text[i], work->n[i], SONDE_BOS_AUTO, &encoding,
                               NULL) == SONDE_STATUS_OK &&
        encoding.n <= MAX_TOKENS) {
        work->n_ids[i] = encoding.n;
        for (int64_t k = 0; k < encoding.n; k++)
            work->ids[i][k] = encoding.tokens[k].id;
        if (sonde_tokenizer_decode(work->t, work->ids[i], encoding.n, true, &back, NULL) !=
            SONDE_STATUS_OK)
            work->n_ids[i] = -2;
    }
    sonde_buf_finish(&back);
    sonde_encoding_finish(&encoding);
}

static void threads_get_the_same_ids(void **state)
{
    (void)state;
    static const char json[] =
        "{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\","
        "\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":"
        "\"ByteLevel\",\"add_prefix_space\":true}]},\"decoder\":{\"type\":\"ByteLevel\"},"
        "\"added_tokens\":[{\"id\":9,\"content\":\"the\",\"lstrip\":true}],\"model\":{\"unk_"
        "token\":"
        "\"?\",\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"ab\":3,\"\xC4\xA0\":4,\"\xC4\xA0\x61\":5},"
        "\"merges\":[\"a b\",\"\xC4\xA0 a\"]}}";
    struct sonde_rng rng = sonde_rng_make(SONDE_SEED_DEFAULT, sonde_rng_stream("threads"));
    struct sonde_tokenizer *t = NULL;
    struct sonde_pool *pool = NULL;
    struct sonde_error error = { 0 };
    struct shared_work *alone = calloc(1, sizeof(*alone)), *many = calloc(1, sizeof(*many));

    assert_true(alone && many);
    check_ok(sonde_tokenizer_parse(&t, json, strlen(json), "threads", &error), &error);
    check_ok(sonde_pool_create(&pool, 4, &error), &error);
    alone->t = t;
    for (int i = 0; i < N_TEXTS; i++)
        alone->n[i] = hostile_text(&rng, alone->text[i], 20);
    memcpy(many, alone, sizeof(*many));
    sonde_pool_run(NULL, N_TEXTS, encode_one, alone);
    sonde_pool_run(pool, N_TEXTS, encode_one, many);
    for (int i = 0; i < N_TEXTS; i++) {
        assert_true(alone->n_ids[i] >= 0);
        assert_int_equal(alone->n_ids[i], many->n_ids[i]);
        assert_memory_equal(alone->ids[i], many->ids[i], sizeof(alone->ids[i]));
    }
    sonde_pool_destroy(&pool);
    sonde_tokenizer_close(&t);
    free(alone);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_get_the_same_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
