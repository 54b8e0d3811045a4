/* sonde models: what can be loaded. */
#include "core/model/model.h"
#include "tools/commands.h"

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    static const char *const columns[] = { "family", "model_type", "what", NULL };
    struct sonde_result *result = sonde_result_create("models");
    if (result) {
        struct sonde_table *table = sonde_result_add_table(result, "families", columns);
        int n = 0;
        const struct sonde_family_info *family = sonde_families(&n);
        for (int i = 0; i < n; i++) {
            sonde_table_add_row(table);
            sonde_table_text(table, 0, family[i].name);
            sonde_table_text(table, 1, family[i].model_types);
            sonde_table_text(table, 2, family[i].summary);
        }
        sonde_result_scalar_i64(result, "families", n);
    }
    return sonde_cli_finish(cli, &result, SONDE_STATUS_OK, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_models = {
    .name = "models",
    .synopsis = "",
    .summary = "list the model families that can be loaded",
    .description =
        "A model is a folder in Hugging Face layout (config.json, *.safetensors or an index of "
        "shards, tokenizer.json) or a llama2.c .bin file with its tokenizer beside it. What counts "
        "is config.json and the tensors' shapes, never a model's name.",
    .args = "",
    .run = run,
};
