/* Edits at work. Everything here reads the list and writes the value only. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/model/edit_internal.h"

static bool is_chosen(const struct sonde_edit_target *target, int64_t i)
{
    return !target->chosen || target->chosen[i];
}

static void copy_chosen(const struct sonde_edit_target *target, float *row, const float *from)
{
    if (!target->chosen) {
        memcpy(row, from, (size_t)target->width * sizeof *row);
        return;
    }
    for (int64_t i = 0; i < target->width; i++) {
        row[i] = target->chosen[i] ? from[i] : row[i];
    }
}

static void fill_chosen(const struct sonde_edit_target *target, float *row, float value)
{
    for (int64_t i = 0; i < target->width; i++) {
        row[i] = is_chosen(target, i) ? value : row[i];
    }
}

/* x + factor v at the places where v is not 0, so that adding nothing also keeps -0. */
static void add_scaled(float *x, const float *v, int64_t n, double factor)
{
    for (int64_t i = 0; i < n && factor != 0.0; i++) {
        if (v[i] != 0.0f) {
            x[i] = (float)((double)x[i] + factor * (double)v[i]);
        }
    }
}

static void project(const struct sonde_edit_target *target, float *row)
{
    for (int64_t g = 0; g < target->width / target->group; g++) {
        float *x = row + g * target->group;
        const float *v = target->data + g * target->group;
        if (target->norm2[g] == 0.0) {
            continue; /* a head that was not chosen */
        }
        double dot = 0.0;
        for (int64_t i = 0; i < target->group; i++) {
            dot += v[i] != 0.0f ? (double)x[i] * (double)v[i] : 0.0;
        }
        double c = dot / target->norm2[g];
        if (target->edit->kind == SONDE_EDIT_KEEP) {
            for (int64_t i = 0; i < target->group; i++) {
                if (is_chosen(target, g * target->group + i)) {
                    x[i] = (float)(c * (double)v[i]);
                }
            }
        } else {
            add_scaled(x, v, target->group, target->edit->kind == SONDE_EDIT_FLIP ? -2.0 * c : -c);
        }
    }
}

static void edit_row(const struct sonde_edit_target *target, float *row, int64_t position)
{
    switch (target->edit->kind) {
    case SONDE_EDIT_ZERO:
    case SONDE_EDIT_SKIP:
        fill_chosen(target, row, 0.0f);
        break;
    case SONDE_EDIT_SET:
        fill_chosen(target, row, (float)target->edit->number);
        break;
    case SONDE_EDIT_MEAN:
        copy_chosen(target, row, target->data);
        break;
    case SONDE_EDIT_PATCH:
        if (position < target->n_tokens) {
            copy_chosen(target, row, target->data + position * target->width);
        }
        break;
    case SONDE_EDIT_ADD:
        add_scaled(row, target->data, target->width, target->edit->number);
        break;
    case SONDE_EDIT_PROJECT_OUT:
    case SONDE_EDIT_KEEP:
    case SONDE_EDIT_FLIP:
        project(target, row);
        break;
    }
}

/* One head's row of a query: [S] keys. */
static void edit_map_row(const struct sonde_edit_target *target, float *row, int64_t head,
                         int64_t position, int64_t n_keys)
{
    const struct sonde_edit *edit = target->edit;
    int64_t T = target->n_tokens;
    for (int64_t k = 0; k < n_keys; k++) {
        bool hidden = isinf(row[k]) && row[k] < 0;
        if (hidden || !sonde_edit_list_has(&edit->keys, k)) {
            continue;
        }
        if (edit->kind != SONDE_EDIT_PATCH) {
            row[k] = edit->kind == SONDE_EDIT_SET ? (float)edit->number : 0.0f;
        } else if (position < T && k < T) {
            row[k] = target->data[(head * T + position) * T + k];
        }
    }
}

static void edit_map(const struct sonde_edit_pass *pass, const struct sonde_edit_target *target,
                     struct sonde_tensor *value)
{
    int64_t n_queries = value->dim[1], n_keys = value->dim[2];
    for (int64_t h = 0; h < value->dim[0]; h++) {
        for (int64_t t = 0; t < n_queries && is_chosen(target, h); t++) {
            int64_t position = pass->first + t;
            int64_t visible = pass->edits->causal && position + 1 < n_keys ? position + 1 : n_keys;
            if (sonde_edit_list_has(&target->edit->positions, position)) {
                edit_map_row(target, value->data + (h * n_queries + t) * n_keys, h, position,
                             visible);
            }
        }
    }
}

enum sonde_status sonde_edits_apply(void *ctx, struct sonde_site site, struct sonde_tensor *value,
                                    struct sonde_error *error)
{
    const struct sonde_edit_pass *pass = ctx;
    (void)error;
    for (int64_t i = 0; i < pass->edits->n_targets; i++) {
        const struct sonde_edit_target *target = &pass->edits->target[i];
        if (target->site.kind != site.kind || target->site.layer != site.layer) {
            continue;
        }
        if (sonde_site_is_map(site.kind)) {
            edit_map(pass, target, value);
            continue;
        }
        assert(sonde_tensor_elements(value) == value->dim[0] * target->width);
        for (int64_t t = 0; t < value->dim[0]; t++) {
            if (sonde_edit_list_has(&target->edit->positions, pass->first + t)) {
                edit_row(target, value->data + t * target->width, pass->first + t);
            }
        }
    }
    return SONDE_STATUS_OK;
}

/* A of one row: A is 0 or 1 at each place, or made of v v^T. */
static void edit_row_gradient(const struct sonde_edit_target *target, float *row, int64_t position)
{
    switch (target->edit->kind) {
    case SONDE_EDIT_PATCH:
        if (position >= target->n_tokens) {
            break;
        }
        fill_chosen(target, row, 0.0f);
        break;
    case SONDE_EDIT_ZERO:
    case SONDE_EDIT_SKIP:
    case SONDE_EDIT_SET:
    case SONDE_EDIT_MEAN:
        fill_chosen(target, row, 0.0f);
        break;
    case SONDE_EDIT_ADD:
        break;
    case SONDE_EDIT_PROJECT_OUT:
    case SONDE_EDIT_KEEP:
    case SONDE_EDIT_FLIP:
        project(target, row);
        break;
    }
}

/* Zeros where the value was replaced. What a mask hides has no weight, so nothing comes from there
 * whatever its gradient. */
static void edit_map_gradient(const struct sonde_edit_pass *pass,
                              const struct sonde_edit_target *target, struct sonde_tensor *gradient)
{
    const struct sonde_edit *edit = target->edit;
    const int64_t n_queries = gradient->dim[1], n_keys = gradient->dim[2], T = target->n_tokens;
    for (int64_t i = 0; i < gradient->dim[0] * n_queries; i++) {
        const int64_t position = pass->first + i % n_queries;
        const bool beyond = edit->kind == SONDE_EDIT_PATCH && position >= T;
        if (!is_chosen(target, i / n_queries) || beyond ||
            !sonde_edit_list_has(&edit->positions, position)) {
            continue;
        }
        for (int64_t k = 0; k < n_keys && (edit->kind != SONDE_EDIT_PATCH || k < T); k++) {
            if (sonde_edit_list_has(&edit->keys, k)) {
                gradient->data[i * n_keys + k] = 0.0f;
            }
        }
    }
}

void sonde_edits_apply_gradient(void *ctx, struct sonde_site site, struct sonde_tensor *gradient)
{
    const struct sonde_edit_pass *pass = ctx;
    for (int64_t i = pass->edits->n_targets - 1; i >= 0; i--) {
        const struct sonde_edit_target *target = &pass->edits->target[i];
        if (target->site.kind != site.kind || target->site.layer != site.layer) {
            continue;
        }
        if (sonde_site_is_map(site.kind)) {
            edit_map_gradient(pass, target, gradient);
            continue;
        }
        for (int64_t t = 0; t < gradient->dim[0]; t++) {
            if (sonde_edit_list_has(&target->edit->positions, pass->first + t)) {
                edit_row_gradient(target, gradient->data + t * target->width, pass->first + t);
            }
        }
    }
}
