#include "tools/cli.h"

#include <string.h>

#include "core/base/num.h"
#include "core/base/rng.h"

const struct sonde_cli_option sonde_cli_common_options[] = {
    { "json", 0, SONDE_CLI_FLAG, offsetof(struct sonde_cli_common, json), NULL,
      "the result as JSON on standard output", NULL, 0, 0 },
    { "quiet", 'q', SONDE_CLI_FLAG, offsetof(struct sonde_cli_common, quiet), NULL,
      "no progress and no warnings", NULL, 0, 0 },
    { "verbose", 'v', SONDE_CLI_FLAG, offsetof(struct sonde_cli_common, verbose), NULL,
      "whole tables on the terminal", NULL, 0, 0 },
    { "seed", 0, SONDE_CLI_INTEGER, offsetof(struct sonde_cli_common, seed), "N",
      "seed of everything random (default 42)", NULL, 0, INT64_MAX },
    { "threads", 0, SONDE_CLI_INTEGER, offsetof(struct sonde_cli_common, threads), "N",
      "threads to use (default 0: all cores)", NULL, 0, 1024 },
    { "help", 'h', SONDE_CLI_FLAG, offsetof(struct sonde_cli_common, help), NULL, "this text", NULL,
      0, 0 },
    { 0 },
};

struct parser {
    const struct sonde_command *command;
    struct sonde_arena *arena;
    struct sonde_cli *cli;
    void *options;
    const char **arg, **rest_name, **rest_value;
    int argc;
    char *const *argv;
    int at; /* the argument after the one in hand */
    struct sonde_error *error;
};

static const struct sonde_cli_option *find_in(const struct sonde_cli_option *options,
                                              const char *name, size_t n, char letter)
{
    for (const struct sonde_cli_option *o = options; o && o->name; o++) {
        if (o->type == SONDE_CLI_HEADING)
            continue;
        if (name ? strlen(o->name) == n && memcmp(o->name, name, n) == 0 : o->letter == letter)
            return o;
    }
    return NULL;
}

/* name NULL: by letter. *common tells which struct the option's offset is into. */
static const struct sonde_cli_option *find_option(const struct sonde_command *command,
                                                  const char *name, size_t n, char letter,
                                                  bool *common)
{
    const struct sonde_cli_option *o = find_in(command->options, name, n, letter);
    *common = false;
    if (o)
        return o;
    *common = true;
    return find_in(sonde_cli_common_options, name, n, letter);
}

static void nearest_in(const struct sonde_cli_option *options, const char *name, int *best,
                       const char **out)
{
    for (const struct sonde_cli_option *o = options; o && o->name; o++) {
        if (o->type == SONDE_CLI_HEADING)
            continue;
        int distance = sonde_str_distance(name, o->name, *best);
        /* "--max" is short for "--max-tokens" in people's minds. */
        if (sonde_str_starts(o->name, name) && distance > 1)
            distance = 1;
        if (distance < *best) {
            *best = distance;
            *out = o->name;
        }
    }
}

static enum sonde_status unknown_option(struct parser *p, const char *name)
{
    int best = (int)strlen(name) / 2 + 2;
    const char *nearest = NULL;
    nearest_in(p->command->options, name, &best, &nearest);
    nearest_in(sonde_cli_common_options, name, &best, &nearest);
    if (nearest)
        return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT,
                               "unknown option --%s; the nearest is --%s", name, nearest);
    return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT,
                           "unknown option --%s; 'sonde %s --help' lists them", name,
                           p->command->name);
}

static enum sonde_status bad_value(struct parser *p, const struct sonde_cli_option *o,
                                   const char *value, const char *expected)
{
    return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT, "--%s '%s': expected %s", o->name,
                           value, expected);
}

static enum sonde_status check_range(struct parser *p, const struct sonde_cli_option *o,
                                     const char *value, double number)
{
    if (o->minimum == 0 && o->maximum == 0)
        return SONDE_STATUS_OK;
    if (number >= (double)o->minimum && number <= (double)o->maximum)
        return SONDE_STATUS_OK;
    if (o->maximum == INT64_MAX)
        return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT, "--%s %s: must be at least %lld",
                               o->name, value, (long long)o->minimum);
    return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT,
                           "--%s %s: must be between %lld and %lld", o->name, value,
                           (long long)o->minimum, (long long)o->maximum);
}

static enum sonde_status set_choice(struct parser *p, const struct sonde_cli_option *o,
                                    const char *value, void *place)
{
    struct sonde_buf names = { 0 };
    for (int i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], value) == 0) {
            memcpy(place, &i, sizeof(i));
            sonde_buf_finish(&names);
            return SONDE_STATUS_OK;
        }
        sonde_buf_printf(&names, "%s%s",
                         i == 0              ? ""
                         : o->choices[i + 1] ? ", "
                                             : " or ",
                         o->choices[i]);
    }
    enum sonde_status status = bad_value(p, o, value, names.data ? names.data : "a choice");
    sonde_buf_finish(&names);
    return status;
}

static enum sonde_status add_text(struct parser *p, const char *value, void *place)
{
    struct sonde_cli_texts texts;
    memcpy(&texts, place, sizeof(texts));
    if (!texts.item) {
        texts.item = sonde_arena_zalloc(p->arena, p->argc, sizeof(*texts.item));
        if (!texts.item)
            return sonde_error_memory(p->error, "the command line");
    }
    texts.item[texts.n++] = value;
    memcpy(place, &texts, sizeof(texts));
    return SONDE_STATUS_OK;
}

static enum sonde_status set_number(struct parser *p, const struct sonde_cli_option *o,
                                    const char *value, void *place)
{
    int64_t integer = 0;
    double real = 0;
    size_t n = strlen(value);
    if (o->type == SONDE_CLI_REAL) {
        if (!sonde_parse_f64(value, n, &real))
            return bad_value(p, o, value, "a number");
        memcpy(place, &real, sizeof(real));
        return check_range(p, o, value, real);
    }
    if (o->type == SONDE_CLI_BYTES) {
        if (!sonde_parse_bytes(value, n, &integer))
            return bad_value(p, o, value, "a size such as 512M or 2G");
    } else if (!sonde_parse_i64(value, n, &integer)) {
        return bad_value(p, o, value, "a whole number");
    }
    memcpy(place, &integer, sizeof(integer));
    return check_range(p, o, value, (double)integer);
}

static enum sonde_status set_option(struct parser *p, const struct sonde_cli_option *o, bool common,
                                    const char *value)
{
    char *place = (common ? (char *)&p->cli->common : (char *)p->options) + o->offset;
    switch (o->type) {
    case SONDE_CLI_FLAG: {
        bool yes = true;
        memcpy(place, &yes, sizeof(yes));
        return SONDE_STATUS_OK;
    }
    case SONDE_CLI_TEXT:
        memcpy(place, &value, sizeof(value));
        return SONDE_STATUS_OK;
    case SONDE_CLI_TEXTS:
        return add_text(p, value, place);
    case SONDE_CLI_INTEGER:
    case SONDE_CLI_REAL:
    case SONDE_CLI_BYTES:
        return set_number(p, o, value, place);
    case SONDE_CLI_CHOICE:
        return set_choice(p, o, value, place);
    case SONDE_CLI_HEADING:
        break;
    }
    return SONDE_STATUS_OK;
}

/* Whether an argument in the place of a value is an option that was meant as one: "--text --json".
 */
static bool is_known_option(const struct parser *p, const char *argument)
{
    bool common;
    if (strcmp(argument, "--") == 0)
        return true;
    if (!sonde_str_starts(argument, "--"))
        return false;
    const char *name = argument + 2;
    return find_option(p->command, name, strcspn(name, "="), 0, &common) != NULL;
}

/* The value of option o: given with '=' (or behind its letter), or the next argument. */
static enum sonde_status take_value(struct parser *p, const struct sonde_cli_option *o,
                                    const char *given, const char **out)
{
    if (o->type == SONDE_CLI_FLAG) {
        if (given)
            return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT, "--%s takes no value", o->name);
        return SONDE_STATUS_OK;
    }
    if (given) {
        *out = given;
        return SONDE_STATUS_OK;
    }
    if (p->at >= p->argc || is_known_option(p, p->argv[p->at]))
        return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT, "--%s needs a value: --%s %s",
                               o->name, o->name, o->value_name ? o->value_name : "VALUE");
    *out = p->argv[p->at++];
    return SONDE_STATUS_OK;
}

/* An option that is not in the table of a command with open options. */
static enum sonde_status parse_open(struct parser *p, const char *name, size_t n, const char *given)
{
    char *copy = sonde_arena_strndup(p->arena, name, n);
    if (!copy)
        return sonde_error_memory(p->error, "the command line");
    int takes = p->command->rest_takes_value ? p->command->rest_takes_value(copy) : -1;
    const char *value = given;
    if (!value && takes != 0) {
        bool follows = p->at < p->argc && strcmp(p->argv[p->at], "--") != 0;
        if (takes < 0 && follows && p->argv[p->at][0] == '-') {
            double number;
            follows = sonde_parse_f64(p->argv[p->at], strlen(p->argv[p->at]), &number);
        } else if (follows && is_known_option(p, p->argv[p->at])) {
            follows = false;
        }
        if (follows)
            value = p->argv[p->at++];
        else if (takes > 0)
            return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT, "--%s needs a value", copy);
    } else if (value && takes == 0) {
        return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT, "--%s takes no value", copy);
    }
    p->rest_name[p->cli->n_rest] = copy;
    p->rest_value[p->cli->n_rest++] = value ? value : "1";
    return SONDE_STATUS_OK;
}

static enum sonde_status parse_long(struct parser *p, const char *argument)
{
    const char *name = argument + 2;
    size_t n = strcspn(name, "=");
    const char *given = name[n] == '=' ? name + n + 1 : NULL;
    bool common;
    const struct sonde_cli_option *o = find_option(p->command, name, n, 0, &common);
    if (!o) {
        if (p->command->open_options || p->command->rest_takes_value)
            return parse_open(p, name, n, given);
        char *copy = sonde_arena_strndup(p->arena, name, n);
        return copy ? unknown_option(p, copy) : sonde_error_memory(p->error, "the command line");
    }
    const char *value = NULL;
    enum sonde_status status = take_value(p, o, given, &value);
    return status ? status : set_option(p, o, common, value);
}

/* "-qv", "-o FILE", "-oFILE". */
static enum sonde_status parse_letters(struct parser *p, const char *argument)
{
    for (const char *c = argument + 1; *c; c++) {
        bool common;
        const struct sonde_cli_option *o = find_option(p->command, NULL, 0, *c, &common);
        if (!o)
            return sonde_error_set(
                p->error, SONDE_STATUS_ARGUMENT,
                "unknown option -%.*s; 'sonde %s --help' lists them",
                (int)(sonde_str_sequence(c, strlen(c)) > 1 ? sonde_str_sequence(c, strlen(c)) : 1),
                c, p->command->name);
        const char *value = NULL;
        bool flag = o->type == SONDE_CLI_FLAG;
        const char *given = !flag && c[1] ? c + 1 : NULL;
        enum sonde_status status = take_value(p, o, given, &value);
        if (!status)
            status = set_option(p, o, common, value);
        if (status)
            return status;
        if (!flag)
            break;
    }
    return SONDE_STATUS_OK;
}

/* "-" is standard input and "-3" a number, not options. */
static bool is_option(const struct parser *p, const char *argument)
{
    double number;
    bool common;
    if (argument[0] != '-' || argument[1] == '\0')
        return false;
    return argument[1] == '-' || !sonde_parse_f64(argument, strlen(argument), &number) ||
           find_option(p->command, NULL, 0, argument[1], &common);
}

/* Holds the positional arguments against "MODEL [TEXT..]". */
static enum sonde_status check_args(const struct parser *p)
{
    const char *spec = p->command->args;
    int64_t n = 0;
    while (spec && *spec) {
        size_t length = strcspn(spec, " ");
        if (n >= p->cli->n_args && spec[0] != '[')
            return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT,
                                   "%.*s is missing; usage: sonde %s %s", (int)length, spec,
                                   p->command->name, p->command->synopsis);
        n++;
        size_t bare = spec[length - 1] == ']' ? length - 1 : length;
        if (bare > 2 && memcmp(spec + bare - 2, "..", 2) == 0)
            return SONDE_STATUS_OK;
        spec += length + strspn(spec + length, " ");
    }
    if (spec && p->cli->n_args > n)
        return sonde_error_set(p->error, SONDE_STATUS_ARGUMENT,
                               "unexpected argument '%s'; usage: sonde %s%s%s", p->cli->arg[n],
                               p->command->name, *p->command->synopsis ? " " : "",
                               p->command->synopsis);
    return SONDE_STATUS_OK;
}

static bool asks_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

enum sonde_status sonde_cli_parse(const struct sonde_command *command, int argc, char *const *argv,
                                  struct sonde_arena *arena, struct sonde_cli *out,
                                  struct sonde_error *error)
{
    struct parser p = {
        .command = command, .arena = arena, .cli = out, .argc = argc, .argv = argv, .error = error
    };
    size_t size = command->options_size ? command->options_size : 1;
    p.options = sonde_arena_zalloc(arena, 1, size);
    p.arg = sonde_arena_zalloc(arena, argc, sizeof(*p.arg));
    p.rest_name = sonde_arena_zalloc(arena, argc, sizeof(*p.rest_name));
    p.rest_value = sonde_arena_zalloc(arena, argc, sizeof(*p.rest_value));
    if (!p.options || !p.arg || !p.rest_name || !p.rest_value)
        return sonde_error_memory(error, "the command line");
    if (command->defaults)
        memcpy(p.options, command->defaults, command->options_size);
    out->common = (struct sonde_cli_common){ .seed = SONDE_SEED_DEFAULT };
    out->command = command;
    out->options = p.options;
    out->arg = p.arg;
    out->rest_name = p.rest_name;
    out->rest_value = p.rest_value;
    out->n_args = out->n_rest = 0;
    if (asks_help(argc, argv)) {
        out->common.help = true;
        return SONDE_STATUS_OK;
    }
    bool ended = false;
    while (p.at < argc) {
        const char *argument = argv[p.at++];
        enum sonde_status status = SONDE_STATUS_OK;
        if (!ended && strcmp(argument, "--") == 0)
            ended = true;
        else if (ended || !is_option(&p, argument))
            p.arg[out->n_args++] = argument;
        else
            status = argument[1] == '-' ? parse_long(&p, argument) : parse_letters(&p, argument);
        if (status)
            return status;
    }
    return check_args(&p);
}
