#include "tools/compute_input.h"

enum gemm { GEMM_AUTO, GEMM_OPENBLAS, GEMM_ONEDNN };

const char *const sonde_compute_names[] = { "f32", "bf16", NULL };
const char *const sonde_compute_gemm_names[] = { "auto", "openblas", "onednn", NULL };

enum sonde_status sonde_compute_input_take(const struct sonde_compute_options *options,
                                           struct sonde_model_options *out,
                                           struct sonde_error *error)
{
    const bool bf16 = options->compute == SONDE_COMPUTE_BF16;
    if (bf16 && options->gemm == GEMM_OPENBLAS)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "--compute bf16 is for --gemm onednn, OpenBLAS multiplies in f32");
    out->compute = (enum sonde_compute)options->compute;
    out->gemm = bf16 || options->gemm == GEMM_ONEDNN ? SONDE_GEMM_ONEDNN : SONDE_GEMM_OPENBLAS;
    return SONDE_STATUS_OK;
}

void sonde_compute_input_parameter(const struct sonde_model *model, struct sonde_result *result)
{
    const char *name = sonde_model_compute_name(model);
    if (name)
        sonde_result_parameter_text(result, "compute", name);
}
