/*
 * Tape: what a backward pass needs of a forward pass (reverse-mode differentiation; Griewank and
 * Walther, "Evaluating Derivatives", chapter 3). With ctx->tape set, each op pushes a record: its
 * vector-Jacobian product, the numbers of the values that it read and made, and copies of what the
 * product needs. Without a tape nothing is kept.
 *
 * Values. A value is what stands at an address (the first element of a tensor) with a number of
 * elements. An op that writes there makes a new value with a new number, so that memory may be
 * reused and ops may work in place. What no recorded op made is a leaf. All views of a value begin
 * at its first element and hold all of it: a part of a value is another value.
 * Memory. The tape copies a value when the first op that needs it later reads it, once however many
 * ops read it, into memory of its own. The arena of the pass may be rewound as ever. Gradients of
 * values lie in the tape too; one that nobody watches is given back once the record that made its
 * value has run. Weights and what they point to are not copied: they outlive the tape's use.
 * Weights. Gradients are formed for those asked for, in buffers of the caller, f32 [rows, columns]
 * as the weight is stored, whatever its dtype. A weight is known by its data: tied ones add up.
 * Determinism. Records run backwards one after the other; within one, work is cut at fixed offsets
 * and what is added to one place is added in one order. The bits do not depend on the pool.
 * Not thread-safe: a tape belongs to one thread, and what sonde_op_ uses it there.
 */
#ifndef SONDE_CORE_TENSOR_TAPE_H
#define SONDE_CORE_TENSOR_TAPE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/base/status.h"
#include "core/tensor/ops.h"

struct sonde_tape; /* opaque */

/* max_bytes: the most memory that copies, gradients and scratch may take; 0 = no limit. */
SONDE_MUST_USE enum sonde_status sonde_tape_create(struct sonde_tape **out, size_t max_bytes,
                                                   struct sonde_error *error);
void sonde_tape_destroy(struct sonde_tape **tape);
/* Forgets records, values and their gradients, and what failed; weights stay asked for. */
void sonde_tape_clear(struct sonde_tape *tape);

/* Asks for the gradient of a weight: it is added to gradient[rows * columns], which the caller
 * owns and has set (to zero, or to what earlier passes gave). Before the pass is recorded: ops copy
 * their inputs for wanted weights only. ARGUMENT where it was asked for before. Absent weights are
 * ignored. */
SONDE_MUST_USE enum sonde_status sonde_tape_want_weight(struct sonde_tape *tape,
                                                        const struct sonde_weight *w,
                                                        float *gradient, struct sonde_error *error);
/* The number of the value that stands at data now; its gradient will be kept for
 * sonde_tape_gradient. -1 where memory is out. */
int64_t sonde_tape_watch(struct sonde_tape *tape, const void *data, int64_t n);
/* Adds to the gradient of a value before the backward pass: where it begins. Not for an op's side
 * outputs (a norm's scale, a pattern), from which nothing flows on. */
SONDE_MUST_USE enum sonde_status sonde_tape_seed(struct sonde_tape *tape, int64_t value,
                                                 const float *gradient, struct sonde_error *error);
/* Runs all records backwards, once. LIMIT where memory is out, then or while recording. */
SONDE_MUST_USE enum sonde_status
sonde_tape_backward(struct sonde_tape *tape, struct sonde_pool *pool, struct sonde_error *error);
/* [n] of a watched value, contiguous in the axes of its tensor; NULL where no record reached it,
 * which means zeros. Valid until the tape is cleared. */
const float *sonde_tape_gradient(const struct sonde_tape *tape, int64_t value);

/* Bytes in use now, and the most that ever were. */
size_t sonde_tape_bytes(const struct sonde_tape *tape);
size_t sonde_tape_peak_bytes(const struct sonde_tape *tape);
int64_t sonde_tape_n_records(const struct sonde_tape *tape);

/*
 * For ops. Each takes a context whose tape is set, does nothing once ctx->failed is set, and sets
 * it where memory is out. An op records before it computes: what it read is still there.
 */
/* The number of the value at t, and its contiguous copy, not to be written to. */
int64_t sonde_tape_use(struct sonde_op_context *ctx, const struct sonde_tensor *t);
float *sonde_tape_keep(struct sonde_op_context *ctx, int64_t value, const struct sonde_tensor *t);
/* A new value of n elements at data; after the op's inputs were looked up. */
int64_t sonde_tape_define(struct sonde_op_context *ctx, const void *data, int64_t n);
/* The value at `to` is from now on the one at `from`: a copy was made. */
void sonde_tape_alias(struct sonde_op_context *ctx, const void *to,
                      const struct sonde_tensor *from);
/* n elements of the tape's memory, until it is cleared. */
void *sonde_tape_alloc(struct sonde_op_context *ctx, int64_t n, size_t size);
/* Pushes a record; record lies in memory of the tape. vjp runs only where a gradient reached
 * `output`. It asks for gradient memory (sonde_tape_into) before it takes scratch from ctx->arena,
 * and gives the scratch back. */
void sonde_tape_push(struct sonde_op_context *ctx, int64_t output,
                     void (*vjp)(struct sonde_op_context *ctx, const void *record),
                     const void *record);

/* For vector-Jacobian products: the gradient that came in (NULL where none did); the gradient of
 * an input to add to, zeros at first; that of a side output, NULL where nobody watches it; that of
 * a weight, NULL where nobody asked for it or it is absent. */
const float *sonde_tape_incoming(const struct sonde_op_context *ctx, int64_t value);
float *sonde_tape_into(struct sonde_op_context *ctx, int64_t value);
float *sonde_tape_into_watched(struct sonde_op_context *ctx, int64_t value);
float *sonde_tape_into_weight(const struct sonde_op_context *ctx, const struct sonde_weight *w);

#endif
