#include "hq/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define BATCH 256 /* entries a write, and a commit */

struct np_ledger {
    struct np_store *store;
    char *path;
    int fd;
    int64_t seq; /* of the file's last line */
    off_t len;   /* where its last whole line ends */
    bool torn;   /* behind that stands the beginning of another one */
    bool failing, days;
    uv_timer_t timer;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static const struct {
    enum np_ledger_kind kind;
    const char *word;
} words[] = {
#define NP_LEDGER_WORD(number, name, word) {NP_LEDGER_##name, word},
    NP_LEDGER_KIND_MAP(NP_LEDGER_WORD)
#undef NP_LEDGER_WORD
};

/* ---- Lines ---- */

/* A number of at most 18 digits and the space behind it; false: there is none. */
static bool take_number(const char **at, int64_t *out)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 18 || (*at)[digits] != ' ')
        return false;
    *out = strtoll(*at, NULL, 10);
    *at += digits + 1;
    return true;
}

int np_ledger_parse(const char *line, size_t len, struct np_ledger_entry *out_entry)
{
    char text[NP_LEDGER_LINE_MAX + 1];
    struct np_ledger_entry entry = {.seq = 0};
    const char *at = text;
    if (len > NP_LEDGER_LINE_MAX || memchr(line, 0, len))
        return NP_E_MALFORMED;
    memcpy(text, line, len);
    text[len] = 0;
    if (!take_number(&at, &entry.seq) || entry.seq == 0 || !take_number(&at, &entry.at_s))
        return NP_E_MALFORMED;
    size_t word = strcspn(at, " ");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].word) == word && strncmp(at, words[i].word, word) == 0)
            entry.kind = words[i].kind;
    }
    at += word;
    at += *at == ' ';
    size_t value = strlen(at);
    if (!entry.kind || value > NP_LEDGER_VALUE_MAX || (value == 0) != (entry.kind == NP_LEDGER_DAY))
        return NP_E_MALFORMED;
    for (size_t i = 0; i < value; i++) {
        if (at[i] < ' ' || at[i] > '~')
            return NP_E_MALFORMED;
    }
    memcpy(entry.value, at, value + 1);
    *out_entry = entry;
    return 0;
}

size_t np_ledger_format(const struct np_ledger_entry *entry, char out[NP_LEDGER_LINE_MAX + 1])
{
    const char *word = "?";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i].kind == entry->kind)
            word = words[i].word;
    }
    return (size_t)snprintf(out, NP_LEDGER_LINE_MAX + 1, "%lld %lld %s%s%s\n", (long long)entry->seq,
                            (long long)entry->at_s, word, entry->value[0] ? " " : "", entry->value);
}

/* ---- Reading ---- */

static int complain(char error[NP_LEDGER_ERROR_MAX], int rc, const char *path, const char *why)
{
    snprintf(error, NP_LEDGER_ERROR_MAX, "%s: %s (ledger)", path, why);
    return rc;
}

/* Takes one line into the database, where that lacks it. */
static int take_line(struct np_ledger *ledger, const char *line, size_t len, int64_t known, size_t *taken,
                     char error[NP_LEDGER_ERROR_MAX])
{
    struct np_ledger_entry entry;
    char why[96];
    int rc = np_ledger_parse(line, len, &entry);
    if (rc) {
        snprintf(why, sizeof why,
                 "the line after entry %lld cannot be one of this list; mend it, or move the file away",
                 (long long)ledger->seq);
        return complain(error, rc, ledger->path, why);
    }
    if (entry.seq > ledger->seq)
        ledger->seq = entry.seq; /* a line may be there twice, where its first writing was not certain */
    if (entry.seq <= known)
        return 0;
    rc = np_store_ledger_take(ledger->store, &entry);
    if (rc == 0 && ++*taken % BATCH == 0)
        rc = np_store_commit(ledger->store);
    return rc ? complain(error, rc, ledger->path,
                         rc == NP_E_MALFORMED ? np_strerror(rc) : np_store_error(ledger->store))
              : 0;
}

/* Reads all lines; *out_len is where the last whole one ends. */
static int read_lines(struct np_ledger *ledger, FILE *file, off_t *out_len, size_t *taken,
                      char error[NP_LEDGER_ERROR_MAX])
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int64_t known = 0, known_s;
    int rc = np_store_ledger_last(ledger->store, &known, &known_s);
    if (rc)
        return complain(error, rc, ledger->path, np_store_error(ledger->store));
    while (rc == 0 && (len = getline(&line, &size, file)) > 0 && line[len - 1] == '\n') {
        rc = take_line(ledger, line, (size_t)len - 1, known, taken, error);
        *out_len += len;
    }
    free(line);
    return rc;
}

static int open_file(struct np_ledger *ledger, size_t *taken, char error[NP_LEDGER_ERROR_MAX])
{
    off_t whole = 0;
    ledger->fd = open(ledger->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int copy = ledger->fd < 0 ? -1 : dup(ledger->fd);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (!file) {
        int rc = -errno;
        if (copy >= 0)
            close(copy);
        return complain(error, rc, ledger->path, np_strerror(rc));
    }
    int rc = read_lines(ledger, file, &whole, taken, error);
    fclose(file);
    ledger->len = whole;
    if (rc == 0 && ftruncate(ledger->fd, whole))
        rc = complain(error, -errno, ledger->path, np_strerror(-errno));
    return rc;
}

static void release(struct np_ledger *ledger)
{
    if (ledger->fd >= 0)
        close(ledger->fd);
    free(ledger->path);
    free(ledger);
}

int np_ledger_new(uv_loop_t *loop, struct np_store *store, const char *path, struct np_ledger **out_ledger,
                  size_t *out_taken, char error[NP_LEDGER_ERROR_MAX])
{
    struct np_ledger *ledger = calloc(1, sizeof *ledger);
    size_t taken = 0;
    if (!ledger)
        return complain(error, -ENOMEM, path, np_strerror(-ENOMEM));
    ledger->store = store;
    ledger->fd = -1;
    ledger->path = strdup(path);
    int rc = ledger->path ? open_file(ledger, &taken, error) : complain(error, -ENOMEM, path, np_strerror(-ENOMEM));
    if (rc == 0 && taken > 0)
        rc = np_store_recovery_set(store, (int64_t)time(NULL) + NP_RECOVERY_S);
    if (rc == 0 && (rc = np_store_commit(store)))
        complain(error, rc, path, np_store_error(store));
    if (rc) {
        release(ledger);
        return rc;
    }
    uv_timer_init(loop, &ledger->timer);
    ledger->timer.data = ledger;
    *out_ledger = ledger;
    *out_taken = taken;
    return 0;
}

/* ---- Writing ---- */

/* Lines to be appended at once. */
struct lines {
    char text[BATCH * NP_LEDGER_LINE_MAX];
    size_t len, count;
    int64_t seq;
};

static int add_line(void *ctx, const struct np_ledger_entry *entry)
{
    struct lines *lines = ctx;
    char line[NP_LEDGER_LINE_MAX + 1];
    size_t len = np_ledger_format(entry, line);
    memcpy(lines->text + lines->len, line, len);
    lines->len += len;
    lines->count++;
    lines->seq = entry->seq;
    return 0;
}

/* What was not written to its end (the disk was full) goes, before anything else is written: the next line must not be
 * glued to it. */
static int cut(struct np_ledger *ledger)
{
    if (!ledger->torn)
        return 0;
    if (ftruncate(ledger->fd, ledger->len))
        return -errno;
    ledger->torn = false;
    return 0;
}

static int write_lines(struct np_ledger *ledger, const struct lines *lines)
{
    int rc = cut(ledger);
    if (rc)
        return rc;
    ssize_t n = write(ledger->fd, lines->text, lines->len);
    if (n != (ssize_t)lines->len) {
        rc = n < 0 ? -errno : -ENOSPC;
        ledger->torn = n > 0;
        if (cut(ledger))
            np_debug("ledger: %s", np_strerror(-errno)); /* the next attempt begins with it */
        return rc;
    }
    ledger->len += n;
    if (fdatasync(ledger->fd))
        return -errno; /* once more: a line may be there twice */
    ledger->seq = lines->seq;
    return 0;
}

/* Appends what the database has committed beyond the file, at most a batch; *out_full: there may be more. */
static int append(struct np_ledger *ledger, bool *out_full)
{
    struct lines *lines = malloc(sizeof *lines);
    if (!lines)
        return -ENOMEM;
    lines->len = lines->count = 0;
    int rc = np_store_ledger_after(ledger->store, ledger->seq, BATCH, add_line, lines);
    if (rc == 0 && lines->len > 0)
        rc = write_lines(ledger, lines);
    *out_full = rc == 0 && lines->count == BATCH;
    free(lines);
    return rc;
}

static int keep_day(struct np_ledger *ledger)
{
    int64_t seq, at_s = 0, now_s = (int64_t)time(NULL);
    int rc = np_store_ledger_last(ledger->store, &seq, &at_s);
    if (rc || now_s - at_s < NP_LEDGER_DAY_S)
        return rc;
    return np_store_ledger_note(ledger->store, NP_LEDGER_DAY, "", now_s);
}

static void write_all(struct np_ledger *ledger)
{
    bool full = true;
    int rc = np_store_commit(ledger->store); /* nothing goes into the file that may still be undone */
    while (rc == 0 && full)
        rc = append(ledger, &full);
    if (rc == 0 && ledger->days)
        rc = keep_day(ledger);
    if (rc && !ledger->failing)
        np_error("%s cannot be written: %s; it is tried again (ledger)", ledger->path, np_strerror(rc));
    ledger->failing = rc != 0;
}

static void on_timer(uv_timer_t *timer)
{
    write_all(timer->data);
}

void np_ledger_start(struct np_ledger *ledger)
{
    uv_timer_start(&ledger->timer, on_timer, 0, NP_LEDGER_WRITE_MS);
}

void np_ledger_keep_days(struct np_ledger *ledger)
{
    ledger->days = true;
}

static void on_closed(uv_handle_t *handle)
{
    struct np_ledger *ledger = handle->data;
    void (*closed)(void *ctx) = ledger->closed;
    void *ctx = ledger->closed_ctx;
    release(ledger);
    if (closed)
        closed(ctx);
}

void np_ledger_close(struct np_ledger *ledger, void (*done)(void *ctx), void *ctx)
{
    ledger->closed = done;
    ledger->closed_ctx = ctx;
    write_all(ledger);
    uv_close((uv_handle_t *)&ledger->timer, on_closed);
}
