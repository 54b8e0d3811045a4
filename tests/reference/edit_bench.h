/* What the tests of edits share: a small model, two texts of ids and vectors in files. */
#ifndef SONDE_TESTS_REFERENCE_EDIT_BENCH_H
#define SONDE_TESTS_REFERENCE_EDIT_BENCH_H

#include "core/model/edit.h"
#include "tests/reference/site_capture.h"
#include "tests/unit/model/model_maker.h"

enum { T = 21, D = 24, H = 3, E = 8, F = 40, L = 2 };

extern const struct model_recipe edit_bench_gpt2, edit_bench_llama, edit_bench_neox,
    edit_bench_bert;

/* A model, a folder for vectors, and two texts of ids. */
struct edit_bench {
    char *folder;
    struct sonde_model *model;
    int32_t a[T], b[T];
    float v[D];
    char v_path[300], head_path[300];
    struct capture plain; /* of a */
};

void edit_bench_begin(struct edit_bench *x, const struct model_recipe *recipe);
void edit_bench_end(struct edit_bench *x);
/* Writes v anew into the file that %v stands for. */
void edit_bench_write(const struct edit_bench *x, const float *v);
/* text with %v and %h replaced by the files of the vectors v (D values) and its first E. */
void edit_bench_expand(const struct edit_bench *x, const char *text, char out[700]);
/* At most 4 edits, expanded; fails the test where they cannot be made. */
struct sonde_edits *edit_bench_make(const struct edit_bench *x, const char *const *text, int n,
                                    const struct sonde_edits_options *options);

#endif
