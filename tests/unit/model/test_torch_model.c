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

/* Writes FOLDER/FILE.json; the folder is of this run of the tests alone. */
static void settle(const char *path, const char *text)
{
    char name[1024];
    struct sonde_error error = { 0 };
    snprintf(name, sizeof name, "%s.json", path);
    if (text) {
        check_ok(sonde_file_save(name, text, strlen(text), &error), &error);
    } else {
        (void)remove(name);
    }
}

enum { N_TOKENS = 9, N_LOGITS = N_TOKENS * 3 };

static enum sonde_status take_logits(void *ctx, struct sonde_site site,
                                     const struct sonde_tensor *view, struct sonde_error *error)
{
    (void)site;
    (void)error;
    memcpy(ctx, view->data, N_LOGITS * sizeof(float));
    return SONDE_STATUS_OK;
}

/* The checkpoint's outputs with these settings; or, where it does not open, its message. */
static enum sonde_status run_encoder(const char *folder, const char *file, const char *settings,
                                     float logits[N_LOGITS], struct sonde_error *error)
{
    static const int32_t ids[N_TOKENS] = { 0, 3, 1, 4, 2, 2, 0, 1, 3 };
    const struct sonde_model_options options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    struct sonde_session *session = NULL;
    struct sonde_site_set set = { 0 };
    char *path = sonde_path_join(folder, file);
    settle(path, settings);
    enum sonde_status status = sonde_model_open(&model, path, &options, error);
    settle(path, NULL);
    free(path);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    sonde_site_set_add(&set, (struct sonde_site){ SONDE_SITE_LOGITS, -1 });
    const struct sonde_hook hook = { .observe = &set, .on_value = take_logits, .ctx = logits };
    const struct sonde_forward_args args = {
        .ids = ids, .n_tokens = N_TOKENS, .hooks = &hook, .n_hooks = 1
    };
    check_ok(sonde_session_create(&session, model, NULL, error), error);
    check_ok(sonde_forward(session, &args, error), error);
    sonde_session_destroy(&session);
    sonde_model_close(&model);
    return SONDE_STATUS_OK;
}

static double distance(const float *a, const float *b)
{
    double most = 0;
    for (int i = 0; i < N_LOGITS; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    }
    return most;
}

/* A stored table changes nothing until the settings name it; then the computed one, the stored one
 * and (without a table) the same kind give the same outputs. */
static void positions(void **state)
{
    struct sonde_error error = { 0 };
    float none[N_LOGITS], stored[N_LOGITS], named[N_LOGITS], computed[N_LOGITS];
    static const char *const kinds[] = { "sinusoidal", "cosine" };
    static const char *const files[] = { "encoder_sin.pt", "encoder_cos.pt" };
    check_ok(run_encoder(*state, "encoder.pt", "{}", none, &error), &error);
    for (int i = 0; i < 2; i++) {
        char settings[64], wanted[64];
        check_ok(run_encoder(*state, files[i], "{}", named, &error), &error);
        assert_memory_equal(none, named, sizeof none);
        check_ok(run_encoder(*state, files[i], "{\"position\":\"learned\"}", stored, &error),
                 &error);
        assert_true(distance(none, stored) > 1e-2);
        snprintf(settings, sizeof settings, "{\"n_heads\":1,\"position\":\"%s\"}", kinds[i]);
        check_ok(run_encoder(*state, files[i], settings, named, &error), &error);
        assert_true(distance(stored, named) < 1e-5);
        check_ok(run_encoder(*state, "encoder.pt", settings, computed, &error), &error);
        assert_memory_equal(named, computed, sizeof named);
        assert_int_equal(run_encoder(*state, files[1 - i], settings, named, &error),
                         SONDE_STATUS_FORMAT);
        snprintf(wanted, sizeof wanted, "model.pos_encoder.pe is not the %s one", kinds[i]);
        assert_non_null(strstr(error.text, wanted));
    }
    assert_int_equal(run_encoder(*state, "encoder.pt", "{\"position\":\"learned\"}", named, &error),
                     SONDE_STATUS_FORMAT);
    assert_non_null(strstr(error.text, "no tensor model.pos_encoder.pe"));
    assert_int_equal(run_encoder(*state, "encoder.pt", "{\"position\":\"alibi\"}", named, &error),
                     SONDE_STATUS_UNSUPPORTED);
    assert_non_null(strstr(error.text, "position \"alibi\" is not supported"));
    assert_int_equal(run_encoder(*state, "encoder.pt", "{\"n_heads\":3}", named, &error),
                     SONDE_STATUS_FORMAT);
}

/* A changed byte of any member is met when the model opens, by the member's name. */
static void checksums(void **state)
{
    struct sonde_buf data = { 0 };
    struct sonde_error error = { 0 };
    float logits[N_LOGITS];
    char *path = sonde_path_join(*state, "encoder.pt");
    char *copy = sonde_path_join(*state, "damaged.pt");
    check_ok(sonde_file_load(path, TEXT_MAX, &data, &error), &error);
    const char *start = NULL;
    for (size_t i = 0; i + 14 < data.size && !start; i++) {
        start = memcmp(data.data + i, "archive/data/e", 14) == 0 ? data.data + i : NULL;
    }
    assert_non_null(start);
    size_t at = (size_t)(start - data.data) + 40; /* past the name and the padding: its numbers */
    data.data[at] ^= 1;
    check_ok(sonde_file_save(copy, data.data, data.size, &error), &error);
    assert_int_equal(run_encoder(*state, "damaged.pt", "{}", logits, &error), SONDE_STATUS_FORMAT);
    assert_non_null(strstr(error.text, "damaged.pt: member archive/data/e"));
    assert_non_null(strstr(error.text, ": the CRC-32 of its bytes is "));
    data.data[at] ^= 1;
    check_ok(sonde_file_save(copy, data.data, data.size, &error), &error);
    check_ok(run_encoder(*state, "damaged.pt", "{}", logits, &error), &error);
    (void)remove(copy);
    sonde_buf_finish(&data);
    free(path);
    free(copy);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dyck_1),
        cmocka_unit_test(shuffle_2),
        cmocka_unit_test(no_vocabulary_outputs),
        cmocka_unit_test_prestate(other_state_dicts, argc > 1 ? argv[1] : NULL),
        cmocka_unit_test_prestate(positions, argc > 1 ? argv[1] : NULL),
        cmocka_unit_test_prestate(checksums, argc > 1 ? argv[1] : NULL),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
