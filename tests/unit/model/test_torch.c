/* PyTorch checkpoints: every element against what the generator wrote (make_torch.py: Python's own
 * pickler and zip writer), the values beside the tensors, and the published checkpoints. The first
 * argument is the generator's folder. */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/model/torch_file.h"
#include "core/tensor/dtype.h"
#include "tests/support/check.h"

enum { FILE_MAX = 1 << 20, VALUES_MAX = 4096 };

static struct sonde_torch_file *open_file(const char *folder, const char *name)
{
    struct sonde_torch_file *file = NULL;
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(folder, name);
    check_ok(sonde_torch_open(&file, path, &error), &error);
    assert_string_equal(sonde_torch_path(file), path);
    free(path);
    return file;
}

static const struct sonde_torch_entry *find(const struct sonde_torch_file *file, const char *name)
{
    for (int64_t i = 0; i < sonde_torch_count(file); i++) {
        if (strcmp(sonde_torch_at(file, i)->tensor.name, name) == 0) {
            return sonde_torch_at(file, i);
        }
    }
    fprintf(stderr, "# no tensor %s\n", name);
    abort();
}

static void read_values(struct sonde_torch_file *file, const struct sonde_torch_entry *entry,
                        float *out)
{
    struct sonde_error error = { 0 };
    assert_true(entry->tensor.n_elements <= VALUES_MAX);
    char *bytes = malloc((size_t)entry->tensor.n_bytes + 1);
    assert_non_null(bytes);
    check_ok(sonde_torch_read(file, entry, bytes, &error), &error);
    sonde_dtype_widen(entry->tensor.dtype, bytes, out, entry->tensor.n_elements);
    const uint8_t *mapped = NULL;
    enum sonde_status status = sonde_torch_map(file, entry, &mapped, &error);
    if (entry->view->contiguous) {
        check_ok(status, &error);
        assert_memory_equal(mapped, bytes, (size_t)entry->tensor.n_bytes);
    } else {
        assert_int_equal(status, SONDE_STATUS_UNSUPPORTED);
    }
    free(bytes);
}

/* One line of values.tsv: file, tensor, dtype, sizes, values. */
static void check_line(const char *folder, char *field[5])
{
    float value[VALUES_MAX];
    struct sonde_torch_file *file = open_file(folder, field[0]);
    const struct sonde_torch_entry *entry = find(file, field[1]);
    assert_string_equal(entry->tensor.dtype_name, field[2]);
    char *at = field[3];
    for (int i = 0; i < entry->tensor.rank; i++) {
        assert_int_equal(strtol(at, &at, 10), entry->tensor.dim[i]);
        at += *at == ',';
    }
    assert_int_equal(*at, '\0');
    read_values(file, entry, value);
    at = field[4];
    for (int64_t i = 0; i < entry->tensor.n_elements; i++) {
        double wanted = strtod(at, &at);
        assert_true((double)value[i] == wanted);
    }
    assert_int_equal(*at, '\0');
    sonde_torch_close(&file);
}

static void every_value(void **state)
{
    struct sonde_buf table = { 0 };
    struct sonde_error error = { 0 };
    char *path = sonde_path_join(*state, "values.tsv");
    int n_lines = 0;
    check_ok(sonde_file_load(path, FILE_MAX, &table, &error), &error);
    for (char *line = table.data; *line; n_lines++) {
        char *field[5], *end = strchr(line, '\n');
        *end = '\0';
        for (int i = 0; i < 5; i++) {
            field[i] = line;
            line = i < 4 ? strchr(line, '\t') : end;
            *line++ = '\0';
        }
        check_line(*state, field);
    }
    assert_int_equal(n_lines, 75 + 15 + 16 + 16);
    sonde_buf_finish(&table);
    free(path);
}

static void values_beside(void **state)
{
    double value = 0;
    struct sonde_torch_file *file = open_file(*state, "nested.pt");
    const struct sonde_pickle_value *root = sonde_torch_root(file);
    assert_int_equal(sonde_pickle_get(root, "epoch")->integer, 19);
    assert_int_equal(sonde_pickle_get(root, "negative")->integer, -70000);
    assert_int_equal(sonde_pickle_get(root, "large")->integer, INT64_C(1) << 40);
    assert_true(sonde_pickle_real(sonde_pickle_get(root, "lr"), &value) && value == 0.005);
    assert_int_equal(sonde_pickle_get(root, "none")->type, SONDE_PICKLE_NONE);
    assert_false(sonde_pickle_real(sonde_pickle_get(root, "none"), &value));
    assert_int_equal(sonde_pickle_get(root, "yes")->type, SONDE_PICKLE_BOOL);
    const struct sonde_pickle_value *list = sonde_pickle_get(root, "list");
    assert_int_equal(list->n, 3);
    assert_int_equal(list->item[1]->item[1]->type, SONDE_PICKLE_TUPLE);
    assert_true(list->item[1]->item[1]->item[1]->real == 4.5);
    assert_string_equal(list->item[2]->text, "f\xc3\xbcnf");
    const struct sonde_pickle_value *voc = sonde_pickle_get(root, "voc");
    assert_int_equal(voc->type, SONDE_PICKLE_RECORD);
    assert_string_equal(voc->record, "src.utils.helper.Voc");
    const struct sonde_pickle_value *w2id = sonde_pickle_get(voc, "w2id");
    assert_int_equal(sonde_pickle_get(w2id, ")")->integer, 2);
    assert_null(sonde_pickle_get(w2id, "]"));
    assert_null(sonde_pickle_get(list, "x"));
    assert_null(sonde_pickle_get(NULL, "x"));
    assert_int_equal(sonde_torch_count(file), 1); /* the optimiser's tensors are no weights */
    sonde_torch_close(&file);
}

/* Read with Python's zipfile and struct. */
static const struct published {
    const char *file;
    int epoch;
    double accuracy; /* val_acc_epoch_bin2 of the checkpoint */
    const char *last_symbol;
    int64_t decoder_rows;
    struct {
        const char *name;
        double first, last;
    } tensor[3];
} published[] = {
    { "seeds/counter-languages/models/dyck1/model_19.pt",
      19,
      0.312831,
      ")",
      2,
      {
          { "model.transformer_encoder.layers.0.self_attn.in_proj_weight", -0x1.9b4dac0000000p-6,
            0x1.4373b20000000p-5 },
          { "model.transformer_encoder.layers.0.linear1.weight", -0x1.836ef60000000p-4,
            0x1.1479100000000p-3 },
          { "model.decoder.bias", 0x1.4816760000000p-2, 0x1.9df4140000000p-4 },
      } },
    { "seeds/counter-languages/models/shuffle2/model_20.pt",
      20,
      0.171759,
      "]",
      4,
      {
          { "model.transformer_encoder.layers.0.self_attn.in_proj_weight", 0x1.5bb8480000000p-4,
            0x1.6617e80000000p-2 },
          { "model.transformer_encoder.layers.0.linear1.weight", 0x1.36914c0000000p-6,
            0x1.83d5940000000p-3 },
          { "model.decoder.bias", 0x1.3d4c7c0000000p+2, 0x1.9da2d00000000p-4 },
      } },
};

static void check_published(const struct published *p, const char *path)
{
    struct sonde_torch_file *file = NULL;
    struct sonde_error error = { 0 };
    float value[VALUES_MAX];
    double accuracy = 0;
    check_ok(sonde_torch_open(&file, path, &error), &error);
    const struct sonde_pickle_value *root = sonde_torch_root(file);
    assert_int_equal(sonde_pickle_get(root, "epoch")->integer, p->epoch);
    assert_true(sonde_pickle_real(sonde_pickle_get(root, "val_acc_epoch_bin2"), &accuracy));
    check_close(accuracy, p->accuracy, 5e-7);
    const struct sonde_pickle_value *w2id = sonde_pickle_get(sonde_pickle_get(root, "voc"), "w2id");
    assert_int_equal(sonde_pickle_get(w2id, p->last_symbol)->integer, p->decoder_rows);
    assert_int_equal(sonde_torch_count(file), 16);
    assert_int_equal(find(file, "model.decoder.weight")->tensor.dim[0], p->decoder_rows);
    for (int i = 0; i < 3; i++) {
        const struct sonde_torch_entry *entry = find(file, p->tensor[i].name);
        read_values(file, entry, value);
        assert_true((double)value[0] == p->tensor[i].first);
        assert_true((double)value[entry->tensor.n_elements - 1] == p->tensor[i].last);
    }
    sonde_torch_close(&file);
}

static void published_checkpoints(void **state)
{
    char path[2][512];
    (void)state;
    check_shared(path[0], published[0].file);
    check_shared(path[1], published[1].file);
    for (int i = 0; i < 2; i++) {
        check_published(&published[i], path[i]);
    }
}

int main(int argc, char **argv)
{
    void *folder = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_value, folder),
        cmocka_unit_test_prestate(values_beside, folder),
        cmocka_unit_test(published_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
