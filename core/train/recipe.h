/*
 * Recipe: a training as a JSON object. Unknown keys are refused with the nearest name, sizes are
 * checked, paths are relative to the recipe's folder. What a recipe says of corpora and tokenizers
 * is only read here; who trains opens them.
 *
 *   "model": {..}           the object of a config.json with its "model_type" ("sonde", "gpt2",
 *                           "llama", ..); sonde_model_create checks it. "vocab_size" and, of k-hot
 *                           objectives, "n_outputs" may be left out where the tokenizer says them.
 *   "init": {"kind": "normal"|"torch", "std": 0.02, "seed": N}      seed: else that of the recipe
 *   "tokenizer": PATH | "formal"       a tokenizer.json or its folder; "formal" = the symbols of
 *                           the formal language; left out with {"ids": ..}
 *   "corpus": CORPUS        one of "formal": "dyck-1:n=10000,len=2..50" | "file": PATH (a text a
 *                           line) | "whole": PATH (all one text) | "jsonl": PATH with "field":
 *                           "text" | "conllu": PATH | "ids": PATH (.npy); and
 *                             "label": FIELD    jsonl: the class, a string
 *                             "pack": N         texts one behind the other, each with the
 *                                               end-of-text token behind it, cut every N tokens
 *                             "bos": "auto"|"always"|"never"      "eos": true|false
 *                             "limit": N        items at most
 *                             "skip-every": N   without items N-1, 2N-1, .. ; "only-every": N:
 * those "validation": [{"name": "bin0", "corpus": CORPUS}, ..]   or CORPUS' keys beside "name"
 *   "objective": "next-token" | "k-hot-mse" | "k-hot-bce" | "masked-token" | "classification"
 *   "mask": {"rate": 0.15, "token": "[MASK]" or an id}             masked-token
 *   "label-at": "last" | "first"                                   classification
 *   "optimizer": {"name": "sgd"|"rmsprop"|"adam"|"adamw", "lr": .., and PyTorch's names:
 *                 "momentum", "dampening", "nesterov", "alpha", "centered", "eps", "betas": [a, b],
 *                 "weight_decay"; "decay": "all"|"matrices"}
 *   "schedule": {"kind": "constant"|"linear"|"cosine"|"step", "warmup": STEPS, "final": 0..1,
 *                "gamma": X, "period": STEPS}
 *   "clip": {"norm": 1.0, "value": X}
 *   "batch": {"sequences": 32} | {"tokens": 4096}        "epochs": N | "steps": N
 *   "order": "shuffle" | "file"     "seed": 42     "lanes": 8
 *   "checkpoint": {"every": STEPS, "keep": N}      none where left out or every 0; keep 0 = all
 *   "validate": {"every": STEPS}                   0 or left out: after every epoch
 *   "select": "last"|"best"                        weights of the last step, or of the step where
 *                                                  the first validation's loss was least
 *   "dtype": "f32"|"f16"|"bf16"                    of the weights that are written
 *   "dropout": 0                                   no other value: there is none
 *   "name": TEXT, "note": TEXT                     for people
 */
#ifndef SONDE_CORE_TRAIN_RECIPE_H
#define SONDE_CORE_TRAIN_RECIPE_H

#include "core/tensor/dtype.h"
#include "core/train/trainer.h"

#define SONDE_RECIPE_MAX_BYTES (INT64_C(1) << 20)
#define SONDE_RECIPE_MAX_VALIDATIONS 64

enum sonde_recipe_corpus_kind {
    SONDE_RECIPE_CORPUS_FORMAL,
    SONDE_RECIPE_CORPUS_FILE,
    SONDE_RECIPE_CORPUS_WHOLE,
    SONDE_RECIPE_CORPUS_JSONL,
    SONDE_RECIPE_CORPUS_CONLLU,
    SONDE_RECIPE_CORPUS_IDS,
};
enum sonde_recipe_bos {
    SONDE_RECIPE_BOS_AUTO,
    SONDE_RECIPE_BOS_ALWAYS,
    SONDE_RECIPE_BOS_NEVER,
};
/* Texts belong to the recipe. */
struct sonde_recipe_corpus {
    enum sonde_recipe_corpus_kind kind;
    const char *name;   /* of a validation; "train" */
    const char *source; /* the path, from where the program runs, or the formal specification */
    const char *field, *label; /* or NULL */
    int64_t pack;              /* 0 = each text for itself */
    enum sonde_recipe_bos bos;
    bool eos;
    int64_t limit;                  /* 0 = none */
    int64_t skip_every, only_every; /* 0 = off */
};

struct sonde_recipe {
    const char *name, *note;        /* or NULL */
    const struct sonde_json *model; /* an object with "model_type" */
    struct sonde_init init;
    const char *tokenizer; /* a path; NULL = none, or formal_tokenizer */
    bool formal_tokenizer;
    struct sonde_recipe_corpus corpus;
    struct sonde_recipe_corpus *validation; /* [n_validations] */
    int64_t n_validations;
    /* Objective, rule, schedule (n_steps is 0 where epochs are given), clip, batch, order, seed,
     * lanes; the rest is zero. */
    struct sonde_trainer_options options;
    const char *mask_token; /* or NULL: options.mask_id, -1 where neither was given */
    bool label_at_first;
    int64_t n_epochs, n_steps; /* one of them is 0 */
    int64_t checkpoint_every, checkpoint_keep, validate_every;
    bool select_best;
    enum sonde_dtype dtype;
    struct sonde_json *document; /* owns the model's object */
    struct sonde_arena *arena;   /* owns the texts */
};

/* name begins messages; folder: what paths are relative to, "" = where the program runs. */
SONDE_MUST_USE enum sonde_status sonde_recipe_parse(struct sonde_recipe **out, const char *json,
                                                    size_t n, const char *name, const char *folder,
                                                    struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_recipe_load(struct sonde_recipe **out, const char *path,
                                                   struct sonde_error *error);
void sonde_recipe_destroy(struct sonde_recipe **recipe);

#endif
