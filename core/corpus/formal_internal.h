/* What the parts of core/corpus/formal share. Not for other files. */
#ifndef SONDE_CORE_CORPUS_FORMAL_INTERNAL_H
#define SONDE_CORE_CORPUS_FORMAL_INTERNAL_H

#include "core/corpus/formal.h"

#define SONDE_FORMAL_MAX_STATES 64

struct sonde_formal;

/* How prefixes of a kind of language move. `point` alone decides, but for what lies below the top
 * of dyck's stack, which the walk keeps. */
struct sonde_formal_machine {
    /* False (point untouched or not, the caller holds a copy) where no string continues so. */
    bool (*move)(const struct sonde_formal *formal, struct sonde_formal_point *point, int symbol);
    bool (*accepts)(const struct sonde_formal *formal, const struct sonde_formal_point *point);
    /* Whether some string ends exactly `left` symbols later. NULL: a table of the automaton. */
    bool (*reaches)(const struct sonde_formal *formal, const struct sonde_formal_point *point,
                    int64_t left);
    void (*state)(const struct sonde_formal_walk *walk, struct sonde_buf *out);
};

enum sonde_formal_target_style {
    SONDE_FORMAL_TARGET_ACCEPT,
    SONDE_FORMAL_TARGET_CLOSES,
    SONDE_FORMAL_TARGET_NEXT,
    SONDE_FORMAL_TARGET_LETTER,
};
enum sonde_formal_has { /* bits: variables beside the state */
                        SONDE_FORMAL_HAS_DEPTH = 1,
                        SONDE_FORMAL_HAS_TYPES = 2,
                        SONDE_FORMAL_HAS_TOP = 4,
};

/* One language or family. */
struct sonde_formal_language {
    const char *name;         /* of a family: without the number */
    int min_size, max_size;   /* of the number; 0, 0: the name has none */
    const char *symbols;      /* all of the largest member */
    int per_size, fixed;      /* a member has per_size * size + fixed of them */
    const char *const *table; /* of a finite automaton, or NULL; see formal_machines.c */
    void (*build)(struct sonde_formal *formal); /* makes the automaton; or NULL */
    const struct sonde_formal_machine *machine;
    enum sonde_formal_target_style target;
    int has;
    bool grammar; /* has the grammar generator */
    bool repeats; /* so few strings that repetitions are the rule */
};
extern const struct sonde_formal_language sonde_formal_languages[];
extern const int64_t sonde_formal_n_languages;

struct sonde_formal {
    const struct sonde_formal_language *language;
    char name[32];
    int size; /* the number in the name, or 0 */
    int n_symbols;
    char symbols[SONDE_FORMAL_MAX_SYMBOLS + 1];
    char ids[SONDE_FORMAL_MAX_SYMBOLS + 2];
    int8_t symbol_of[256]; /* -1: none */
    /* A trim minimal automaton: every state is reached and reaches an accepting one. */
    int n_states;
    bool accepting[SONDE_FORMAL_MAX_STATES];
    int8_t move[SONDE_FORMAL_MAX_STATES][SONDE_FORMAL_MAX_SYMBOLS]; /* -1: none */
};

extern const struct sonde_formal_machine sonde_formal_automaton, sonde_formal_dyck,
    sonde_formal_shuffle, sonde_formal_boolean, sonde_formal_counter, sonde_formal_reset_dyck;

/* Bracket types of dyck and shuffle; letters of counter. */
int sonde_formal_n_types(const struct sonde_formal *formal);

#endif
