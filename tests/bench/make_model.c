/*
 * A model of random weights as a folder in Hugging Face layout, for comparisons with other
 * programs: make_model gpt2|llama|tiny|lens FOLDER [SEED]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_model.h"

int main(int argc, char **argv)
{
    static const char *const shapes[] = { [SONDE_BENCH_GPT2] = "gpt2",
                                          [SONDE_BENCH_LLAMA] = "llama",
                                          [SONDE_BENCH_TINY] = "tiny",
                                          [SONDE_BENCH_LENS] = "lens" };
    struct sonde_error error = { 0 };
    int shape = SONDE_BENCH_GPT2;
    while (argc > 1 && shape <= SONDE_BENCH_LENS && strcmp(argv[1], shapes[shape]) != 0)
        shape++;
    if (argc < 3 || shape > SONDE_BENCH_LENS) {
        fprintf(stderr, "usage: make_model gpt2|llama|tiny|lens FOLDER [SEED]\n");
        return 2;
    }
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 42;
    if (sonde_bench_write_model(argv[2], (enum sonde_bench_shape)shape, seed, &error)) {
        fprintf(stderr, "make_model: %s\n", error.text);
        return 2;
    }
    return 0;
}
