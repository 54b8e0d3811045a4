#include "core/tensor/gemm_onednn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SONDE_HAS_ONEDNN

#include <oneapi/dnnl/dnnl.h>

/* What is used of the library, found by name when it is loaded. */
struct functions {
    __typeof__(dnnl_version) *version;
    __typeof__(dnnl_engine_create) *engine_create;
    __typeof__(dnnl_engine_destroy) *engine_destroy;
    __typeof__(dnnl_stream_create) *stream_create;
    __typeof__(dnnl_stream_destroy) *stream_destroy;
    __typeof__(dnnl_memory_desc_init_by_tag) *memory_desc_init_by_tag;
    __typeof__(dnnl_memory_desc_get_size) *memory_desc_get_size;
    __typeof__(dnnl_memory_create) *memory_create;
    __typeof__(dnnl_memory_destroy) *memory_destroy;
    __typeof__(dnnl_matmul_desc_init) *matmul_desc_init;
    __typeof__(dnnl_primitive_attr_create) *primitive_attr_create;
    __typeof__(dnnl_primitive_attr_destroy) *primitive_attr_destroy;
    __typeof__(dnnl_primitive_attr_set_scratchpad_mode) *primitive_attr_set_scratchpad_mode;
    __typeof__(dnnl_primitive_desc_create) *primitive_desc_create;
    __typeof__(dnnl_primitive_desc_destroy) *primitive_desc_destroy;
    __typeof__(dnnl_primitive_desc_query) *primitive_desc_query;
    __typeof__(dnnl_primitive_desc_query_md) *primitive_desc_query_md;
    __typeof__(dnnl_primitive_create) *primitive_create;
    __typeof__(dnnl_primitive_destroy) *primitive_destroy;
    __typeof__(dnnl_primitive_execute) *primitive_execute;
    __typeof__(dnnl_reorder_primitive_desc_create) *reorder_primitive_desc_create;
    /* Of the OpenMP that this oneDNN is built with, or NULL: a setting of the calling thread. */
    void (*set_threads)(int n);
};

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
    { "dnnl_version", offsetof(struct functions, version) },
    { "dnnl_engine_create", offsetof(struct functions, engine_create) },
    { "dnnl_engine_destroy", offsetof(struct functions, engine_destroy) },
    { "dnnl_stream_create", offsetof(struct functions, stream_create) },
    { "dnnl_stream_destroy", offsetof(struct functions, stream_destroy) },
    { "dnnl_memory_desc_init_by_tag", offsetof(struct functions, memory_desc_init_by_tag) },
    { "dnnl_memory_desc_get_size", offsetof(struct functions, memory_desc_get_size) },
    { "dnnl_memory_create", offsetof(struct functions, memory_create) },
    { "dnnl_memory_destroy", offsetof(struct functions, memory_destroy) },
    { "dnnl_matmul_desc_init", offsetof(struct functions, matmul_desc_init) },
    { "dnnl_primitive_attr_create", offsetof(struct functions, primitive_attr_create) },
    { "dnnl_primitive_attr_destroy", offsetof(struct functions, primitive_attr_destroy) },
    { "dnnl_primitive_attr_set_scratchpad_mode",
      offsetof(struct functions, primitive_attr_set_scratchpad_mode) },
    { "dnnl_primitive_desc_create", offsetof(struct functions, primitive_desc_create) },
    { "dnnl_primitive_desc_destroy", offsetof(struct functions, primitive_desc_destroy) },
    { "dnnl_primitive_desc_query", offsetof(struct functions, primitive_desc_query) },
    { "dnnl_primitive_desc_query_md", offsetof(struct functions, primitive_desc_query_md) },
    { "dnnl_primitive_create", offsetof(struct functions, primitive_create) },
    { "dnnl_primitive_destroy", offsetof(struct functions, primitive_destroy) },
    { "dnnl_primitive_execute", offsetof(struct functions, primitive_execute) },
    { "dnnl_reorder_primitive_desc_create",
      offsetof(struct functions, reorder_primitive_desc_create) },
};

struct sonde_onednn {
    void *library;
    struct functions f;
    dnnl_engine_t engine;
    char name[64];
};

struct sonde_onednn_weight {
    const struct sonde_onednn *onednn;
    bool bf16;
    int64_t n_in, n_out;
    void *data; /* laid out */
    int64_t bytes, scratch_bytes;
    char kernel[64];
    dnnl_memory_desc_t layout;
    struct tile {
        int64_t n_rows;
        dnnl_memory_desc_t x, y, scratch;
        dnnl_primitive_t primitive;
    } tile[2]; /* SONDE_ONEDNN_ROWS rows, and one */
};

/* One thread, for the calling thread; oneDNN asks when a primitive is made and when it runs. */
static void be_single(const struct sonde_onednn *o)
{
    if (o->f.set_threads) {
        o->f.set_threads(1);
    }
}

enum sonde_status sonde_onednn_open(struct sonde_onednn **out, struct sonde_error *error)
{
    char file[32];
    struct sonde_onednn *o = calloc(1, sizeof *o);
    if (!o) {
        return sonde_error_memory(error, "oneDNN");
    }
    snprintf(file, sizeof file, "libdnnl.so.%d", DNNL_VERSION_MAJOR);
    o->library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    bool complete = o->library != NULL;
    for (size_t i = 0; complete && i < sizeof symbols / sizeof *symbols; i++) {
        void *found = dlsym(o->library, symbols[i].name);
        memcpy((char *)&o->f + symbols[i].offset, &found, sizeof found);
        complete = found != NULL;
    }
    if (!complete) {
        sonde_onednn_close(&o);
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "oneDNN cannot be loaded: no usable %s", file);
    }
    void *set_threads = dlsym(o->library, "omp_set_num_threads");
    memcpy(&o->f.set_threads, &set_threads, sizeof set_threads);
    be_single(o);
    if (o->f.engine_create(&o->engine, dnnl_cpu, 0) != dnnl_success) {
        sonde_onednn_close(&o);
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED, "oneDNN has no engine here");
    }
    const dnnl_version_t *version = o->f.version();
    snprintf(o->name, sizeof o->name, "oneDNN %d.%d.%d", version->major, version->minor,
             version->patch);
    *out = o;
    return SONDE_STATUS_OK;
}

/* The library stays loaded: it has made threads' local data that it cannot take back. */
void sonde_onednn_close(struct sonde_onednn **onednn)
{
    if (!onednn || !*onednn) {
        return;
    }
    if ((*onednn)->engine) {
        (*onednn)->f.engine_destroy((*onednn)->engine);
    }
    free(*onednn);
    *onednn = NULL;
}

const char *sonde_onednn_name(const struct sonde_onednn *onednn)
{
    return onednn->name;
}

static bool describe(const struct functions *f, dnnl_memory_desc_t *out, int64_t rows,
                     int64_t columns, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = { rows, columns };
    return f->memory_desc_init_by_tag(out, 2, dims, type, tag) == dnnl_success;
}

static dnnl_memory_desc_t queried(const struct functions *f, const_dnnl_primitive_desc_t desc,
                                  dnnl_query_t what)
{
    return *f->primitive_desc_query_md(desc, what, 0);
}

/* The primitive of n_rows rows. The first tile chooses the weight's layout, the others take it. */
static bool make_tile(struct sonde_onednn_weight *w, struct tile *tile, int64_t n_rows)
{
    const struct functions *f = &w->onednn->f;
    const dnnl_data_type_t type = w->bf16 ? dnnl_bf16 : dnnl_f32;
    const bool first = w->bytes == 0;
    dnnl_memory_desc_t weight = w->layout;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t desc = NULL;
    tile->n_rows = n_rows;
    bool ok = describe(f, &tile->x, n_rows, w->n_in, type, dnnl_ab) &&
              describe(f, &tile->y, n_rows, w->n_out, dnnl_f32, dnnl_ab) &&
              (!first || describe(f, &weight, w->n_in, w->n_out, type, dnnl_format_tag_any)) &&
              f->matmul_desc_init(&matmul, &tile->x, &weight, NULL, &tile->y) == dnnl_success &&
              f->primitive_attr_create(&attributes) == dnnl_success &&
              f->primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) ==
                  dnnl_success &&
              f->primitive_desc_create(&desc, &matmul, attributes, w->onednn->engine, NULL) ==
                  dnnl_success &&
              f->primitive_create(&tile->primitive, desc) == dnnl_success;
    if (ok) {
        tile->scratch = queried(f, desc, dnnl_query_scratchpad_md);
        const int64_t bytes = (int64_t)f->memory_desc_get_size(&tile->scratch);
        w->scratch_bytes = bytes > w->scratch_bytes ? bytes : w->scratch_bytes;
    }
    if (ok && first) {
        const char *kernel = NULL;
        w->layout = queried(f, desc, dnnl_query_weights_md);
        w->bytes = (int64_t)f->memory_desc_get_size(&w->layout);
        if (f->primitive_desc_query(desc, dnnl_query_impl_info_str, 0, (void *)&kernel) ==
            dnnl_success) {
            snprintf(w->kernel, sizeof w->kernel, "%s", kernel);
        }
    }
    if (desc) {
        f->primitive_desc_destroy(desc);
    }
    if (attributes) {
        f->primitive_attr_destroy(attributes);
    }
    return ok;
}

struct argument {
    int which;
    const dnnl_memory_desc_t *layout;
    void *data;
};

static bool execute(const struct sonde_onednn *o, dnnl_primitive_t primitive, int n,
                    const struct argument *argument)
{
    enum { MOST = 4 };
    const struct functions *f = &o->f;
    dnnl_stream_t stream = NULL;
    dnnl_exec_arg_t given[MOST] = { { 0, NULL } };
    be_single(o);
    bool ok = f->stream_create(&stream, o->engine, dnnl_stream_default_flags) == dnnl_success;
    for (int i = 0; ok && i < n; i++) {
        given[i].arg = argument[i].which;
        ok = f->memory_create(&given[i].memory, argument[i].layout, o->engine, argument[i].data) ==
             dnnl_success;
    }
    ok = ok && f->primitive_execute(primitive, stream, n, given) == dnnl_success;
    for (int i = 0; i < n; i++) {
        if (given[i].memory) {
            f->memory_destroy(given[i].memory);
        }
    }
    if (stream) {
        f->stream_destroy(stream);
    }
    return ok;
}

/* Copies what lies [in, out] (or transposed) in `from` into the layout. */
static bool lay_out(struct sonde_onednn_weight *w, bool transposed, const void *from,
                    dnnl_data_type_t type)
{
    const struct functions *f = &w->onednn->f;
    union {
        const void *kept;
        void *data;
    } source = { from }; /* oneDNN only reads it */
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    bool ok = describe(f, &plain, w->n_in, w->n_out, type, transposed ? dnnl_ab : dnnl_ba) &&
              f->reorder_primitive_desc_create(&desc, &plain, w->onednn->engine, &w->layout,
                                               w->onednn->engine, NULL) == dnnl_success &&
              f->primitive_create(&reorder, desc) == dnnl_success;
    const struct argument arguments[] = { { DNNL_ARG_FROM, &plain, source.data },
                                          { DNNL_ARG_TO, &w->layout, w->data } };
    ok = ok && execute(w->onednn, reorder, 2, arguments);
    if (reorder) {
        f->primitive_destroy(reorder);
    }
    if (desc) {
        f->primitive_desc_destroy(desc);
    }
    return ok;
}

/* An F16 weight, or a BF16 one for products in f32, is converted first, at most to what a product
 * needs. */
static enum sonde_status fill(struct sonde_onednn_weight *w, const struct sonde_weight *from,
                              struct sonde_error *error)
{
    const size_t size = w->bf16 ? sizeof(uint16_t) : sizeof(float);
    void *converted = NULL;
    float *row = NULL;
    const bool as_it_is =
        from->dtype == SONDE_DTYPE_F32 || (from->dtype == SONDE_DTYPE_BF16 && w->bf16);
    enum sonde_status status = SONDE_STATUS_OK;
    w->data = aligned_alloc(64, (size_t)((w->bytes + 63) / 64 * 64));
    if (!as_it_is) {
        converted = malloc((size_t)(from->rows * from->columns) * size);
        row = malloc((size_t)from->columns * sizeof *row);
    }
    if (!w->data || (!as_it_is && (!converted || !row))) {
        status = sonde_error_memory(error, "the weights as oneDNN likes them");
    }
    for (int64_t r = 0; status == SONDE_STATUS_OK && !as_it_is && r < from->rows; r++) {
        sonde_weight_row(from, r, row);
        sonde_dtype_narrow(w->bf16 ? SONDE_DTYPE_BF16 : SONDE_DTYPE_F32, row,
                           (char *)converted + (size_t)(r * from->columns) * size, from->columns);
    }
    const bool half = w->bf16 && from->dtype != SONDE_DTYPE_F32;
    if (status == SONDE_STATUS_OK &&
        !lay_out(w, from->transposed, as_it_is ? from->data : converted,
                 half ? dnnl_bf16 : dnnl_f32)) {
        status = sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                                 "oneDNN cannot lay out a weight of %lld x %lld",
                                 (long long)w->n_in, (long long)w->n_out);
    }
    free(converted);
    free(row);
    return status;
}

enum sonde_status sonde_onednn_weight_create(struct sonde_onednn_weight **out,
                                             const struct sonde_onednn *onednn,
                                             const struct sonde_weight *w, bool bf16,
                                             struct sonde_error *error)
{
    struct sonde_onednn_weight *made = calloc(1, sizeof *made);
    if (!made) {
        return sonde_error_memory(error, "a weight");
    }
    made->onednn = onednn;
    made->bf16 = bf16;
    made->n_in = sonde_weight_in(w);
    made->n_out = sonde_weight_out(w);
    be_single(onednn);
    if (!make_tile(made, &made->tile[0], SONDE_ONEDNN_ROWS) ||
        !make_tile(made, &made->tile[1], 1)) {
        sonde_onednn_weight_destroy(&made);
        return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                               "%s has no product of %lld x %lld in %s on this machine",
                               onednn->name, (long long)sonde_weight_in(w),
                               (long long)sonde_weight_out(w), bf16 ? "bf16" : "f32");
    }
    enum sonde_status status = fill(made, w, error);
    if (status != SONDE_STATUS_OK) {
        sonde_onednn_weight_destroy(&made);
        return status;
    }
    *out = made;
    return SONDE_STATUS_OK;
}

void sonde_onednn_weight_destroy(struct sonde_onednn_weight **weight)
{
    if (!weight || !*weight) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        if ((*weight)->tile[i].primitive) {
            (*weight)->onednn->f.primitive_destroy((*weight)->tile[i].primitive);
        }
    }
    free((*weight)->data);
    free(*weight);
    *weight = NULL;
}

int64_t sonde_onednn_weight_bytes(const struct sonde_onednn_weight *weight)
{
    return weight->bytes;
}

const char *sonde_onednn_weight_kernel(const struct sonde_onednn_weight *weight)
{
    return weight->kernel;
}

int64_t sonde_onednn_scratch_bytes(const struct sonde_onednn_weight *weight)
{
    return weight->scratch_bytes;
}

bool sonde_onednn_multiply(const struct sonde_onednn_weight *weight, int64_t n_rows, const void *x,
                           float *y, void *scratch)
{
    const struct tile *tile = &weight->tile[n_rows == 1];
    union {
        const void *kept;
        void *data;
    } source = { x };
    const struct argument arguments[] = { { DNNL_ARG_SRC, &tile->x, source.data },
                                          { DNNL_ARG_WEIGHTS, &weight->layout, weight->data },
                                          { DNNL_ARG_DST, &tile->y, y },
                                          { DNNL_ARG_SCRATCHPAD, &tile->scratch, scratch } };
    return execute(weight->onednn, tile->primitive, 4, arguments);
}

#else

enum sonde_status sonde_onednn_open(struct sonde_onednn **out, struct sonde_error *error)
{
    (void)out;
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED,
                           "this build has no oneDNN (meson -Donednn=enabled)");
}

/* Without the library there is nothing that these could be given. */
void sonde_onednn_close(struct sonde_onednn **onednn)
{
    (void)onednn;
}

const char *sonde_onednn_name(const struct sonde_onednn *onednn)
{
    (void)onednn;
    return "";
}

enum sonde_status sonde_onednn_weight_create(struct sonde_onednn_weight **out,
                                             const struct sonde_onednn *onednn,
                                             const struct sonde_weight *w, bool bf16,
                                             struct sonde_error *error)
{
    (void)out, (void)onednn, (void)w, (void)bf16;
    return sonde_error_set(error, SONDE_STATUS_UNSUPPORTED, "this build has no oneDNN");
}

void sonde_onednn_weight_destroy(struct sonde_onednn_weight **weight)
{
    (void)weight;
}

int64_t sonde_onednn_weight_bytes(const struct sonde_onednn_weight *weight)
{
    (void)weight;
    return 0;
}

const char *sonde_onednn_weight_kernel(const struct sonde_onednn_weight *weight)
{
    (void)weight;
    return "";
}

int64_t sonde_onednn_scratch_bytes(const struct sonde_onednn_weight *weight)
{
    (void)weight;
    return 0;
}

bool sonde_onednn_multiply(const struct sonde_onednn_weight *weight, int64_t n_rows, const void *x,
                           float *y, void *scratch)
{
    (void)weight, (void)n_rows, (void)x, (void)y, (void)scratch;
    return false;
}

#endif
