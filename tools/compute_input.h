/* How a model's products are computed: the options that several commands share. */
#ifndef SONDE_TOOLS_COMPUTE_INPUT_H
#define SONDE_TOOLS_COMPUTE_INPUT_H

#include "analysis/report/result.h"
#include "core/model/model.h"
#include "tools/cli.h"

struct sonde_compute_options {
    int compute; /* enum sonde_compute */
    int gemm;    /* index into sonde_compute_gemm_names */
};
extern const char *const sonde_compute_names[];
extern const char *const sonde_compute_gemm_names[];

/* Rows of an option table whose struct `type` has a struct sonde_compute_options `member`. */
#define SONDE_COMPUTE_OPTIONS(type, member)                                                        \
    { "compute",                                                                                   \
      0,                                                                                           \
      SONDE_CLI_CHOICE,                                                                            \
      offsetof(type, member.compute),                                                              \
      NULL,                                                                                        \
      "of the weights' products (default f32): bf16 rounds both factors to bfloat16 and sums in "  \
      "f32, at twice the rate on machines with AVX512_BF16; all else stays f32",                   \
      sonde_compute_names,                                                                         \
      0,                                                                                           \
      0 },                                                                                         \
    {                                                                                              \
        "gemm", 0, SONDE_CLI_CHOICE, offsetof(type, member.gemm), NULL,                            \
            "what multiplies: openblas, or onednn with a copy of the weights as it likes them "    \
            "(default auto: onednn for bf16, else openblas)",                                      \
            sonde_compute_gemm_names, 0, 0                                                         \
    }

/* Sets the model's options. */
SONDE_MUST_USE enum sonde_status
sonde_compute_input_take(const struct sonde_compute_options *options,
                         struct sonde_model_options *out, struct sonde_error *error);

/* The parameter `compute` of a result, where it is not as always. */
void sonde_compute_input_parameter(const struct sonde_model *model, struct sonde_result *result);

#endif
