/* Models drawn from a config and a seed. */
#include "core/model/create.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/model/create_internal.h"
#include "core/model/family.h"
#include "core/model/model_internal.h"

enum { TENSORS_MAX = 1 << 20 };

void sonde_creation_destroy(struct sonde_creation **creation)
{
    if (!creation || !*creation) {
        return;
    }
    free((*creation)->parameter);
    free((*creation)->tensor);
    free(*creation);
    *creation = NULL;
}

/* One parameter in the arena; false where memory is out. */
static bool add_parameter(struct sonde_binder *b, const struct sonde_made_tensor *made, int part,
                          struct sonde_weight *weight, bool is_gain)
{
    static const char *const suffix[] = { ".q", ".k", ".v" };
    struct sonde_creation *c = b->creation;
    char name[256];
    snprintf(name, sizeof name, "%.250s%s", made->name, made->n_parts > 1 ? suffix[part] : "");
    int64_t n = weight->rows * weight->columns;
    float *data = sonde_arena_zalloc(b->arena, n, sizeof *data);
    const char *kept = sonde_arena_strndup(b->arena, name, strlen(name));
    if (!data || !kept ||
        !sonde_grow((void **)&c->parameter, &c->parameter_capacity, c->n_parameters + 1,
                    sizeof *c->parameter, TENSORS_MAX)) {
        return false;
    }
    for (int64_t i = 0; i < n && is_gain; i++) {
        data[i] = 1.0f;
    }
    weight->data = data;
    c->parameter[c->n_parameters++] =
        (struct sonde_parameter){ kept,       data,           weight->rows, weight->columns,
                                  made->rank, made->rank > 1, weight };
    return true;
}

void sonde_creation_add(struct sonde_binder *b, const struct sonde_made_tensor *made,
                        struct sonde_weight *const *parts, enum sonde_bind_kind kind,
                        bool transposed)
{
    struct sonde_creation *c = b->creation;
    struct sonde_made_tensor tensor = *made;
    const int64_t n_most = c->max_bytes / (int64_t)sizeof(float) - b->n_parameters;
    if (c->max_bytes && (n_most <= 0 || made->rows > n_most / made->columns)) {
        char most[SONDE_FORMAT_F64_MAX];
        sonde_format_bytes(most, c->max_bytes);
        b->status = sonde_error_set(b->error, SONDE_STATUS_LIMIT,
                                    "the model's weights alone take more than %s of memory", most);
        return;
    }
    tensor.first = c->n_parameters;
    tensor.name = sonde_arena_strndup(b->arena, made->name, strlen(made->name));
    bool ok = tensor.name && sonde_grow((void **)&c->tensor, &c->tensor_capacity, c->n_tensors + 1,
                                        sizeof *c->tensor, TENSORS_MAX);
    for (int p = 0; ok && p < made->n_parts; p++) {
        struct sonde_weight weight = { NULL, SONDE_DTYPE_F32, made->rows, made->columns,
                                       transposed };
        if (made->n_parts > 1) {
            weight.rows = transposed ? made->split.n_in : made->split.n_out[p];
            weight.columns = transposed ? made->split.n_out[p] : made->split.n_in;
        }
        *parts[p] = weight;
        ok = add_parameter(b, made, p, parts[p], kind == SONDE_BIND_GAIN);
        b->n_parameters += weight.rows * weight.columns;
    }
    if (!ok) {
        b->status = sonde_error_memory(b->error, "weights");
        return;
    }
    b->dtypes |= kind == SONDE_BIND_MATRIX ? 1u << SONDE_DTYPE_F32 : 0;
    c->tensor[c->n_tensors++] = tensor;
}

/* How a parameter is drawn: N(0, std^2), or uniform in +-bound; neither: as it was made. */
struct draw {
    double std, bound;
};

static bool is_embedding(const struct sonde_weights *w, const struct sonde_weight *p)
{
    return p == &w->embed || p == &w->unembed || p == &w->pos_embed || p == &w->token_type;
}

/* Whether p is a weight or the bias of a plain nn.Linear; *in: its number of inputs. */
static bool is_plain_linear(const struct sonde_layer_weights *l, const struct sonde_weight *p,
                            int64_t *in)
{
    const struct sonde_weight *const maps[] = { &l->w_gate, &l->w_up, &l->w_down, &l->w_o };
    const struct sonde_weight *const biases[] = { &l->b_gate, &l->b_up, &l->b_down };
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        if (p == maps[i] || (i < sizeof biases / sizeof *biases && p == biases[i])) {
            *in = sonde_weight_in(maps[i]);
            return true;
        }
    }
    return false;
}

static struct draw draw_of(const struct sonde_model *model, const struct sonde_init *init,
                           const struct sonde_parameter *p)
{
    const struct sonde_spec *spec = &model->spec;
    const struct sonde_layer_weights *layer = model->weights.layer;
    bool torch = init->kind == SONDE_INIT_TORCH;
    double std = init->std > 0 ? init->std : 0.02;
    for (int l = 0; l < spec->n_layers; l++) {
        int64_t in = 0;
        const struct sonde_layer_weights *w = &layer[l];
        if (torch && is_plain_linear(w, p->weight, &in)) {
            return (struct draw){ .bound = 1.0 / sqrt((double)in) };
        }
        if (torch && (p->weight == &w->w_q || p->weight == &w->w_k || p->weight == &w->w_v)) {
            double out = (double)((spec->n_heads + 2 * spec->n_kv_heads) * spec->d_head);
            return (struct draw){ .bound = sqrt(6.0 / (out + (double)spec->d_model)) };
        }
        if (!torch && (p->weight == &w->w_o || p->weight == &w->w_down)) {
            return (struct draw){ .std = std / sqrt(2.0 * spec->n_layers) };
        }
    }
    if (p->rank < 2) {
        return (struct draw){ 0 };
    }
    if (torch && is_embedding(&model->weights, p->weight)) {
        return (struct draw){ .bound = 0.1 };
    }
    return torch ? (struct draw){ .bound = 1.0 / sqrt((double)sonde_weight_in(p->weight)) }
                 : (struct draw){ .std = std };
}

static void draw_values(struct sonde_model *model, const struct sonde_init *init)
{
    const struct sonde_creation *c = model->creation;
    for (int64_t i = 0; i < c->n_parameters; i++) {
        const struct sonde_parameter *p = &c->parameter[i];
        struct draw draw = draw_of(model, init, p);
        struct sonde_rng rng = sonde_rng_make(init->seed, sonde_rng_stream(p->name));
        for (int64_t j = 0; j < p->rows * p->columns && draw.std > 0; j++) {
            p->data[j] = (float)(draw.std * sonde_rng_normal(&rng));
        }
        for (int64_t j = 0; j < p->rows * p->columns && draw.bound > 0; j++) {
            p->data[j] = (float)(draw.bound * (2.0 * sonde_rng_uniform(&rng) - 1.0));
        }
    }
}

/* The config as it will be written: one member a line, in the order given. */
static enum sonde_status config_text(const struct sonde_json *config, char **out,
                                     struct sonde_error *error)
{
    struct sonde_buf text = { 0 };
    struct sonde_json_writer w = { .out = &text, .indent = 2 };
    bool ok = true;
    sonde_json_begin_object(&w, NULL);
    for (struct sonde_json_iter i = { 0 }; ok && sonde_json_next(config, &i);) {
        struct sonde_buf value = { 0 };
        ok = sonde_json_dump(&value, i.value);
        if (ok) {
            sonde_json_put_raw(&w, i.key, value.data);
        }
        sonde_buf_finish(&value);
    }
    sonde_json_end_object(&w);
    sonde_buf_putc(&text, '\n');
    if (!ok || text.failed) {
        sonde_buf_finish(&text);
        return sonde_error_memory(error, "a config");
    }
    *out = text.data;
    return SONDE_STATUS_OK;
}

static enum sonde_status make_weights(struct sonde_model *model, const struct sonde_config *config,
                                      const struct sonde_family *family, int64_t max_bytes,
                                      struct sonde_error *error)
{
    model->creation = calloc(1, sizeof *model->creation);
    if (!model->creation) {
        return sonde_error_memory(error, "a model");
    }
    model->creation->max_bytes = max_bytes;
    struct sonde_binder binder = { .creation = model->creation,
                                   .arena = model->arena,
                                   .notes = &model->notes,
                                   .prefix = "",
                                   .error = error };
    return sonde_model_bind(model, family, config, &binder);
}

enum sonde_status sonde_model_create(struct sonde_model **out, const struct sonde_json *config,
                                     const char *name, const struct sonde_init *init,
                                     struct sonde_error *error)
{
    struct sonde_init chosen = init ? *init : (struct sonde_init){ .seed = SONDE_SEED_DEFAULT };
    struct sonde_model *model = NULL;
    const struct sonde_family *family = NULL;
    if (!(chosen.std >= 0) || !isfinite(chosen.std)) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: a standard deviation of %g for weights", name, chosen.std);
    }
    enum sonde_status status = sonde_model_begin(&model, name, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    struct sonde_config read = { config, name, &model->notes };
    status = sonde_model_read_spec(model, &read, &family, error);
    if (status == SONDE_STATUS_OK) {
        status = make_weights(model, &read, family, chosen.max_bytes, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = sonde_model_complete(model, error);
    }
    if (status == SONDE_STATUS_OK) {
        status = config_text(config, &model->config_text, error);
    }
    if (status != SONDE_STATUS_OK) {
        sonde_model_close(&model);
        return status;
    }
    draw_values(model, &chosen);
    *out = model;
    return SONDE_STATUS_OK;
}

const struct sonde_parameter *sonde_model_parameter_list(const struct sonde_model *model,
                                                         int64_t *n)
{
    *n = model->creation ? model->creation->n_parameters : 0;
    return model->creation ? model->creation->parameter : NULL;
}

enum sonde_status sonde_creation_hash(const struct sonde_creation *creation,
                                      char hex[SONDE_SHA256_HEX], struct sonde_error *error)
{
    uint8_t digest[SONDE_SHA256_BYTES];
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash) {
        return sonde_error_memory(error, "hashing");
    }
    for (int64_t i = 0; i < creation->n_parameters; i++) {
        const struct sonde_parameter *p = &creation->parameter[i];
        sonde_sha256_update(hash, p->data, (size_t)(p->rows * p->columns) * sizeof *p->data);
    }
    sonde_sha256_digest(hash, digest);
    sonde_sha256_hex(digest, hex);
    sonde_sha256_destroy(&hash);
    return SONDE_STATUS_OK;
}
