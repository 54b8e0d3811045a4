/*
 * Status and error: how every fallible function of Sonde reports failure.
 *
 * Conventions, stated here once for the whole project:
 *  - A fallible function returns `enum sonde_status` and takes a caller-owned
 *    `struct sonde_error *` (may be NULL) as its last argument.
 *  - The failing line writes the message once: the file, the tensor or row, what was
 *    found and what was expected. Callers only prepend context (sonde_error_prepend).
 *  - On failure outputs are untouched and nothing is leaked.
 *  - open/close: backed by a file; create/destroy: heap; init/finish: caller's memory.
 *    Every close/destroy takes `T **`, sets it to NULL, and accepts NULL in *it and
 *    half-built objects.
 *  - Zero is the default of every field of an options struct; a NULL options pointer
 *    means all defaults. Options need to live only until the function returns.
 *  - Libraries never print, exit or abort. assert() is for our own bugs only.
 */
#ifndef SONDE_CORE_BASE_STATUS_H
#define SONDE_CORE_BASE_STATUS_H

#include <stdarg.h>

enum sonde_status {
    SONDE_STATUS_OK = 0,
    SONDE_STATUS_ARGUMENT,    /* the caller (or the command line) asked for something invalid */
    SONDE_STATUS_NOT_FOUND,   /* a file, tensor, stream, label set ... does not exist */
    SONDE_STATUS_IO,          /* the operating system said no */
    SONDE_STATUS_FORMAT,      /* a file's content breaks the rules of its format */
    SONDE_STATUS_UNSUPPORTED, /* well-formed, but not something Sonde does */
    SONDE_STATUS_LIMIT,       /* a stated maximum (memory budget, size) would be exceeded */
    SONDE_STATUS_MEMORY,      /* an allocation failed */
    SONDE_STATUS_NUMERIC,     /* NaN, Inf, no convergence where the caller needs it */
    SONDE_STATUS_CANCELLED,   /* the progress callback asked to stop */
};

#define SONDE_ERROR_TEXT_MAX 1024

/* Owned by the caller. Zero-initialise. `text` is one line of UTF-8 without a newline. */
struct sonde_error {
    enum sonde_status status;
    char text[SONDE_ERROR_TEXT_MAX];
};

#if defined(__GNUC__)
#define SONDE_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define SONDE_MUST_USE __attribute__((warn_unused_result))
#else
#define SONDE_PRINTF(fmt, first)
#define SONDE_MUST_USE
#endif

/* Writes status and message (control characters in the result become '?'; over-long text is
 * cut at a UTF-8 boundary) and returns `status`, so that
 * `return sonde_error_set(error, SONDE_STATUS_IO, "...")` is the failing line. error may be NULL.
 */
enum sonde_status sonde_error_set(struct sonde_error *error, enum sonde_status status,
                                  const char *format, ...) SONDE_PRINTF(3, 4);

/* "out of memory for WHAT". Returns SONDE_STATUS_MEMORY. */
enum sonde_status sonde_error_memory(struct sonde_error *error, const char *what);

#if defined(__clang_analyzer__)
/* What the two return is their argument: the analyzer does not look into other files. */
#define sonde_error_set(error, status, ...)                                                        \
    ((void)(sonde_error_set)((error), (status), __VA_ARGS__), (status))
#define sonde_error_memory(error, what)                                                            \
    ((void)(sonde_error_memory)((error), (what)), SONDE_STATUS_MEMORY)
#endif

/* Puts "context: " before the message that is there; keeps the status. error may be NULL. */
void sonde_error_prepend(struct sonde_error *error, const char *format, ...) SONDE_PRINTF(2, 3);

/* A constant English name: "ok", "argument", "not found", ... Never NULL. */
const char *sonde_status_name(enum sonde_status status);

#endif
