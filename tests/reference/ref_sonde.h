/* The double-precision pass for models of the family sonde: every position, norm and head. */
#ifndef SONDE_TESTS_REFERENCE_REF_SONDE_H
#define SONDE_TESTS_REFERENCE_REF_SONDE_H

#include "tests/reference/ref_forward.h"

/* As ref_forward, which calls it. */
void ref_sonde_forward(const struct ref_model *model, const int32_t *ids, int T,
                       struct ref_trace *trace);

#endif
