/*
 * Models out of PyTorch checkpoints. The published counter-language models (of the study Emergent
 * Stack Representations) must get exactly as many strings right as their authors recorded, which no
 * wrong weight, norm, scale or mask survives.
 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/model/model.h"
#include "core/model/torch_file.h"
#include "tests/support/check.h"

enum { TEXT_MAX = 1 << 22, TOKENS_MAX = 512, OUTPUTS_MAX = 8 };

/* Whether every output at every position has the sign of its target. The outputs are open, close
 * of each type of bracket; an opening one is always right and is not in the files. */
struct judge {
    const char *target; /* [T, n_out / 2] of '0' and '1' */
    int64_t n_out;
    bool right, seen;
};

static enum sonde_status compare(void *ctx, struct sonde_site site, const struct sonde_tensor *view,
                                 struct sonde_error *error)
{
    struct judge *judge = ctx;
    (void)error;
    if (site.kind == SONDE_SITE_LOGITS) {
        assert_int_equal(view->dim[1], judge->n_out);
        judge->seen = judge->right = true;
        for (int64_t t = 0; t < view->dim[0]; t++) {
            for (int64_t k = 0; k < judge->n_out; k++) {
                float logit = view->data[t * view->stride[0] + k * view->stride[1]];
                bool close = judge->target[(t * judge->n_out + k) / 2] == '1';
                judge->right &= (logit > 0) == (k % 2 == 0 || close);
            }
        }
    }
    return SONDE_STATUS_OK;
}

static int64_t count_right(const struct sonde_model *model, const char *ids_of, char *source,
                           char *target)
{
    struct sonde_session *session = NULL;
    struct sonde_error error = { 0 };
    struct judge judge = { .n_out = sonde_spec_outputs(sonde_model_spec(model)) };
    struct sonde_site_set logits = { 0 };
    int64_t n_right = 0;
    sonde_site_set_add(&logits, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_hook hook = { .observe = &logits, .on_value = compare, .ctx = &judge };
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    while (*source) {
        int32_t ids[TOKENS_MAX];
        char *end = strchr(source, '\n'), *target_end = strchr(target, '\n');
        end = end ? end : source + strlen(source);
        target_end = target_end ? target_end : target + strlen(target);
        int64_t n = end - source;
        assert_true(n > 0 && n <= TOKENS_MAX && target_end - target == n * judge.n_out / 2);
        for (int64_t t = 0; t < n; t++) {
            const char *at = strchr(ids_of, source[t]);
            assert_non_null(at);
            ids[t] = (int32_t)(at - ids_of);
        }
        judge.target = target;
        judge.seen = false;
        const struct sonde_forward_args args = {
            .ids = ids, .n_tokens = n, .hooks = &hook, .n_hooks = 1
        };
        check_ok(sonde_forward(session, &args, &error), &error);
        assert_true(judge.seen);
        source = end + (*end == '\n');
        target = target_end + (*target_end == '\n');
        n_right += *source ? judge.right : 0; /* the authors never score a file's last string */
    }
    sonde_session_destroy(&session);
    return n_right;
}

static void read_vocabulary(const char *path, char ids_of[OUTPUTS_MAX + 2])
{
    struct sonde_torch_file *file = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_torch_open(&file, path, &error), &error);
    const struct sonde_pickle_value *w2id =
        sonde_pickle_get(sonde_pickle_get(sonde_torch_root(file), "voc"), "w2id");
    assert_non_null(w2id);
    for (int64_t i = 0; i < w2id->n; i += 2) {
        assert_true(w2id->item[i + 1]->integer >= 0 && w2id->item[i + 1]->integer <= OUTPUTS_MAX);
        ids_of[w2id->item[i + 1]->integer] = w2id->item[i]->text[0];
    }
    sonde_torch_close(&file);
}

static char *load(const char *path)
{
    struct sonde_buf text = { 0 };
    struct sonde_error error = { 0 };
    check_ok(sonde_file_load(path, TEXT_MAX, &text, &error), &error);
    return text.data;
}

static void check_counts(const char *model_file, const char *data, const int64_t wanted[3])
{
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    char path[512], ids_of[OUTPUTS_MAX + 2] = "", name[128];
    snprintf(name, sizeof name, "seeds/counter-languages/models/%s", model_file);
    check_shared(path, name);
    read_vocabulary(path, ids_of);
    check_ok(sonde_model_open(&model, path, &options, &error), &error);
    for (int bin = 0; bin < 3; bin++) {
        snprintf(name, sizeof name, "seeds/counter-languages/data/%s/val_src_bin%d.txt", data, bin);
        check_shared(path, name);
        char *source = load(path);
        snprintf(name, sizeof name, "seeds/counter-languages/data/%s/val_tgt_bin%d.txt", data, bin);
        check_shared(path, name);
        char *target = load(path);
        assert_int_equal(count_right(model, ids_of, source, target), wanted[bin]);
        free(source);
        free(target);
    }
    sonde_model_close(&model);
}

static void dyck_1(void **state)
{
    (void)state;
    check_counts("dyck1/model_19.pt", "Dyck-1", (const int64_t[]){ 1999, 1999, 625 });
}

static void shuffle_2(void **state)
{
    (void)state;
    check_counts("shuffle2/model_20.pt", "Shuffle-2", (const int64_t[]){ 1999, 1891, 344 });
}

/* Outputs that are not the vocabulary: whoever has room for the vocabulary only is refused. */
static void no_vocabulary_outputs(void **state)
{
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    struct sonde_session *session = NULL;
    struct sonde_error error = { 0 };
    char path[512];
    float room[OUTPUTS_MAX] = { 0 }, row[64] = { 0 };
    const int32_t ids[] = { 1 };
    (void)state;
    check_shared(path, "seeds/counter-languages/models/shuffle2/model_20.pt");
    check_ok(sonde_model_open(&model, path, &options, &error), &error);
    const struct sonde_spec *spec = sonde_model_spec(model);
    assert_int_equal(spec->d_vocab, 5);
    assert_int_equal(sonde_spec_outputs(spec), 4);
    assert_int_equal(sonde_model_parameters(model),
                     5 * 32 + 96 * 33 + 32 * 33 + 64 * 33 + 32 * 65 + 4 * 32 + 4 * 33);
    check_ok(sonde_session_create(&session, model, NULL, &error), &error);
    const struct sonde_forward_args args = { .ids = ids, .n_tokens = 1, .logits_last = room };
    assert_int_equal(sonde_forward(session, &args, &error), SONDE_STATUS_UNSUPPORTED);
    assert_string_equal(error.text, "this model has 4 outputs, which are not its vocabulary");
    struct sonde_arena *arena = sonde_arena_create(0);
    assert_int_equal(sonde_model_readout(model, arena, row, 1, 0, 0, room, &error),
                     SONDE_STATUS_UNSUPPORTED);
    sonde_arena_destroy(&arena);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
}

static void other_state_dicts(void **state)
{
    struct sonde_model *model = NULL;
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(*state, "fine.pt"), wanted[512];
    assert_int_equal(sonde_model_open(&model, path, NULL, &error), SONDE_STATUS_UNSUPPORTED);
    snprintf(wanted, sizeof wanted,
             "%s: a state dict (w, ...) that no family binds; of PyTorch checkpoints those of "
             "nn.TransformerEncoder are read "
             "(transformer_encoder.layers.0.self_attn.in_proj_weight)",
             path);
    assert_string_equal(error.text, wanted);
    assert_null(model);
    free(path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dyck_1),
        cmocka_unit_test(shuffle_2),
        cmocka_unit_test(no_vocabulary_outputs),
        cmocka_unit_test_prestate(other_state_dicts, argc > 1 ? argv[1] : NULL),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
