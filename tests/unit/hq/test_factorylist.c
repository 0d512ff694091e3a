/* Lists from factories: every way to write the columns, and every mistake told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hq/factorylist.h"
#include "resolver/base/error.h"

static struct np_factorylist heading(const char *line)
{
    struct np_factorylist list;
    char error[NP_FACTORYLIST_ERROR_MAX] = "";
    int rc = np_factorylist_heading(line, strlen(line), &list, error);
    if (rc)
        fail_msg("%s: %s", line, error);
    return list;
}

static void test_headings(void **state)
{
    static const struct {
        const char *line;
        int serial, claim_code, model;
        char separator;
    } rows[] = {
        {"serial,claim_code,model\n", 0, 1, 2, ','},
        {"Model,Serial\r\n", 1, -1, 0, ','},
        {"\xef\xbb\xbfserial;claim code\n", 0, 1, -1, ';'},
        {"claim-code", -1, 0, -1, ','},
    };
    static const char *const bad[] = {"",           "model\n", "serial,serial\n", "NP-0001,7K3M-Q9TD-52XH-0VCR\n",
                                      "\"serial\n", "se\"rial"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_factorylist list = heading(rows[i].line);
        assert_int_equal(list.serial, rows[i].serial);
        assert_int_equal(list.claim_code, rows[i].claim_code);
        assert_int_equal(list.model, rows[i].model);
        assert_int_equal(list.separator, rows[i].separator);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct np_factorylist list;
        char error[NP_FACTORYLIST_ERROR_MAX] = "";
        assert_int_equal(np_factorylist_heading(bad[i], strlen(bad[i]), &list, error), NP_E_MALFORMED);
        assert_true(strlen(error) > 10);
    }
}

static void test_lines(void **state)
{
    static const struct {
        const char *line;
        int rc;
        const char *serial, *code, *model, *why;
    } rows[] = {
        {"NP-1,04HM-ASW9-NF6Y-Y09Z,WAX-200\n", 0, "NP-1", "04HMASW9NF6YY09Z", "WAX-200", NULL},
        {"NP-1,,\r\n", 0, "NP-1", "", "", NULL},
        {",04hmasw9nf6yy09z,", 0, "", "04HMASW9NF6YY09Z", "", NULL},
        {"\"NP-1\",\"\",\"WAX, \"\"blue\"\"\"", 0, "NP-1", "", "WAX, \"blue\"", NULL},
        {" NP-1 , , m ", 0, "NP-1", "", "m", NULL},
        {"", NP_E_NOT_FOUND, NULL, NULL, NULL, NULL},
        {" \t\r\n", NP_E_NOT_FOUND, NULL, NULL, NULL, NULL},
        {"NP-1,,m,", NP_E_MALFORMED, NULL, NULL, NULL, "it has 4 fields"},
        {"NP-1", NP_E_MALFORMED, NULL, NULL, NULL, "it has 1 fields"},
        {",,m", NP_E_MALFORMED, NULL, NULL, NULL, "neither"},
        {"NP 1,,m", NP_E_MALFORMED, NULL, NULL, NULL, "serial 'NP 1'"},
        {"NP-1,04HM-ASW9-NF6Y-Y09X,m", NP_E_MALFORMED, NULL, NULL, NULL, "wrong character"},
        {"NP-1,secret,m", NP_E_MALFORMED, NULL, NULL, NULL, "no claim code"},
        {"NP-1,,caf\xc3\xa9", NP_E_MALFORMED, NULL, NULL, NULL, "printable ASCII"},
        {"NP-1,,\"m", NP_E_MALFORMED, NULL, NULL, NULL, "no end"},
        {"NP-1,,\"m\"x", NP_E_MALFORMED, NULL, NULL, NULL, "behind a quoted"},
        {"NP-1,,m\"x", NP_E_MALFORMED, NULL, NULL, NULL, "a quote in the middle"},
    };
    struct np_factorylist list = heading("serial,claim_code,model");
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_factorylist_row row;
        char error[NP_FACTORYLIST_ERROR_MAX] = "";
        assert_int_equal(np_factorylist_line(&list, rows[i].line, strlen(rows[i].line), &row, error), rows[i].rc);
        if (rows[i].rc == 0) {
            assert_string_equal(row.serial, rows[i].serial);
            assert_string_equal(row.code, rows[i].code);
            assert_string_equal(row.model, rows[i].model);
        }
        if (rows[i].why && !strstr(error, rows[i].why))
            fail_msg("%s: %s", rows[i].line, error);
    }
}

/* Every part of a line, and a field of every length: no read past the end (the sanitizer looks), no cut value taken. */
static void test_lengths(void **state)
{
    static const char whole[] = "\"NP-1\",04HM-ASW9-NF6Y-Y09Z,\"WAX, \"\"blue\"\"\"";
    struct np_factorylist list = heading("serial,claim_code,model");
    struct np_factorylist_row row;
    char error[NP_FACTORYLIST_ERROR_MAX], line[400];
    (void)state;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char part[sizeof whole];
        memcpy(part, whole, len);
        int rc = np_factorylist_line(&list, part, len, &row, error);
        assert_true(rc == 0 || rc == NP_E_MALFORMED || rc == NP_E_NOT_FOUND);
    }
    for (size_t len = 1; len < 300; len++) {
        memset(line, 'A', len);
        memcpy(line + len, ",,", 2);
        assert_int_equal(np_factorylist_line(&list, line, len + 2, &row, error),
                         len <= NP_SERIAL_MAX ? 0 : NP_E_MALFORMED);
        memcpy(line, "N,,", 3);
        memset(line + 3, 'm', len);
        assert_int_equal(np_factorylist_line(&list, line, len + 3, &row, error),
                         len <= NP_MODEL_MAX ? 0 : NP_E_MALFORMED);
    }
    memset(line, ',', NP_FACTORYLIST_COLUMNS_MAX);
    assert_int_equal(np_factorylist_line(&list, line, NP_FACTORYLIST_COLUMNS_MAX, &row, error), NP_E_MALFORMED);
    assert_non_null(strstr(error, "more than"));
    assert_int_equal(np_factorylist_line(&list, "N,\0,m", 5, &row, error), NP_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headings),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
