/* sonde verify: every site of one forward pass against a reference file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/model/model.h"
#include "core/tensor/gemm.h"
#include "core/tensor/safetensors.h"
#include "tools/bundled.h"
#include "tools/commands.h"
#include "tools/compute_error.h"
#include "tools/compute_input.h"

#define IDS_MAX ((int64_t)1 << 24)
#define NAMES_SHOWN 8

struct verify_options {
    struct sonde_cli_texts reference;
    double tolerance;
    bool strict;
    struct sonde_compute_options compute;
};

static const struct verify_options defaults = { .tolerance = 1e-4 };

static const struct sonde_cli_option options[] = {
    { "reference", 0, SONDE_CLI_TEXTS, offsetof(struct verify_options, reference), "FILE",
      "safetensors file with input_ids and activations (repeatable: files that belong together)",
      NULL, 0, 0 },
    { "tolerance", 0, SONDE_CLI_REAL, offsetof(struct verify_options, tolerance), "X",
      "largest difference, times max(1, the reference's largest magnitude) (default 1e-4)", NULL, 0,
      INT64_MAX },
    { "strict", 0, SONDE_CLI_FLAG, offsetof(struct verify_options, strict), NULL,
      "names that are no site of this model fail", NULL, 0, 0 },
    SONDE_COMPUTE_OPTIONS(struct verify_options, compute),
    { 0 },
};

/* A reference tensor and what the model gave for it. */
struct entry {
    struct sonde_site site;
    const struct sonde_safetensors *file;
    const struct sonde_safetensors_entry *tensor;
    bool seen;
    enum sonde_status problem; /* of the comparison */
    char shape[64];            /* of the model's value where it differs */
    double max_abs, max_rel;
};

struct verifier {
    const struct verify_options *options;
    const struct sonde_model *model;
    struct sonde_safetensors **file;
    int64_t n_files;
    struct entry *entry;
    int64_t n_entries, capacity;
    struct sonde_site_set sites;
    struct sonde_buf unknown; /* the first names */
    int64_t n_unknown;
    int32_t *ids, *types; /* [n_ids] */
    int64_t n_ids;
    float *value; /* of the reference tensor in hand */
    int64_t value_capacity;
};

static enum sonde_status read_ids(const struct verifier *v, const char *name, int32_t **out,
                                  int64_t *n, struct sonde_error *error)
{
    for (int64_t f = 0; f < v->n_files; f++) {
        const struct sonde_safetensors_entry *e = sonde_safetensors_find(v->file[f], name);
        if (!e)
            continue;
        const char *path = sonde_safetensors_path(v->file[f]);
        bool batch_of_one = e->rank == 2 && e->dim[0] == 1;
        if ((e->rank != 1 && !batch_of_one) || e->n_elements < 1 || e->n_elements > IDS_MAX)
            return sonde_error_set(error, SONDE_STATUS_FORMAT,
                                   "%s: %s: rank %d with %lld elements, expected [T] with T from 1 "
                                   "to %lld",
                                   path, name, e->rank, (long long)e->n_elements,
                                   (long long)IDS_MAX);
        int64_t *wide = calloc((size_t)e->n_elements, sizeof(*wide));
        int32_t *ids = calloc((size_t)e->n_elements, sizeof(*ids));
        enum sonde_status status = wide && ids ? SONDE_STATUS_OK : sonde_error_memory(error, name);
        if (!status)
            status = sonde_safetensors_read_i64(v->file[f], e, 0, e->n_elements, wide, error);
        for (int64_t i = 0; !status && i < e->n_elements; i++) {
            ids[i] = (int32_t)wide[i];
            if (wide[i] < 0 || wide[i] > INT32_MAX)
                status = sonde_error_set(error, SONDE_STATUS_FORMAT, "%s: %s[%lld] is %lld", path,
                                         name, (long long)i, (long long)wide[i]);
        }
        free(wide);
        if (status) {
            free(ids);
            return status;
        }
        *out = ids;
        *n = e->n_elements;
        return SONDE_STATUS_OK;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status collect(struct verifier *v, struct sonde_error *error)
{
    const struct sonde_site_set *available = sonde_model_sites(v->model);
    for (int64_t f = 0; f < v->n_files; f++) {
        for (int64_t i = 0; i < sonde_safetensors_count(v->file[f]); i++) {
            const struct sonde_safetensors_entry *e = sonde_safetensors_at(v->file[f], i);
            struct sonde_site site;
            if (strcmp(e->name, "input_ids") == 0 || strcmp(e->name, "token_type_ids") == 0)
                continue;
            if (!sonde_site_parse(e->name, &site) || !sonde_site_set_has(available, site)) {
                if (v->n_unknown++ < NAMES_SHOWN)
                    sonde_buf_printf(&v->unknown, "%s%s", v->n_unknown > 1 ? ", " : "", e->name);
                continue;
            }
            if (!sonde_grow((void **)&v->entry, &v->capacity, v->n_entries + 1, sizeof(*v->entry),
                            INT32_MAX))
                return sonde_error_memory(error, "the reference's sites");
            v->entry[v->n_entries++] = (struct entry){
                .site = site, .file = v->file[f], .tensor = e, .max_abs = NAN, .max_rel = NAN
            };
            sonde_site_set_add(&v->sites, site);
        }
    }
    return SONDE_STATUS_OK;
}

static bool same_shape(const struct sonde_safetensors_entry *e, const struct sonde_tensor *value)
{
    int skip = e->rank == value->rank + 1 && e->dim[0] == 1;
    if (e->rank - skip != value->rank)
        return false;
    for (int d = 0; d < value->rank; d++)
        if (e->dim[d + skip] != value->dim[d])
            return false;
    return true;
}

static void describe_shape(const struct sonde_tensor *value, char *out, size_t n)
{
    struct sonde_buf text = { 0 };
    for (int d = 0; d < value->rank; d++)
        sonde_buf_printf(&text, "%s%lld", d ? ", " : "", (long long)value->dim[d]);
    out[0] = '\0';
    strncat(out, text.data ? text.data : "", n - 1);
    sonde_buf_finish(&text);
}

/* max |a - b|, where equal infinities differ by 0 and a NaN on either side by NaN. max_rel is the
 * number that is held against the tolerance: max_abs / max(1, max |reference|). */
static void compare(struct entry *entry, const float *value, const float *reference, int64_t n)
{
    double worst = 0, largest = 1;
    for (int64_t i = 0; i < n; i++) {
        double a = (double)value[i], b = (double)reference[i];
        double difference = a == b ? 0 : fabs(a - b);
        if (isfinite(b) && fabs(b) > largest)
            largest = fabs(b);
        if (isnan(difference) || difference > worst)
            worst = difference;
        if (isnan(worst))
            break;
    }
    entry->max_abs = worst;
    entry->max_rel = worst / largest;
}

static enum sonde_status compare_entry(struct verifier *v, struct entry *entry,
                                       const struct sonde_tensor *value, struct sonde_error *error)
{
    entry->seen = true;
    if (!same_shape(entry->tensor, value)) {
        describe_shape(value, entry->shape, sizeof(entry->shape));
        entry->problem = SONDE_STATUS_FORMAT;
        return SONDE_STATUS_OK;
    }
    int64_t n = entry->tensor->n_elements;
    if (!sonde_grow((void **)&v->value, &v->value_capacity, n, sizeof(*v->value), INT64_MAX / 8))
        return sonde_error_memory(error, entry->tensor->name);
    enum sonde_status status =
        sonde_safetensors_read_f32(entry->file, entry->tensor, 0, n, v->value, error);
    if (!status)
        compare(entry, value->data, v->value, n);
    return status;
}

static enum sonde_status on_value(void *ctx, struct sonde_site site,
                                  const struct sonde_tensor *value, struct sonde_error *error)
{
    struct verifier *v = ctx;
    for (int64_t i = 0; i < v->n_entries; i++) {
        if (v->entry[i].site.kind != site.kind || v->entry[i].site.layer != site.layer)
            continue;
        enum sonde_status status = compare_entry(v, &v->entry[i], value, error);
        if (status)
            return status;
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status forward(struct verifier *v, struct sonde_error *error)
{
    struct sonde_session *session = NULL;
    int one = 1;
    enum sonde_status status = sonde_gemm_check_room(&one, error);
    if (!status)
        status = sonde_session_create(&session, v->model, NULL, error);
    struct sonde_hook hook = { .observe = &v->sites, .on_value = on_value, .ctx = v };
    struct sonde_forward_args args = { .ids = v->ids,
                                       .n_tokens = v->n_ids,
                                       .token_types = v->types,
                                       .hooks = &hook,
                                       .n_hooks = 1,
                                       .no_logits = true };
    if (!status)
        status = sonde_forward(session, &args, error);
    sonde_session_destroy(&session);
    return status;
}

static bool report(const struct verifier *v, struct sonde_result *r)
{
    static const char *const columns[] = { "site", "max_abs", "max_rel", "ok", NULL };
    struct sonde_table *t = sonde_result_add_table(r, "sites", columns);
    struct sonde_buf names = { 0 };
    int64_t failed = 0;
    double worst = 0;
    for (int64_t i = 0; i < v->n_entries; i++) {
        const struct entry *e = &v->entry[i];
        bool ok = e->seen && !e->problem && e->max_rel <= v->options->tolerance;
        char name[SONDE_SITE_NAME_MAX];
        sonde_table_add_row(t);
        sonde_table_text(t, 0, sonde_site_format(e->site, name));
        sonde_table_f64(t, 1, e->max_abs);
        sonde_table_f64(t, 2, e->max_rel);
        sonde_table_bool(t, 3, ok);
        failed += !ok;
        worst = e->max_rel > worst || isnan(e->max_rel) ? e->max_rel : worst;
        if (!ok && failed <= NAMES_SHOWN)
            sonde_buf_printf(&names, "%s%s", failed > 1 ? ", " : "", name);
        if (e->problem)
            sonde_result_warn(r, "%s: the reference's shape is not the model's [%s]", name,
                              e->shape);
        else if (e->seen && isnan(e->max_abs))
            sonde_result_warn(r, "%s: not a number on one side", name);
        else if (!e->seen)
            sonde_result_warn(r, "%s: the forward pass gave no value", name);
    }
    sonde_result_scalar_i64(r, "sites", v->n_entries);
    sonde_result_scalar_i64(r, "failed", failed);
    sonde_result_scalar_i64(r, "unknown", v->n_unknown);
    sonde_result_scalar_f64(r, "worst", worst);
    if (failed)
        sonde_result_warn(r, "%lld of %lld sites fail: %s%s", (long long)failed,
                          (long long)v->n_entries, names.data ? names.data : "",
                          failed > NAMES_SHOWN ? ", .." : "");
    sonde_buf_finish(&names);
    if (v->n_unknown)
        sonde_result_warn(r, "%lld names of the reference are no site of this model: %s%s",
                          (long long)v->n_unknown, v->unknown.data,
                          v->n_unknown > NAMES_SHOWN ? ", .." : "");
    return failed == 0 && (v->n_unknown == 0 || !v->options->strict);
}

static enum sonde_status verify(struct verifier *v, struct sonde_error *error)
{
    int64_t n_types = 0;
    enum sonde_status status = SONDE_STATUS_OK;
    v->file = calloc((size_t)v->options->reference.n, sizeof(struct sonde_safetensors *));
    if (!v->file)
        return sonde_error_memory(error, "the references");
    for (int64_t i = 0; !status && i < v->options->reference.n; i++) {
        status = sonde_safetensors_open(&v->file[i], v->options->reference.item[i], error);
        v->n_files += !status;
    }
    if (!status)
        status = read_ids(v, "input_ids", &v->ids, &v->n_ids, error);
    if (!status && !v->ids)
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                                 "%s: holds no input_ids; give the file that does as a second "
                                 "--reference",
                                 v->options->reference.item[0]);
    if (!status)
        status = read_ids(v, "token_type_ids", &v->types, &n_types, error);
    if (!status && v->types && n_types != v->n_ids)
        status = sonde_error_set(
            error, SONDE_STATUS_FORMAT, "%s: %lld token_type_ids for %lld input_ids",
            v->options->reference.item[0], (long long)n_types, (long long)v->n_ids);
    if (!status)
        status = collect(v, error);
    if (!status && v->n_entries == 0)
        status = sonde_error_set(error, SONDE_STATUS_NOT_FOUND,
                                 "%s: holds nothing to compare: no name is a site of this model",
                                 v->options->reference.item[0]);
    return status ? status : forward(v, error);
}

/* Where products are not OpenBLAS's in f32: how far that takes the values. */
static enum sonde_status measure_compute(const struct verifier *v, const char *path,
                                         struct sonde_result *result, struct sonde_error *error)
{
    const struct sonde_model_options plain = { .allow_missing_tokenizer = true };
    struct sonde_model *f32 = NULL;
    if (!sonde_model_compute_name(v->model))
        return SONDE_STATUS_OK;
    enum sonde_status status = sonde_bundled_open(&f32, path, &plain, error);
    if (!status)
        status = sonde_compute_error_add(v->model, f32, v->ids, v->n_ids, v->types, result, error);
    sonde_model_close(&f32);
    return status;
}

static void finish(struct verifier *v)
{
    for (int64_t i = 0; i < v->n_files; i++)
        sonde_safetensors_close(&v->file[i]);
    free(v->file);
    free(v->entry);
    free(v->ids);
    free(v->types);
    free(v->value);
    sonde_buf_finish(&v->unknown);
}

static int run(struct sonde_cli *cli, struct sonde_error *error)
{
    const struct verify_options *given = cli->options;
    if (given->reference.n == 0) {
        sonde_error_set(error, SONDE_STATUS_ARGUMENT, "a reference is needed: --reference FILE");
        return SONDE_EXIT_FAILED;
    }
    struct sonde_model_options model_options = { .allow_missing_tokenizer = true };
    struct sonde_model *model = NULL;
    struct sonde_result *result = NULL;
    struct verifier *v = calloc(1, sizeof(*v));
    bool ok = false;
    if (!v) {
        sonde_error_memory(error, "the comparison");
        return SONDE_EXIT_FAILED;
    }
    v->options = given;
    enum sonde_status status = sonde_compute_input_take(&given->compute, &model_options, error);
    if (!status)
        status = sonde_bundled_open(&model, cli->arg[0], &model_options, error);
    v->model = model;
    if (!status)
        status = verify(v, error);
    if (!status)
        result = sonde_result_create("verify");
    if (result) {
        sonde_result_parameter_text(result, "model", cli->arg[0]);
        struct sonde_buf names = { 0 };
        for (int64_t i = 0; i < given->reference.n; i++)
            sonde_buf_printf(&names, "%s%s", i ? ", " : "", given->reference.item[i]);
        sonde_result_parameter_text(result, "reference", names.data);
        sonde_buf_finish(&names);
        sonde_result_parameter_f64(result, "tolerance", given->tolerance);
        sonde_result_parameter_bool(result, "strict", given->strict);
        sonde_compute_input_parameter(model, result);
        ok = report(v, result);
        status = measure_compute(v, cli->arg[0], result, error);
    }
    finish(v);
    free(v);
    sonde_model_close(&model);
    return sonde_cli_finish(cli, &result, status, ok ? SONDE_EXIT_OK : SONDE_EXIT_NO, error);
}

const struct sonde_command sonde_command_verify = {
    .name = "verify",
    .synopsis = "MODEL --reference FILE [--tolerance X] [--strict] [--compute bf16]",
    .summary = "hold every site against a reference's activations",
    .description =
        "The reference is a safetensors file: input_ids [T] and any of the model's sites, named "
        "as `sonde info` names them or in another known spelling, without a batch axis. A site "
        "passes where the largest difference is within the tolerance times max(1, the "
        "reference's largest magnitude); equal infinities are equal. max_rel is the difference "
        "divided by that maximum. Exit status 1 where a site fails.\n"
        "\n"
        "With --compute bf16 or --gemm onednn the table `compute` says how far that takes each "
        "kind of site, and the logits, from f32 by OpenBLAS: the largest difference, and it and "
        "the root mean square difference over the root mean square of the values. bf16 does not "
        "keep to the default tolerance.",
    .options = options,
    .options_size = sizeof(struct verify_options),
    .defaults = &defaults,
    .args = "MODEL",
    .run = run,
};
