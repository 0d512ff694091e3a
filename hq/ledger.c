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
    struct np_ledger_entry last; /* the file's last line; seq 0: it is empty */
    off_t len;                   /* where its last whole line ends */
    bool torn;                   /* behind that stands the beginning of another one */
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

/* A part of the database's entries, in their order: a file is compared with them line by line. */
struct window {
    struct np_ledger_entry entries[BATCH];
    size_t count;
};

static int add_entry(void *ctx, const struct np_ledger_entry *entry)
{
    struct window *window = ctx;
    window->entries[window->count++] = *entry;
    return 0;
}

/* The database's entry with this number; NULL: it has none. */
static int look_up(struct np_ledger *ledger, struct window *window, int64_t seq,
                   const struct np_ledger_entry **out_entry)
{
    int rc = 0;
    if (window->count == 0 || seq < window->entries[0].seq || seq > window->entries[window->count - 1].seq) {
        window->count = 0;
        rc = np_store_ledger_after(ledger->store, seq - 1, BATCH, add_entry, window);
    }
    size_t at = window->count ? (size_t)(seq - window->entries[0].seq) : 0; /* numbers have no gaps */
    *out_entry = at < window->count && window->entries[at].seq == seq ? &window->entries[at] : NULL;
    return rc;
}

static bool same_entry(const struct np_ledger_entry *a, const struct np_ledger_entry *b)
{
    return a->seq == b->seq && a->at_s == b->at_s && a->kind == b->kind && strcmp(a->value, b->value) == 0;
}

/* What comes of comparing a file with the database. */
struct reading {
    struct window window;
    size_t taken;  /* entries that the database did not have */
    bool diverged; /* it has others of the same numbers */
    off_t len;     /* where the last whole line ends */
    struct np_ledger_entry last;
};

/* Takes one line into the database, where that lacks it. */
static int take_line(struct np_ledger *ledger, const char *line, size_t len, struct reading *r,
                     char error[NP_LEDGER_ERROR_MAX])
{
    struct np_ledger_entry entry;
    const struct np_ledger_entry *known = NULL;
    char why[96];
    int rc = np_ledger_parse(line, len, &entry);
    if (rc) {
        snprintf(why, sizeof why,
                 "the line after entry %lld cannot be one of this list; mend it, or move the file away",
                 (long long)r->last.seq);
        return complain(error, rc, ledger->path, why);
    }
    if (entry.seq > r->last.seq)
        r->last = entry; /* a line may be there twice, where its first writing was not certain */
    rc = look_up(ledger, &r->window, entry.seq, &known);
    if (rc == 0 && known && same_entry(known, &entry))
        return 0;
    r->diverged = r->diverged || known;
    if (rc == 0)
        rc = np_store_ledger_take(ledger->store, &entry);
    r->window.count = 0;
    if (rc == 0 && ++r->taken % BATCH == 0)
        rc = np_store_commit(ledger->store);
    return rc ? complain(error, rc, ledger->path,
                         rc == NP_E_MALFORMED ? np_strerror(rc) : np_store_error(ledger->store))
              : 0;
}

/* Reads all lines. */
static int read_lines(struct np_ledger *ledger, FILE *file, struct reading *r, char error[NP_LEDGER_ERROR_MAX])
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int rc = 0;
    while (rc == 0 && (len = getline(&line, &size, file)) > 0 && line[len - 1] == '\n') {
        rc = take_line(ledger, line, (size_t)len - 1, r, error);
        r->len += len;
    }
    free(line);
    return rc;
}

/* The file, from its beginning, as a stream of its own. NULL: errno. */
static FILE *open_stream(const struct np_ledger *ledger)
{
    int copy = dup(ledger->fd);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (file)
        rewind(file);
    else if (copy >= 0)
        close(copy);
    return file;
}

static int open_file(struct np_ledger *ledger)
{
    ledger->last = (struct np_ledger_entry){.seq = 0};
    ledger->len = 0;
    ledger->torn = false;
    ledger->fd = open(ledger->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return ledger->fd < 0 ? -errno : 0;
}

/* The database's numbers are other ones than the file's: everything is in the database now, and the list begins anew
 * from there. The old file stays, beside it. */
static int set_aside(struct np_ledger *ledger, char error[NP_LEDGER_ERROR_MAX])
{
    char aside[NP_LEDGER_ERROR_MAX];
    int rc = snprintf(aside, sizeof aside, "%s.%lld", ledger->path, (long long)time(NULL)) >= (int)sizeof aside
                 ? -ENAMETOOLONG
                 : 0;
    if (rc == 0 && rename(ledger->path, aside))
        rc = -errno;
    if (rc == 0) {
        close(ledger->fd);
        rc = open_file(ledger);
    }
    if (rc)
        return complain(error, rc, ledger->path, np_strerror(rc));
    np_warning("%s: the database has other entries under its numbers; the old file is %s, and a new one is written "
               "(ledger)",
               ledger->path, aside);
    return 0;
}

/* Compares the whole file with the database, and gives that what it lacks: committed, and in recovery. */
static int compare(struct np_ledger *ledger, size_t *out_taken, char error[NP_LEDGER_ERROR_MAX])
{
    FILE *file = open_stream(ledger);
    struct reading *r = calloc(1, sizeof *r);
    int rc = file && r ? read_lines(ledger, file, r, error)
                       : complain(error, file ? -ENOMEM : -errno, ledger->path, np_strerror(file ? -ENOMEM : -errno));
    if (rc == 0 && r->taken > 0)
        rc = np_store_recovery_set(ledger->store, (int64_t)time(NULL) + NP_RECOVERY_S);
    if (rc == 0)
        rc = np_store_commit(ledger->store);
    if (rc < 0 && !error[0])
        complain(error, rc, ledger->path, np_store_error(ledger->store));
    if (rc == 0) {
        ledger->last = r->last;
        ledger->len = r->len;
        ledger->torn = true; /* where nothing is behind the last line, that costs nothing */
        *out_taken = r->taken;
        if (r->diverged)
            rc = set_aside(ledger, error);
    }
    if (file)
        fclose(file);
    free(r);
    return rc;
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
    error[0] = 0;
    int rc = ledger->path ? open_file(ledger) : -ENOMEM;
    if (rc)
        complain(error, rc, path, np_strerror(rc));
    else
        rc = compare(ledger, &taken, error);
    if (rc == 0 && (rc = cut(ledger)))
        complain(error, rc, path, np_strerror(rc));
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
    struct np_ledger_entry last;
};

static int add_line(void *ctx, const struct np_ledger_entry *entry)
{
    struct lines *lines = ctx;
    char line[NP_LEDGER_LINE_MAX + 1];
    size_t len = np_ledger_format(entry, line);
    memcpy(lines->text + lines->len, line, len);
    lines->len += len;
    lines->count++;
    lines->last = *entry;
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
    ledger->last = lines->last;
    return 0;
}

/* Appends what the database has committed beyond the file, at most a batch; *out_full: there may be more. */
static int append(struct np_ledger *ledger, bool *out_full)
{
    struct lines *lines = malloc(sizeof *lines);
    if (!lines)
        return -ENOMEM;
    lines->len = lines->count = 0;
    int rc = np_store_ledger_after(ledger->store, ledger->last.seq, BATCH, add_line, lines);
    if (rc == 0 && lines->len > 0)
        rc = write_lines(ledger, lines);
    *out_full = rc == 0 && lines->count == BATCH;
    free(lines);
    return rc;
}

/* Has the database still what the file's last line says? One that was put back, or has become the main one from a copy
 * that was behind, has not. */
static int check_last(struct np_ledger *ledger)
{
    char error[NP_LEDGER_ERROR_MAX] = "";
    struct window *window = ledger->last.seq ? calloc(1, sizeof *window) : NULL;
    const struct np_ledger_entry *known = NULL;
    size_t taken = 0;
    if (ledger->last.seq == 0)
        return 0;
    int rc = window ? look_up(ledger, window, ledger->last.seq, &known) : -ENOMEM;
    bool same = rc == 0 && known && same_entry(known, &ledger->last);
    free(window);
    if (rc || same)
        return rc;
    rc = compare(ledger, &taken, error);
    if (rc)
        np_error("%s", error);
    else
        np_error("the database has gone back: it lacked %zu entries of %s, which it has again. What else was committed "
                 "in that time is lost: recovery begins ('nameplate-hq recovery')",
                 taken, ledger->path);
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
    if (rc == 0)
        rc = check_last(ledger);
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
