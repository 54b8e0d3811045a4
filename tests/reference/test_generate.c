/* Generation with a key-value cache: llama2.c's published text, and agreement with the pass over
 * the whole. */
#include <string.h>

#include "core/base/file.h"
#include "tests/reference/site_capture.h"
#include "tests/support/check.h"

static int32_t argmax(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        best = x[i] > x[best] ? i : best;
    }
    return (int32_t)best;
}

/* llama2.c: greedy, 200 steps from an empty prompt, stops at BOS. */
static void test_stories260k(void **state)
{
    char path[1024], text_path[1024];
    struct sonde_error error = { 0 };
    struct sonde_model *model = NULL;
    struct sonde_session *session = NULL;
    struct sonde_buf text = { 0 }, expected = { 0 };
    float logits[512];
    (void)state;
    check_shared(text_path, "models/stories260k/expected.txt");
    check_shared(path, "models/stories260k/stories260K.bin");
    check_ok(sonde_file_load(text_path, 10000, &expected, &error), &error);
    check_ok(sonde_model_open(&model, path, NULL, &error), &error);
    const struct sonde_tokenizer *tokenizer = sonde_model_tokenizer(model);
    check_ok(sonde_session_create(&session, model, &(struct sonde_session_options){ .cache = true },
                                  &error),
             &error);
    assert_int_equal(sonde_model_spec(model)->d_vocab, 512);
    int32_t token = sonde_tokenizer_bos(tokenizer);
    assert_int_equal(token, 1);
    for (int step = 0; step < 200; step++) {
        const struct sonde_forward_args args = {
            .ids = &token, .n_tokens = 1, .no_logits = true, .logits_last = logits
        };
        check_ok(sonde_forward(session, &args, &error), &error);
        int32_t next = argmax(logits, 512);
        if (next == 1) {
            break;
        }
        check_ok(sonde_tokenizer_decode_next(tokenizer, token, next, &text, &error), &error);
        token = next;
    }
    assert_string_equal(text.data, expected.data);
    sonde_buf_finish(&text);
    sonde_buf_finish(&expected);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
}

/* Feeding tokens in pieces of one, three and the rest gives the same logits as all at once. Both
 * ways round every inner product; n of them follow each other along a path, so that the error stays
 * within n_layers * sqrt(widest product) * eps_f32 of the largest value: 6e-6 here at magnitude 1.
 */
static void test_cache_agrees(void **state)
{
    const char *const folders[] = { "reference/llama", "reference/gpt2", "reference/gpt_neox" };
    int32_t ids[20];
    (void)state;
    for (int i = 0; i < 20; i++) {
        ids[i] = (i * 29 + 5) % 90;
    }
    for (size_t f = 0; f < 3; f++) {
        char path[1024], relative[256];
        struct sonde_error error = { 0 };
        struct sonde_session *session = NULL;
        struct capture whole;
        snprintf(relative, sizeof relative, "%s/config.json", folders[f]);
        check_shared(path, relative);
        *strrchr(path, '/') = '\0';
        struct sonde_model *model = capture_open(path);
        int64_t V = sonde_model_spec(model)->d_vocab;
        float *last = malloc((size_t)V * sizeof *last);
        capture_run(&whole, model, ids, NULL, 20, NULL, NULL);
        const struct captured *logits =
            capture_find(&whole, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
        const struct sonde_session_options options = { .cache = true };
        check_ok(sonde_session_create(&session, model, &options, &error), &error);
        for (int at = 0; at < 20;) {
            int n = at == 0 ? 7 : at == 7 ? 3 : 1;
            const struct sonde_forward_args args = {
                .ids = ids + at, .n_tokens = n, .no_logits = true, .logits_last = last
            };
            check_ok(sonde_forward(session, &args, &error), &error);
            at += n;
            assert_int_equal(sonde_session_cached(session), at);
            for (int64_t v = 0; v < V; v++) {
                check_close(last[v], logits->value[(at - 1) * V + v], 2e-5);
            }
        }
        sonde_session_reset(session);
        assert_int_equal(sonde_session_cached(session), 0);
        free(last);
        capture_free(&whole);
        sonde_session_destroy(&session);
        sonde_model_close(&model);
    }
}

/* The last row's logits alone are those of the whole pass. */
static void test_logits_last(void **state)
{
    char path[1024];
    int32_t ids[9] = { 5, 4, 3, 2, 1, 0, 7, 8, 9 };
    struct sonde_error error = { 0 };
    struct sonde_session *session = NULL;
    struct capture whole;
    float last[101], full[101];
    (void)state;
    check_shared(path, "reference/gpt2/config.json");
    *strrchr(path, '/') = '\0';
    struct sonde_model *model = capture_open(path);
    capture_run(&whole, model, ids, NULL, 9, NULL, NULL);
    const struct captured *logits =
        capture_find(&whole, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    struct sonde_forward_args args = {
        .ids = ids, .n_tokens = 9, .no_logits = true, .logits_last = last
    };
    check_ok(sonde_forward(session, &args, &error), &error);
    args.no_logits = false;
    args.logits_last = full;
    check_ok(sonde_forward(session, &args, &error), &error);
    assert_memory_equal(full, logits->value + 8 * 101, sizeof full);
    for (int v = 0; v < 101; v++) {
        check_close(last[v], full[v], 2e-5);
    }
    capture_free(&whole);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories260k),
        cmocka_unit_test(test_cache_agrees),
        cmocka_unit_test(test_logits_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
