#include "tools/commands.h"

#include <stddef.h>

/* clang-format off */
const struct sonde_command *const sonde_commands[] = {
    &sonde_command_demo,
    &sonde_command_models,
    &sonde_command_info,
    &sonde_command_tokenize,
    &sonde_command_record,
    &sonde_command_label,
    &sonde_command_probes,
    &sonde_command_probe,
    &sonde_command_study,
    &sonde_command_report,
    &sonde_command_train,
    &sonde_command_generate,
    &sonde_command_score,
    &sonde_command_verify,
    &sonde_command_export,
    &sonde_command_import,
    &sonde_command_check,
    &sonde_command_bench,
    &sonde_command_tokenizer,
    &sonde_command_completion,
    NULL,
};
/* clang-format on */
