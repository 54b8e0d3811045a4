/* The commands, one cmd_*.c each; commands.c lists them in the order of `sonde --help`. */
#ifndef SONDE_TOOLS_COMMANDS_H
#define SONDE_TOOLS_COMMANDS_H

#include "tools/cli.h"

extern const struct sonde_command sonde_command_demo;
extern const struct sonde_command sonde_command_models;
extern const struct sonde_command sonde_command_info;
extern const struct sonde_command sonde_command_tokenize;
extern const struct sonde_command sonde_command_tokenizer;
extern const struct sonde_command sonde_command_generate;
extern const struct sonde_command sonde_command_train;
extern const struct sonde_command sonde_command_verify;
extern const struct sonde_command sonde_command_score;
extern const struct sonde_command sonde_command_record;
extern const struct sonde_command sonde_command_label;
extern const struct sonde_command sonde_command_probes;
extern const struct sonde_command sonde_command_probe;
extern const struct sonde_command sonde_command_study;
extern const struct sonde_command sonde_command_report;
extern const struct sonde_command sonde_command_export;
extern const struct sonde_command sonde_command_import;
extern const struct sonde_command sonde_command_check;
extern const struct sonde_command sonde_command_bench;
extern const struct sonde_command sonde_command_completion;

#endif
