/*
 * The globals that a checkpoint may name, and what each stands for. None of them is run: a call is
 * answered with the value that the real function would give back.
 */
#include <string.h>

#include "core/base/num.h"
#include "core/model/pickle_internal.h"

enum { ENCODED_MAX = 64 };

enum kind {
    KIND_DICT,         /* OrderedDict() */
    KIND_TENSOR,       /* _rebuild_tensor_v2(storage, offset, size, stride, grad, hooks[, more]) */
    KIND_PARAMETER,    /* _rebuild_parameter(tensor, grad, hooks) */
    KIND_SIZE,         /* torch.Size(tuple) */
    KIND_STORAGE,      /* only in persistent ids */
    KIND_NUMPY_DTYPE,  /* dtype(code, align, copy) */
    KIND_NUMPY_SCALAR, /* scalar(dtype, bytes) */
    KIND_ENCODE,       /* encode(text, 'latin1'): bytes in protocol 2 */
    KIND_RECORD,       /* a class whose state is only kept */
};

static const struct global {
    const char *name;
    enum kind kind;
    enum sonde_dtype dtype; /* of a storage */
} globals[] = {
    { "collections.OrderedDict", KIND_DICT, SONDE_DTYPE_NONE },
    { "torch._utils._rebuild_tensor_v2", KIND_TENSOR, SONDE_DTYPE_NONE },
    { "torch._utils._rebuild_parameter", KIND_PARAMETER, SONDE_DTYPE_NONE },
    { "torch.Size", KIND_SIZE, SONDE_DTYPE_NONE },
    { "torch.FloatStorage", KIND_STORAGE, SONDE_DTYPE_F32 },
    { "torch.HalfStorage", KIND_STORAGE, SONDE_DTYPE_F16 },
    { "torch.BFloat16Storage", KIND_STORAGE, SONDE_DTYPE_BF16 },
    { "torch.DoubleStorage", KIND_STORAGE, SONDE_DTYPE_F64 },
    { "torch.LongStorage", KIND_STORAGE, SONDE_DTYPE_I64 },
    { "torch.IntStorage", KIND_STORAGE, SONDE_DTYPE_I32 },
    { "torch.ShortStorage", KIND_STORAGE, SONDE_DTYPE_I16 },
    { "torch.CharStorage", KIND_STORAGE, SONDE_DTYPE_I8 },
    { "torch.ByteStorage", KIND_STORAGE, SONDE_DTYPE_U8 },
    { "torch.BoolStorage", KIND_STORAGE, SONDE_DTYPE_BOOL },
    { "numpy.dtype", KIND_NUMPY_DTYPE, SONDE_DTYPE_NONE },
    { "numpy.core.multiarray.scalar", KIND_NUMPY_SCALAR, SONDE_DTYPE_NONE },
    { "numpy._core.multiarray.scalar", KIND_NUMPY_SCALAR, SONDE_DTYPE_NONE },
    { "_codecs.encode", KIND_ENCODE, SONDE_DTYPE_NONE },
    /* The vocabulary object in the checkpoints of the counter-language study. */
    { "src.utils.helper.Voc", KIND_RECORD, SONDE_DTYPE_NONE },
};

static const struct global *find_global(const char *name)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (strcmp(globals[i].name, name) == 0) {
            return &globals[i];
        }
    }
    return NULL;
}

struct sonde_pickle_value *sonde_pickle_global(struct sonde_pickle_reader *r, const char *module,
                                               size_t n_module, const char *name, size_t n_name)
{
    char full[SONDE_PICKLE_NAME_MAX + 1];
    if (n_module + n_name + 1 >= sizeof full) {
        return sonde_pickle_refuse(r, SONDE_STATUS_LIMIT,
                                   "a global's name of %zu bytes, at most %d are allowed",
                                   n_module + n_name + 1, SONDE_PICKLE_NAME_MAX);
    }
    memcpy(full, module, n_module);
    full[n_module] = '.';
    memcpy(full + n_module + 1, name, n_name);
    full[n_module + n_name + 1] = '\0';
    if (strlen(full) != n_module + n_name + 1 || !find_global(full)) {
        return sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED, "global '%s' is not allowed", full);
    }
    return sonde_pickle_make_text(r, SONDE_PICKLE_GLOBAL, full, n_module + n_name + 1);
}

static bool is_int(const struct sonde_pickle_value *value)
{
    return value->type == SONDE_PICKLE_INT;
}

/* Items [0, n) of a tuple that has at least `least` and at most `most`. */
static bool check_args(struct sonde_pickle_reader *r, const char *name,
                       const struct sonde_pickle_value *args, int64_t least, int64_t most)
{
    if (args->n < least || args->n > most) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%s is called with %lld values", name,
                            (long long)args->n);
        return false;
    }
    return true;
}

static void *refuse_argument(struct sonde_pickle_reader *r, const char *name, const char *what,
                             const struct sonde_pickle_value *found)
{
    return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%s: %s is %s", name, what,
                               sonde_pickle_type_name(found->type));
}

static bool read_whole(struct sonde_pickle_reader *r, const char *what,
                       const struct sonde_pickle_value *value, int64_t *out)
{
    if (!is_int(value)) {
        refuse_argument(r, "a tensor", what, value);
        return false;
    }
    if (value->integer < 0) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a tensor: %s is %lld, expected 0 or more",
                            what, (long long)value->integer);
        return false;
    }
    *out = value->integer;
    return true;
}

static bool read_dims(struct sonde_pickle_reader *r, const struct sonde_pickle_value *size,
                      const struct sonde_pickle_value *stride, struct sonde_pickle_tensor *out)
{
    if (size->type != SONDE_PICKLE_TUPLE || stride->type != SONDE_PICKLE_TUPLE) {
        bool first = size->type != SONDE_PICKLE_TUPLE;
        refuse_argument(r, "a tensor", first ? "its size" : "its stride", first ? size : stride);
        return false;
    }
    if (size->n != stride->n) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a tensor: %lld sizes and %lld strides",
                            (long long)size->n, (long long)stride->n);
        return false;
    }
    if (size->n > SONDE_PICKLE_RANK_MAX) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a tensor: rank %lld, at most %d",
                            (long long)size->n, SONDE_PICKLE_RANK_MAX);
        return false;
    }
    out->rank = (int)size->n;
    for (int i = 0; i < out->rank; i++) {
        if (!read_whole(r, "a size", size->item[i], &out->dim[i]) ||
            !read_whole(r, "a stride", stride->item[i], &out->stride[i])) {
            return false;
        }
    }
    return true;
}

/* The product of the sizes, and whether the view lies inside of its storage. */
static bool check_view(struct sonde_pickle_reader *r, struct sonde_pickle_tensor *t)
{
    int64_t last = t->first, step = 1;
    bool fits = true;
    t->n_elements = 1;
    t->contiguous = true;
    for (int i = 0; i < t->rank && fits; i++) {
        fits = sonde_mul_i64(t->n_elements, t->dim[i], &t->n_elements);
    }
    if (!fits) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a tensor: the product of its sizes overflows");
        return false;
    }
    for (int i = t->rank - 1; i >= 0 && t->n_elements > 0; i--) {
        int64_t reach = 0;
        if (!sonde_mul_i64(t->dim[i] - 1, t->stride[i], &reach) ||
            !sonde_add_i64(last, reach, &last)) {
            sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a tensor: its strides overflow");
            return false;
        }
        t->stride[i] = t->dim[i] == 1 ? 0 : t->stride[i]; /* never taken, so it may be anything */
        t->contiguous = t->contiguous && (t->dim[i] == 1 || t->stride[i] == step);
        step *= t->dim[i];
    }
    if (t->n_elements > 0 ? last >= t->storage.n_elements : t->first > t->storage.n_elements) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT,
                            "a tensor reaches element %lld of storage '%s', which has %lld",
                            (long long)last, t->storage.key, (long long)t->storage.n_elements);
        return false;
    }
    if (t->n_elements > t->storage.n_elements) {
        sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED,
                            "a tensor of %lld elements repeats those of storage '%s', which has "
                            "%lld",
                            (long long)t->n_elements, t->storage.key,
                            (long long)t->storage.n_elements);
        return false;
    }
    return true;
}

static struct sonde_pickle_value *call_tensor(struct sonde_pickle_reader *r, const char *name,
                                              const struct sonde_pickle_value *args)
{
    if (!check_args(r, name, args, 6, 7)) {
        return NULL;
    }
    if (args->item[0]->type != SONDE_PICKLE_STORAGE) {
        return refuse_argument(r, "a tensor", "its storage", args->item[0]);
    }
    struct sonde_pickle_tensor *tensor = sonde_arena_zalloc(r->arena, 1, sizeof *tensor);
    struct sonde_pickle_value *value = sonde_pickle_make(r, SONDE_PICKLE_TENSOR);
    if (!tensor || !value) {
        return sonde_pickle_no_memory(r);
    }
    tensor->storage = *args->item[0]->storage;
    value->tensor = tensor;
    return read_whole(r, "its offset", args->item[1], &tensor->first) &&
                   read_dims(r, args->item[2], args->item[3], tensor) && check_view(r, tensor)
               ? value
               : NULL;
}

static const struct number {
    const char *code;
    enum sonde_pickle_type type;
    int size;
} numbers[] = {
    { "f8", SONDE_PICKLE_FLOAT, 8 }, { "f4", SONDE_PICKLE_FLOAT, 4 }, { "i8", SONDE_PICKLE_INT, 8 },
    { "i4", SONDE_PICKLE_INT, 4 },   { "i2", SONDE_PICKLE_INT, 2 },   { "i1", SONDE_PICKLE_INT, 1 },
    { "b1", SONDE_PICKLE_BOOL, 1 },
};

static const struct number *find_number(const char *code)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i].code, code) == 0) {
            return &numbers[i];
        }
    }
    return NULL;
}

static struct sonde_pickle_value *call_dtype(struct sonde_pickle_reader *r, const char *name,
                                             const struct sonde_pickle_value *args)
{
    if (!check_args(r, name, args, 1, 3)) {
        return NULL;
    }
    const struct sonde_pickle_value *code = args->item[0];
    if (code->type != SONDE_PICKLE_TEXT) {
        return refuse_argument(r, name, "its code", code);
    }
    if (!find_number(code->text)) {
        return sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED,
                                   "numpy dtype '%.40s' is not supported", code->text);
    }
    return sonde_pickle_make_text(r, SONDE_PICKLE_NUMBER, code->text, (size_t)code->n);
}

static struct sonde_pickle_value *call_scalar(struct sonde_pickle_reader *r, const char *name,
                                              const struct sonde_pickle_value *args)
{
    if (!check_args(r, name, args, 2, 2)) {
        return NULL;
    }
    const struct sonde_pickle_value *dtype = args->item[0], *bytes = args->item[1];
    if (dtype->type != SONDE_PICKLE_NUMBER) {
        return refuse_argument(r, name, "its dtype", dtype);
    }
    const struct number *number = find_number(dtype->text);
    if (bytes->type != SONDE_PICKLE_BYTES) {
        return refuse_argument(r, name, "its value", bytes);
    }
    if (!number || bytes->n != number->size) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%s: %lld bytes for a '%.8s'", name,
                                   (long long)bytes->n, dtype->text);
    }
    struct sonde_pickle_value *value = sonde_pickle_make(r, number->type);
    if (!value) {
        return NULL;
    }
    float narrow = 0;
    int32_t whole32 = 0;
    int16_t whole16 = 0;
    switch (number->type == SONDE_PICKLE_FLOAT ? 10 + number->size : number->size) {
    case 18:
        memcpy(&value->real, bytes->text, sizeof value->real);
        break;
    case 14:
        memcpy(&narrow, bytes->text, sizeof narrow);
        value->real = (double)narrow;
        break;
    case 8:
        memcpy(&value->integer, bytes->text, sizeof value->integer);
        break;
    case 4:
        memcpy(&whole32, bytes->text, sizeof whole32);
        value->integer = whole32;
        break;
    case 2:
        memcpy(&whole16, bytes->text, sizeof whole16);
        value->integer = whole16;
        break;
    default:
        value->integer =
            number->type == SONDE_PICKLE_INT ? (int8_t)bytes->text[0] : bytes->text[0] != 0;
    }
    return value;
}

/* Text whose characters are all below U+0100, each a byte: how protocol 2 writes bytes. */
static struct sonde_pickle_value *call_encode(struct sonde_pickle_reader *r, const char *name,
                                              const struct sonde_pickle_value *args)
{
    if (!check_args(r, name, args, 2, 2)) {
        return NULL;
    }
    const struct sonde_pickle_value *text = args->item[0], *code = args->item[1];
    if (text->type != SONDE_PICKLE_TEXT) {
        return refuse_argument(r, name, "its text", text);
    }
    if (code->type != SONDE_PICKLE_TEXT || strcmp(code->text, "latin1") != 0) {
        return sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED, "%s: only latin1 is supported",
                                   name);
    }
    /* A call is a few bytes of the pickle and its text may be any memoized one: without a bound a
     * small file could ask for any amount of memory. */
    char out[ENCODED_MAX];
    if (text->n > ENCODED_MAX) {
        return sonde_pickle_refuse(r, SONDE_STATUS_LIMIT, "%s: %lld bytes, at most %d", name,
                                   (long long)text->n, ENCODED_MAX);
    }
    const uint8_t *in = (const uint8_t *)text->text;
    int64_t n = 0;
    for (int64_t i = 0; i < text->n; i++) { /* valid UTF-8, checked where the text was read */
        if (in[i] >= 0xc4) {
            return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%s: a character that is no byte",
                                       name);
        }
        if (in[i] >= 0xc2) {
            out[n++] = (char)((in[i] & 3) << 6 | (in[i + 1] & 63));
            i++;
        } else {
            out[n++] = (char)in[i];
        }
    }
    return sonde_pickle_make_text(r, SONDE_PICKLE_BYTES, out, (size_t)n);
}

static struct sonde_pickle_value *call_parameter(struct sonde_pickle_reader *r, const char *name,
                                                 const struct sonde_pickle_value *args)
{
    if (!check_args(r, name, args, 3, 3)) {
        return NULL;
    }
    return args->item[0]->type == SONDE_PICKLE_TENSOR
               ? args->item[0]
               : refuse_argument(r, name, "its tensor", args->item[0]);
}

struct sonde_pickle_value *sonde_pickle_call(struct sonde_pickle_reader *r,
                                             const struct sonde_pickle_value *callee,
                                             struct sonde_pickle_value *args)
{
    const struct global *global =
        callee->type == SONDE_PICKLE_GLOBAL ? find_global(callee->text) : NULL;
    if (!global || args->type != SONDE_PICKLE_TUPLE) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a call of %s with %s",
                                   sonde_pickle_type_name(callee->type),
                                   sonde_pickle_type_name(args->type));
    }
    switch (global->kind) {
    case KIND_DICT:
        return check_args(r, global->name, args, 0, 0) ? sonde_pickle_make(r, SONDE_PICKLE_DICT)
                                                       : NULL;
    case KIND_TENSOR:
        return call_tensor(r, global->name, args);
    case KIND_PARAMETER:
        return call_parameter(r, global->name, args);
    case KIND_SIZE:
        return check_args(r, global->name, args, 1, 1) && args->item[0]->type == SONDE_PICKLE_TUPLE
                   ? args->item[0]
                   : sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%s is called without a tuple",
                                         global->name);
    case KIND_NUMPY_DTYPE:
        return call_dtype(r, global->name, args);
    case KIND_NUMPY_SCALAR:
        return call_scalar(r, global->name, args);
    case KIND_ENCODE:
        return call_encode(r, global->name, args);
    case KIND_STORAGE:
    case KIND_RECORD:
        break;
    }
    return sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED, "%s is called, which is not allowed",
                               global->name);
}

struct sonde_pickle_value *sonde_pickle_new(struct sonde_pickle_reader *r,
                                            const struct sonde_pickle_value *class_of,
                                            const struct sonde_pickle_value *args)
{
    const struct global *global =
        class_of->type == SONDE_PICKLE_GLOBAL ? find_global(class_of->text) : NULL;
    if (!global || (global->kind != KIND_RECORD && global->kind != KIND_DICT) ||
        args->type != SONDE_PICKLE_TUPLE || args->n != 0) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a new object of %s",
                                   global ? global->name : sonde_pickle_type_name(class_of->type));
    }
    struct sonde_pickle_value *value =
        sonde_pickle_make(r, global->kind == KIND_DICT ? SONDE_PICKLE_DICT : SONDE_PICKLE_RECORD);
    if (value) {
        value->record = global->name;
    }
    return value;
}

void sonde_pickle_build(struct sonde_pickle_reader *r, struct sonde_pickle_value *object,
                        const struct sonde_pickle_value *state)
{
    if (object->type == SONDE_PICKLE_DICT && state->type == SONDE_PICKLE_DICT) {
        return; /* attributes of a state dict: _metadata, the versions of modules */
    }
    if (object->type == SONDE_PICKLE_RECORD && state->type == SONDE_PICKLE_DICT && !object->n) {
        object->item = state->item;
        object->n = state->n;
        return;
    }
    if (object->type == SONDE_PICKLE_NUMBER && state->type == SONDE_PICKLE_TUPLE && state->n >= 2 &&
        state->item[1]->type == SONDE_PICKLE_TEXT) {
        const char *order = state->item[1]->text;
        if (strcmp(order, "<") != 0 && strcmp(order, "|") != 0) {
            sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED,
                                "a numpy dtype of byte order '%.8s', only '<' is supported", order);
        }
        return;
    }
    sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%s gets %s as its state",
                        sonde_pickle_type_name(object->type), sonde_pickle_type_name(state->type));
}

static bool is_plain_key(const struct sonde_pickle_value *key)
{
    bool plain = key->type == SONDE_PICKLE_TEXT && key->n > 0 && key->n <= SONDE_PICKLE_NAME_MAX;
    for (int64_t i = 0; plain && i < key->n; i++) {
        char c = key->text[i];
        plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                c == '_' || c == '-' || c == '.';
    }
    return plain;
}

struct sonde_pickle_value *sonde_pickle_persistent(struct sonde_pickle_reader *r,
                                                   const struct sonde_pickle_value *id)
{
    if (id->type != SONDE_PICKLE_TUPLE || id->n != 5 || id->item[0]->type != SONDE_PICKLE_TEXT ||
        strcmp(id->item[0]->text, "storage") != 0) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT,
                                   "a persistent id that does not name a storage");
    }
    const struct sonde_pickle_value *type = id->item[1], *key = id->item[2], *n = id->item[4];
    const struct global *global =
        type->type == SONDE_PICKLE_GLOBAL ? find_global(type->text) : NULL;
    if (!global || global->kind != KIND_STORAGE) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a storage's type is %s",
                                   global ? global->name : sonde_pickle_type_name(type->type));
    }
    if (!is_plain_key(key)) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a storage's key is not a plain name");
    }
    if (!is_int(n) || n->integer < 0) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT,
                                   "storage '%s': its count is no whole number >= 0", key->text);
    }
    struct sonde_pickle_storage *storage = sonde_arena_zalloc(r->arena, 1, sizeof *storage);
    struct sonde_pickle_value *value = sonde_pickle_make(r, SONDE_PICKLE_STORAGE);
    if (!storage || !value) {
        return sonde_pickle_no_memory(r);
    }
    *storage = (struct sonde_pickle_storage){ key->text, global->dtype, n->integer };
    value->storage = storage;
    return value;
}
