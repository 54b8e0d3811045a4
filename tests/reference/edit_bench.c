#include "tests/reference/edit_bench.h"

#include <string.h>
#include <unistd.h>

#include "core/tensor/npy.h"
#include "tests/support/check.h"

const struct model_recipe edit_bench_gpt2 = {
    .family = "gpt2", .D = D, .H = H, .F = F, .L = L, .V = 50, .n_ctx = 64
};
const struct model_recipe edit_bench_llama = {
    .family = "llama", .D = D, .H = H, .G = 1, .F = F, .L = L, .V = 50, .n_ctx = 64
};
const struct model_recipe edit_bench_neox = {
    .family = "gpt_neox", .D = D, .H = H, .F = F, .L = L, .V = 50, .n_ctx = 64
};

const struct model_recipe edit_bench_bert = {
    .family = "bert", .D = D, .H = H, .F = F, .L = L, .V = 50, .n_ctx = 64
};

static void write_vector(const char *path, const float *v, int64_t n)
{
    struct sonde_error error = { 0 };
    check_ok(sonde_npy_write(path, SONDE_DTYPE_F32, 1, &n, v, &error), &error);
}

void edit_bench_begin(struct edit_bench *x, const struct model_recipe *recipe)
{
    *x = (struct edit_bench){ .folder = model_make(recipe) };
    x->model = capture_open(x->folder);
    for (int i = 0; i < T; i++) {
        x->a[i] = (i * 17 + 3) % 50;
        x->b[i] = (i * 29 + 11) % 50;
    }
    for (int i = 0; i < D; i++) {
        x->v[i] = (float)((i * 7) % 11 - 5) * 0.3f + 0.01f;
    }
    snprintf(x->v_path, sizeof x->v_path, "%s/v.npy", x->folder);
    snprintf(x->head_path, sizeof x->head_path, "%s/head.npy", x->folder);
    write_vector(x->v_path, x->v, D);
    write_vector(x->head_path, x->v, E);
    capture_run_hooked(&x->plain, x->model, x->a, T, NULL, 0);
}

void edit_bench_end(struct edit_bench *x)
{
    unlink(x->v_path);
    unlink(x->head_path);
    capture_free(&x->plain);
    sonde_model_close(&x->model);
    model_remove(x->folder);
}

void edit_bench_write(const struct edit_bench *x, const float *v)
{
    write_vector(x->v_path, v, D);
}

void edit_bench_expand(const struct edit_bench *x, const char *text, char out[700])
{
    const char *mark = strstr(text, "%v") ? strstr(text, "%v") : strstr(text, "%h");
    if (!mark) {
        snprintf(out, 700, "%s", text);
    } else {
        snprintf(out, 700, "%.*s%s%s", (int)(mark - text), text,
                 mark[1] == 'v' ? x->v_path : x->head_path, mark + 2);
    }
}

struct sonde_edits *edit_bench_make(const struct edit_bench *x, const char *const *text, int n,
                                    const struct sonde_edits_options *options)
{
    struct sonde_error error = { 0 };
    struct sonde_edits *edits = NULL;
    char full[4][700];
    const char *list[4];
    assert_true(n <= 4);
    for (int i = 0; i < n; i++) {
        edit_bench_expand(x, text[i], full[i]);
        list[i] = full[i];
    }
    check_ok(sonde_edits_create(&edits, list, n, x->model, options, &error), &error);
    return edits;
}
