/* The small sinks: null, digest, tee. */
#include "core/trace/stream.h"

#include <stdlib.h>

#include "core/base/hash.h"

static enum sonde_status null_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                  const struct sonde_record *records, struct sonde_error *error)
{
    (void)sink, (void)sequence, (void)records, (void)error;
    return SONDE_STATUS_OK;
}

static enum sonde_status null_commit(struct sonde_sink *sink, struct sonde_error *error)
{
    (void)sink, (void)error;
    return SONDE_STATUS_OK;
}

static enum sonde_status null_finish(struct sonde_sink *sink, struct sonde_error *error)
{
    (void)error;
    free(sink);
    return SONDE_STATUS_OK;
}

static void null_abandon(struct sonde_sink *sink)
{
    free(sink);
}

enum sonde_status sonde_sink_null_create(struct sonde_sink **out, struct sonde_error *error)
{
    struct sonde_sink *sink = malloc(sizeof *sink);
    if (!sink) {
        return sonde_error_memory(error, "a sink");
    }
    *sink = (struct sonde_sink){ null_put, null_commit, null_finish, null_abandon };
    *out = sink;
    return SONDE_STATUS_OK;
}

struct digest_sink {
    struct sonde_sink base;
    struct sonde_sha256 *hash;
    int64_t n_streams;
    char *out_hex;
};

/* Commits are left out of the digest: where batches end must not change what was recorded. */
static enum sonde_status digest_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                    const struct sonde_record *records, struct sonde_error *error)
{
    struct digest_sink *digest = (struct digest_sink *)sink;
    (void)error;
    sonde_sha256_update(digest->hash, &sequence->n_tokens, sizeof sequence->n_tokens);
    for (int64_t t = 0; t < sequence->n_tokens; t++) {
        const struct sonde_token *token = &sequence->tokens[t];
        sonde_sha256_update(digest->hash, &token->id, sizeof token->id);
        sonde_sha256_update(digest->hash, &token->position, sizeof token->position);
    }
    for (int64_t i = 0; i < digest->n_streams; i++) {
        sonde_sha256_update(digest->hash, &records[i].n_values, sizeof records[i].n_values);
        sonde_sha256_update(digest->hash, records[i].value,
                            (size_t)records[i].n_values * sizeof(float));
    }
    return SONDE_STATUS_OK;
}

static void digest_abandon(struct sonde_sink *sink)
{
    struct digest_sink *digest = (struct digest_sink *)sink;
    if (digest) {
        sonde_sha256_destroy(&digest->hash);
        free(digest);
    }
}

static enum sonde_status digest_finish(struct sonde_sink *sink, struct sonde_error *error)
{
    struct digest_sink *digest = (struct digest_sink *)sink;
    uint8_t bytes[SONDE_SHA256_BYTES];
    (void)error;
    sonde_sha256_digest(digest->hash, bytes);
    sonde_sha256_hex(bytes, digest->out_hex);
    digest_abandon(sink);
    return SONDE_STATUS_OK;
}

enum sonde_status sonde_sink_digest_create(struct sonde_sink **out, int64_t n_streams,
                                           char *out_hex, struct sonde_error *error)
{
    struct digest_sink *digest = calloc(1, sizeof *digest);
    if (!digest || !(digest->hash = sonde_sha256_create())) {
        free(digest);
        return sonde_error_memory(error, "a digest sink");
    }
    digest->base = (struct sonde_sink){ digest_put, null_commit, digest_finish, digest_abandon };
    digest->n_streams = n_streams;
    digest->out_hex = out_hex;
    *out = &digest->base;
    return SONDE_STATUS_OK;
}

struct tee_sink {
    struct sonde_sink base;
    struct sonde_sink *a, *b;
};

static enum sonde_status tee_put(struct sonde_sink *sink, const struct sonde_sequence *sequence,
                                 const struct sonde_record *records, struct sonde_error *error)
{
    struct tee_sink *tee = (struct tee_sink *)sink;
    enum sonde_status status = tee->a->put(tee->a, sequence, records, error);
    return status == SONDE_STATUS_OK ? tee->b->put(tee->b, sequence, records, error) : status;
}

static enum sonde_status tee_commit(struct sonde_sink *sink, struct sonde_error *error)
{
    struct tee_sink *tee = (struct tee_sink *)sink;
    enum sonde_status status = tee->a->commit(tee->a, error);
    return status == SONDE_STATUS_OK ? tee->b->commit(tee->b, error) : status;
}

static enum sonde_status tee_finish(struct sonde_sink *sink, struct sonde_error *error)
{
    struct tee_sink *tee = (struct tee_sink *)sink;
    enum sonde_status status = tee->a->finish(tee->a, error);
    if (status == SONDE_STATUS_OK) {
        status = tee->b->finish(tee->b, error);
    } else {
        tee->b->abandon(tee->b);
    }
    free(tee);
    return status;
}

static void tee_abandon(struct sonde_sink *sink)
{
    struct tee_sink *tee = (struct tee_sink *)sink;
    if (tee) {
        tee->a->abandon(tee->a);
        tee->b->abandon(tee->b);
        free(tee);
    }
}

enum sonde_status sonde_sink_tee_create(struct sonde_sink **out, struct sonde_sink *a,
                                        struct sonde_sink *b, struct sonde_error *error)
{
    struct tee_sink *tee = malloc(sizeof *tee);
    if (!tee) {
        return sonde_error_memory(error, "a tee sink");
    }
    tee->base = (struct sonde_sink){ tee_put, tee_commit, tee_finish, tee_abandon };
    tee->a = a;
    tee->b = b;
    *out = &tee->base;
    return SONDE_STATUS_OK;
}
