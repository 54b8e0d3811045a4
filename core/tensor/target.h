/*
 * Wide vectors without -march: a loop is written once as an always-inlined body, compiled for
 * several targets, and the widest one that this machine has is chosen at run time. No body uses a
 * fused multiply-add or lets the compiler reorder sums, so every target gives the same bits.
 */
#ifndef SONDE_CORE_TENSOR_TARGET_H
#define SONDE_CORE_TENSOR_TARGET_H

enum sonde_target {
    SONDE_TARGET_BASE = 0, /* what the compiler's default architecture has */
    SONDE_TARGET_AVX2,
    SONDE_TARGET_AVX512,
};
#define SONDE_TARGET_COUNT 3 /* each target includes those before it */

#define SONDE_TARGET_BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define SONDE_TARGET_FOR_AVX2 __attribute__((target("avx2")))
#define SONDE_TARGET_FOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define SONDE_TARGET_FOR_AVX2
#define SONDE_TARGET_FOR_AVX512
#endif

static inline enum sonde_target sonde_target_here(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return SONDE_TARGET_AVX512;
    }
    if (__builtin_cpu_supports("avx2")) {
        return SONDE_TARGET_AVX2;
    }
#endif
    return SONDE_TARGET_BASE;
}

#endif
