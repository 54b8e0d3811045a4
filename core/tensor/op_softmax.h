/* The softmax of one row, shared by the softmax op and attention. */
#ifndef SONDE_CORE_TENSOR_OP_SOFTMAX_H
#define SONDE_CORE_TENSOR_OP_SOFTMAX_H

#include <stdint.h>

/* y = softmax(x) of n values; the denominator is summed in double. y may be x. -infinity gives
 * exactly 0; a row of nothing else gives all zeros; a NaN or +infinity makes the row NaN. */
void sonde_softmax_row(float *y, const float *x, int64_t n);

#endif
