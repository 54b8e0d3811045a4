/* Makes tiny random models as Hugging Face folders, with the oddities that real ones have. */
#ifndef SONDE_TESTS_UNIT_MODEL_MODEL_MAKER_H
#define SONDE_TESTS_UNIT_MODEL_MODEL_MAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tensor/dtype.h"

struct model_recipe {
    const char *family;                 /* llama, gpt2, gpt_neox, bert, sonde */
    int64_t D, H, G, E, F, L, V, n_ctx; /* G, E 0: H, D / H */
    enum sonde_dtype dtype;             /* NONE = F32 */
    bool no_prefix;    /* as hub files of GPT2Model: names without "transformer." */
    bool mask_buffers; /* the buffers that old versions saved */
    bool untied;
    bool tie_absent; /* no tie_word_embeddings in config.json */
    bool only_head;  /* lm_head.weight stored, the embedding not */
    bool alias;      /* with only_head: __metadata__ names the embedding */
    bool attention_bias, mlp_bias;
    bool serial;    /* gpt_neox: use_parallel_residual false */
    bool shards;    /* three files and an index */
    bool unaligned; /* tensors begin at odd offsets */
    bool n_inner_null;
    bool old_norm_names;     /* bert: gamma and beta */
    bool no_head;            /* bert: no masked-LM head */
    const char *more_config; /* further members of config.json: "\"a\": 1, " */
    float poison;            /* != 0: this value stands in the first weight (NAN, INFINITY) */
    uint64_t seed;
};

/* The folder's path, made under $TMPDIR (or /tmp); fails the test where that cannot be. */
char *model_make(const struct model_recipe *recipe);
/* Removes the folder and what model_make wrote, and frees the path. */
void model_remove(char *folder);
/* Writes text to folder/name. */
void model_write_text(const char *folder, const char *name, const char *text);

#endif
