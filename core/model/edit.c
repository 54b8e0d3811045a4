/* Edits checked against a model: sites, places and vectors. */
#include "core/model/edit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/num.h"
#include "core/base/rng.h"
#include "core/model/edit_internal.h"
#include "core/tensor/npy.h"

enum { EDITS_MAX = 1 << 12, TARGETS_MAX = 1 << 20 };

/* What the making of one edit's targets needs. */
struct maker {
    struct sonde_edits *edits;
    const struct sonde_model *model;
    const struct sonde_edits_options *options;
    const struct sonde_edit *edit;
    int64_t place; /* of the edit in the list */
    float *vector; /* [n_vector] of the edit's file */
    int64_t n_vector;
};

void sonde_edits_destroy(struct sonde_edits **edits)
{
    if (!edits || !*edits) {
        return;
    }
    struct sonde_edits *e = *edits;
    for (int64_t i = 0; i < e->n_targets; i++) {
        free(e->target[i].chosen);
        free(e->target[i].data);
        free(e->target[i].norm2);
    }
    for (int64_t i = 0; i < e->n_edits; i++) {
        sonde_edit_finish(&e->edit[i]);
    }
    free(e->target);
    free(e->edit);
    free(e);
    *edits = NULL;
}

/* Every value of a file of any shape, as one vector. */
static enum sonde_status read_vector(struct maker *m, struct sonde_error *error)
{
    struct sonde_npy *npy = NULL;
    int64_t most = INT64_C(1) << 24;
    enum sonde_status status = sonde_npy_open(&npy, m->edit->path, error);
    if (status != SONDE_STATUS_OK) {
        return status;
    }
    int64_t n = sonde_npy_get_shape(npy)->n_elements;
    if (n < 1 || n > most) {
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s holds %lld values, no direction",
                                 m->edit->path, (long long)n);
    }
    m->vector = status == SONDE_STATUS_OK ? malloc((size_t)n * sizeof *m->vector) : NULL;
    if (status == SONDE_STATUS_OK && !m->vector) {
        status = sonde_error_memory(error, "a direction");
    }
    if (status == SONDE_STATUS_OK) {
        m->n_vector = n;
        status = sonde_npy_read_f32(npy, 0, n, m->vector, error);
    }
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < n; i++) {
        if (!isfinite(m->vector[i])) {
            status = sonde_error_set(error, SONDE_STATUS_NUMERIC, "%s: value %lld is not finite",
                                     m->edit->path, (long long)i);
        }
    }
    sonde_npy_close(&npy);
    return status;
}

/* Numbers beyond what the site has are a slip, not a wish. */
static enum sonde_status check_list(const struct sonde_edit_list *list, const char *what,
                                    const char *name, int64_t n, struct sonde_error *error)
{
    for (int64_t i = 0; i < list->n; i++) {
        const struct sonde_edit_range *r = &list->range[i];
        int64_t wrong = r->first >= n ? r->first : r->last;
        if (r->first >= n || (r->last >= n && r->last != INT64_MAX)) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s has no %s %lld: they are 0 to %lld", name, what,
                                   (long long)wrong, (long long)n - 1);
        }
    }
    return SONDE_STATUS_OK;
}

/* Which of n heads or neurons the list names; of a control as many random ones, by Knuth's
 * selection sampling ("The Art of Computer Programming", volume 2, section 3.4.2, algorithm S). */
static void choose_places(const struct maker *m, const struct sonde_edit_list *list, int64_t n,
                          bool may_draw, const char *name, bool *chosen)
{
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) {
        chosen[i] = sonde_edit_list_has(list, i);
        left += chosen[i];
    }
    if (!m->options->control || !may_draw || list->n == 0 ||
        sonde_edit_has_direction(m->edit->kind)) {
        return;
    }
    char stream[80 + SONDE_SITE_NAME_MAX];
    snprintf(stream, sizeof stream, "edit-control %lld %lld places of %s",
             (long long)m->options->control, (long long)m->place, name);
    struct sonde_rng rng = sonde_rng_make(m->options->seed, sonde_rng_stream(stream));
    for (int64_t i = 0; i < n; i++) {
        chosen[i] = sonde_rng_uniform(&rng) * (double)(n - i) < (double)left;
        left -= chosen[i];
    }
}

static enum sonde_status choose(const struct maker *m, struct sonde_edit_target *t,
                                struct sonde_error *error)
{
    const struct sonde_edit *edit = m->edit;
    char name[SONDE_SITE_NAME_MAX];
    int64_t dim[2];
    bool map = sonde_site_is_map(t->site.kind);
    int rank = sonde_spec_site_shape(sonde_model_spec(m->model), t->site.kind, dim);
    int64_t n_heads = rank == 2 || map ? dim[0] : 1, n_last = map ? 1 : rank == 2 ? dim[1] : dim[0];
    sonde_site_format(t->site, name);
    if (edit->heads.n && rank == 1 && !map) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s has no heads", name);
    }
    if (edit->keys.n && !map) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s has no keys: only maps have",
                               name);
    }
    if (edit->neurons.n && map) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s has no neurons: use heads, positions and keys", name);
    }
    enum sonde_status status = check_list(&edit->heads, "head", name, n_heads, error);
    if (status == SONDE_STATUS_OK) {
        status = check_list(&edit->neurons, "neuron", name, n_last, error);
    }
    if (status != SONDE_STATUS_OK || (!edit->heads.n && !edit->neurons.n)) {
        return status;
    }
    t->chosen = malloc((size_t)t->width * sizeof *t->chosen);
    if (!t->chosen) {
        return sonde_error_memory(error, "an edit");
    }
    bool *head = malloc((size_t)n_heads * sizeof *head);
    bool *neuron = malloc((size_t)n_last * sizeof *neuron);
    if (head && neuron) {
        choose_places(m, &edit->heads, n_heads, edit->neurons.n == 0, name, head);
        choose_places(m, &edit->neurons, n_last, true, name, neuron);
        for (int64_t i = 0; i < t->width; i++) {
            t->chosen[i] = head[i / n_last] && neuron[i % n_last];
        }
    } else {
        status = sonde_error_memory(error, "an edit");
    }
    free(head);
    free(neuron);
    return status;
}

/* A random vector in the place of v, of its norm, at the places where the edit works. */
static void randomise(const struct maker *m, float *v, const bool *chosen, int64_t n, int64_t part)
{
    double norm2 = 0.0, drawn2 = 0.0;
    char stream[96];
    snprintf(stream, sizeof stream, "edit-control %lld %lld %lld", (long long)m->options->control,
             (long long)m->place, (long long)part);
    struct sonde_rng rng = sonde_rng_make(m->options->seed, sonde_rng_stream(stream));
    for (int64_t i = 0; i < n; i++) {
        double draw = sonde_rng_normal(&rng);
        norm2 += (double)v[i] * (double)v[i];
        v[i] = !chosen || chosen[i] ? (float)draw : 0.0f;
        drawn2 += (double)v[i] * (double)v[i];
    }
    for (int64_t i = 0; i < n; i++) {
        v[i] = (float)((double)v[i] * sqrt(norm2 / drawn2));
    }
}

/* The vector over the whole row: one head's vector stands in every chosen head. */
static enum sonde_status aim(const struct maker *m, struct sonde_edit_target *t,
                             struct sonde_error *error)
{
    char name[SONDE_SITE_NAME_MAX];
    int64_t dim[2];
    int rank = sonde_spec_site_shape(sonde_model_spec(m->model), t->site.kind, dim);
    bool by_head = rank == 2 && m->n_vector == dim[1] && m->n_vector != t->width;
    if (m->n_vector != t->width && !by_head) {
        char or_head[48] = "";
        if (rank == 2) {
            snprintf(or_head, sizeof or_head, " (or one head's %lld)", (long long)dim[1]);
        }
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s holds %lld values, a row of %s has %lld%s", m->edit->path,
                               (long long)m->n_vector, sonde_site_format(t->site, name),
                               (long long)t->width, or_head);
    }
    t->group = m->n_vector;
    int64_t n_groups = t->width / t->group;
    t->n_data = t->width;
    t->data = malloc((size_t)t->width * sizeof *t->data);
    t->norm2 = calloc((size_t)n_groups, sizeof *t->norm2);
    if (!t->data || !t->norm2) {
        return sonde_error_memory(error, "a direction");
    }
    for (int64_t g = 0; g < n_groups; g++) {
        bool any = false;
        float *v = t->data + g * t->group;
        const bool *chosen = t->chosen ? t->chosen + g * t->group : NULL;
        for (int64_t i = 0; i < t->group; i++) {
            any |= !chosen || chosen[i];
            v[i] = !chosen || chosen[i] ? m->vector[i] : 0.0f;
            t->norm2[g] += (double)v[i] * (double)v[i];
        }
        if (any && t->norm2[g] == 0.0) {
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "%s is 0 at all places that are edited: no direction",
                                   m->edit->path);
        }
        if (any && m->options->control) {
            randomise(m, v, chosen, t->group, by_head ? 0 : g);
            t->norm2[g] = 0.0;
            for (int64_t i = 0; i < t->group; i++) {
                t->norm2[g] += (double)v[i] * (double)v[i];
            }
        }
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status fetch(const struct maker *m, struct sonde_edit_target *t,
                               struct sonde_error *error)
{
    const struct sonde_edit *edit = m->edit;
    const struct sonde_edit_values *values = m->options->values;
    if (!values) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "needs a recorded run, and there is no store");
    }
    if (edit->kind == SONDE_EDIT_MEAN) {
        t->data = malloc((size_t)t->width * sizeof *t->data);
        t->n_data = t->width;
        return t->data ? values->mean(values->ctx, edit->run, t->site, t->width, t->data, error)
                       : sonde_error_memory(error, "a mean");
    }
    enum sonde_status status = values->sequence(values->ctx, edit->run, edit->sequence, t->site,
                                                t->width, &t->n_tokens, &t->data, error);
    if (status == SONDE_STATUS_OK) {
        t->n_data = t->width * t->n_tokens * (sonde_site_is_map(t->site.kind) ? t->n_tokens : 1);
    }
    return status;
}

static enum sonde_status add_target(const struct maker *m, struct sonde_site site,
                                    struct sonde_error *error)
{
    struct sonde_edits *edits = m->edits;
    enum sonde_edit_kind kind = m->edit->kind;
    char name[SONDE_SITE_NAME_MAX];
    if (!sonde_grow((void **)&edits->target, &edits->capacity, edits->n_targets + 1,
                    sizeof *edits->target, TARGETS_MAX)) {
        return sonde_error_memory(error, "the edits");
    }
    struct sonde_edit_target *t = &edits->target[edits->n_targets++];
    *t = (struct sonde_edit_target){ .edit = m->edit, .site = site };
    t->width = t->group = sonde_spec_site_width(sonde_model_spec(m->model), site.kind);
    sonde_site_set_add(&edits->sites, site);
    bool of_rows = kind == SONDE_EDIT_MEAN || sonde_edit_has_direction(kind);
    if (sonde_site_is_map(site.kind) && of_rows) {
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s is a map: only zero, set and patch edit maps",
                               sonde_site_format(site, name));
    }
    enum sonde_status status = choose(m, t, error);
    if (status == SONDE_STATUS_OK && sonde_edit_has_direction(kind)) {
        status = aim(m, t, error);
    } else if (status == SONDE_STATUS_OK && (kind == SONDE_EDIT_MEAN || kind == SONDE_EDIT_PATCH)) {
        status = fetch(m, t, error);
    }
    return status;
}

static enum sonde_status add_targets(struct maker *m, struct sonde_error *error)
{
    struct sonde_site_set *set = malloc(sizeof *set);
    struct sonde_site site;
    if (!set) {
        return sonde_error_memory(error, "a set of sites");
    }
    enum sonde_status status =
        sonde_site_set_parse(set, m->edit->sites, sonde_model_sites(m->model),
                             sonde_model_spec(m->model)->n_layers, error);
    if (status == SONDE_STATUS_OK && m->edit->path) {
        status = read_vector(m, error);
    }
    for (int64_t i = 0; status == SONDE_STATUS_OK && sonde_site_set_next(set, &i, &site);) {
        status = add_target(m, site, error);
    }
    free(m->vector);
    m->vector = NULL;
    free(set);
    return status;
}

enum sonde_status sonde_edits_create(struct sonde_edits **out, const char *const *text, int64_t n,
                                     const struct sonde_model *model,
                                     const struct sonde_edits_options *options,
                                     struct sonde_error *error)
{
    const struct sonde_edits_options none = { 0 };
    struct sonde_edits *edits = calloc(1, sizeof *edits);
    enum sonde_status status = SONDE_STATUS_OK;
    options = options ? options : &none;
    if (n > EDITS_MAX) {
        status = sonde_error_set(error, SONDE_STATUS_LIMIT, "more than %d edits", EDITS_MAX);
    } else if (edits && n > 0) {
        edits->edit = calloc((size_t)n, sizeof *edits->edit);
    }
    if (status == SONDE_STATUS_OK && (!edits || (n > 0 && !edits->edit))) {
        status = sonde_error_memory(error, "the edits");
    }
    if (status == SONDE_STATUS_OK) {
        edits->causal = sonde_model_spec(model)->causal;
        edits->control = options->control;
    }
    for (int64_t i = 0; status == SONDE_STATUS_OK && i < n; i++) {
        struct maker maker = { edits, model, options, &edits->edit[i], i, NULL, 0 };
        edits->n_edits++;
        status = sonde_edit_parse(&edits->edit[i], text[i], error);
        if (status == SONDE_STATUS_OK) {
            status = add_targets(&maker, error);
        }
        if (status != SONDE_STATUS_OK) {
            sonde_error_prepend(error, "edit '%.200s'", text[i]);
        }
    }
    if (status != SONDE_STATUS_OK) {
        sonde_edits_destroy(&edits);
        return status;
    }
    *out = edits;
    return SONDE_STATUS_OK;
}

static bool has_control(const struct sonde_edit *edit)
{
    return sonde_edit_has_direction(edit->kind) || edit->neurons.n > 0 || edit->heads.n > 0;
}

bool sonde_edits_have_control(const struct sonde_edits *edits)
{
    for (int64_t i = 0; i < edits->n_edits; i++) {
        if (has_control(&edits->edit[i])) {
            return true;
        }
    }
    return false;
}

const struct sonde_site_set *sonde_edits_sites(const struct sonde_edits *edits)
{
    return &edits->sites;
}

int64_t sonde_edits_bytes(const struct sonde_edits *edits)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < edits->n_targets; i++) {
        const struct sonde_edit_target *t = &edits->target[i];
        bytes += t->n_data * (int64_t)sizeof *t->data + (t->chosen ? t->width : 0);
    }
    return bytes;
}

/* Over the values of the edit's targets; false where it has none. */
static bool hash_values(const struct sonde_edits *edits, const struct sonde_edit *edit,
                        struct sonde_sha256 *hash)
{
    bool any = false;
    for (int64_t i = 0; i < edits->n_targets; i++) {
        const struct sonde_edit_target *t = &edits->target[i];
        if (t->edit == edit && t->data) {
            sonde_sha256_update(hash, t->data, (size_t)t->n_data * sizeof *t->data);
            any = true;
        }
    }
    return any;
}

enum sonde_status sonde_edits_describe(const struct sonde_edits *edits, struct sonde_buf *out,
                                       struct sonde_error *error)
{
    struct sonde_json_writer w = { .out = out };
    struct sonde_sha256 *hash = sonde_sha256_create();
    if (!hash) {
        return sonde_error_memory(error, "a hash");
    }
    sonde_json_begin_array(&w, NULL);
    for (int64_t i = 0; i < edits->n_edits; i++) {
        const struct sonde_edit *edit = &edits->edit[i];
        uint8_t digest[SONDE_SHA256_BYTES];
        char hex[SONDE_SHA256_HEX];
        bool any = hash_values(edits, edit, hash);
        sonde_sha256_digest(hash, digest);
        sonde_sha256_hex(digest, hex);
        sonde_json_begin_object(&w, NULL);
        sonde_json_put_string(&w, "edit", edit->text);
        if (any) {
            sonde_json_put_string(&w, "sha256", hex);
        }
        if (edits->control && has_control(edit)) {
            sonde_json_put_i64(&w, "control", edits->control);
        }
        sonde_json_end_object(&w);
    }
    sonde_json_end_array(&w);
    sonde_sha256_destroy(&hash);
    return sonde_buf_status(out, error);
}

struct sonde_hook sonde_edits_hook(struct sonde_edit_pass *pass)
{
    return (struct sonde_hook){ .edit = &pass->edits->sites,
                                .on_edit = sonde_edits_apply,
                                .ctx = pass,
                                .on_edit_gradient = sonde_edits_apply_gradient };
}
