#include "tools/cli.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PRINT_EVERY 0.1 /* seconds */

double sonde_cli_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void sonde_cli_progress_init(struct sonde_cli_progress *progress, bool shown)
{
    *progress = (struct sonde_cli_progress){ .shown = shown, .columns = 80 };
    struct winsize size;
    if (shown && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        progress->columns = size.ws_col;
}

void sonde_cli_progress_erase(struct sonde_cli_progress *progress)
{
    if (progress->on_screen)
        fputs("\r\033[K", stderr);
    progress->on_screen = false;
}

static void put_rate(struct sonde_buf *out, double rate)
{
    if (rate >= 1e6)
        sonde_buf_printf(out, "  %.1fM/s", rate / 1e6);
    else if (rate >= 1e4)
        sonde_buf_printf(out, "  %.1fk/s", rate / 1e3);
    else
        sonde_buf_printf(out, rate < 10 ? "  %.1f/s" : "  %.0f/s", rate);
}

static void put_left(struct sonde_buf *out, double seconds)
{
    long left = seconds < 359999 ? lround(ceil(seconds)) : 359999;
    if (left >= 3600)
        sonde_buf_printf(out, "  %ld:%02ld:%02ld left", left / 3600, left / 60 % 60, left % 60);
    else
        sonde_buf_printf(out, "  %ld:%02ld left", left / 60, left % 60);
}

void sonde_cli_progress_line(struct sonde_buf *out, const char *what, int64_t done, int64_t total,
                             const char *unit, int64_t since_first, double seconds)
{
    double rate = seconds > 0 ? (double)since_first / seconds : 0;
    sonde_buf_printf(out, "%s %lld", what ? what : "", (long long)done);
    if (total > 0)
        sonde_buf_printf(out, "/%lld", (long long)total);
    sonde_buf_printf(out, " %s", unit ? unit : "");
    if (total > 0)
        sonde_buf_printf(out, "  %d %%", (int)(100 * (double)done / (double)total));
    if (rate > 0)
        put_rate(out, rate);
    if (rate > 0 && total > 0 && done <= total)
        put_left(out, (double)(total - done) / rate);
}

static void on_interrupt(int signal)
{
    (void)signal;
}

/*
 * The first Ctrl-C asks the work to stop, the second kills. Where no work reports progress a single
 * one kills, as everywhere. SA_RESETHAND makes the kernel keep the one bit that is needed, so there
 * is no global flag: once the signal has come its action is the default one again.
 */
static void watch_interrupt(struct sonde_cli_progress *progress)
{
    struct sigaction now;
    if (!progress->watching && sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        struct sigaction action = { .sa_handler = on_interrupt,
                                    .sa_flags = (int)SA_RESETHAND | SA_RESTART };
        sigemptyset(&action.sa_mask);
        progress->watching = sigaction(SIGINT, &action, NULL) == 0;
    } else if (progress->watching && !progress->interrupted && sigaction(SIGINT, NULL, &now) == 0 &&
               now.sa_handler == SIG_DFL) {
        progress->interrupted = true;
    }
}

static bool update(void *ctx, const char *what, int64_t done, int64_t total, const char *unit)
{
    struct sonde_cli_progress *progress = ctx;
    watch_interrupt(progress);
    if (progress->interrupted)
        return false;
    if (!progress->shown)
        return true;
    double now = sonde_cli_seconds();
    if (!progress->what || !what || strcmp(progress->what, what) != 0 || done < progress->first) {
        progress->what = what;
        progress->began = now;
        progress->first = done;
        /* Work that takes a moment only shows nothing. */
        progress->printed = progress->on_screen ? 0 : now;
    }
    if (now - progress->printed < PRINT_EVERY)
        return true;
    progress->printed = now;
    struct sonde_buf line = { 0 };
    sonde_cli_progress_line(&line, what, done, total, unit, done - progress->first,
                            now - progress->began);
    if (line.data) {
        /* One column stays free, so that no terminal wraps. Our texts here are ASCII. */
        int room = progress->columns - 1;
        fprintf(stderr, "\r%.*s\033[K", room, line.data);
        fflush(stderr);
        progress->on_screen = true;
    }
    sonde_buf_finish(&line);
    return true;
}

struct sonde_progress sonde_cli_progress_callback(struct sonde_cli_progress *progress)
{
    return (struct sonde_progress){ .ctx = progress, .update = update };
}
