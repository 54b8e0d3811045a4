/*
 * Wide vectors without -march: a loop is written once as an always-inlined body, compiled for
 * several targets, and the widest one that this machine has is chosen at run time. The loops of
 * vector.h and update.h use no fused multiply-add and let the compiler reorder no sums, so every
 * target gives the same bits there. The products of vector_product.h are fused where the target has
 * that: AVX2 and AVX-512 give the same bits, the base target others within a stated bound. So bits
 * are promised for machines of one target, and a run records which it was.
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
#define SONDE_TARGET_FOR_AVX2 __attribute__((target("avx2,fma,f16c")))
#define SONDE_TARGET_FOR_AVX512                                                                    \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define SONDE_TARGET_FOR_AVX2
#define SONDE_TARGET_FOR_AVX512
#endif

static inline enum sonde_target sonde_target_here(void)
{
#if defined(__x86_64__)
    /* Every machine with AVX2 and FMA has F16C. */
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return SONDE_TARGET_BASE;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return SONDE_TARGET_AVX512;
    }
    return SONDE_TARGET_AVX2;
#else
    return SONDE_TARGET_BASE;
#endif
}

static inline const char *sonde_target_name(enum sonde_target target)
{
    return target == SONDE_TARGET_AVX512 ? "avx512" : target == SONDE_TARGET_AVX2 ? "avx2" : "base";
}

#endif
