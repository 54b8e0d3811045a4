#include "core/tensor/gemm.h"

#include <assert.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cblas.h>

#include "core/base/pool.h"

#define BUFFER_BYTES ((int64_t)128 << 20) /* BUFFER_SIZE of OpenBLAS on x86-64 */

void sonde_gemm_prepare(void)
{
    if (openblas_get_num_threads() != 1) {
        openblas_set_num_threads(1);
    }
}

static bool has_room(int n_threads)
{
    size_t bytes = (size_t)((n_threads + 1) * BUFFER_BYTES);
    void *map = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    munmap(map, bytes);
    return true;
}

enum sonde_status sonde_gemm_check_room(int *n_threads, struct sonde_error *error)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return SONDE_STATUS_OK;
    }
    int n = *n_threads;
    if (n == 0) {
        n = sonde_pool_cores();
        while (n > 1 && !has_room(n)) {
            n--;
        }
    }
    if (!has_room(n)) {
        return sonde_error_set(error, SONDE_STATUS_MEMORY,
                               "the limit of the address space (ulimit -v) is too low for matrix "
                               "products in %d thread%s: %d MiB are needed for each",
                               n, n == 1 ? "" : "s", (int)(BUFFER_BYTES >> 20));
    }
    *n_threads = n;
    return SONDE_STATUS_OK;
}

const char *sonde_gemm_library(void)
{
    return openblas_get_config();
}

const char *sonde_gemm_kernels(void)
{
    return openblas_get_corename();
}

static blasint blas_size(int64_t n)
{
    assert(n >= 0 && n <= INT32_MAX);
    return (blasint)n;
}

/* A leading dimension must be positive even where nothing is read. */
static blasint blas_stride(int64_t n)
{
    return blas_size(n < 1 ? 1 : n);
}

static CBLAS_TRANSPOSE blas_transpose(bool transpose)
{
    return transpose ? CblasTrans : CblasNoTrans;
}

void sonde_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                 const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                 int64_t ldc)
{
    if (m == 0 || n == 0) {
        return;
    }
    sonde_gemm_prepare();
    if (k == 0 || (m == 1 && beta == 0.0f)) {
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                c[i * ldc + j] = beta == 0.0f ? 0.0f : beta * c[i * ldc + j];
            }
        }
        if (k == 0) {
            return;
        }
        beta = 1.0f; /* C is zero now: whether gemv reads it at beta = 0 does not matter */
    }
    if (m == 1) {
        /* gemm would copy all of B into its own layout to use it once. */
        cblas_sgemv(CblasRowMajor, blas_transpose(!transpose_b), blas_size(transpose_b ? n : k),
                    blas_size(transpose_b ? k : n), alpha, b, blas_stride(ldb), a,
                    transpose_a ? blas_stride(lda) : 1, beta, c, 1);
        return;
    }
    cblas_sgemm(CblasRowMajor, blas_transpose(transpose_a), blas_transpose(transpose_b),
                blas_size(m), blas_size(n), blas_size(k), alpha, a, blas_stride(lda), b,
                blas_stride(ldb), beta, c, blas_stride(ldc));
}

void sonde_ssyrk(int64_t n, int64_t k, const float *a, int64_t lda, float *c, int64_t ldc)
{
    if (n == 0) {
        return;
    }
    sonde_gemm_prepare();
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, blas_size(n), blas_size(k), 1.0f, a,
                blas_stride(lda), 0.0f, c, blas_stride(ldc));
}

void sonde_dgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha,
                 const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
                 int64_t ldc)
{
    if (m == 0 || n == 0) {
        return;
    }
    sonde_gemm_prepare();
    if (k == 0 || (m == 1 && beta == 0.0)) {
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                c[i * ldc + j] = beta == 0.0 ? 0.0 : beta * c[i * ldc + j];
            }
        }
        if (k == 0) {
            return;
        }
        beta = 1.0;
    }
    if (m == 1) {
        cblas_dgemv(CblasRowMajor, blas_transpose(!transpose_b), blas_size(transpose_b ? n : k),
                    blas_size(transpose_b ? k : n), alpha, b, blas_stride(ldb), a,
                    transpose_a ? blas_stride(lda) : 1, beta, c, 1);
        return;
    }
    cblas_dgemm(CblasRowMajor, blas_transpose(transpose_a), blas_transpose(transpose_b),
                blas_size(m), blas_size(n), blas_size(k), alpha, a, blas_stride(lda), b,
                blas_stride(ldb), beta, c, blas_stride(ldc));
}
