#include "core/model/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/model/pickle_internal.h"

enum { BLOCK_VALUES = 256 };

const char *sonde_pickle_type_name(enum sonde_pickle_type type)
{
    static const char *const names[] = {
        [SONDE_PICKLE_NONE] = "None",          [SONDE_PICKLE_BOOL] = "a bool",
        [SONDE_PICKLE_INT] = "a whole number", [SONDE_PICKLE_FLOAT] = "a number",
        [SONDE_PICKLE_TEXT] = "a text",        [SONDE_PICKLE_BYTES] = "bytes",
        [SONDE_PICKLE_LIST] = "a list",        [SONDE_PICKLE_TUPLE] = "a tuple",
        [SONDE_PICKLE_DICT] = "a dict",        [SONDE_PICKLE_RECORD] = "an object",
        [SONDE_PICKLE_STORAGE] = "a storage",  [SONDE_PICKLE_TENSOR] = "a tensor",
        [SONDE_PICKLE_GLOBAL] = "a global",    [SONDE_PICKLE_NUMBER] = "a numpy dtype",
    };
    return names[type];
}

void *sonde_pickle_refuse(struct sonde_pickle_reader *r, enum sonde_status status,
                          const char *format, ...)
{
    if (r->status == SONDE_STATUS_OK) {
        char reason[512];
        va_list args;
        va_start(args, format);
        vsnprintf(reason, sizeof reason, format, args);
        va_end(args);
        r->status = sonde_error_set(r->error, status, "byte %zu: %s", r->op_at, reason);
    }
    return NULL;
}

void *sonde_pickle_no_memory(struct sonde_pickle_reader *r)
{
    if (r->status == SONDE_STATUS_OK) {
        r->status = sonde_error_memory(r->error, "the values of a pickle");
    }
    return NULL;
}

struct sonde_pickle_value *sonde_pickle_make(struct sonde_pickle_reader *r,
                                             enum sonde_pickle_type type)
{
    if (r->n_values == SONDE_PICKLE_VALUES_MAX) {
        return sonde_pickle_refuse(r, SONDE_STATUS_LIMIT, "more than %d values",
                                   SONDE_PICKLE_VALUES_MAX);
    }
    if (r->block_left == 0) {
        r->block = sonde_arena_zalloc(r->arena, BLOCK_VALUES, sizeof *r->block);
        if (!r->block) {
            return sonde_pickle_no_memory(r);
        }
        r->block_left = BLOCK_VALUES;
    }
    struct sonde_pickle_value *value = &r->block[BLOCK_VALUES - r->block_left--];
    r->n_values++;
    value->type = type;
    return value;
}

struct sonde_pickle_value *sonde_pickle_make_text(struct sonde_pickle_reader *r,
                                                  enum sonde_pickle_type type, const void *text,
                                                  size_t n)
{
    struct sonde_pickle_value *value = sonde_pickle_make(r, type);
    if (value) {
        value->text = sonde_arena_strndup(r->arena, text, n);
        value->n = (int64_t)n;
        if (!value->text) {
            return sonde_pickle_no_memory(r);
        }
    }
    return value;
}

/* Opcodes of the pickle protocols. Those that are read: the closed list is `step`. */
enum opcode {
    OP_MARK = '(',
    OP_STOP = '.',
    OP_BINFLOAT = 'G',
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_BININT2 = 'M',
    OP_NONE = 'N',
    OP_BINPERSID = 'Q',
    OP_REDUCE = 'R',
    OP_BINUNICODE = 'X',
    OP_EMPTY_LIST = ']',
    OP_APPEND = 'a',
    OP_BUILD = 'b',
    OP_GLOBAL = 'c',
    OP_APPENDS = 'e',
    OP_BINGET = 'h',
    OP_LONG_BINGET = 'j',
    OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r',
    OP_SETITEM = 's',
    OP_TUPLE = 't',
    OP_SETITEMS = 'u',
    OP_EMPTY_DICT = '}',
    OP_EMPTY_TUPLE = ')',
    OP_BINBYTES = 'B',
    OP_SHORT_BINBYTES = 'C',
    OP_PROTO = 0x80,
    OP_NEWOBJ = 0x81,
    OP_TUPLE1 = 0x85,
    OP_TUPLE2 = 0x86,
    OP_TUPLE3 = 0x87,
    OP_NEWTRUE = 0x88,
    OP_NEWFALSE = 0x89,
    OP_LONG1 = 0x8a,
    OP_SHORT_BINUNICODE = 0x8c,
    OP_STACK_GLOBAL = 0x93,
    OP_MEMOIZE = 0x94,
    OP_FRAME = 0x95,
};

/* The others, for their names only. */
static const struct {
    uint8_t code;
    const char *name;
} refused[] = {
    { '0', "POP" },          { '1', "POP_MARK" },
    { '2', "DUP" },          { 'F', "FLOAT" },
    { 'I', "INT" },          { 'L', "LONG" },
    { 'P', "PERSID" },       { 'S', "STRING" },
    { 'T', "BINSTRING" },    { 'U', "SHORT_BINSTRING" },
    { 'V', "UNICODE" },      { 'd', "DICT" },
    { 'g', "GET" },          { 'i', "INST" },
    { 'l', "LIST" },         { 'o', "OBJ" },
    { 'p', "PUT" },          { 0x82, "EXT1" },
    { 0x83, "EXT2" },        { 0x84, "EXT4" },
    { 0x8b, "LONG4" },       { 0x8d, "BINUNICODE8" },
    { 0x8e, "BINBYTES8" },   { 0x8f, "EMPTY_SET" },
    { 0x90, "ADDITEMS" },    { 0x91, "FROZENSET" },
    { 0x92, "NEWOBJ_EX" },   { 0x96, "BYTEARRAY8" },
    { 0x97, "NEXT_BUFFER" }, { 0x98, "READONLY_BUFFER" },
};

static void refuse_opcode(struct sonde_pickle_reader *r, uint8_t code)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (refused[i].code == code) {
            sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED, "opcode %s is not allowed",
                                refused[i].name);
            return;
        }
    }
    sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "0x%02x is no opcode", code);
}

static const uint8_t *take(struct sonde_pickle_reader *r, size_t n)
{
    if (n > r->n_bytes - r->at) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "the pickle is cut off");
    }
    const uint8_t *data = r->data + r->at;
    r->at += n;
    return data;
}

static uint64_t take_number(struct sonde_pickle_reader *r, size_t n_bytes)
{
    const uint8_t *data = take(r, n_bytes);
    uint64_t value = 0;
    for (size_t i = n_bytes; data && i > 0; i--) {
        value = value << 8 | data[i - 1];
    }
    return value;
}

static void push(struct sonde_pickle_reader *r, struct sonde_pickle_value *value)
{
    if (!value || r->status != SONDE_STATUS_OK) {
        return;
    }
    if (!sonde_grow((void **)&r->stack, &r->stack_capacity, r->n_stack + 1, sizeof(void *),
                    SONDE_PICKLE_VALUES_MAX)) {
        if (r->n_stack >= SONDE_PICKLE_VALUES_MAX) {
            sonde_pickle_refuse(r, SONDE_STATUS_LIMIT, "more than %d values on the stack",
                                SONDE_PICKLE_VALUES_MAX);
        }
        sonde_pickle_no_memory(r);
        return;
    }
    r->stack[r->n_stack++] = value;
}

/* The value that lies `depth` below the top, above the last mark. */
static struct sonde_pickle_value *peek(struct sonde_pickle_reader *r, int64_t depth)
{
    int64_t floor = r->n_marks ? r->mark[r->n_marks - 1] : 0;
    if (r->n_stack - depth <= floor) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "the stack is empty");
    }
    return r->stack[r->n_stack - 1 - depth];
}

static struct sonde_pickle_value *pop(struct sonde_pickle_reader *r)
{
    struct sonde_pickle_value *value = peek(r, 0);
    r->n_stack -= value != NULL;
    return value;
}

static void push_mark(struct sonde_pickle_reader *r)
{
    if (r->n_marks == SONDE_PICKLE_DEPTH_MAX) {
        sonde_pickle_refuse(r, SONDE_STATUS_LIMIT, "more than %d levels", SONDE_PICKLE_DEPTH_MAX);
        return;
    }
    r->mark[r->n_marks++] = r->n_stack;
}

/* Takes the last mark away; *n values lie above it, at the result. */
static struct sonde_pickle_value **pop_mark(struct sonde_pickle_reader *r, int64_t *n)
{
    if (r->n_marks == 0) {
        return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "there is no mark");
    }
    int64_t first = r->mark[--r->n_marks];
    *n = r->n_stack - first;
    r->n_stack = first;
    return r->stack ? r->stack + first : NULL;
}

static void add_items(struct sonde_pickle_reader *r, struct sonde_pickle_value *container,
                      struct sonde_pickle_value **items, int64_t n)
{
    if (n > container->capacity - container->n) {
        int64_t capacity = 2 * container->capacity;
        capacity = capacity < container->n + n ? container->n + n : capacity;
        struct sonde_pickle_value **grown =
            sonde_arena_alloc(r->arena, capacity, sizeof(struct sonde_pickle_value *));
        if (!grown) {
            sonde_pickle_no_memory(r);
            return;
        }
        if (container->n > 0) {
            memcpy(grown, container->item, (size_t)container->n * sizeof(void *));
        }
        container->item = grown;
        container->capacity = capacity;
    }
    if (n > 0) {
        memcpy(container->item + container->n, items, (size_t)n * sizeof(void *));
    }
    container->n += n;
}

static void make_tuple(struct sonde_pickle_reader *r, int64_t n)
{
    struct sonde_pickle_value *tuple = sonde_pickle_make(r, SONDE_PICKLE_TUPLE);
    if (!tuple || (n > 0 && !peek(r, n - 1))) {
        return;
    }
    if (n > 0) {
        r->n_stack -= n;
        add_items(r, tuple, r->stack + r->n_stack, n);
    }
    push(r, tuple);
}

static void do_tuple(struct sonde_pickle_reader *r)
{
    int64_t n = 0;
    struct sonde_pickle_value **items = pop_mark(r, &n);
    struct sonde_pickle_value *tuple = sonde_pickle_make(r, SONDE_PICKLE_TUPLE);
    if (tuple && r->status == SONDE_STATUS_OK) {
        add_items(r, tuple, items, n);
        push(r, tuple);
    }
}

/* Puts items into the container under them. */
static void do_fill(struct sonde_pickle_reader *r, enum sonde_pickle_type type, bool marked)
{
    bool dict = type == SONDE_PICKLE_DICT;
    int64_t n = dict ? 2 : 1;
    struct sonde_pickle_value **items = NULL;
    if (marked) {
        items = pop_mark(r, &n);
    } else if (peek(r, n - 1)) {
        r->n_stack -= n;
        items = r->stack + r->n_stack;
    }
    struct sonde_pickle_value *container = r->status == SONDE_STATUS_OK ? peek(r, 0) : NULL;
    if (!container) {
        return;
    }
    if (container->type != type || (dict && n % 2)) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%lld values put into %s", (long long)n,
                            sonde_pickle_type_name(container->type));
        return;
    }
    add_items(r, container, items, n);
}

static void do_put(struct sonde_pickle_reader *r, uint64_t slot)
{
    struct sonde_pickle_value *value = r->status == SONDE_STATUS_OK ? peek(r, 0) : NULL;
    if (!value) {
        return;
    }
    if (slot >= SONDE_PICKLE_VALUES_MAX || slot > r->n_bytes) {
        sonde_pickle_refuse(r, SONDE_STATUS_LIMIT, "slot %llu of the memo, at most %d are allowed",
                            (unsigned long long)slot, SONDE_PICKLE_VALUES_MAX);
        return;
    }
    if (!sonde_grow((void **)&r->memo, &r->memo_capacity, (int64_t)slot + 1, sizeof(void *),
                    SONDE_PICKLE_VALUES_MAX)) {
        sonde_pickle_no_memory(r);
        return;
    }
    for (; r->n_memo <= (int64_t)slot; r->n_memo++) {
        r->memo[r->n_memo] = NULL;
    }
    r->memo[slot] = value;
}

static void do_get(struct sonde_pickle_reader *r, uint64_t slot)
{
    if (r->status != SONDE_STATUS_OK) {
        return;
    }
    if (slot >= (uint64_t)r->n_memo || !r->memo[slot]) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "slot %llu of the memo is empty",
                            (unsigned long long)slot);
        return;
    }
    push(r, r->memo[slot]);
}

static void push_integer(struct sonde_pickle_reader *r, enum sonde_pickle_type type, int64_t value)
{
    struct sonde_pickle_value *made = sonde_pickle_make(r, type);
    if (made) {
        made->integer = value;
        push(r, made);
    }
}

static void do_float(struct sonde_pickle_reader *r)
{
    const uint8_t *data = take(r, 8);
    struct sonde_pickle_value *made = sonde_pickle_make(r, SONDE_PICKLE_FLOAT);
    if (data && made) {
        uint64_t bits = 0; /* big-endian, alone of all */
        for (int i = 0; i < 8; i++) {
            bits = bits << 8 | data[i];
        }
        memcpy(&made->real, &bits, sizeof bits);
        push(r, made);
    }
}

static void do_long(struct sonde_pickle_reader *r)
{
    uint64_t n = take_number(r, 1);
    if (n > 8) {
        sonde_pickle_refuse(r, SONDE_STATUS_LIMIT, "a whole number of %llu bytes, at most 8",
                            (unsigned long long)n);
        return;
    }
    uint64_t bits = take_number(r, (size_t)n);
    if (n > 0 && n < 8 && bits >> (8 * n - 1)) {
        bits |= ~(uint64_t)0 << (8 * n);
    }
    int64_t value = 0;
    memcpy(&value, &bits, sizeof value);
    push_integer(r, SONDE_PICKLE_INT, value);
}

static void do_text(struct sonde_pickle_reader *r, enum sonde_pickle_type type, uint64_t n)
{
    if (r->status != SONDE_STATUS_OK) {
        return;
    }
    const uint8_t *data = take(r, (size_t)n);
    for (size_t i = 0; data && type == SONDE_PICKLE_TEXT && i < n;) {
        size_t step = data[i] ? sonde_str_sequence((const char *)data + i, (size_t)n - i) : 1;
        if (step == 0) {
            sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a text that is not UTF-8");
            return;
        }
        i += step;
    }
    if (data) {
        push(r, sonde_pickle_make_text(r, type, data, (size_t)n));
    }
}

/* Module and name, each ended by a newline. */
static void do_global(struct sonde_pickle_reader *r)
{
    const char *part[2] = { NULL, NULL };
    size_t n[2] = { 0, 0 };
    for (int i = 0; i < 2; i++) {
        const uint8_t *from = r->data + r->at;
        const uint8_t *end = r->at < r->n_bytes ? memchr(from, '\n', r->n_bytes - r->at) : NULL;
        if (!end) {
            sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "the pickle is cut off");
            return;
        }
        part[i] = (const char *)from;
        n[i] = (size_t)(end - from);
        r->at += n[i] + 1;
    }
    push(r, sonde_pickle_global(r, part[0], n[0], part[1], n[1]));
}

static void do_stack_global(struct sonde_pickle_reader *r)
{
    struct sonde_pickle_value *name = pop(r), *module = name ? pop(r) : NULL;
    if (!module) {
        return;
    }
    if (name->type != SONDE_PICKLE_TEXT || module->type != SONDE_PICKLE_TEXT) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a global whose name is no text");
        return;
    }
    push(r, sonde_pickle_global(r, module->text, (size_t)module->n, name->text, (size_t)name->n));
}

static void do_object(struct sonde_pickle_reader *r, enum opcode code)
{
    struct sonde_pickle_value *second = pop(r), *first = NULL;
    if (second && code == OP_BINPERSID) {
        push(r, sonde_pickle_persistent(r, second));
        return;
    }
    first = second ? (code == OP_BUILD ? peek(r, 0) : pop(r)) : NULL;
    if (!first) {
        return;
    }
    if (code == OP_BUILD) {
        sonde_pickle_build(r, first, second);
    } else {
        push(r, code == OP_REDUCE ? sonde_pickle_call(r, first, second)
                                  : sonde_pickle_new(r, first, second));
    }
}

static void do_header(struct sonde_pickle_reader *r, enum opcode code)
{
    if (code == OP_PROTO) {
        uint64_t version = take_number(r, 1);
        if (r->status == SONDE_STATUS_OK && (version < 2 || version > 5)) {
            sonde_pickle_refuse(r, SONDE_STATUS_UNSUPPORTED,
                                "pickle protocol %llu, 2 to 5 are supported",
                                (unsigned long long)version);
        }
        return;
    }
    uint64_t n = take_number(r, 8);
    if (r->status == SONDE_STATUS_OK && n > r->n_bytes - r->at) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "a frame of %llu bytes, %zu are left",
                            (unsigned long long)n, r->n_bytes - r->at);
    }
}

/* Opcodes that push a plain value; false for the others. */
static bool step_value(struct sonde_pickle_reader *r, enum opcode code)
{
    switch (code) {
    case OP_NONE:
        push(r, sonde_pickle_make(r, SONDE_PICKLE_NONE));
        return true;
    case OP_NEWTRUE:
    case OP_NEWFALSE:
        push_integer(r, SONDE_PICKLE_BOOL, code == OP_NEWTRUE);
        return true;
    case OP_BININT:
        push_integer(r, SONDE_PICKLE_INT, (int32_t)(uint32_t)take_number(r, 4));
        return true;
    case OP_BININT1:
        push_integer(r, SONDE_PICKLE_INT, (int64_t)take_number(r, 1));
        return true;
    case OP_BININT2:
        push_integer(r, SONDE_PICKLE_INT, (int64_t)take_number(r, 2));
        return true;
    case OP_LONG1:
        do_long(r);
        return true;
    case OP_BINFLOAT:
        do_float(r);
        return true;
    case OP_BINUNICODE:
        do_text(r, SONDE_PICKLE_TEXT, take_number(r, 4));
        return true;
    case OP_SHORT_BINUNICODE:
        do_text(r, SONDE_PICKLE_TEXT, take_number(r, 1));
        return true;
    case OP_BINBYTES:
        do_text(r, SONDE_PICKLE_BYTES, take_number(r, 4));
        return true;
    case OP_SHORT_BINBYTES:
        do_text(r, SONDE_PICKLE_BYTES, take_number(r, 1));
        return true;
    case OP_EMPTY_LIST:
        push(r, sonde_pickle_make(r, SONDE_PICKLE_LIST));
        return true;
    case OP_EMPTY_DICT:
        push(r, sonde_pickle_make(r, SONDE_PICKLE_DICT));
        return true;
    case OP_GLOBAL:
        do_global(r);
        return true;
    case OP_STACK_GLOBAL:
        do_stack_global(r);
        return true;
    default:
        return false;
    }
}

/* One opcode but STOP: the closed list. */
static void step(struct sonde_pickle_reader *r, enum opcode code)
{
    if (step_value(r, code)) {
        return;
    }
    switch (code) {
    case OP_PROTO:
    case OP_FRAME:
        do_header(r, code);
        break;
    case OP_MARK:
        push_mark(r);
        break;
    case OP_EMPTY_TUPLE:
        make_tuple(r, 0);
        break;
    case OP_TUPLE1:
    case OP_TUPLE2:
    case OP_TUPLE3:
        make_tuple(r, (int64_t)code - OP_TUPLE1 + 1);
        break;
    case OP_TUPLE:
        do_tuple(r);
        break;
    case OP_APPEND:
    case OP_APPENDS:
        do_fill(r, SONDE_PICKLE_LIST, code == OP_APPENDS);
        break;
    case OP_SETITEM:
    case OP_SETITEMS:
        do_fill(r, SONDE_PICKLE_DICT, code == OP_SETITEMS);
        break;
    case OP_BINPUT:
        do_put(r, take_number(r, 1));
        break;
    case OP_LONG_BINPUT:
        do_put(r, take_number(r, 4));
        break;
    case OP_MEMOIZE:
        do_put(r, (uint64_t)r->n_memo);
        break;
    case OP_BINGET:
        do_get(r, take_number(r, 1));
        break;
    case OP_LONG_BINGET:
        do_get(r, take_number(r, 4));
        break;
    case OP_BINPERSID:
    case OP_REDUCE:
    case OP_NEWOBJ:
    case OP_BUILD:
        do_object(r, code);
        break;
    default:
        refuse_opcode(r, (uint8_t)code);
    }
}

/* Height of the tree below a value. A container inside of itself is met while it is open
 * (height -1). Each value is walked once, the depth is bounded. */
static void measure(struct sonde_pickle_reader *r, struct sonde_pickle_value *value, int depth)
{
    bool container = value->type == SONDE_PICKLE_LIST || value->type == SONDE_PICKLE_TUPLE ||
                     value->type == SONDE_PICKLE_DICT || value->type == SONDE_PICKLE_RECORD;
    if (!container || r->status != SONDE_STATUS_OK) {
        return;
    }
    if (value->height < 0) {
        sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%s that holds itself",
                            sonde_pickle_type_name(value->type));
        return;
    }
    if (depth + (value->height ? value->height : 1) > SONDE_PICKLE_DEPTH_MAX) {
        sonde_pickle_refuse(r, SONDE_STATUS_LIMIT, "more than %d levels", SONDE_PICKLE_DEPTH_MAX);
        return;
    }
    if (value->height > 0) {
        return;
    }
    int height = 0;
    value->height = -1;
    for (int64_t i = 0; i < value->n && r->status == SONDE_STATUS_OK; i++) {
        measure(r, value->item[i], depth + 1);
        height = value->item[i]->height > height ? value->item[i]->height : height;
    }
    value->height = height + 1;
}

static struct sonde_pickle_value *run(struct sonde_pickle_reader *r)
{
    for (bool first = true; r->status == SONDE_STATUS_OK; first = false) {
        r->op_at = r->at;
        uint8_t code = (uint8_t)take_number(r, 1);
        if (r->status != SONDE_STATUS_OK) {
            break;
        }
        if (first && code != OP_PROTO) {
            return sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "is no pickle of protocol 2 to 5");
        }
        if (code != OP_STOP) {
            step(r, (enum opcode)code);
            continue;
        }
        struct sonde_pickle_value *root = pop(r);
        if (root && (r->n_stack || r->n_marks)) {
            sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "more than one value at the end");
        } else if (root && r->at != r->n_bytes) {
            sonde_pickle_refuse(r, SONDE_STATUS_FORMAT, "%zu bytes after the end",
                                r->n_bytes - r->at);
        } else if (root) {
            measure(r, root, 0);
        }
        return root;
    }
    return NULL;
}

enum sonde_status sonde_pickle_read(struct sonde_arena *arena, const uint8_t *data, size_t n_bytes,
                                    const struct sonde_pickle_value **out,
                                    struct sonde_error *error)
{
    struct sonde_pickle_reader reader = {
        .arena = arena, .data = data, .n_bytes = n_bytes, .error = error
    };
    if (n_bytes > SONDE_PICKLE_BYTES_MAX) {
        return sonde_error_set(error, SONDE_STATUS_LIMIT,
                               "a pickle of %zu bytes, at most %d are allowed", n_bytes,
                               SONDE_PICKLE_BYTES_MAX);
    }
    struct sonde_pickle_value *root = run(&reader);
    free(reader.stack);
    free(reader.memo);
    if (reader.status == SONDE_STATUS_OK) {
        *out = root;
    }
    return reader.status;
}

const struct sonde_pickle_value *sonde_pickle_get(const struct sonde_pickle_value *dict,
                                                  const char *key)
{
    if (!dict || (dict->type != SONDE_PICKLE_DICT && dict->type != SONDE_PICKLE_RECORD)) {
        return NULL;
    }
    size_t n = strlen(key);
    for (int64_t i = dict->n - 2; i >= 0; i -= 2) {
        const struct sonde_pickle_value *found = dict->item[i];
        if (found->type == SONDE_PICKLE_TEXT && found->n == (int64_t)n &&
            memcmp(found->text, key, n) == 0) {
            return dict->item[i + 1];
        }
    }
    return NULL;
}

bool sonde_pickle_real(const struct sonde_pickle_value *value, double *out)
{
    if (!value || (value->type != SONDE_PICKLE_INT && value->type != SONDE_PICKLE_BOOL &&
                   value->type != SONDE_PICKLE_FLOAT)) {
        return false;
    }
    *out = value->type == SONDE_PICKLE_FLOAT ? value->real : (double)value->integer;
    return true;
}
