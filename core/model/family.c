#include "core/model/family.h"

#include <string.h>

static const struct sonde_family_info families[] = {
    { "llama", "llama", "Llama 1 to 3 and what has their shape; also llama2.c .bin files",
      &sonde_family_llama },
    { "gpt2", "gpt2", "GPT-2: learned positions, fused attention projection", &sonde_family_gpt2 },
    { "gpt_neox", "gpt_neox", "GPT-NeoX and Pythia: parallel blocks, partial rotary positions",
      &sonde_family_gpt_neox },
    { "bert", "bert", "BERT encoders with a masked-LM head or none", &sonde_family_bert },
    { "sonde", "sonde",
      "models made by sonde train: any norm, positions and head of one vocabulary",
      &sonde_family_sonde },
    { "torch_encoder", "", "PyTorch .pt checkpoints of a causal nn.TransformerEncoder", NULL },
};
enum { N_FAMILIES = sizeof families / sizeof *families };

const struct sonde_family *sonde_family_find(const char *model_type)
{
    size_t n = strlen(model_type);
    for (int i = 0; i < N_FAMILIES; i++) {
        const char *types = families[i].model_types;
        const char *at = n ? strstr(types, model_type) : NULL;
        for (; at; at = strstr(at + 1, model_type)) {
            if ((at == types || at[-1] == ' ') && (at[n] == '\0' || at[n] == ',')) {
                return families[i].family;
            }
        }
    }
    return NULL;
}

const struct sonde_family_info *sonde_families(int *n)
{
    *n = N_FAMILIES;
    return families;
}
