/*
 * Bit patterns of floats, and the conversions of one half value. Choices are made with masks, not
 * branches, so that loops over these functions vectorise.
 */
#ifndef SONDE_CORE_TENSOR_BITS_H
#define SONDE_CORE_TENSOR_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/tensor/target.h"

SONDE_TARGET_BODY uint32_t sonde_bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

SONDE_TARGET_BODY float sonde_float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

SONDE_TARGET_BODY uint32_t sonde_select_bits(bool first, uint32_t a, uint32_t b)
{
    const uint32_t mask = 0u - (uint32_t)first;
    return (a & mask) | (b & ~mask);
}

SONDE_TARGET_BODY float sonde_select(bool first, float a, float b)
{
    return sonde_float_of(sonde_select_bits(first, sonde_bits_of(a), sonde_bits_of(b)));
}

SONDE_TARGET_BODY float sonde_widen_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    /* Read as f32, exponent and mantissa of the half stand for value * 2^-112; the product is exact
     * for subnormals too. */
    const uint32_t finite = sonde_bits_of(sonde_float_of(magnitude) * 0x1p112f);
    /* NaN becomes quiet, its payload is kept: what the instructions of F16C do. */
    const uint32_t quiet = sonde_select_bits(magnitude > 0x0f800000u, 0x400000u, 0u);
    const uint32_t special = magnitude | 0x7f800000u | quiet;
    return sonde_float_of(sign | sonde_select_bits(magnitude >= 0x0f800000u, special, finite));
}

SONDE_TARGET_BODY uint16_t sonde_narrow_f16(float value)
{
    const uint32_t bits = sonde_bits_of(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    /* Below 2^-14 the result is subnormal, a multiple of 2^-24: the unit in the last place of
     * [0.5, 1), so that adding 0.5 rounds there, to nearest even. */
    const uint32_t subnormal = sonde_bits_of(sonde_float_of(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    const uint32_t not_a_number = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    uint32_t half = sonde_select_bits(magnitude < 0x38800000u, subnormal, normal);
    half = sonde_select_bits(magnitude >= 0x477ff000u, 0x7c00u, half); /* 65520: to infinity */
    half = sonde_select_bits(magnitude > 0x7f800000u, not_a_number, half);
    return (uint16_t)(sign | half);
}

SONDE_TARGET_BODY float sonde_widen_bf16(uint16_t half)
{
    return sonde_float_of((uint32_t)half << 16);
}

SONDE_TARGET_BODY uint16_t sonde_narrow_bf16(float value)
{
    const uint32_t bits = sonde_bits_of(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t not_a_number = (bits >> 16) | 0x40u;
    return (uint16_t)sonde_select_bits((bits & 0x7fffffffu) > 0x7f800000u, not_a_number, rounded);
}

#endif
