/* The option parser, help, completion, quoting and the progress line. */
#include <string.h>

#include "tests/support/check.h"
#include "tools/cli.h"

struct sample {
    bool flag;
    const char *text;
    struct sonde_cli_texts texts;
    int64_t integer, bytes;
    double real;
    int choice;
};
static const struct sample sample_defaults = { .integer = 7, .real = 0.5 };
static const char *const choices[] = { "red", "green", NULL };
static const struct sonde_cli_option sample_options[] = {
    { "flag", 'f', SONDE_CLI_FLAG, offsetof(struct sample, flag), NULL, "a flag", NULL, 0, 0 },
    { "text", 't', SONDE_CLI_TEXT, offsetof(struct sample, text), "TEXT", "a text", NULL, 0, 0 },
    { "", 0, SONDE_CLI_HEADING, 0, NULL, "more", NULL, 0, 0 },
    { "texts", 0, SONDE_CLI_TEXTS, offsetof(struct sample, texts), "TEXT", "texts", NULL, 0, 0 },
    { "integer", 'i', SONDE_CLI_INTEGER, offsetof(struct sample, integer), "N",
      "a number between minus ten and ten, with a help that is long enough to be wrapped", NULL,
      -10, 10 },
    { "bytes", 0, SONDE_CLI_BYTES, offsetof(struct sample, bytes), "BYTES", "a size", NULL, 0, 0 },
    { "real", 0, SONDE_CLI_REAL, offsetof(struct sample, real), "X", "a real", NULL, 0, 0 },
    { "choice", 0, SONDE_CLI_CHOICE, offsetof(struct sample, choice), NULL, "a choice", choices, 0,
      0 },
    { 0 },
};

static int takes_value(const char *name)
{
    return strcmp(name, "known-flag") == 0 ? 0 : strcmp(name, "known-value") == 0 ? 1 : -1;
}

static int run_nothing(struct sonde_cli *cli, struct sonde_error *error)
{
    (void)cli;
    (void)error;
    return 0;
}

static const struct sonde_command closed = {
    .name = "sample",
    .synopsis = "A [B] [--flag]",
    .summary = "does nothing",
    .options = sample_options,
    .options_size = sizeof(struct sample),
    .defaults = &sample_defaults,
    .args = "A [B]",
    .run = run_nothing,
};
static const struct sonde_command any = {
    .name = "any",
    .synopsis = "",
    .summary = "does nothing",
    .options = sample_options,
    .options_size = sizeof(struct sample),
    .run = run_nothing,
};
static const struct sonde_command open_ended = {
    .name = "open",
    .synopsis = "",
    .summary = "does nothing",
    .options = sample_options,
    .options_size = sizeof(struct sample),
    .open_options = true,
    .rest_takes_value = takes_value,
    .run = run_nothing,
};

/* cli.c's link: the table of the program is not part of the library. */
const struct sonde_command *const sonde_commands[] = { &closed, &any, &open_ended, NULL };

struct parsed {
    struct sonde_arena *arena;
    struct sonde_cli cli;
    struct sonde_error error;
    enum sonde_status status;
};

enum { WORDS_MAX = 16 };

/* Splits on blanks; "_" is an empty word. */
static struct parsed parse(const struct sonde_command *command, char *line)
{
    static char empty[1];
    char *word[WORDS_MAX];
    int n = 0;
    for (char *w = strtok(line, " "); w && n < WORDS_MAX; w = strtok(NULL, " "))
        word[n++] = strcmp(w, "_") == 0 ? empty : w;
    struct parsed p = { .arena = sonde_arena_create(0) };
    assert_non_null(p.arena);
    p.status = sonde_cli_parse(command, n, word, p.arena, &p.cli, &p.error);
    return p;
}

static const struct sample *options_of(const struct parsed *p)
{
    assert_int_equal(p->status, SONDE_STATUS_OK);
    return p->cli.options;
}

static void test_values(void **state)
{
    (void)state;
    char line[] = "--flag --text=a=b --texts x --texts=y --integer -3 --bytes 1.5K --real=-2.5e-3 "
                  "--choice green -- --flag -";
    struct parsed p = parse(&any, line);
    const struct sample *o = options_of(&p);
    assert_true(o->flag);
    assert_string_equal(o->text, "a=b");
    assert_int_equal(o->texts.n, 2);
    assert_string_equal(o->texts.item[0], "x");
    assert_string_equal(o->texts.item[1], "y");
    assert_int_equal(o->integer, -3);
    assert_int_equal(o->bytes, 1536);
    check_close(o->real, -2.5e-3, 0);
    assert_int_equal(o->choice, 1);
    assert_int_equal(p.cli.n_args, 2);
    assert_string_equal(p.cli.arg[0], "--flag");
    assert_string_equal(p.cli.arg[1], "-");
    sonde_arena_destroy(&p.arena);
}

static void test_defaults_and_common(void **state)
{
    (void)state;
    char line[] = "a b";
    struct parsed p = parse(&closed, line);
    const struct sample *o = options_of(&p);
    assert_false(o->flag);
    assert_null(o->text);
    assert_int_equal(o->integer, 7);
    check_close(o->real, 0.5, 0);
    assert_int_equal(p.cli.common.seed, 42);
    assert_int_equal(p.cli.common.threads, 0);
    assert_false(p.cli.common.json);
    sonde_arena_destroy(&p.arena);
    char more[] = "a --json -qv --seed 7 --threads=2";
    p = parse(&closed, more);
    (void)options_of(&p);
    assert_true(p.cli.common.json && p.cli.common.quiet && p.cli.common.verbose);
    assert_int_equal(p.cli.common.seed, 7);
    assert_int_equal(p.cli.common.threads, 2);
    sonde_arena_destroy(&p.arena);
}

static void test_letters(void **state)
{
    (void)state;
    char line[] = "-fqtvalue -i -4 -5 -";
    struct parsed p = parse(&any, line);
    const struct sample *o = options_of(&p);
    assert_true(o->flag && p.cli.common.quiet);
    assert_string_equal(o->text, "value");
    assert_int_equal(o->integer, -4);
    /* A negative number where no value is due is an argument. */
    assert_int_equal(p.cli.n_args, 2);
    assert_string_equal(p.cli.arg[0], "-5");
    sonde_arena_destroy(&p.arena);
}

static void test_empty_values(void **state)
{
    (void)state;
    char line[] = "--text _ --texts= _";
    struct parsed p = parse(&any, line);
    const struct sample *o = options_of(&p);
    assert_string_equal(o->text, "");
    assert_int_equal(o->texts.n, 1);
    assert_string_equal(o->texts.item[0], "");
    assert_int_equal(p.cli.n_args, 1);
    sonde_arena_destroy(&p.arena);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        { "a --flga", "unknown option --flga; the nearest is --flag" },
        { "a --in 3", "unknown option --in; the nearest is --integer" },
        { "a --zzzzzz", "unknown option --zzzzzz; 'sonde sample --help' lists them" },
        { "a -z", "unknown option -z; 'sonde sample --help' lists them" },
        { "a --flag=1", "--flag takes no value" },
        { "a --text", "--text needs a value: --text TEXT" },
        { "a --text --flag", "--text needs a value: --text TEXT" },
        { "a --text --", "--text needs a value: --text TEXT" },
        { "a --integer 11", "--integer 11: must be between -10 and 10" },
        { "a --integer 1.5", "--integer '1.5': expected a whole number" },
        { "a --integer _", "--integer '': expected a whole number" },
        { "a --integer 99999999999999999999", "--integer '99999999999999999999': expected a whole "
                                              "number" },
        { "a --real nan", "--real 'nan': expected a number" },
        { "a --bytes -1", "--bytes '-1': expected a size such as 512M or 2G" },
        { "a --choice blue", "--choice 'blue': expected red or green" },
        { "--flag", "A is missing; usage: sonde sample A [B] [--flag]" },
        { "a b c", "unexpected argument 'c'; usage: sonde sample A [B] [--flag]" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s", cases[i].line);
        struct parsed p = parse(&closed, line);
        assert_int_equal(p.status, SONDE_STATUS_ARGUMENT);
        assert_string_equal(p.error.text, cases[i].message);
        sonde_arena_destroy(&p.arena);
    }
}

static void test_help_wins(void **state)
{
    (void)state;
    char line[] = "--nonsense --help";
    struct parsed p = parse(&closed, line);
    assert_int_equal(p.status, SONDE_STATUS_OK);
    assert_true(p.cli.common.help);
    sonde_arena_destroy(&p.arena);
    char ended[] = "a -- --help";
    p = parse(&closed, ended);
    assert_int_equal(p.status, SONDE_STATUS_OK);
    assert_false(p.cli.common.help);
    sonde_arena_destroy(&p.arena);
}

static void test_open_options(void **state)
{
    (void)state;
    char line[] = "linear --known-flag store --known-value -x --other 3 --last --minus -2 --set=y";
    struct parsed p = parse(&open_ended, line);
    (void)options_of(&p);
    static const char *const expected[][2] = { { "known-flag", "1" }, { "known-value", "-x" },
                                               { "other", "3" },      { "last", "1" },
                                               { "minus", "-2" },     { "set", "y" } };
    assert_int_equal(p.cli.n_rest, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(p.cli.rest_name[i], expected[i][0]);
        assert_string_equal(p.cli.rest_value[i], expected[i][1]);
    }
    assert_int_equal(p.cli.n_args, 2);
    assert_string_equal(p.cli.arg[1], "store");
    sonde_arena_destroy(&p.arena);
    char missing[] = "--known-value";
    p = parse(&open_ended, missing);
    assert_string_equal(p.error.text, "--known-value needs a value");
    sonde_arena_destroy(&p.arena);
    char given[] = "--known-flag=2";
    p = parse(&open_ended, given);
    assert_string_equal(p.error.text, "--known-flag takes no value");
    sonde_arena_destroy(&p.arena);
}

static void test_help_text(void **state)
{
    (void)state;
    struct sonde_buf text = { 0 };
    sonde_cli_command_help(&closed, &text);
    assert_false(text.failed);
    assert_non_null(strstr(text.data, "usage: sonde sample A [B] [--flag]\n"));
    assert_non_null(strstr(text.data, "\nDoes nothing.\n"));
    assert_non_null(strstr(text.data, "\nmore:\n      --texts TEXT"));
    assert_non_null(strstr(text.data, "--choice red|green"));
    for (const char *line = text.data; *line;) {
        size_t n = strcspn(line, "\n");
        assert_true(n <= 80);
        line += n + (line[n] == '\n');
    }
    sonde_buf_finish(&text);
}

static void test_nearest_command(void **state)
{
    (void)state;
    assert_string_equal(sonde_cli_nearest_command("smaple"), "sample");
    assert_null(sonde_cli_nearest_command("completely different"));
    assert_ptr_equal(sonde_command_find("any"), &any);
    assert_null(sonde_command_find("an"));
}

static void test_quote(void **state)
{
    (void)state;
    static const char *const cases[][2] = { { "plain-1.0/x=y", "plain-1.0/x=y" },
                                            { "two words", "'two words'" },
                                            { "", "''" },
                                            { "it's", "\"it's\"" },
                                            { "it's $1", "'it'\\''s $1'" },
                                            { "\"it's\"", "'\"it'\\''s\"'" },
                                            { "blocks.*", "'blocks.*'" } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_buf text = { 0 };
        sonde_cli_quote(&text, cases[i][0]);
        assert_string_equal(text.data, cases[i][1]);
        sonde_buf_finish(&text);
    }
}

static void test_progress_line(void **state)
{
    (void)state;
    static const struct {
        int64_t done, total, since;
        double seconds;
        const char *line;
    } cases[] = {
        { 312, 600, 312, 3, "record 312/600 sequences  52 %  104/s  0:03 left" },
        { 0, 600, 0, 0, "record 0/600 sequences  0 %" },
        { 500, 0, 500, 100, "record 500 sequences  5.0/s" },
        /* Resumed: what was there before does not count for the rate. */
        { 300, 600, 100, 10, "record 300/600 sequences  50 %  10/s  0:30 left" },
        { 1000000, 100000000, 1000000, 1,
          "record 1000000/100000000 sequences  1 %  1.0M/s  1:39 left" },
        { 20000, 200000000, 20000, 1,
          "record 20000/200000000 sequences  0 %  20.0k/s  2:46:39 left" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sonde_buf text = { 0 };
        sonde_cli_progress_line(&text, "record", cases[i].done, cases[i].total, "sequences",
                                cases[i].since, cases[i].seconds);
        assert_string_equal(text.data, cases[i].line);
        sonde_buf_finish(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_defaults_and_common),
        cmocka_unit_test(test_letters),         cmocka_unit_test(test_empty_values),
        cmocka_unit_test(test_errors),          cmocka_unit_test(test_help_wins),
        cmocka_unit_test(test_open_options),    cmocka_unit_test(test_help_text),
        cmocka_unit_test(test_nearest_command), cmocka_unit_test(test_quote),
        cmocka_unit_test(test_progress_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
