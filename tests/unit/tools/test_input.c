/* Inputs become sequences: windows, token limits, spans. The model is a tiny GPT-2 folder made
 * here, the tokenizer a byte-level one of 256 pieces, so that every expected number can be counted
 * by hand. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/tensor/safetensors.h"
#include "tests/support/check.h"
#include "tools/input.h"

enum { D = 4, V = 260, CONTEXT = 8, BOS = 256 };

struct fixture {
    char folder[64];
    struct sonde_model *model;
};

static void path_in(const struct fixture *f, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", f->folder, name);
}

static void save(const struct fixture *f, const char *name, const char *text)
{
    char path[128];
    struct sonde_error error = { 0 };
    path_in(f, name, path);
    check_ok(sonde_file_save(path, text, strlen(text), &error), &error);
}

/* GPT-2's printable stand-ins for bytes: only the bytes of the tests matter, the rest are numbered
 * names. */
static void save_tokenizer(const struct fixture *f)
{
    struct sonde_buf text = { 0 };
    sonde_buf_puts(&text,
                   "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 256, \"content\": \"<s>\","
                   " \"single_word\": false, \"lstrip\": false, \"rstrip\": false,"
                   " \"normalized\": false, \"special\": true}],"
                   " \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\","
                   " \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true},"
                   " \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\":"
                   " [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\":"
                   " {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], \"special_tokens\":"
                   " {\"<s>\": {\"id\": \"<s>\", \"ids\": [256], \"tokens\": [\"<s>\"]}}},"
                   " \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true,"
                   " \"trim_offsets\": true, \"use_regex\": true},"
                   " \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,"
                   " \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,"
                   " \"fuse_unk\": false, \"byte_fallback\": false, \"vocab\": {");
    int extra = 0;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        int code = printable ? byte : 256 + extra++;
        sonde_buf_printf(&text, "%s\"\\u%04x\": %d", byte ? ", " : "", (unsigned)code, byte);
    }
    sonde_buf_puts(&text, ", \"<s>\": 256}, \"merges\": []}}");
    assert_false(text.failed);
    save(f, "tokenizer.json", text.data);
    sonde_buf_finish(&text);
}

static void save_weights(const struct fixture *f)
{
    static const float zeros[V * D];
    const struct sonde_safetensors_item items[] = {
        { "wte.weight", SONDE_DTYPE_F32, 2, { V, D }, zeros },
        { "wpe.weight", SONDE_DTYPE_F32, 2, { CONTEXT, D }, zeros },
        { "h.0.ln_1.weight", SONDE_DTYPE_F32, 1, { D }, zeros },
        { "h.0.ln_1.bias", SONDE_DTYPE_F32, 1, { D }, zeros },
        { "h.0.attn.c_attn.weight", SONDE_DTYPE_F32, 2, { D, 3 * D }, zeros },
        { "h.0.attn.c_attn.bias", SONDE_DTYPE_F32, 1, { 3 * D }, zeros },
        { "h.0.attn.c_proj.weight", SONDE_DTYPE_F32, 2, { D, D }, zeros },
        { "h.0.attn.c_proj.bias", SONDE_DTYPE_F32, 1, { D }, zeros },
        { "h.0.ln_2.weight", SONDE_DTYPE_F32, 1, { D }, zeros },
        { "h.0.ln_2.bias", SONDE_DTYPE_F32, 1, { D }, zeros },
        { "h.0.mlp.c_fc.weight", SONDE_DTYPE_F32, 2, { D, 4 * D }, zeros },
        { "h.0.mlp.c_fc.bias", SONDE_DTYPE_F32, 1, { 4 * D }, zeros },
        { "h.0.mlp.c_proj.weight", SONDE_DTYPE_F32, 2, { 4 * D, D }, zeros },
        { "h.0.mlp.c_proj.bias", SONDE_DTYPE_F32, 1, { D }, zeros },
        { "ln_f.weight", SONDE_DTYPE_F32, 1, { D }, zeros },
        { "ln_f.bias", SONDE_DTYPE_F32, 1, { D }, zeros },
    };
    char path[128];
    struct sonde_error error = { 0 };
    path_in(f, "model.safetensors", path);
    check_ok(
        sonde_safetensors_write(path, items, sizeof(items) / sizeof(items[0]), NULL, 0, &error),
        &error);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sonde_error error = { 0 };
    const char *base = getenv("TMPDIR");
    snprintf(f->folder, sizeof(f->folder), "%.40s/sonde-input-XXXXXX",
             base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(f->folder));
    save(f, "config.json",
         "{\"model_type\": \"gpt2\", \"n_embd\": 4, \"n_head\": 2, \"n_layer\": 1,"
         " \"n_positions\": 8, \"n_ctx\": 8, \"vocab_size\": 260, \"bos_token_id\": 256,"
         " \"eos_token_id\": 256, \"activation_function\": \"gelu_new\","
         " \"layer_norm_epsilon\": 1e-5}");
    save_tokenizer(f);
    save_weights(f);
    check_ok(sonde_model_open(&f->model, f->folder, NULL, &error), &error);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = { "config.json", "tokenizer.json", "model.safetensors",
                                         "text" };
    struct fixture *f = *state;
    char path[128];
    sonde_model_close(&f->model);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path_in(f, names[i], path);
        unlink(path);
    }
    rmdir(f->folder);
    free(f);
    return 0;
}

static struct sonde_input_options from_texts(struct sonde_cli_texts texts)
{
    return (struct sonde_input_options){ .text = texts };
}

static const struct sonde_sequence *next(struct sonde_input *input)
{
    const struct sonde_sequence_reader *reader = sonde_input_reader(input);
    const struct sonde_sequence *sequence = NULL;
    struct sonde_error error = { 0 };
    check_ok(reader->next(reader->self, &sequence, &error), &error);
    return sequence;
}

/* The text that the tokens of a sequence cover, from their spans. */
static void check_spans(const struct sonde_sequence *s, const char *text)
{
    assert_string_equal(s->text, text);
    int64_t at = 0;
    for (int64_t t = 0; t < s->n_tokens; t++) {
        assert_int_equal(s->tokens[t].position, t);
        if (s->tokens[t].begin < 0) {
            assert_int_equal(s->tokens[t].id, BOS);
            continue;
        }
        assert_int_equal(s->tokens[t].begin, at);
        assert_int_equal(s->tokens[t].end, at + 1);
        assert_int_equal(s->tokens[t].id, (unsigned char)text[at]);
        at++;
    }
    assert_int_equal(at, (int64_t)strlen(text));
}

/* 17 bytes in a context of 8 with one BOS each: 7 + 7 + 3. */
static void test_windows(void **state)
{
    struct fixture *f = *state;
    const char *item[] = { "abcdefghijklmnopq", "xy" };
    struct sonde_input_options o = from_texts((struct sonde_cli_texts){ item, 2 });
    struct sonde_input *input = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_input_open(&input, &o, f->model, &error), &error);
    static const char *const parts[] = { "abcdefg", "hijklmn", "opq" };
    for (int i = 0; i < 3; i++) {
        const struct sonde_sequence *s = next(input);
        assert_non_null(s);
        assert_int_equal(s->source, 0);
        assert_int_equal(s->window, i);
        assert_int_equal(s->text_begin, 7 * i);
        assert_int_equal(s->n_tokens, 1 + (int64_t)strlen(parts[i]));
        assert_true(s->tokens[0].flags & SONDE_TOKEN_BOS);
        check_spans(s, parts[i]);
    }
    const struct sonde_sequence *s = next(input);
    assert_int_equal(s->source, 1);
    assert_int_equal(s->window, 0);
    check_spans(s, "xy");
    assert_null(next(input));
    const struct sonde_input_counts *c = sonde_input_get_counts(input);
    assert_int_equal(c->items, 2);
    assert_int_equal(c->sequences, 4);
    assert_int_equal(c->windows, 2);
    assert_int_equal(c->cut_items, 1);
    assert_int_equal(c->tokens, 8 + 8 + 4 + 3);
    assert_int_equal(c->text_bytes, 19);
    sonde_input_close(&input);
}

static void test_exactly_the_context(void **state)
{
    struct fixture *f = *state;
    const char *item[] = { "abcdefg", "abcdefgh" };
    struct sonde_input_options o = from_texts((struct sonde_cli_texts){ item, 2 });
    struct sonde_input *input = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_input_open(&input, &o, f->model, &error), &error);
    assert_int_equal(next(input)->n_tokens, 8);
    assert_int_equal(next(input)->n_tokens, 8);
    assert_int_equal(next(input)->n_tokens, 2);
    assert_null(next(input));
    assert_int_equal(sonde_input_get_counts(input)->cut_items, 1);
    sonde_input_close(&input);
    o.bos = SONDE_BOS_NEVER;
    check_ok(sonde_input_open(&input, &o, f->model, &error), &error);
    assert_int_equal(next(input)->n_tokens, 7);
    assert_int_equal(next(input)->n_tokens, 8);
    assert_null(next(input));
    sonde_input_close(&input);
}

/* The limit counts tokens in all, BOS included, and cuts the last sequence there. */
static void test_max_tokens(void **state)
{
    struct fixture *f = *state;
    const char *item[] = { "abc", "defghi", "jk" };
    for (int64_t limit = 1; limit <= 16; limit++) {
        struct sonde_input_options o = from_texts((struct sonde_cli_texts){ item, 3 });
        struct sonde_input *input = NULL;
        struct sonde_error error = { 0 };
        int64_t total = 0, last = 0;
        o.max_tokens = limit;
        check_ok(sonde_input_open(&input, &o, f->model, &error), &error);
        for (const struct sonde_sequence *s = next(input); s; s = next(input)) {
            last = s->n_tokens;
            total += last;
        }
        assert_int_equal(total, limit < 14 ? limit : 14);
        assert_int_equal(sonde_input_get_counts(input)->stopped, limit <= 14);
        assert_true(last > 0);
        sonde_input_close(&input);
    }
}

/* Two bytes of one character in different windows: each window's text is whole bytes of the item.
 */
static void test_split_character(void **state)
{
    struct fixture *f = *state;
    const char *item[] = { "abcdef\xc3\xa9gh" };
    struct sonde_input_options o = from_texts((struct sonde_cli_texts){ item, 1 });
    struct sonde_input *input = NULL;
    struct sonde_error error = { 0 };
    check_ok(sonde_input_open(&input, &o, f->model, &error), &error);
    for (int i = 0; i < 2; i++) {
        const struct sonde_sequence *s = next(input);
        size_t n = strlen(s->text);
        assert_int_equal(memcmp(s->text, item[0] + s->text_begin, n), 0);
        for (int64_t t = 0; t < s->n_tokens; t++)
            assert_true(s->tokens[t].begin >= -1 && s->tokens[t].end <= (int64_t)n);
        assert_int_equal(s->tokens[1].begin, 0);
    }
    assert_null(next(input));
    sonde_input_close(&input);
}

static void test_empty_items(void **state)
{
    struct fixture *f = *state;
    const char *item[] = { "", "a", "" };
    struct sonde_input_options o = from_texts((struct sonde_cli_texts){ item, 3 });
    struct sonde_input *input = NULL;
    struct sonde_error error = { 0 };
    o.bos = SONDE_BOS_NEVER;
    check_ok(sonde_input_open(&input, &o, f->model, &error), &error);
    const struct sonde_sequence *s = next(input);
    assert_int_equal(s->source, 1);
    assert_null(next(input));
    assert_int_equal(sonde_input_get_counts(input)->empty, 2);
    sonde_input_close(&input);
    o.bos = SONDE_BOS_AUTO;
    check_ok(sonde_input_open(&input, &o, f->model, &error), &error);
    assert_int_equal(next(input)->n_tokens, 1); /* the BOS alone */
    sonde_input_close(&input);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    const char *item[] = { "a" };
    struct sonde_input *input = NULL;
    struct sonde_error error = { 0 };
    struct sonde_input_options none = { 0 };
    assert_int_equal(sonde_input_open(&input, &none, f->model, &error), SONDE_STATUS_ARGUMENT);
    struct sonde_input_options two = from_texts((struct sonde_cli_texts){ item, 1 });
    two.file = "x";
    assert_int_equal(sonde_input_open(&input, &two, f->model, &error), SONDE_STATUS_ARGUMENT);
    struct sonde_input_options field = from_texts((struct sonde_cli_texts){ item, 1 });
    field.field = "x";
    assert_int_equal(sonde_input_open(&input, &field, f->model, &error), SONDE_STATUS_ARGUMENT);
    struct sonde_input_options missing = { .file = "/nonexistent/file" };
    assert_int_equal(sonde_input_open(&input, &missing, f->model, &error), SONDE_STATUS_NOT_FOUND);
    assert_null(input);
}

/* SHA-256 of "abc": FIPS 180-2, appendix B.1. */
static void test_describe(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct sonde_buf text = { 0 };
    struct sonde_error error = { 0 };
    path_in(f, "text", path);
    save(f, "text", "abc");
    struct sonde_input_options o = { .file = path };
    check_ok(sonde_input_describe(&o, &text, &error), &error);
    assert_non_null(strstr(text.data,
                           "\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
                           "b410ff61f20015ad\""));
    assert_non_null(strstr(text.data, "\"kind\":\"file\""));
    sonde_buf_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),     cmocka_unit_test(test_exactly_the_context),
        cmocka_unit_test(test_max_tokens),  cmocka_unit_test(test_split_character),
        cmocka_unit_test(test_empty_items), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
