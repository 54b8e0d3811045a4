#include "core/trace/stream.h"

#include <string.h>

const char *sonde_row_space_name(enum sonde_row_space space)
{
    static const char *const names[] = { "token", "span", "sequence", "step", "map", "weight" };
    return (unsigned)space < sizeof names / sizeof *names ? names[space] : "unknown";
}

const char *sonde_label_kind_name(enum sonde_label_kind kind)
{
    static const char *const names[] = { "class", "real", "span", "pair" };
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

int64_t sonde_source_find_stream(const struct sonde_source *source, const char *name)
{
    char printed[SONDE_SITE_NAME_MAX];
    struct sonde_site site;
    const char *of = sonde_site_gradient_of(name), *wanted = name;
    if (sonde_site_parse(of ? of : name, &site)) {
        wanted = of ? sonde_site_format_gradient(site, printed) : sonde_site_format(site, printed);
    }
    for (int64_t i = 0; i < source->n_streams; i++) {
        if (strcmp(source->streams[i].name, wanted) == 0) {
            return i;
        }
    }
    return -1;
}
