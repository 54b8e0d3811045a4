#include "tools/label/labelling.h"

enum sonde_status sonde_labelling_begin(const struct sonde_labelling *l, enum sonde_label_kind kind,
                                        enum sonde_row_space space, const char *origin,
                                        struct sonde_label_writer **out, struct sonde_error *error)
{
    return sonde_store_label_begin(l->store, l->source->run_name, l->set, kind, space, origin,
                                   l->replace, out, error);
}

enum sonde_status sonde_labelling_end(struct sonde_labelling *l, struct sonde_label_writer **writer,
                                      enum sonde_status status, struct sonde_error *error)
{
    if (!*writer)
        return status;
    if (!status)
        return sonde_store_label_commit(writer, &l->n_labelled, error);
    sonde_store_label_abandon(writer);
    return status;
}
