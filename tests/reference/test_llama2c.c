/*
 * A llama2.c checkpoint against the double-precision pass: the file is read here by other code and
 * turned into the Hugging Face layout, where the rotated pairs of q and k lie half a head apart
 * instead of side by side. All values but q and k themselves must then be the same.
 */
#include <string.h>

#include "tests/reference/ref_forward.h"
#include "tests/reference/site_capture.h"
#include "tests/support/check.h"

enum { T = 40 };

struct bin {
    const float *at; /* the next table */
    int32_t dim, hidden, n_layers, n_heads, n_kv, vocab, context;
};

static void add(struct ref_model *m, const char *name, const float *data, int64_t n)
{
    m->tensors.item =
        realloc(m->tensors.item, (size_t)(m->tensors.n + 1) * sizeof *m->tensors.item);
    struct ref_tensor *t = &m->tensors.item[m->tensors.n++];
    *t = (struct ref_tensor){ .n = n };
    snprintf(t->name, sizeof t->name, "%s", name);
    t->value = malloc((size_t)n * sizeof *t->value);
    for (int64_t i = 0; i < n; i++) {
        t->value[i] = (double)data[i];
    }
}

/* Rows 2i and 2i + 1 of a head become rows i and i + E / 2. */
static void part_pairs(struct ref_tensor *t, int heads, int E, int64_t columns)
{
    double *moved = malloc((size_t)t->n * sizeof *moved);
    for (int h = 0; h < heads; h++) {
        for (int e = 0; e < E; e++) {
            int to = e % 2 == 0 ? e / 2 : E / 2 + e / 2;
            memcpy(moved + (int64_t)(h * E + to) * columns,
                   t->value + (int64_t)(h * E + e) * columns, (size_t)columns * sizeof *moved);
        }
    }
    free(t->value);
    t->value = moved;
}

/* One table of all layers, in the file's order. */
static void add_layers(struct ref_model *m, struct bin *b, const char *name, int64_t n, int heads)
{
    for (int l = 0; l < b->n_layers; l++) {
        char full[128];
        snprintf(full, sizeof full, "model.layers.%d.%s.weight", l, name);
        add(m, full, b->at, n);
        if (heads) {
            part_pairs(&m->tensors.item[m->tensors.n - 1], heads, b->dim / b->n_heads, b->dim);
        }
        b->at += n;
    }
}

static void load(struct ref_model *m, const char *path)
{
    int64_t size = 0;
    char *file = ref_read_file(path, &size), config[512];
    int32_t header[7];
    assert_non_null(file);
    memcpy(header, file, sizeof header);
    struct bin b = { NULL,      header[0], header[1], header[2],
                     header[3], header[4], header[5], header[6] };
    float *floats = malloc((size_t)size);
    memcpy(floats, file + 28, (size_t)size - 28);
    free(file);
    int64_t D = b.dim, kv = D / b.n_heads * b.n_kv, F = b.hidden;
    snprintf(config, sizeof config,
             "{\"model_type\": \"llama\", \"hidden_size\": %d, \"num_hidden_layers\": %d, "
             "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"intermediate_size\": %d, "
             "\"vocab_size\": %d, \"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": true}",
             b.dim, b.n_layers, b.n_heads, b.n_kv, b.hidden, b.vocab);
    *m = (struct ref_model){ .config = ref_json_parse(config) };
    b.at = floats;
    add(m, "model.embed_tokens.weight", b.at, D * b.vocab);
    b.at += D * b.vocab;
    add_layers(m, &b, "input_layernorm", D, 0);
    add_layers(m, &b, "self_attn.q_proj", D * D, b.n_heads);
    add_layers(m, &b, "self_attn.k_proj", kv * D, b.n_kv);
    add_layers(m, &b, "self_attn.v_proj", kv * D, 0);
    add_layers(m, &b, "self_attn.o_proj", D * D, 0);
    add_layers(m, &b, "post_attention_layernorm", D, 0);
    add_layers(m, &b, "mlp.gate_proj", F * D, 0);
    add_layers(m, &b, "mlp.down_proj", F * D, 0);
    add_layers(m, &b, "mlp.up_proj", F * D, 0);
    add(m, "model.norm.weight", b.at, D);
    free(floats);
}

static bool is_query_or_key(enum sonde_site_kind kind)
{
    return kind == SONDE_SITE_Q || kind == SONDE_SITE_K || kind == SONDE_SITE_ROT_Q ||
           kind == SONDE_SITE_ROT_K;
}

static void test_stories260k(void **state)
{
    char path[1024], name[SONDE_SITE_NAME_MAX];
    int32_t ids[T];
    struct ref_model ref;
    struct ref_trace trace = { 0 };
    struct capture c;
    int n_compared = 0;
    (void)state;
    check_shared(path, "models/stories260k/stories260K.bin");
    for (int i = 0; i < T; i++) {
        ids[i] = i == 0 ? 1 : (i * i * 13 + 259) % 512;
    }
    struct sonde_model *model = capture_open(path);
    load(&ref, path);
    capture_run(&c, model, ids, NULL, T, NULL, NULL);
    ref_forward(&ref, ids, NULL, T, &trace);
    for (int i = 0; i < c.n; i++) {
        const struct ref_site *site =
            ref_trace_find(&trace, sonde_site_format(c.item[i].site, name));
        double difference, magnitude;
        assert_non_null(site);
        assert_int_equal(site->n, c.item[i].n);
        if (is_query_or_key(c.item[i].site.kind)) {
            continue;
        }
        capture_compare(c.item[i].value, site->value, site->n, &difference, &magnitude);
        if (!(difference <= 2e-5 * fmax(1.0, magnitude))) {
            fprintf(stderr, "# %s: off by %.3g at magnitude %.3g\n", name, difference, magnitude);
            fail();
        }
        n_compared++;
    }
    assert_int_equal(n_compared, c.n - 5 * 4);
    capture_free(&c);
    ref_trace_free(&trace);
    ref_model_free(&ref);
    sonde_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_stories260k) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
