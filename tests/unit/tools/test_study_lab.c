/* The lab of the studies: strings, labels, scores, directions taken out, training. Models are small
 * and made here; counts are made again from what the store holds, without the lab's own code. */
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tests/support/check.h"
#include "tools/studies/lab_train.h"
#include "tools/studies/study.h"

struct fixture {
    char folder[64];
    struct sonde_cli cli;
    struct sonde_lab lab;
    struct sonde_lab_strings strings;
    struct sonde_model *model;
};

static void remove_all(const char *folder)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* A model that was trained for one epoch on few strings: right at some, wrong at others. */
static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sonde_error error = { 0 };
    struct sonde_lab_epoch epoch[SONDE_LAB_EPOCHS_MAX];
    int64_t n = 0;
    assert_non_null(f);
    snprintf(f->folder, sizeof(f->folder), "study_lab_XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->cli = (struct sonde_cli){ .common = { .seed = 42, .threads = 1 }, .command_line = "test" };
    check_ok(sonde_lab_open(&f->lab, &f->cli, "study test", f->folder, &error), &error);
    check_ok(sonde_lab_strings_generate(&f->strings, "train",
                                        "shuffle-2:n=400,len=2..20,generator=walk", &error),
             &error);
    const struct sonde_lab_training what = {
        .name = "small", .position = "none", .n_positions = 32, .max_epochs = 1, .enough = 2
    };
    check_ok(
        sonde_lab_train(&f->lab, &what, &f->strings, &f->strings, &f->model, epoch, &n, &error),
        &error);
    assert_int_equal(n, 1);
    assert_true(epoch[0].loss > 0 && epoch[0].loss < 0.25);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sonde_model_close(&f->model);
    sonde_lab_strings_finish(&f->strings);
    sonde_lab_close(&f->lab);
    remove_all(f->folder);
    free(f);
    return 0;
}

static void write_strings(const char *path, const char *text)
{
    struct sonde_error error = { 0 };
    check_ok(sonde_file_save(path, text, strlen(text), &error), &error);
}

static void test_strings_are_counted(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_lab_strings a = { 0 }, b = { 0 };
    char path[96];
    snprintf(path, sizeof(path), "%s/strings.txt", f->folder);
    write_strings(path, "()\r\n\n([)]\n[]()\n([])[");
    check_ok(sonde_lab_strings_read(&a, "shuffle-2", "a", path, 0, &error), &error);
    assert_int_equal(a.n, 4);
    assert_int_equal(a.n_symbols, 2 + 4 + 4 + 5);
    assert_int_equal(a.shortest, 2);
    assert_int_equal(a.longest, 5);
    /* "([)]" crosses, "([])[" does not end. */
    assert_int_equal(sonde_lab_strings_nested(&a), 2);
    write_strings(path, "[]()\n()\n()()\n");
    check_ok(sonde_lab_strings_read(&b, "shuffle-2", "b", path, 0, &error), &error);
    assert_int_equal(sonde_lab_strings_overlap(&b, &a), 2);
    assert_int_equal(sonde_lab_strings_overlap(&a, &b), 2);
    sonde_lab_strings_finish(&b);
    check_ok(sonde_lab_strings_read(&b, "shuffle-2", "b", path, 1, &error), &error);
    assert_int_equal(b.n, 1);
    sonde_lab_strings_finish(&a);
    sonde_lab_strings_finish(&b);
}

static void test_known_strings_are_removed(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_lab_strings a = { 0 }, b = { 0 };
    char path[96];
    int64_t n;
    snprintf(path, sizeof(path), "%s/removed.txt", f->folder);
    write_strings(path, "()\n([)]\n[]()\n([)]\n(())()\n[][]\n");
    check_ok(sonde_lab_strings_read(&a, "shuffle-2", "a", path, 0, &error), &error);
    write_strings(path, "[]()\n()\n()()\n");
    check_ok(sonde_lab_strings_read(&b, "shuffle-2", "b", path, 0, &error), &error);
    assert_int_equal(sonde_lab_strings_remove(&a, &b, 2), 2);
    assert_int_equal(a.n, 2);
    assert_memory_equal(sonde_lab_string(&a, 0, &n), "([)]", 4);
    assert_int_equal(n, 4);
    assert_memory_equal(sonde_lab_string(&a, 1, &n), "(())()", 6);
    assert_int_equal(n, 6);
    assert_int_equal(a.n_symbols, 10);
    assert_int_equal(a.shortest, 4);
    assert_int_equal(a.longest, 6);
    assert_int_equal(sonde_lab_strings_remove(&b, &b, 9), 0);
    assert_int_equal(b.n_symbols, 0);
    sonde_lab_strings_finish(&a);
    sonde_lab_strings_finish(&b);
}

/* The model is that of the best epoch by strings of their own, whatever came behind it. */
static void test_best_epoch_is_kept(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_lab_epoch epoch[SONDE_LAB_EPOCHS_MAX];
    struct sonde_lab_strings validation = { 0 }, none = { 0 }, unary = { 0 };
    struct sonde_model *model = NULL;
    struct sonde_lab_score score;
    int64_t n = 0, best = 0, n_kept = 0;
    bool own = false;
    check_ok(
        sonde_lab_make_validation(&f->lab, &f->strings, "walk", 2, 20, &validation, &own, &error),
        &error);
    assert_true(own);
    assert_int_equal(validation.n, SONDE_LAB_VALIDATION);
    assert_int_equal(sonde_lab_strings_overlap(&validation, &f->strings), 0);
    const struct sonde_lab_training what = { .name = "best",
                                             .position = "none",
                                             .n_positions = 32,
                                             .max_epochs = 11,
                                             .enough = 2,
                                             .max_attempts = 1,
                                             .good = 2 };
    /* Until epochs behind the best one are worse: were the last weights kept, the score would tell.
     * Which seed does that is up to the last bits of the products. */
    for (bool worse = false; !worse; f->cli.common.seed++) {
        sonde_model_close(&model);
        assert_true(f->cli.common.seed < 52);
        check_ok(
            sonde_lab_train(&f->lab, &what, &f->strings, &validation, &model, epoch, &n, &error),
            &error);
        assert_int_equal(n, 11);
        n_kept = best = 0;
        for (int64_t e = 0; e < n; e++) {
            n_kept += epoch[e].kept;
            best = epoch[e].kept ? e : best;
        }
        assert_int_equal(n_kept, 1);
        for (int64_t e = 0; e < n; e++) {
            assert_true(epoch[e].accuracy <= epoch[best].accuracy);
            assert_int_equal(epoch[e].chosen, epoch[e].attempt == epoch[best].attempt);
        }
        worse = best + 1 < n && epoch[n - 1].accuracy < epoch[best].accuracy;
    }
    check_ok(sonde_lab_score(&f->lab, model, &validation, 0, SONDE_LAB_TARGET_NEXT, NULL, &score,
                             &error),
             &error);
    check_close((double)score.n_right / (double)score.n, epoch[best].accuracy, 0);
    sonde_model_close(&model);
    sonde_lab_strings_finish(&validation);
    /* A language of one string a length has none beside those of the test. */
    check_ok(sonde_lab_strings_generate(&unary, "test", "aa-star:n=50,len=2..50", &error), &error);
    check_ok(sonde_lab_make_validation(&f->lab, &unary, NULL, 2, 50, &none, &own, &error), &error);
    assert_false(own);
    assert_int_equal(none.n, 0);
    sonde_lab_strings_finish(&unary);
}

static void test_bad_strings_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_lab_strings s = { 0 };
    char path[96];
    snprintf(path, sizeof(path), "%s/bad.txt", f->folder);
    write_strings(path, "()\n())\n");
    assert_int_equal(sonde_lab_strings_read(&s, "dyck-1", "s", path, 0, &error),
                     SONDE_STATUS_FORMAT);
    assert_non_null(strstr(error.text, "bad.txt:2"));
    assert_null(s.text);
    write_strings(path, "\n\n");
    assert_int_equal(sonde_lab_strings_read(&s, "dyck-1", "s", path, 0, &error),
                     SONDE_STATUS_FORMAT);
    assert_int_equal(sonde_lab_strings_read(&s, "dyck-0", "s", path, 0, &error),
                     SONDE_STATUS_ARGUMENT);
    assert_int_equal(sonde_lab_strings_generate(&s, "s", "dyck-1:n=x", &error),
                     SONDE_STATUS_ARGUMENT);
    struct sonde_lab again = { 0 };
    write_strings(f->lab.store, "");
    assert_int_equal(sonde_lab_open(&again, &f->cli, "study test", f->folder, &error),
                     SONDE_STATUS_ARGUMENT);
    /* What another study left is not taken away. */
    sonde_lab_abandon(&again);
    assert_true(sonde_path_exists(f->lab.store));
    sonde_lab_close(&again);
    unlink(f->lab.store);
}

/* Depth of type 1 at a prefix, by hand. */
static int64_t depth_of(const char *text, int64_t n)
{
    int64_t depth = 0;
    for (int64_t i = 0; i < n; i++)
        depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    return depth;
}

static void test_labels_and_pads(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    const struct sonde_labels *ratio = NULL, *padded = NULL;
    const struct sonde_lab_recording what = {
        .name = "padded", .sites = "hook_embed", .n = 30, .pad_to = 24
    };
    check_ok(sonde_lab_record(&f->lab, f->model, &f->strings, &what, &error), &error);
    check_ok(sonde_lab_label(&f->lab, "padded", &f->strings, "depth:1/length", true,
                             SONDE_LAB_PADS_MASKED, "ratio", &error),
             &error);
    check_ok(sonde_lab_label(&f->lab, "padded", &f->strings, "depth:1", false, SONDE_LAB_PADS_ZERO,
                             "depth", &error),
             &error);
    check_ok(sonde_store_open(&store, f->lab.store, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_open_source(store, "padded", 0, &source, &error), &error);
    check_ok(source->labels(source, "ratio", &ratio, &error), &error);
    check_ok(source->labels(source, "depth", &padded, &error), &error);
    assert_int_equal(source->n_tokens, 30 * 24);
    for (int64_t row = 0; row < source->n_tokens; row++) {
        int64_t n, t = row % 24;
        const char *text = sonde_lab_string(&f->strings, row / 24, &n);
        const char *name = padded->class_name[padded->class_of[row]];
        if (t >= n) {
            assert_int_equal(source->token_id[row], 0);
            assert_true(isnan(ratio->real[row]));
            assert_string_equal(name, "0");
            continue;
        }
        assert_int_equal(source->token_id[row], strchr("T)[(]", text[t]) - "T)[(]");
        check_close(ratio->real[row], (double)depth_of(text, t + 1) / (double)(t + 1), 0);
        assert_int_equal(atoi(name), depth_of(text, t + 1));
    }
    source->destroy(&source);
    sonde_store_close(&store);
    sonde_lab_abandon(&f->lab);
}

/* Whole strings right, from the logits of a store: opens are always right, a closing one where its
 * own counter is above 0. */
static bool is_right(const char *text, int64_t n, const float *logits)
{
    int64_t count[2] = { 0, 0 };
    for (int64_t t = 0; t < n; t++) {
        int64_t place = strchr("()[]", text[t]) - "()[]";
        count[place / 2] += place % 2 ? -1 : 1;
        for (int64_t k = 0; k < 4; k++)
            if ((logits[t * 4 + k] > 0) != (k % 2 == 0 || count[k / 2] > 0))
                return false;
    }
    return true;
}

static void test_scores_are_counted(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    struct sonde_lab_score score;
    int64_t n = 0, n_batch = 0, in_batch = 0, right = 0, scored = 0;
    double mean = 0;
    float logits[32 * 4];
    const struct sonde_lab_recording what = { .name = "logits", .sites = "logits", .n = 75 };
    check_ok(sonde_lab_record(&f->lab, f->model, &f->strings, &what, &error), &error);
    check_ok(sonde_lab_score(&f->lab, f->model, &f->strings, 75, SONDE_LAB_TARGET_NEXT, NULL,
                             &score, &error),
             &error);
    check_ok(sonde_store_open(&store, f->lab.store, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_open_source(store, "logits", 0, &source, &error), &error);
    for (int64_t i = 0; i < 75; i++) {
        const char *text = sonde_lab_string(&f->strings, i, &n);
        check_ok(source->read_rows(source, 0, source->sequences[i].first_row, n, logits, &error),
                 &error);
        bool one = is_right(text, n, logits);
        right += one;
        if (i == 74)
            continue;
        scored += one;
        in_batch += one;
        if (i % 32 == 31 || i == 73) {
            mean += (double)in_batch / (double)(i % 32 + 1);
            in_batch = 0;
            n_batch++;
        }
    }
    assert_int_equal(n_batch, 3);
    assert_true(right > 0 && right < 75);
    assert_int_equal(score.n, 75);
    assert_int_equal(score.n_right, right);
    assert_int_equal(score.scored, 74);
    assert_int_equal(score.scored_right, scored);
    check_close(score.batch_mean, mean / 3, 1e-15);
    assert_int_equal(sonde_lab_score(&f->lab, f->model, &f->strings, 5, SONDE_LAB_TARGET_ACCEPTED,
                                     NULL, &score, &error),
                     SONDE_STATUS_ARGUMENT);
    source->destroy(&source);
    sonde_store_close(&store);
    sonde_lab_abandon(&f->lab);
}

#define SITE "blocks.0.hook_resid_post"

/* (x - mean).v of every row of a run, largest magnitude over |x| |v|. */
static double largest_along(struct fixture *f, const char *run, const float *v, const float *mean)
{
    struct sonde_error error = { 0 };
    struct sonde_store *store = NULL;
    struct sonde_source *source = NULL;
    double largest = 0;
    float x[32];
    check_ok(sonde_store_open(&store, f->lab.store, SONDE_STORE_READ, &error), &error);
    check_ok(sonde_store_open_source(store, run, 0, &source, &error), &error);
    for (int64_t row = 0; row < source->n_tokens; row++) {
        double dot = 0, xx = 0, vv = 0;
        check_ok(source->read_rows(source, 0, row, 1, x, &error), &error);
        for (int i = 0; i < 32; i++) {
            dot += ((double)x[i] - (mean ? (double)mean[i] : 0)) * (double)v[i];
            xx += (double)x[i] * (double)x[i];
            vv += (double)v[i] * (double)v[i];
        }
        double part = fabs(dot) / sqrt(xx * vv);
        largest = part > largest ? part : largest;
    }
    source->destroy(&source);
    sonde_store_close(&store);
    return largest;
}

static void test_directions_are_taken_out(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    struct sonde_edits *edits = NULL;
    struct sonde_lab_recording what = { .name = "plain", .sites = SITE, .n = 50 };
    float v[32], *mean = NULL;
    int64_t width = 0;
    check_ok(sonde_lab_record(&f->lab, f->model, &f->strings, &what, &error), &error);
    check_ok(sonde_lab_mean(&f->lab, "plain", SITE, &mean, &width, &error), &error);
    assert_int_equal(width, 32);
    sonde_lab_random_direction(&f->lab, 1, 32, v);
    for (int way = 0; way < 2; way++) {
        what.name = way ? "kept" : "projected";
        check_ok(
            sonde_lab_take_out(&f->lab, f->model, SITE, v, way ? mean : NULL, 32, &edits, &error),
            &error);
        what.edits = edits;
        check_ok(sonde_lab_record(&f->lab, f->model, &f->strings, &what, &error), &error);
        sonde_edits_destroy(&edits);
    }
    /* Rounding of 32 f32 products and of what is put back: a few units of 2^-24. */
    assert_true(largest_along(f, "plain", v, mean) > 0.01);
    assert_true(largest_along(f, "projected", v, NULL) < 1e-6);
    assert_true(largest_along(f, "kept", v, mean) < 1e-6);
    char path[96];
    snprintf(path, sizeof(path), "%s/taken.npy", f->folder);
    assert_false(sonde_path_exists(path));
    assert_int_equal(sonde_lab_mean(&f->lab, "plain", "logits", &mean, &width, &error),
                     SONDE_STATUS_NOT_FOUND);
    free(mean);
    sonde_lab_abandon(&f->lab);
}

static void test_sections_and_checks(void **state)
{
    struct fixture *f = *state;
    struct sonde_error error = { 0 };
    static const char *const columns[] = { "a", "b", NULL };
    struct sonde_result *section = sonde_lab_section(&f->lab, "One section", "About it.");
    struct sonde_table *t = sonde_result_add_table(section, "numbers", columns);
    sonde_table_add_row(t);
    sonde_table_text(t, 0, "x");
    sonde_table_f64(t, 1, 2.5);
    sonde_lab_check_named(&f->lab, section, false, 1, "> 2", "%s fails", "one");
    assert_int_equal(section->n_checks, 1);
    assert_int_equal(f->lab.summary->n_checks, 1);
    assert_string_equal(f->lab.summary->check[0].name, "one fails");
    check_ok(sonde_lab_write(&f->lab, "T", "s", &error), &error);
    check_close(sonde_lab_cell(f->lab.summary, "numbers", 0, "b"), 2.5, 0);
    assert_true(isnan(sonde_lab_cell(f->lab.summary, "numbers", 1, "b")));
    assert_true(isnan(sonde_lab_cell(f->lab.summary, "numbers", 0, "c")));
    assert_string_equal(sonde_lab_cell_text(f->lab.summary, "numbers", 0, "a"), "x");
    assert_int_equal(sonde_lab_rows(f->lab.summary, "numbers"), 1);
    assert_int_equal(sonde_lab_rows(f->lab.summary, "others"), 0);
    char path[96];
    snprintf(path, sizeof(path), "%s/report.html", f->folder);
    assert_true(sonde_path_exists(path));
    unlink(path);
    sonde_lab_abandon(&f->lab);
}

/* The published targets, and those of next symbols, of "(()": by the papers' definitions. */
static void test_targets(void **state)
{
    struct sonde_error error = { 0 };
    struct sonde_formal *dyck = NULL, *parity = NULL, *counter = NULL;
    struct sonde_formal_walk walk = { 0 };
    bool bits[SONDE_FORMAL_MAX_SYMBOLS] = { false };
    (void)state;
    check_ok(sonde_formal_create(&dyck, "dyck-1", &error), &error);
    check_ok(sonde_formal_create(&parity, "parity", &error), &error);
    check_ok(sonde_formal_create(&counter, "counter-2", &error), &error);
    assert_int_equal(sonde_lab_target_size(dyck, SONDE_LAB_TARGET_NEXT), 2);
    assert_int_equal(sonde_lab_target_size(dyck, SONDE_LAB_TARGET_ACCEPTED), 1);
    assert_int_equal(sonde_lab_target_size(counter, SONDE_LAB_TARGET_ACCEPTED), 0);
    static const bool may_close[] = { true, true, true, false };
    sonde_formal_walk_start(&walk, dyck);
    for (int i = 0; i < 4; i++) {
        check_ok(sonde_formal_walk_step(&walk, "(())"[i], &error), &error);
        sonde_lab_target_bits(&walk, SONDE_LAB_TARGET_NEXT, bits);
        assert_true(bits[0]);
        assert_int_equal(bits[1], may_close[i]);
    }
    static const bool even[] = { false, false, true, true };
    sonde_formal_walk_start(&walk, parity);
    for (int i = 0; i < 4; i++) {
        check_ok(sonde_formal_walk_step(&walk, "1010"[i], &error), &error);
        sonde_lab_target_bits(&walk, SONDE_LAB_TARGET_ACCEPTED, bits);
        assert_int_equal(bits[0], even[i]);
    }
    sonde_formal_walk_finish(&walk);
    sonde_formal_destroy(&dyck);
    sonde_formal_destroy(&parity);
    sonde_formal_destroy(&counter);
}

static void test_studies_are_found(void **state)
{
    struct sonde_error error = { 0 };
    const struct sonde_study *study = NULL;
    (void)state;
    for (int i = 0; sonde_studies[i]; i++) {
        check_ok(sonde_study_find(sonde_studies[i]->name, &study, &error), &error);
        assert_ptr_equal(study, sonde_studies[i]);
        assert_non_null(study->run);
    }
    assert_int_equal(sonde_study_find("", &study, &error), SONDE_STATUS_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_counted),
        cmocka_unit_test(test_known_strings_are_removed),
        cmocka_unit_test(test_best_epoch_is_kept),
        cmocka_unit_test(test_bad_strings_are_refused),
        cmocka_unit_test(test_labels_and_pads),
        cmocka_unit_test(test_scores_are_counted),
        cmocka_unit_test(test_directions_are_taken_out),
        cmocka_unit_test(test_sections_and_checks),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_studies_are_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
