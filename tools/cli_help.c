#include "tools/cli.h"

#include <string.h>

#define WIDTH 80
#define OPTION_COLUMN 28 /* where the help of an option begins */

/* Columns that n bytes of UTF-8 take; every character of our own texts is one column wide. */
static size_t columns(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

static void spaces(struct sonde_buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sonde_buf_putc(out, ' ');
}

/* Up to the next blank; what stands in brackets is kept together. */
static size_t word_length(const char *text, size_t n)
{
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        depth += (text[i] == '[') - (text[i] == ']');
        if (text[i] == '\n' || (text[i] == ' ' && depth <= 0))
            return i;
    }
    return n;
}

/* Wraps one paragraph; the cursor stands at column `at`, later lines begin at `indent`. */
static void wrap(struct sonde_buf *out, const char *text, size_t n, size_t at, size_t indent)
{
    bool first = true;
    for (size_t i = 0; i < n;) {
        size_t word = word_length(text + i, n - i);
        size_t width = columns(text + i, word);
        if (!first && at + 1 + width > WIDTH) {
            sonde_buf_putc(out, '\n');
            spaces(out, indent);
            at = indent;
        } else if (!first) {
            sonde_buf_putc(out, ' ');
            at++;
        }
        sonde_buf_append(out, text + i, word);
        at += width;
        i += word;
        i += strspn(text + i, " \n");
        first = false;
    }
    sonde_buf_putc(out, '\n');
}

/* Paragraphs are parted by an empty line; lines that begin with a blank are kept. */
static void description(struct sonde_buf *out, const char *text)
{
    while (*text) {
        size_t line = strcspn(text, "\n");
        if (line == 0 || *text == ' ') {
            sonde_buf_append(out, text, line);
            sonde_buf_putc(out, '\n');
            text += line + (text[line] == '\n');
            continue;
        }
        size_t n = 0;
        while (text[n] && !(text[n] == '\n' &&
                            (text[n + 1] == '\n' || text[n + 1] == ' ' || text[n + 1] == '\0')))
            n++;
        wrap(out, text, n, 0, 0);
        text += n + (text[n] == '\n');
    }
}

static void option_help(struct sonde_buf *out, const struct sonde_cli_option *o)
{
    size_t before = out->size;
    if (o->letter)
        sonde_buf_printf(out, "  -%c, --%s", o->letter, o->name);
    else
        sonde_buf_printf(out, "      --%s", o->name);
    if (o->value_name) {
        sonde_buf_printf(out, " %s", o->value_name);
    } else if (o->choices) {
        for (int i = 0; o->choices[i]; i++)
            sonde_buf_printf(out, "%s%s", i ? "|" : " ", o->choices[i]);
    }
    size_t at = columns(out->data ? out->data + before : "", out->size - before);
    if (at + 2 > OPTION_COLUMN) {
        sonde_buf_putc(out, '\n');
        at = 0;
    }
    spaces(out, OPTION_COLUMN - at);
    wrap(out, o->help, strlen(o->help), OPTION_COLUMN, OPTION_COLUMN);
}

/* A summary as a sentence. */
static void sentence(struct sonde_buf *out, const char *summary)
{
    struct sonde_buf text = { 0 };
    sonde_buf_printf(&text, "%s.", summary);
    if (!text.failed) {
        if (text.data[0] >= 'a' && text.data[0] <= 'z')
            text.data[0] = (char)(text.data[0] - 'a' + 'A');
        wrap(out, text.data, text.size, 0, 0);
    }
    sonde_buf_finish(&text);
}

void sonde_cli_command_help(const struct sonde_command *command, struct sonde_buf *out)
{
    size_t indent = strlen("usage: sonde ") + strlen(command->name) + 1;
    sonde_buf_printf(out, "usage: sonde %s%s", command->name, *command->synopsis ? " " : "");
    wrap(out, command->synopsis, strlen(command->synopsis), indent, indent);
    sonde_buf_putc(out, '\n');
    sentence(out, command->summary);
    if (command->description && *command->description) {
        sonde_buf_putc(out, '\n');
        description(out, command->description);
    }
    const struct sonde_cli_option *o = command->options;
    if (o && o->name) {
        if (o->type != SONDE_CLI_HEADING)
            sonde_buf_puts(out, "\noptions:\n");
        for (; o->name; o++) {
            if (o->type == SONDE_CLI_HEADING)
                sonde_buf_printf(out, "\n%s:\n", o->help);
            else
                option_help(out, o);
        }
    }
    sonde_buf_puts(out, "\ncommon options:\n");
    for (o = sonde_cli_common_options; o->name; o++)
        option_help(out, o);
}

void sonde_cli_program_help(struct sonde_buf *out)
{
    sonde_buf_puts(out,
                   "usage: sonde COMMAND [ARGUMENT..] [OPTION..]\n\n"
                   "Records what happens inside a transformer language model and probes it.\n\n"
                   "commands:\n");
    for (const struct sonde_command *const *c = sonde_commands; *c; c++) {
        sonde_buf_printf(out, "  %-12s ", (*c)->name);
        wrap(out, (*c)->summary, strlen((*c)->summary), 15, 15);
    }
    sonde_buf_puts(
        out, "\n'sonde COMMAND --help' tells a command's options; 'sonde --version' prints the\n"
             "version. Exit status: 0 done, 1 it ran and the answer is no, 2 it could not run.\n");
}

const struct sonde_command *sonde_command_find(const char *name)
{
    for (const struct sonde_command *const *c = sonde_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

const char *sonde_cli_nearest_command(const char *name)
{
    int best = (int)strlen(name) / 2 + 1;
    const char *nearest = NULL;
    for (const struct sonde_command *const *c = sonde_commands; *c; c++) {
        int distance = sonde_str_distance(name, (*c)->name, best);
        if (distance < best) {
            best = distance;
            nearest = (*c)->name;
        }
    }
    return nearest;
}

static void completion_words(struct sonde_buf *out, const struct sonde_cli_option *options)
{
    for (const struct sonde_cli_option *o = options; o && o->name; o++)
        if (o->type != SONDE_CLI_HEADING)
            sonde_buf_printf(out, " --%s", o->name);
}

/* "record:--dtype) words='f32 f16 bf16' ;;" for every option with choices. */
static void completion_choices(struct sonde_buf *out, const struct sonde_command *command)
{
    for (const struct sonde_cli_option *o = command->options; o && o->name; o++) {
        if (!o->choices)
            continue;
        sonde_buf_printf(out, "    %s:--%s)\n        words='", command->name, o->name);
        for (int i = 0; o->choices[i]; i++)
            sonde_buf_printf(out, "%s%s", i ? " " : "", o->choices[i]);
        sonde_buf_puts(out, "' ;;\n");
    }
}

void sonde_cli_bash_completion(struct sonde_buf *out)
{
    sonde_buf_puts(out, "# bash completion for sonde: source <(sonde completion bash)\n"
                        "_sonde()\n{\n"
                        "    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
                        "    local prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}\n"
                        "    COMPREPLY=()\n"
                        "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
                        "        command=sonde\n"
                        "    fi\n"
                        "    case $command:$prev in\n");
    for (const struct sonde_command *const *c = sonde_commands; *c; c++)
        completion_choices(out, *c);
    sonde_buf_puts(out, "    esac\n"
                        "    if [ -z \"$words\" ]; then\n"
                        "        case $command in\n"
                        "        sonde)\n            words='");
    for (const struct sonde_command *const *c = sonde_commands; *c; c++)
        sonde_buf_printf(out, "%s ", (*c)->name);
    sonde_buf_puts(out, "--help --version' ;;\n");
    for (const struct sonde_command *const *c = sonde_commands; *c; c++) {
        sonde_buf_printf(out, "        %s)\n            words='", (*c)->name);
        struct sonde_buf words = { 0 };
        completion_words(&words, (*c)->options);
        completion_words(&words, sonde_cli_common_options);
        sonde_buf_puts(out, words.data ? words.data + 1 : "");
        sonde_buf_finish(&words);
        sonde_buf_puts(out, "' ;;\n");
    }
    sonde_buf_puts(out, "        esac\n"
                        "        case $cur in\n"
                        "        -*) ;;\n"
                        "        *) [ \"$command\" = sonde ] || words= ;;\n"
                        "        esac\n"
                        "    fi\n"
                        "    if [ -n \"$words\" ]; then\n"
                        "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
                        "    fi\n"
                        "}\n"
                        "complete -o default -F _sonde sonde\n");
}
