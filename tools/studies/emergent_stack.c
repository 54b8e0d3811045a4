/*
 * Study: Tiwari, Gupta and Hahn, Emergent Stack Representations in Modeling Counter Languages Using
 * Transformers (2025), with what its protocol hides. On published checkpoints or models of its own.
 */
#include "tools/studies/lab.h"
#include "tools/studies/stack_subjects.h"
#include "tools/studies/study.h"

static enum sonde_status run(struct sonde_lab *lab, struct sonde_error *error)
{
    static enum sonde_status (*const part[])(struct sonde_stack *, struct sonde_error *) = {
        sonde_stack_accuracy, sonde_stack_protocol, sonde_stack_probes,
        sonde_stack_localise, sonde_stack_ablate,   sonde_stack_attention,
    };
    struct sonde_stack stack = { .lab = lab };
    enum sonde_status status =
        lab->weights ? sonde_stack_open_published(&stack, error) : sonde_stack_train(&stack, error);
    for (size_t i = 0; !status && i < sizeof(part) / sizeof(part[0]); i++)
        status = part[i](&stack, error);
    sonde_stack_finish(&stack);
    return status;
}

const struct sonde_study sonde_study_emergent_stack = {
    .name = "emergent-stack",
    .paper = "Tiwari, Gupta, Hahn: Emergent Stack Representations in Modeling Counter Languages "
             "Using Transformers, 2025 (arXiv 2502.01432)",
    .summary = "what transformers trained on counter languages know of the depth: probes with and "
               "without pads, where depth/length stands, ablations with random controls",
    .time = "about 5 minutes, with --weights 4",
    .weights = "folders dyck1, shuffle2, .. of model_N.pt; strings from ../data beside them",
    .run = run,
};
