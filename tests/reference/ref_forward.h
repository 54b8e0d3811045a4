/*
 * A slow forward pass in double precision that shares no code with the project: one plain function
 * a family, loops as in the papers, every site kept. What core computes is held against it.
 */
#ifndef SONDE_TESTS_REFERENCE_REF_FORWARD_H
#define SONDE_TESTS_REFERENCE_REF_FORWARD_H

#include <stdint.h>

#include "tests/reference/ref_load.h"

struct ref_site {
    char name[96];
    double *value;
    int64_t n;
};
struct ref_trace {
    struct ref_site *site;
    int n;
};
void ref_trace_free(struct ref_trace *trace);
const struct ref_site *ref_trace_find(const struct ref_trace *trace, const char *name);

struct ref_model {
    struct ref_json *config;
    struct ref_tensors tensors;
    char prefix[32];
};
/* A Hugging Face folder, single file or shards. False where it cannot be read. */
int ref_model_load(struct ref_model *model, const char *folder);
void ref_model_free(struct ref_model *model);
/* ids[T], types[T] or NULL. Families: llama, gpt2, gpt_neox, bert, sonde. */
void ref_forward(const struct ref_model *model, const int32_t *ids, const int32_t *types, int T,
                 struct ref_trace *trace);

#endif
