/* Models and examples that the tests of training share. */
#ifndef SONDE_TESTS_UNIT_TRAIN_TRAIN_SUPPORT_H
#define SONDE_TESTS_UNIT_TRAIN_TRAIN_SUPPORT_H

#include "core/train/trainer.h"

/* config: the text of a config.json, with ' for ". Fails the test where it cannot be made. */
struct sonde_model *train_model(const char *config, enum sonde_init_kind kind, uint64_t seed);
/* The study's model of a counter language (section 0.1: post-LN, no positions, one head). */
struct sonde_model *train_counter_model(const char *language, uint64_t seed);
/* Strings of a formal language ("dyck-1:n=100,len=2..50") with next-symbol k-hot targets. */
struct sonde_examples *train_formal(const char *spec);
/* The study's recipe: RMSprop .005, batches of 32 in order, sigmoid and MSE. */
struct sonde_trainer_options train_counter_options(void);
/* Order-dependent sum over the bits of all weights. */
uint64_t train_weights_hash(const struct sonde_model *model);

#endif
