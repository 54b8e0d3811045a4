/*
 * Config: reads config.json. Every key is read, known to be without effect, or known to be harmless
 * at its value; anything else that is known to change the computation is refused by name and
 * value, and what is not known at all becomes a warning.
 */
#ifndef SONDE_CORE_MODEL_CONFIG_H
#define SONDE_CORE_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/model/spec.h"

enum { SONDE_NOTES_MAX = 32 };
/* Lines worth a warning, kept in an arena; more than SONDE_NOTES_MAX are dropped. */
struct sonde_notes {
    struct sonde_arena *arena;
    const char *line[SONDE_NOTES_MAX];
    int n;
};
void sonde_notes_add(struct sonde_notes *notes, const char *format, ...) SONDE_PRINTF(2, 3);

struct sonde_config {
    const struct sonde_json *root; /* an object */
    const char *name;              /* the file, for messages */
    struct sonde_notes *notes;
};

/* Whole numbers from 1 to max under key, or under other (NULL = none) where key is absent or null.
 * Where both are absent: fallback, or, where that is 0, an error that says what is missing. */
SONDE_MUST_USE enum sonde_status sonde_config_size(const struct sonde_config *config,
                                                   const char *key, const char *other,
                                                   int64_t fallback, int64_t max, int64_t *out,
                                                   struct sonde_error *error);
/* The member under key (NULL = none) where it is given, else d_model / n_heads, which must be
 * whole. */
SONDE_MUST_USE enum sonde_status sonde_config_head_size(const struct sonde_config *config,
                                                        const char *key, int64_t d_model,
                                                        int64_t n_heads, int64_t *out,
                                                        struct sonde_error *error);
/* Keys of a family's sizes, tried before the common hidden_size, num_hidden_layers,
 * num_attention_heads and max_position_embeddings (NULL = these alone). */
struct sonde_config_sizes {
    const char *d_model, *n_layers, *n_heads, *n_ctx;
    const char *d_mlp;      /* NULL = intermediate_size, required; else 4 d_model where absent */
    const char *n_kv_heads; /* NULL or absent: n_heads */
    const char *d_head;     /* NULL or absent: d_model / n_heads */
    int64_t n_ctx_default;
};
/* Reads all sizes of the spec, vocab_size among them. */
SONDE_MUST_USE enum sonde_status sonde_config_read_sizes(const struct sonde_config *config,
                                                         const struct sonde_config_sizes *keys,
                                                         struct sonde_spec *spec,
                                                         struct sonde_error *error);
/* A finite number above 0 and at most max. */
SONDE_MUST_USE enum sonde_status sonde_config_positive(const struct sonde_config *config,
                                                       const char *key, const char *other,
                                                       double fallback, double max, double *out,
                                                       struct sonde_error *error);
SONDE_MUST_USE enum sonde_status sonde_config_bool(const struct sonde_config *config,
                                                   const char *key, bool fallback, bool *out,
                                                   struct sonde_error *error);
/* hidden_act and its like; an unknown name is UNSUPPORTED. */
SONDE_MUST_USE enum sonde_status sonde_config_activation(const struct sonde_config *config,
                                                         const char *key,
                                                         enum sonde_activation fallback,
                                                         enum sonde_activation *out,
                                                         struct sonde_error *error);
/* The rotary base from rope_parameters, rope_theta or `other`, and the refusal of every rope type
 * but "default". fraction (may be NULL) is replaced where rope_parameters names one. */
SONDE_MUST_USE enum sonde_status sonde_config_rope(const struct sonde_config *config,
                                                   const char *other, double *base,
                                                   double *fraction, struct sonde_error *error);
/* Goes through all keys: `read` (NULL-terminated) are the family's own. */
SONDE_MUST_USE enum sonde_status sonde_config_check_keys(const struct sonde_config *config,
                                                         const char *const *read,
                                                         struct sonde_error *error);

#endif
