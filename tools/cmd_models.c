/* sonde models: what can be loaded. */
#include <stdlib.h>

#include "core/model/model.h"
#include "tools/bundled.h"
#include "tools/commands.h"

static void add_bundled(struct sonde_result *result)
{
    static const char *const columns[] = { "name", "what", "folder", NULL };
    struct sonde_table *table = sonde_result_add_table(result, "bundled", columns);
    int64_t n = 0;
    for (const struct sonde_bundled_model *m = sonde_bundled_models; m->name; m++) {
        char *folder = NULL;
        bool found = sonde_bundled_folder(m->name, &folder, NULL) == SONDE_STATUS_OK;
        sonde_table_add_row(table);
        sonde_table_text(table, 0, m->name);
        sonde_table_text(table, 1, m->summary);
        if (found)
            sonde_table_text(table, 2, folder);
        n += found;
        free(folder);
    }
    sonde_result_scalar_i64(result, "bundled", n);
}

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
        add_bundled(result);
    }
    return sonde_cli_finish(cli, &result, SONDE_STATUS_OK, SONDE_EXIT_OK, error);
}

const struct sonde_command sonde_command_models = {
    .name = "models",
    .synopsis = "",
    .summary = "list the model families that can be loaded and the bundled models",
    .description =
        "A model is a folder in Hugging Face layout (config.json, *.safetensors or an index of "
        "shards, tokenizer.json), a llama2.c .bin file with its tokenizer beside it, or a PyTorch "
        "zip .pt that holds an nn.TransformerEncoder. What counts is config.json and the tensors' "
        "shapes, never a model's name.\n"
        "\n"
        "A bundled model goes by its name, wherever a command takes a MODEL: sonde info english. "
        "SONDE_MODELS, where it is set, names the folder to look in first.",
    .args = "",
    .run = run,
};
