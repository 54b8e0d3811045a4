/* Allocations fail while a vocabulary is learned and written. */
#include "tests/support/check.h"

#include <string.h>

#include "core/text/bpe_train.h"
#include "tests/fault/fault_inject.h"

static const char text[] =
    "the cat sat on the mat and the hat; the cat's hat sat on the cat. aaaaaaa "
    "there are others: this, that, the other, and another of them";

static enum sonde_status train_and_write(void *ctx, struct sonde_error *error)
{
    static const char *const special[] = { "<|endoftext|>" };
    struct sonde_bpe_train_options options = {
        .vocab_size = 300, .min_frequency = 1, .special = special, .n_special = 1, .bos = *special
    };
    struct sonde_bpe_trainer *trainer = NULL;
    struct sonde_bpe_train_report report = { .n_texts = -1 };
    struct sonde_buf out = { 0 };

    (void)ctx;
    enum sonde_status status = sonde_bpe_trainer_create(&trainer, &options, error);
    assert_true((status == SONDE_STATUS_OK) == (trainer != NULL));
    if (!status)
        status = sonde_bpe_trainer_add(trainer, text, strlen(text), error);
    if (!status)
        status = sonde_bpe_trainer_add(trainer, "bytes \xFF\xFE that are no text", 24, error);
    if (!status) {
        status = sonde_bpe_trainer_run(trainer, NULL, &report, error);
        assert_int_equal(report.n_texts, status ? -1 : 2);
    }
    if (!status)
        status = sonde_bpe_trainer_write(trainer, &out, error);
    sonde_buf_finish(&out);
    sonde_bpe_trainer_destroy(&trainer);
    return status;
}

static void every_allocation(void **state)
{
    (void)state;
    struct fault_report report = fault_each(FAULT_MEMORY, train_and_write, NULL, NULL);
    assert_true(report.n_calls > 50);
    /* Two arenas ask for a smaller block where their first one cannot be had: two calls each. */
    assert_true(report.n_tolerated <= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
