/*
 * Family: maps config.json and tensor names to a spec and a weight table. One file a family in
 * core/model/families, one line in the list of family.c.
 */
#ifndef SONDE_CORE_MODEL_FAMILY_H
#define SONDE_CORE_MODEL_FAMILY_H

#include "core/model/bind.h"
#include "core/model/config.h"
#include "core/model/model.h"

struct sonde_family {
    const char *name;
    /* Fills the spec; sizes are checked by the caller with sonde_spec_validate. */
    enum sonde_status (*read_config)(const struct sonde_config *config, struct sonde_spec *spec,
                                     struct sonde_error *error);
    /* Binds every weight; spec may be completed by what the tensors say (tying, biases, heads). */
    void (*bind)(struct sonde_binder *b, const struct sonde_config *config, struct sonde_spec *spec,
                 struct sonde_weights *weights);
};

extern const struct sonde_family sonde_family_bert;
extern const struct sonde_family sonde_family_gpt2;
extern const struct sonde_family sonde_family_gpt_neox;
extern const struct sonde_family sonde_family_llama;
extern const struct sonde_family sonde_family_sonde;

/* By the model_type of config.json; NULL where none takes it. */
const struct sonde_family *sonde_family_find(const char *model_type);

#endif
