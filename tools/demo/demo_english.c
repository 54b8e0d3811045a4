/* The English model: what its attention looks at, its guesses layer by layer, its neurons, and
 * what can be read of a sentence's topic. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "tools/bundled.h"
#include "tools/demo/demo.h"
#include "tools/demo/demo_fields.h"

#define PROMPT "oak: any of various trees of the"
#define ATTENTION_TEXT "physician: a person who treats people that are sick"
#define ATTENTION_STRING "shuffle-2:n=1,len=20..20,generator=walk,seed=7"
/* Every token behind the fourth gets the field of its line. */
#define TOPIC_SQL                                                                                  \
    "SELECT token, value FROM tokens JOIN labels ON item = sequence "                              \
    "WHERE label_set = 'field' AND position > 4"
#define CARD_LINES 5
#define LAYERS_MAX 64

static enum sonde_status attention(struct sonde_demo *demo, struct sonde_error *error)
{
    struct sonde_demo_section *s = sonde_demo_begin(
        demo, "attention", "Two ways to look back: an average, and heads with tasks");
    struct sonde_result *counter = NULL, *english = NULL;
    enum sonde_status status = sonde_demo_run(demo, s, &counter, error, "probe", "attention",
                                              "counter", "--formal", ATTENTION_STRING, NULL);
    if (!status)
        status = sonde_demo_run(demo, s, &english, error, "probe", "attention", "english", "--text",
                                ATTENTION_TEXT, "--grid", "model", NULL);
    if (!status) {
        int64_t best = 0;
        for (int64_t i = 0; i < sonde_demo_rows(english, "heads"); i++) {
            if (sonde_demo_cell(english, "heads", i, "previous_token") >
                sonde_demo_cell(english, "heads", best, "previous_token"))
                best = i;
        }
        double previous = sonde_demo_cell(english, "heads", best, "previous_token");
        sonde_demo_take_figure(demo, s, counter, "layer-0-head-0", "attention-counter",
                               "counter: its one head");
        sonde_demo_take_figure(demo, s, english, "model-heads", "attention-english",
                               "english: all heads");
        s->text[0] = "A row is a token, its columns what it looks at; rows sum to 1.";
        s->seen = sonde_demo_print(
            demo,
            "The counter spreads its attention over all that came before, which is how a sum "
            "divided by the length comes about. The English model's heads differ: head %.0f of "
            "layer %.0f gives %.0f %% of its attention to the token just before.",
            sonde_demo_cell(english, "heads", best, "head"),
            sonde_demo_cell(english, "heads", best, "layer"), 100 * previous);
        s->opposite = "Rows of the counter that favour one position or one kind of bracket: then "
                      "the average would not be the count. Heads that all look alike: then one "
                      "would do.";
        sonde_result_scalar_f64(demo->result, "previous_token_head", previous);
    }
    sonde_result_destroy(&counter);
    sonde_result_destroy(&english);
    return status;
}

static enum sonde_status lens(struct sonde_demo *demo, struct sonde_error *error)
{
    struct sonde_demo_section *s =
        sonde_demo_begin(demo, "lens", "A guess takes shape, layer by layer");
    struct sonde_result *r = NULL;
    enum sonde_status status = sonde_demo_run(demo, s, &r, error, "probe", "logit-lens", "english",
                                              "--text", PROMPT, NULL);
    if (!status) {
        int64_t last = sonde_demo_rows(r, "sites") - 1;
        const char *last_word =
            sonde_demo_text(r, "lens", sonde_demo_rows(r, "lens") - 5, "predicted");
        double first_kl = sonde_demo_cell(r, "sites", 0, "kl");
        double middle_kl = sonde_demo_cell(r, "sites", last / 2, "kl");
        sonde_demo_take_figure(demo, s, r, "lens", "lens", "What would come next, read early");
        s->text[0] = "The state at every layer is put through the model's own output layer, as if "
                     "the model ended there. A cell names the likeliest next token and is the "
                     "darker the less sure it is; the top row is what the model says.";
        s->seen = sonde_demo_print(
            demo,
            "After `%s` the model ends on \u201c%s\u201d. The distance to its final answer falls "
            "from %.1f nats at the embedding to %.1f half way and 0 at the end.",
            PROMPT, *last_word == ' ' ? last_word + 1 : last_word, first_kl, middle_kl);
        s->opposite = "A distance that stays as high until the last layer: then what the layers "
                      "pass on is not written in the words of the output, and the lens sees "
                      "nothing.";
        sonde_result_scalar_f64(demo->result, "lens_kl_first", first_kl);
        sonde_result_scalar_f64(demo->result, "lens_kl_middle", middle_kl);
        sonde_result_check(demo->result, "the lens comes nearer to the answer",
                           middle_kl < first_kl, middle_kl - first_kl, "< 0");
    }
    sonde_result_destroy(&r);
    return status;
}

/* Sentences and labels beside the store, so that the commands can be typed. */
static enum sonde_status record(struct sonde_demo *demo, struct sonde_demo_section *s,
                                struct sonde_demo_lines *lines, struct sonde_error *error)
{
    char *folder = NULL, *sample = NULL;
    struct sonde_buf text = { 0 };
    const char *sentences = sonde_demo_path(demo, "sentences.jsonl");
    const char *labels = sonde_demo_path(demo, "fields.tsv");
    const char *store = sonde_demo_path(demo, "english.db");
    enum sonde_status status = sonde_bundled_folder("english", &folder, error);
    if (!status && !(sample = sonde_path_join(folder, "sample.jsonl")))
        status = sonde_error_memory(error, "a path");
    if (!status)
        status = sonde_file_load(sample, (int64_t)1 << 24, &text, error);
    if (!status)
        status = sonde_file_save(sentences, text.data ? text.data : "", text.size, error);
    if (!status)
        status = sonde_demo_lines_read(lines, sentences, error);
    if (!status)
        status = sonde_demo_lines_save(lines, labels, error);
    if (!status)
        status = sonde_demo_run(demo, s, NULL, error, "record", "english", "--jsonl", sentences,
                                "--sites", "resid,ffn", "--run", "sentences", "--resume", "-o",
                                store, NULL);
    if (!status)
        status = sonde_demo_run(demo, s, NULL, error, "label", store, "--set", "field", "--from",
                                labels, "--replace", NULL);
    sonde_buf_finish(&text);
    free(sample);
    free(folder);
    return status;
}

static const struct sonde_table *find_table(const struct sonde_result *r, const char *name)
{
    for (int64_t i = 0; i < r->n_tables; i++) {
        if (strcmp(r->table[i]->name, name) == 0)
            return r->table[i];
    }
    return NULL;
}

/* Without the token that begins every text. */
static const char *plain_context(struct sonde_demo *demo, const char *context)
{
    const char *end = strncmp(context, "<|", 2) == 0 ? strstr(context, "|>") : NULL;
    return sonde_demo_print(demo, "%s", end ? end + 2 : context);
}

/* A neuron's strongest triggers, a line each once, and what it promotes. */
static enum sonde_status add_card(struct sonde_demo *demo, struct sonde_demo_section *s,
                                  const struct sonde_result *r,
                                  const struct sonde_demo_lines *lines,
                                  const struct sonde_demo_neuron *neuron, struct sonde_error *error)
{
    const char **line = sonde_arena_zalloc(demo->arena, CARD_LINES, sizeof(*line));
    const char **chip = sonde_arena_zalloc(demo->arena, neuron->n_values, sizeof(*chip));
    bool *marked = sonde_arena_zalloc(demo->arena, neuron->n_values, sizeof(*marked));
    double seen[CARD_LINES];
    int64_t n = 0;
    if (!line || !chip || !marked)
        return sonde_error_memory(error, "a card");
    for (int64_t i = neuron->first; i < neuron->first + neuron->n_rows && n < CARD_LINES; i++) {
        double sequence = sonde_demo_cell(r, "keys", i, "sequence");
        bool known = false;
        for (int64_t k = 0; k < n; k++)
            known = known || seen[k] == sequence;
        if (known)
            continue;
        seen[n] = sequence;
        line[n++] = plain_context(demo, sonde_demo_text(r, "keys", i, "context"));
    }
    for (int64_t i = 0; i < neuron->n_values; i++) {
        const char *token = sonde_demo_text(r, "values", neuron->first_value + i, "token");
        /* a piece that goes on with a word is told from a word */
        bool word = token[0] == ' ';
        marked[i] = sonde_demo_is_typical(lines, neuron->field, token);
        chip[i] = sonde_demo_print(demo, "%s%s", word ? "" : "-", token + word);
    }
    s->card[s->n_cards++] = (struct sonde_article_card){
        .title = sonde_demo_print(demo, "%s", lines->name[neuron->field]),
        .note = sonde_demo_print(demo, "layer %lld, neuron %lld: %lld of its %lld strongest lines",
                                 (long long)neuron->layer, (long long)neuron->neuron,
                                 (long long)neuron->same, (long long)neuron->lines),
        .line = line,
        .n_lines = n,
        .chips_title = "promotes",
        .chip = chip,
        .chip_marked = marked,
        .n_chips = neuron->n_values,
    };
    return SONDE_STATUS_OK;
}

static void tell_neurons(struct sonde_demo *demo, struct sonde_demo_section *s,
                         const struct sonde_demo_lines *lines, int64_t typical, double share,
                         double control)
{
    s->text[0] = sonde_demo_print(
        demo,
        "Each neuron is a memory cell: the texts that excite it most are its key, the tokens that "
        "it makes likelier its value. The cards are picked by a rule, not by hand. Of a neuron's "
        "twenty strongest triggers in %lld lines that the model was not trained on, at least a "
        "quarter of the lines are of one field of WordNet, and half of the twenty tokens that it "
        "promotes most are whole words. Shown are the neurons of the three fields that do best by "
        "the share of their lines times one plus the promoted words that are typical of the field "
        "(dark: in the field's lines at least three times as common as in others).",
        (long long)lines->n);
    s->seen = sonde_demo_print(
        demo,
        "Triggers (marked) with many lines of one field among them, and promoted words, read from "
        "the weights alone, several of which belong to the same field. The purest neuron has "
        "%.0f %% of its lines in one field; with the fields dealt out to the lines at random, the "
        "purest of all neurons in 20 draws has %.0f %%.",
        100 * share, 100 * control);
    s->opposite = "Random fields that give neurons as pure: then, with so many neurons to choose "
                  "from, purity means nothing. Promoted words that have nothing to do with the "
                  "triggers: then key and value are not one memory.";
    sonde_result_scalar_f64(demo->result, "neuron_share", share);
    sonde_result_scalar_f64(demo->result, "neuron_share_control", control);
    sonde_result_scalar_i64(demo->result, "neuron_typical_words", typical);
    sonde_result_check(demo->result, "the purest neuron is purer than with random fields",
                       share > control, share - control, "> 0");
    sonde_result_check(demo->result, "a neuron promotes words of its triggers' field", typical >= 2,
                       (double)typical, ">= 2");
}

static enum sonde_status neurons(struct sonde_demo *demo, struct sonde_demo_lines *lines,
                                 struct sonde_error *error)
{
    struct sonde_demo_section *s = sonde_demo_begin(
        demo, "neurons", "Feed-forward neurons as memories: what they fire on, what they say");
    struct sonde_demo_neuron picked[SONDE_DEMO_CARDS];
    struct sonde_result *r = NULL;
    double control = 0.0;
    enum sonde_status status = record(demo, s, lines, error);
    if (!status)
        status = sonde_demo_run(demo, s, &r, error, "probe", "kv-memory",
                                sonde_demo_path(demo, "english.db"), "--neurons", "all", "--top",
                                "20", NULL);
    const struct sonde_table *keys = status ? NULL : find_table(r, "keys");
    const struct sonde_table *values = status ? NULL : find_table(r, "values");
    if (!status && (!keys || !values))
        status = sonde_error_set(error, SONDE_STATUS_FORMAT, "kv-memory gave no keys or values");
    if (!status)
        status = sonde_demo_best_share_control(lines, keys, 20, (uint64_t)demo->cli->common.seed,
                                               &control, error);
    if (!status) {
        int64_t n = sonde_demo_pick_neurons(lines, keys, values, picked, SONDE_DEMO_CARDS);
        for (int64_t i = 0; !status && i < n; i++)
            status = add_card(demo, s, r, lines, &picked[i], error);
        tell_neurons(demo, s, lines, n > 0 ? picked[0].typical : 0,
                     sonde_demo_best_share(lines, keys), control);
    }
    sonde_result_destroy(&r);
    return status;
}

static struct sonde_figure *draw_topic(const struct sonde_result *r)
{
    static const struct {
        const char *column, *name;
    } series[] = { { "value", "field" },
                   { "random_weights", "field, random weights" },
                   { "control", "control: random labels" } };
    double x[LAYERS_MAX], y[LAYERS_MAX], low[LAYERS_MAX], high[LAYERS_MAX];
    int64_t n = sonde_demo_rows(r, "layers");
    n = n < LAYERS_MAX ? n : LAYERS_MAX;
    struct sonde_figure *f = sonde_figure_create(SONDE_FIGURE_LINE, "topic-curve",
                                                 "How well a linear probe reads the topic");
    if (!f)
        return NULL;
    const char *tick[LAYERS_MAX];
    char name[LAYERS_MAX][24];
    for (int64_t i = 0; i < n; i++) {
        int layer = (int)sonde_demo_cell(r, "layers", i, "layer");
        snprintf(name[i], sizeof(name[i]), layer < 0 ? "embedding" : "layer %d", layer);
        tick[i] = name[i];
    }
    sonde_figure_set_ticks(f, &f->x, tick, n);
    sonde_figure_set_axes(f, NULL, "accuracy on lines not seen");
    for (size_t k = 0; k < sizeof(series) / sizeof(series[0]); k++) {
        for (int64_t i = 0; i < n; i++) {
            x[i] = (double)i;
            y[i] = sonde_demo_cell(r, "layers", i, series[k].column);
            low[i] = sonde_demo_cell(r, "layers", i, "ci_low");
            high[i] = sonde_demo_cell(r, "layers", i, "ci_high");
        }
        sonde_figure_add_series(f, series[k].name, n, x, y, k == 0 ? low : NULL,
                                k == 0 ? high : NULL);
    }
    sonde_figure_set_reference(f, sonde_demo_cell(r, "layers", 0, "majority"),
                               "always the commonest");
    return f;
}

static enum sonde_status topic(struct sonde_demo *demo, struct sonde_error *error)
{
    struct sonde_demo_section *s =
        sonde_demo_begin(demo, "topic", "The topic of a definition, layer by layer");
    struct sonde_result *r = NULL;
    const char *store = sonde_demo_path(demo, "english.db");
    enum sonde_status status = sonde_demo_run(demo, s, NULL, error, "label", store, "--set",
                                              "topic", "--sql", TOPIC_SQL, "--replace", NULL);
    if (!status)
        status =
            sonde_demo_run(demo, s, &r, error, "probe", "linear", store, "--streams", "resid",
                           "--labels", "topic", "--l2", "10", "--control", "--control-labels",
                           "uniform", "--baseline", "random-weights", "--bootstrap", "200", NULL);
    if (!status) {
        int64_t n = sonde_demo_rows(r, "layers"), best = 0;
        for (int64_t i = 1; i < n; i++) {
            if (sonde_demo_cell(r, "layers", i, "value") >
                sonde_demo_cell(r, "layers", best, "value"))
                best = i;
        }
        double value = sonde_demo_cell(r, "layers", best, "value");
        double control = sonde_demo_cell(r, "layers", best, "control");
        double random = sonde_demo_cell(r, "layers", best, "random_weights");
        sonde_demo_add_figure(demo, s, draw_topic(r));
        s->text[0] = "WordNet says of every noun which field it belongs to: animal, food, "
                     "artifact, act. A linear probe has to name the field of the line from the "
                     "state at a single token, on lines that neither model nor probe has met. A "
                     "token by itself says little; what came before it must have been brought "
                     "along.";
        s->seen = sonde_demo_print(
            demo,
            "From the embedding of the token %.0f in 100 are named rightly, from the best layer "
            "%.0f; with random labels %.0f, with random weights %.0f, and always naming the "
            "commonest field of the training lines gives %.0f. The band is a 95 %% interval; the "
            "sample is small.",
            100 * sonde_demo_cell(r, "layers", 0, "value"), 100 * value, 100 * control,
            100 * random, 100 * sonde_demo_cell(r, "layers", best, "majority"));
        s->opposite = "A flat line: then the layers add nothing to what the token itself says. "
                      "Random weights as good as the model: then nothing that was learnt matters.";
        sonde_result_scalar_f64(demo->result, "topic_accuracy", value);
        sonde_result_scalar_f64(demo->result, "topic_control", control);
        sonde_result_scalar_f64(demo->result, "topic_random_weights", random);
        sonde_result_check(demo->result, "the topic is read better than random labels",
                           value > control, value - control, "> 0");
        sonde_demo_number(demo, sonde_demo_print(demo, "%.2f", value),
                          sonde_demo_print(demo,
                                           "accuracy of a linear probe for a line's topic, one of "
                                           "%.0f, from one token; %.2f with random weights",
                                           sonde_demo_scalar(r, "classes"), random));
    }
    sonde_result_destroy(&r);
    return status;
}

enum sonde_status sonde_demo_english(struct sonde_demo *demo, struct sonde_error *error)
{
    struct sonde_demo_lines lines = { 0 };
    enum sonde_status status = attention(demo, error);
    if (!status)
        status = lens(demo, error);
    if (!status)
        status = neurons(demo, &lines, error);
    if (!status)
        status = topic(demo, error);
    sonde_demo_lines_finish(&lines);
    return status;
}
