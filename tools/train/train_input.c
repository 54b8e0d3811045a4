#include "tools/train/train_input.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/num.h"
#include "core/corpus/corpus.h"

#define TOKENS_MAX ((int64_t)1 << 31)

void sonde_train_input_close(struct sonde_train_input **input)
{
    if (!input || !*input)
        return;
    struct sonde_train_input *in = *input;
    for (int64_t i = 0; in->validation && i < in->recipe->n_validations; i++)
        sonde_examples_destroy(&in->validation[i]);
    for (int i = 0; i < in->n_files; i++)
        sonde_buf_finish(&in->file[i].bytes);
    sonde_train_classes_finish(&in->classes);
    free(in->validation);
    free(in->validation_bytes);
    sonde_examples_destroy(&in->train);
    sonde_json_destroy(&in->config);
    sonde_tokenizer_close(&in->tokenizer);
    free(in);
    *input = NULL;
}

/* The tokenizer's file, and beside one that is called tokenizer.json what belongs to it. */
static enum sonde_status take_files(struct sonde_train_input *in, struct sonde_error *error)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json",
                                         "special_tokens_map.json" };
    const char *given = in->recipe->tokenizer;
    bool folder = sonde_path_is_directory(given);
    bool alone = !folder && strcmp(sonde_path_base(given), names[0]) != 0;
    size_t n = folder ? strlen(given) : (size_t)(sonde_path_base(given) - given);
    enum sonde_status status = SONDE_STATUS_OK;
    for (int i = 0; i < SONDE_TRAIN_FILES_MAX && !status && (i == 0 || !alone); i++) {
        struct sonde_buf path = { 0 };
        sonde_buf_append(&path, given, n);
        if (n > 0 && given[n - 1] != '/')
            sonde_buf_putc(&path, '/');
        sonde_buf_puts(&path, names[i]);
        status = sonde_buf_status(&path, error);
        const char *from = i == 0 && !folder ? given : path.data;
        if (!status && (i == 0 || sonde_path_exists(from))) {
            struct sonde_train_file *file = &in->file[in->n_files++];
            file->name = names[i];
            status = sonde_file_load(from, SONDE_TOKENIZER_MAX_FILE_BYTES, &file->bytes, error);
        }
        sonde_buf_finish(&path);
    }
    return status;
}

/* The end-of-text token: what the tokenizer says, else the names that are usual for it. */
static int32_t find_eos(const struct sonde_tokenizer *t)
{
    static const char *const names[] = { "<|endoftext|>", "</s>", "<|end|>", "<eos>", "[SEP]" };
    int32_t id = sonde_tokenizer_eos(t);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && id < 0; i++)
        id = sonde_tokenizer_id(t, names[i]);
    return id;
}

static enum sonde_status open_tokenizer(struct sonde_train_input *in, struct sonde_error *error)
{
    const struct sonde_recipe *recipe = in->recipe;
    in->eos = -1;
    in->mask_id = recipe->options.mask_id;
    enum sonde_status status = sonde_tokenizer_open(&in->tokenizer, recipe->tokenizer, 0, error);
    if (!status)
        status = take_files(in, error);
    if (status)
        return status;
    in->eos = find_eos(in->tokenizer);
    if (recipe->mask_token) {
        in->mask_id = sonde_tokenizer_id(in->tokenizer, recipe->mask_token);
        if (in->mask_id < 0)
            return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                   "mask: the tokenizer has no token \"%s\"", recipe->mask_token);
    }
    return SONDE_STATUS_OK;
}

static enum sonde_status open_formal(struct sonde_train_input *in, struct sonde_error *error)
{
    struct sonde_formal_spec spec;
    struct sonde_formal_generator *generator = NULL;
    struct sonde_train_file *file = &in->file[0];
    in->eos = in->mask_id = -1;
    enum sonde_status status = sonde_formal_parse_spec(in->recipe->corpus.source, &spec, error);
    if (!status)
        status = sonde_formal_generator_create(&generator, &spec, error);
    if (status) {
        sonde_error_prepend(error, "corpus");
        return status;
    }
    strcpy(in->formal_ids, sonde_formal_generator_spec(generator)->ids);
    const char *end = strchr(in->formal_ids, 'T'); /* the padding symbol ends strings too */
    in->eos = end ? (int32_t)(end - in->formal_ids) : -1;
    sonde_formal_generator_destroy(&generator);
    in->n_files = 1;
    file->name = "tokenizer.json";
    status = sonde_train_formal_tokenizer(&file->bytes, in->formal_ids, error);
    if (!status)
        status = sonde_tokenizer_parse(&in->tokenizer, file->bytes.data, file->bytes.size,
                                       "tokenizer.json", error);
    return status;
}

static enum sonde_status open_corpus(const struct sonde_recipe_corpus *c, const char *field,
                                     struct sonde_corpus **out, struct sonde_error *error)
{
    static const enum sonde_corpus_format formats[] = {
        SONDE_CORPUS_FORMAL, SONDE_CORPUS_LINES,  SONDE_CORPUS_WHOLE,
        SONDE_CORPUS_JSONL,  SONDE_CORPUS_CONLLU, SONDE_CORPUS_IDS,
    };
    return sonde_corpus_open(out, c->source, formats[c->kind],
                             c->kind == SONDE_RECIPE_CORPUS_JSONL ? field : NULL, error);
}

static bool is_taken(const struct sonde_recipe_corpus *c, int64_t ordinal)
{
    if (c->skip_every)
        return ordinal % c->skip_every != c->skip_every - 1;
    return !c->only_every || ordinal % c->only_every == c->only_every - 1;
}

/* The different labels of the corpus. */
static enum sonde_status read_classes(struct sonde_train_input *in, int64_t max_bytes,
                                      const struct sonde_progress *progress,
                                      struct sonde_error *error)
{
    struct sonde_corpus *labels = NULL;
    const struct sonde_recipe_corpus *c = &in->recipe->corpus;
    struct sonde_train_classes *classes = &in->classes;
    int64_t taken = 0;
    enum sonde_status status = open_corpus(c, c->label, &labels, error);
    while (!status && (!c->limit || taken < c->limit)) {
        const struct sonde_corpus_item *item = NULL;
        int64_t done, total;
        status = sonde_corpus_next(labels, &item, error);
        if (status || !item)
            break;
        sonde_corpus_position(labels, &done, &total);
        if (!sonde_progress_update(progress, "read labels", done, total, "bytes"))
            status = sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
        if (status || !is_taken(c, item->ordinal))
            continue;
        taken++;
        status = sonde_train_classes_add(classes, item->text, error);
        if (!status && max_bytes && classes->bytes > max_bytes) {
            char have[SONDE_FORMAT_F64_MAX];
            sonde_format_bytes(have, max_bytes);
            status = sonde_error_set(error, SONDE_STATUS_LIMIT,
                                     "corpus: the names of the classes take more than %s of memory",
                                     have);
        }
    }
    sonde_corpus_close(&labels);
    if (!status && classes->n < 2)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "corpus: \"%s\" has %lld different values, expected 2 or more",
                                 in->recipe->corpus.label, (long long)classes->n);
    if (!status)
        sonde_train_classes_sort(classes);
    return status;
}

static void put_missing(struct sonde_buf *text, const struct sonde_json *config, const char *key,
                        int64_t value)
{
    if (value >= 0 && !sonde_json_get(config, key))
        sonde_buf_printf(text, ",\"%s\":%lld", key, (long long)value);
}

/* The recipe's model with the sizes that follow from the rest, where it does not say them. */
static enum sonde_status complete_config(struct sonde_train_input *in, struct sonde_error *error)
{
    const struct sonde_json *model = in->recipe->model;
    const bool own =
        strcmp(sonde_json_string(sonde_json_get(model, "model_type"), ""), "sonde") == 0;
    struct sonde_buf text = { 0 };
    int64_t n_outputs = -1;
    if (in->classes.n > 0)
        n_outputs = in->classes.n;
    enum sonde_status status = SONDE_STATUS_OK;
    if (*in->formal_ids && (in->recipe->options.objective == SONDE_OBJECTIVE_K_HOT_MSE ||
                            in->recipe->options.objective == SONDE_OBJECTIVE_K_HOT_BCE)) {
        struct sonde_formal_spec spec;
        struct sonde_formal *formal = NULL;
        status = sonde_formal_parse_spec(in->recipe->corpus.source, &spec, error);
        if (!status)
            status = sonde_formal_create(&formal, spec.name, error);
        if (!status)
            n_outputs = (int64_t)strlen(sonde_formal_symbols(formal));
        sonde_formal_destroy(&formal);
    }
    if (status)
        return status;
    sonde_json_dump(&text, model);
    if (text.size > 0)
        text.data[--text.size] = '\0'; /* its closing brace */
    if (in->tokenizer)
        put_missing(&text, model, "vocab_size", sonde_tokenizer_size(in->tokenizer));
    if (in->tokenizer)
        put_missing(&text, model, "bos_token_id", sonde_tokenizer_bos(in->tokenizer));
    put_missing(&text, model, "eos_token_id", in->eos);
    if (own)
        put_missing(&text, model, "n_outputs", n_outputs);
    sonde_buf_putc(&text, '}');
    status = sonde_buf_status(&text, error);
    if (!status)
        status = sonde_json_parse(&in->config, text.data, text.size, error);
    sonde_buf_finish(&text);
    return status;
}

enum sonde_status sonde_train_input_open(struct sonde_train_input **out,
                                         const struct sonde_recipe *recipe, int64_t max_bytes,
                                         const struct sonde_progress *progress,
                                         struct sonde_error *error)
{
    struct sonde_train_input *in = calloc(1, sizeof(*in));
    if (!in)
        return sonde_error_memory(error, "the input");
    in->recipe = recipe;
    in->eos = -1;
    in->mask_id = recipe->options.mask_id;
    enum sonde_status status = SONDE_STATUS_OK;
    if (recipe->formal_tokenizer)
        status = open_formal(in, error);
    else if (recipe->tokenizer)
        status = open_tokenizer(in, error);
    else if (recipe->mask_token)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "mask: \"%s\": without a tokenizer the token is an id",
                                 recipe->mask_token);
    if (!status && recipe->corpus.label)
        status = read_classes(in, max_bytes, progress, error);
    if (!status)
        status = complete_config(in, error);
    if (status) {
        sonde_train_input_close(&in);
        return status;
    }
    *out = in;
    return SONDE_STATUS_OK;
}

/* One corpus on its way into a set of examples. */
struct reading {
    struct sonde_train_input *in;
    const struct sonde_recipe_corpus *corpus;
    const struct sonde_spec *spec;
    struct sonde_examples *examples;
    struct sonde_encoding encoding;
    int32_t *ids, *targets; /* of a sequence in the making */
    int64_t n, capacity, targets_capacity;
    int64_t longest; /* tokens of a sequence at most */
    int64_t max_bytes;
    int64_t text_bytes; /* that were taken */
};

enum sonde_status sonde_train_check_bytes(const struct sonde_examples *examples, int64_t max_bytes,
                                          struct sonde_error *error)
{
    if (!max_bytes || sonde_examples_bytes(examples) <= max_bytes)
        return SONDE_STATUS_OK;
    char have[SONDE_FORMAT_F64_MAX];
    sonde_format_bytes(have, max_bytes);
    return sonde_error_set(error, SONDE_STATUS_LIMIT, "the examples take more than %s of memory",
                           have);
}

static enum sonde_status flush(struct reading *r, int64_t class_id, struct sonde_error *error)
{
    const enum sonde_objective objective = r->in->recipe->options.objective;
    struct sonde_example example = { .ids = r->ids, .n_tokens = r->n };
    if (objective == SONDE_OBJECTIVE_CLASSIFICATION || objective == SONDE_OBJECTIVE_MASKED_TOKEN) {
        if (!sonde_grow((void **)&r->targets, &r->targets_capacity, r->n, sizeof(*r->targets),
                        TOKENS_MAX))
            return sonde_error_memory(error, "targets");
        for (int64_t t = 0; t < r->n; t++) {
            const bool special =
                r->in->tokenizer && sonde_tokenizer_is_special(r->in->tokenizer, r->ids[t]);
            r->targets[t] = objective == SONDE_OBJECTIVE_MASKED_TOKEN && !special ? 0 : -1;
        }
        if (objective == SONDE_OBJECTIVE_CLASSIFICATION)
            r->targets[r->in->recipe->label_at_first ? 0 : r->n - 1] = (int32_t)class_id;
        example.targets = r->targets;
    }
    r->n = 0;
    enum sonde_status status = sonde_examples_add(r->examples, &example, error);
    return status ? status : sonde_train_check_bytes(r->examples, r->max_bytes, error);
}

static enum sonde_status put_id(struct reading *r, int32_t id, int64_t class_id,
                                struct sonde_error *error)
{
    if (id < 0 || id >= r->spec->d_vocab)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "id %d, the model's vocabulary has %lld", (int)id,
                               (long long)r->spec->d_vocab);
    if (!sonde_grow((void **)&r->ids, &r->capacity, r->n + 1, sizeof(*r->ids), TOKENS_MAX))
        return sonde_error_memory(error, "a sequence");
    r->ids[r->n++] = id;
    return r->n == r->longest ? flush(r, class_id, error) : SONDE_STATUS_OK;
}

static enum sonde_status take_item(struct reading *r, const struct sonde_corpus_item *item,
                                   int64_t class_id, struct sonde_error *error)
{
    static const enum sonde_bos_policy policies[] = { SONDE_BOS_AUTO, SONDE_BOS_ALWAYS,
                                                      SONDE_BOS_NEVER };
    enum sonde_status status = SONDE_STATUS_OK;
    r->encoding.n = 0;
    if (!item->ids)
        status = sonde_tokenizer_encode(r->in->tokenizer, item->text, (size_t)item->text_bytes,
                                        policies[r->corpus->bos], &r->encoding, error);
    const int64_t n = item->ids ? item->n_ids : r->encoding.n;
    if (!status && n > r->longest && r->corpus->label)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                 "%lld tokens with a label, the model takes at most %lld",
                                 (long long)n, (long long)r->longest);
    for (int64_t i = 0; !status && i < n; i++) {
        int32_t id = item->ids ? item->ids[i] : r->encoding.tokens[i].id;
        if (item->ids && item->text) { /* a formal string: in the order of the training corpus */
            const char *at = strchr(r->in->formal_ids, item->text[i]);
            id = at ? (int32_t)(at - r->in->formal_ids) : -1;
        }
        status = put_id(r, id, class_id, error);
    }
    if (!status && r->corpus->eos && n > 0)
        status = put_id(r, r->in->eos, class_id, error);
    if (!status && !r->corpus->pack && r->n > 0)
        status = flush(r, class_id, error);
    return status;
}

static enum sonde_status find_class(const struct sonde_train_input *in, const char *label,
                                    int64_t *out, struct sonde_error *error)
{
    *out = sonde_train_classes_find(&in->classes, label);
    if (*out < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "the label \"%.60s\" is not in the training corpus", label);
    return SONDE_STATUS_OK;
}

static enum sonde_status read_items(struct reading *r, struct sonde_corpus *texts,
                                    struct sonde_corpus *labels,
                                    const struct sonde_progress *progress,
                                    struct sonde_error *error)
{
    const struct sonde_recipe_corpus *c = r->corpus;
    for (int64_t taken = 0; !c->limit || taken < c->limit;) {
        const struct sonde_corpus_item *item = NULL, *label = NULL;
        int64_t class_id = -1, done, total;
        enum sonde_status status = sonde_corpus_next(texts, &item, error);
        if (!status && item && labels)
            status = sonde_corpus_next(labels, &label, error);
        if (!status && !item)
            break;
        if (!status && !is_taken(c, item->ordinal))
            continue;
        if (!status && label)
            status = find_class(r->in, label->text, &class_id, error);
        if (!status)
            status = take_item(r, item, class_id, error);
        if (status) {
            if (item)
                sonde_error_prepend(error, "%s: item %lld", c->source,
                                    (long long)item->ordinal + 1);
            return status;
        }
        taken++;
        r->text_bytes += item->text ? item->text_bytes : 0;
        sonde_corpus_position(texts, &done, &total);
        if (!sonde_progress_update(progress, "read", done, total, "bytes"))
            return sonde_error_set(error, SONDE_STATUS_CANCELLED, "stopped");
    }
    return r->n > 0 ? flush(r, -1, error) : SONDE_STATUS_OK;
}

static enum sonde_status
read_corpus(struct sonde_train_input *in, const struct sonde_recipe_corpus *c,
            const struct sonde_spec *spec, int64_t max_bytes, const struct sonde_progress *progress,
            struct sonde_examples **out, int64_t *text_bytes, struct sonde_error *error)
{
    struct sonde_corpus *texts = NULL, *labels = NULL;
    const enum sonde_objective objective = in->recipe->options.objective;
    const bool k_hot =
        objective == SONDE_OBJECTIVE_K_HOT_MSE || objective == SONDE_OBJECTIVE_K_HOT_BCE;
    struct reading r = { .in = in, .corpus = c, .spec = spec, .max_bytes = max_bytes };
    r.longest = c->pack && c->pack < spec->n_ctx ? c->pack : spec->n_ctx;
    if (c->pack > spec->n_ctx)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: \"pack\" is %lld, the model takes at most %lld tokens", c->name,
                               (long long)c->pack, (long long)spec->n_ctx);
    if (c->eos && in->eos < 0)
        return sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                               "%s: the tokenizer has no end-of-text token for \"eos\" (which "
                               "\"pack\" asks for unless it is false)",
                               c->name);
    enum sonde_status status = SONDE_STATUS_OK;
    if (k_hot) {
        status =
            sonde_train_formal(&r.examples, c->source, in->formal_ids, max_bytes, progress, error);
        if (!status && sonde_examples_outputs(r.examples) != sonde_spec_outputs(spec))
            status = sonde_error_set(error, SONDE_STATUS_ARGUMENT,
                                     "%s has %lld symbols, the model has %lld outputs", c->source,
                                     (long long)sonde_examples_outputs(r.examples),
                                     (long long)sonde_spec_outputs(spec));
    } else {
        status = sonde_examples_create(&r.examples, 0, error);
        if (!status)
            status = open_corpus(c, c->field, &texts, error);
        if (!status && c->label)
            status = open_corpus(c, c->label, &labels, error);
        if (!status)
            status = read_items(&r, texts, labels, progress, error);
    }
    if (!status && sonde_examples_count(r.examples) == 0)
        status = sonde_error_set(error, SONDE_STATUS_ARGUMENT, "%s: no text in it", c->source);
    sonde_corpus_close(&texts);
    sonde_corpus_close(&labels);
    sonde_encoding_finish(&r.encoding);
    free(r.ids);
    free(r.targets);
    if (status) {
        sonde_examples_destroy(&r.examples);
        sonde_error_prepend(error, "%s", c->name);
        return status;
    }
    *out = r.examples;
    *text_bytes = r.text_bytes;
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_train_input_read(struct sonde_train_input *in,
                                         const struct sonde_spec *spec, int64_t max_bytes,
                                         const struct sonde_progress *progress,
                                         struct sonde_error *error)
{
    const struct sonde_recipe *recipe = in->recipe;
    in->validation = calloc((size_t)recipe->n_validations + 1, sizeof(struct sonde_examples *));
    in->validation_bytes = calloc((size_t)recipe->n_validations + 1, sizeof(int64_t));
    int64_t train_bytes;
    if (!in->validation || !in->validation_bytes)
        return sonde_error_memory(error, "the validation");
    int64_t left = max_bytes - in->classes.bytes;
    enum sonde_status status =
        read_corpus(in, &recipe->corpus, spec, max_bytes ? (left > 1 ? left : 1) : 0, progress,
                    &in->train, &train_bytes, error);
    if (!status)
        left -= sonde_examples_bytes(in->train);
    for (int64_t i = 0; i < recipe->n_validations && !status; i++) {
        status =
            read_corpus(in, &recipe->validation[i], spec, max_bytes ? (left > 1 ? left : 1) : 0,
                        progress, &in->validation[i], &in->validation_bytes[i], error);
        if (!status)
            left -= sonde_examples_bytes(in->validation[i]);
    }
    return status;
}
