/*
 * Formal languages whose inner variables are known exactly: what may follow each prefix, how deep
 * it is, and the state of the minimal automaton. Strings are ASCII, one symbol a byte.
 *
 * After: Suzgun et al., "LSTM networks can perform dynamic counting" (2019); Bhattamishra, Ahuja
 * and Goyal, "On the ability and limitations of transformers to recognize formal languages" (2020);
 * Tiwari, Gupta and Hahn, "Emergent stack representations in modeling counter languages using
 * transformers" (2025).
 *
 * Names (a number N stands in the name): dyck-N and shuffle-N (N bracket types of
 * `()` `[]` `{}` `<>` `+-` `ab` `xo`), boolean-N (prefix expressions over 0 and 1 with one operator
 * per arity 1..N, of `~+>*^`), counter-N (a^n b^n .., N letters, n >= 1), parity (an even number of
 * 1s), aa-star, abab-star, aabb-N (AA*BB*.., N letters), concat ({a,b}*d{b,c}*), cab
 * (c(a|b)*abd(a|b|d)*), d-N (D_0 empty, D_n = (a D_{n-1} b)*), reset-dyck (a prefix of a Dyck-1
 * word, 1, a Dyck-1 word), tomita-1 .. tomita-7.
 */
#ifndef SONDE_CORE_CORPUS_FORMAL_H
#define SONDE_CORE_CORPUS_FORMAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/rng.h"
#include "core/base/status.h"

#define SONDE_FORMAL_MAX_SYMBOLS 16
#define SONDE_FORMAL_MAX_TYPES 7
#define SONDE_FORMAL_MAX_LENGTH (INT64_C(1) << 20)  /* of a string that is generated */
#define SONDE_FORMAL_MAX_STRINGS (INT64_C(1) << 24) /* of one generator */

struct sonde_formal; /* opaque, immutable, shared by threads */

/* ARGUMENT for an unknown name (the message lists the known ones) or a number out of range. */
SONDE_MUST_USE enum sonde_status sonde_formal_create(struct sonde_formal **out, const char *name,
                                                     struct sonde_error *error);
void sonde_formal_destroy(struct sonde_formal **formal);
const char *sonde_formal_name(const struct sonde_formal *formal); /* "dyck-1" */
/* The symbols in the order of the k-hot outputs: "()[]", "01~+>", .. */
const char *sonde_formal_symbols(const struct sonde_formal *formal);
/* The symbols in the order of their ids, with the padding symbol T as id 0. For shuffle-2, -4 and
 * -6 the order of the published checkpoints ("T)[(]" for shuffle-2), else T and the symbols. */
const char *sonde_formal_ids(const struct sonde_formal *formal);
/* Language n: its name, and the range of the number that stands behind it ("dyck", 1 to 7); 0 and 0
 * where there is none ("parity"). False behind the last. */
bool sonde_formal_describe(int64_t n, const char **name, int *min_size, int *max_size);

/* What is known of a prefix apart from a stack's content. */
struct sonde_formal_point {
    int64_t length;
    int64_t depth;                         /* open brackets, or the counter */
    int64_t count[SONDE_FORMAL_MAX_TYPES]; /* open brackets per type; letters of counter-N */
    int32_t state;                         /* of a finite automaton or a phase */
    int32_t top;                           /* dyck: type on the stack's top; -1: empty */
};

/* A prefix that grows by one symbol at a time. The language must outlive it. */
struct sonde_formal_walk {
    const struct sonde_formal *formal;
    struct sonde_formal_point at;
    struct sonde_buf stack; /* dyck with several types: one type a byte */
};
/* walk: zero-initialised or used before. */
void sonde_formal_walk_start(struct sonde_formal_walk *walk, const struct sonde_formal *formal);
void sonde_formal_walk_finish(struct sonde_formal_walk *walk);
/* FORMAT where no string of the language has this prefix; the walk then stays where it was. */
SONDE_MUST_USE enum sonde_status sonde_formal_walk_step(struct sonde_formal_walk *walk, char symbol,
                                                        struct sonde_error *error);
bool sonde_formal_accepts(const struct sonde_formal_walk *walk);
/* Next-symbol k-hot: out[i] tells whether symbols[i] can follow. Returns how many can. */
int64_t sonde_formal_next(const struct sonde_formal_walk *walk,
                          bool *out /* [SONDE_FORMAL_MAX_SYMBOLS] */);

/* The target as the published files have it, n characters per prefix: one bit per closing bracket
 * that can follow (dyck, shuffle); one bit per symbol (d-N, and reset-dyck, which has no published
 * file); counter-N the next letter, T at the end, and behind an a the letter after the last one,
 * for "a or b"; the others one bit, whether the prefix is in the language. */
int64_t sonde_formal_target_size(const struct sonde_formal *formal);
void sonde_formal_target(const struct sonde_formal_walk *walk, char *out /* [target_size] */);

/* The inner variables of a prefix. */
enum sonde_formal_variable {
    SONDE_FORMAL_DEPTH,       /* open brackets; boolean-N: operands that are still missing;
                                 counter-N: how often the present letter is owed (or a was read) */
    SONDE_FORMAL_DEPTH_TYPE,  /* of one bracket type; counter-N: how often the letter was read */
    SONDE_FORMAL_DEPTH_RATIO, /* depth/length; 0 for the empty prefix */
    SONDE_FORMAL_STACK_TOP,   /* the open bracket on top, or "empty" */
    SONDE_FORMAL_STATE, /* of the minimal automaton: a number; dyck-N the stack from the bottom,
                           shuffle-N the counters "1,0", counter-N and reset-dyck as README says */
};
struct sonde_formal_label {
    enum sonde_formal_variable variable;
    int type; /* of DEPTH_TYPE */
};
/* From "depth", "depth:TYPE" (a number from 1, or the symbol that opens it), "depth/length",
 * "stack-top" or "state". ARGUMENT where the language has no such variable. */
SONDE_MUST_USE enum sonde_status sonde_formal_find_label(const struct sonde_formal *formal,
                                                         const char *name,
                                                         struct sonde_formal_label *out,
                                                         struct sonde_error *error);
/* Whether the name has the form of a label of this kind, for any language. */
bool sonde_formal_is_label(const char *name);
/* Of the first three variables. */
double sonde_formal_number(const struct sonde_formal_walk *walk,
                           const struct sonde_formal_label *label);
/* Of all; appended to out. */
void sonde_formal_text(const struct sonde_formal_walk *walk, const struct sonde_formal_label *label,
                       struct sonde_buf *out);

enum sonde_formal_generator_kind {
    SONDE_FORMAL_GENERATOR_AUTO,    /* the study's where the language has one, else the walk */
    SONDE_FORMAL_GENERATOR_GRAMMAR, /* dyck, shuffle: S -> open S close (probability .5, type
                                       uniform) | S S (.25) | empty, so that shuffle-N too gets
                                       nested strings only; boolean: a literal (.5) or an operator
                                       of uniform arity */
    SONDE_FORMAL_GENERATOR_WALK,    /* length uniform among those that exist, then every symbol
                                       uniform among those that can still end there: every string
                                       of the language can come, shuffle-N's are really shuffled */
};
struct sonde_formal_spec {
    char name[32];
    int64_t n;                      /* strings */
    int64_t min_length, max_length; /* symbols */
    uint64_t seed;
    enum sonde_formal_generator_kind generator;
    int repeats; /* 1 a string may come again, 0 not, -1 as the language is: small ones repeat */
    char ids[SONDE_FORMAL_MAX_SYMBOLS + 2]; /* order of ids; empty: the language's own */
};
/* "dyck-1:n=1000,len=2..50" with seed=, generator=auto|grammar|walk, repeats=yes|no and ids=T().
 * Default n 1000, len 2..50, seed 42. Checks everything but the name. */
SONDE_MUST_USE enum sonde_status
sonde_formal_parse_spec(const char *text, struct sonde_formal_spec *out, struct sonde_error *error);

struct sonde_formal_generator; /* opaque */
/* ARGUMENT where the language has no string of these lengths, or not such a generator. */
SONDE_MUST_USE enum sonde_status sonde_formal_generator_create(struct sonde_formal_generator **out,
                                                               const struct sonde_formal_spec *spec,
                                                               struct sonde_error *error);
void sonde_formal_generator_destroy(struct sonde_formal_generator **generator);
const struct sonde_formal *sonde_formal_generator_language(const struct sonde_formal_generator *g);
/* With every default filled in. */
const struct sonde_formal_spec *sonde_formal_generator_spec(const struct sonde_formal_generator *g);
/* *out (NUL-terminated, *n symbols) is valid until the next call; NULL at the end. LIMIT where no
 * new string is found. Depends on the spec alone. */
SONDE_MUST_USE enum sonde_status
sonde_formal_generator_next(struct sonde_formal_generator *generator, const char **out, int64_t *n,
                            struct sonde_error *error);

#endif
