/*
 * The control of an edit, beside it: what a result says with the edits, and the mean and range of
 * what it says under draws of random ones.
 */
#ifndef SONDE_TOOLS_EDIT_CONTROL_H
#define SONDE_TOOLS_EDIT_CONTROL_H

#include "analysis/report/result.h"

/*
 * Adds to `edited` for each of its tables NAME whose rows are the same things in every control (the
 * same texts) a table NAME.edit_control: the columns that never change, and of each number that
 * does NAME (with the edits), NAME.control.mean, NAME.control.low and NAME.control.high over the n
 * controls that have it. Scalars likewise: the table scalars.edit_control, columns edited,
 * control.mean, .. . A warning names the tables whose rows are not the same things.
 */
void sonde_edit_control_compare(struct sonde_result *edited, struct sonde_result *const *control,
                                int64_t n);

#endif
