/* A connection to PostgreSQL with deadlines. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/store/postgres.h"
#include "resolver/base/error.h"
#include "resolver/base/monotonic.h"

/* libpq's messages have several lines, and end with one. */
static void keep_message(const char *message, char *out, size_t size)
{
    size_t len = 0;
    for (; *message && len + 1 < size; message++) {
        if (*message != '\n' && *message != '\t')
            out[len++] = *message;
        else if (message[1] && len > 0 && out[len - 1] != ' ')
            out[len++] = ' ';
    }
    out[len] = 0;
}

/* Waits until the socket is ready: true, or false at the deadline. */
static bool wait_socket(PGconn *pg, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd poller = {.fd = PQsocket(pg), .events = events};
        int64_t left = deadline_ms - np_monotonic_ms();
        int ready = poller.fd < 0 || left <= 0 ? 0 : poll(&poller, 1, (int)left);
        if (ready >= 0 || errno != EINTR)
            return ready > 0;
    }
}

void np_pg_disconnect(struct np_pg_conn *conn)
{
    PQfinish(conn->pg);
    conn->pg = NULL;
}

/* No attempt to connect for as long as the last one, or an answer, was waited for in vain: HQ stands still meanwhile,
 * and has other things to do. */
static void pause_after(struct np_pg_conn *conn, int64_t asked_ms)
{
    int64_t now_ms = np_monotonic_ms(), waited_ms = now_ms - asked_ms;
    int64_t pause_ms = waited_ms > conn->retry_ms ? waited_ms : conn->retry_ms;
    conn->retry_at_ms = now_ms + (pause_ms < NP_PG_RETRY_MAX_MS ? pause_ms : NP_PG_RETRY_MAX_MS);
}

PGresult *np_pg_wait(struct np_pg_conn *conn, int timeout_ms, char *error, size_t size)
{
    int64_t asked_ms = np_monotonic_ms(), deadline_ms = asked_ms + timeout_ms;
    PGresult *last = NULL;
    int flushing;
    while ((flushing = PQflush(conn->pg)) > 0) {
        if (!wait_socket(conn->pg, POLLOUT | POLLIN, deadline_ms))
            goto late;
        if (!PQconsumeInput(conn->pg))
            goto gone;
    }
    if (flushing < 0)
        goto gone;
    for (;;) {
        while (PQisBusy(conn->pg)) {
            if (!wait_socket(conn->pg, POLLIN, deadline_ms))
                goto late;
            if (!PQconsumeInput(conn->pg))
                goto gone;
        }
        PGresult *next = PQgetResult(conn->pg);
        if (!next)
            break;
        /* The first error of several statements is the one to tell. */
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
            PQclear(next);
            continue;
        }
        PQclear(last);
        last = next;
    }
    if (PQstatus(conn->pg) != CONNECTION_OK || !last)
        goto gone;
    return last;
late:
    snprintf(error, size, "the database did not answer within %d s", timeout_ms / 1000);
    PQclear(last);
    np_pg_disconnect(conn);
    pause_after(conn, asked_ms);
    return NULL;
gone:
    keep_message(PQerrorMessage(conn->pg), error, size);
    PQclear(last);
    np_pg_disconnect(conn);
    return NULL;
}

/* What every session of ours begins with. The limits are the server's: they also hold when we are stopped. */
static int prepare_session(struct np_pg_conn *conn, char *error, size_t size)
{
    char text[512];
    snprintf(text, sizeof text,
             "SET statement_timeout = %d; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d;"
             " SET client_min_messages = warning; SET standard_conforming_strings = on; SET synchronous_commit = on;"
             " SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = %s%s",
             NP_PG_STATEMENT_MS, conn->lock_ms, NP_PG_IDLE_MS, conn->read_only ? "on" : "off",
             conn->read_only ? "" : "; LISTEN " NP_PG_CHANNEL);
    if (!PQsendQuery(conn->pg, text)) {
        keep_message(PQerrorMessage(conn->pg), error, size);
        return -EAGAIN;
    }
    PGresult *result = np_pg_wait(conn, NP_PG_CONNECT_MS, error, size);
    if (!result)
        return -EAGAIN;
    int rc = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : NP_E_STORE;
    if (rc)
        keep_message(PQresultErrorMessage(result), error, size);
    PQclear(result);
    return rc;
}

/* NULL-terminated pairs for libpq: the URL, and what we want in it unless it says otherwise. */
static PGconn *start(const char *url)
{
    const char *keys[] = {"fallback_application_name", "tcp_user_timeout", "keepalives_idle", "dbname", NULL};
    const char *values[] = {"nameplate-hq", "10000", "30", url, NULL};
    return PQconnectStartParams(keys, values, 1);
}

static int establish(struct np_pg_conn *conn, char *error, size_t size)
{
    int64_t deadline_ms = np_monotonic_ms() + NP_PG_CONNECT_MS;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    conn->pg = start(conn->url);
    if (!conn->pg) {
        snprintf(error, size, "out of memory");
        return -EAGAIN;
    }
    while (PQstatus(conn->pg) != CONNECTION_BAD && status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
        if (!wait_socket(conn->pg, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) {
            snprintf(error, size, "the server does not answer");
            return -EAGAIN;
        }
        status = PQconnectPoll(conn->pg);
    }
    if (PQstatus(conn->pg) == CONNECTION_OK && status == PGRES_POLLING_OK)
        return 0;
    keep_message(PQerrorMessage(conn->pg), error, size);
    /* A server that takes others but not us says what is wrong with the URL: no use in trying again. */
    const char *keys[] = {"dbname", "connect_timeout", NULL}, *values[] = {conn->url, "2", NULL};
    return PQpingParams(keys, values, 1) == PQPING_OK ? NP_E_STORE : -EAGAIN;
}

int np_pg_connect(struct np_pg_conn *conn, char *error, size_t size)
{
    if (conn->pg)
        return 0;
    if (np_monotonic_ms() < conn->retry_at_ms) {
        snprintf(error, size, "the database is away; it is tried again");
        return -EAGAIN;
    }
    int64_t asked_ms = np_monotonic_ms();
    int rc = establish(conn, error, size);
    if (rc == 0)
        rc = prepare_session(conn, error, size);
    if (rc) {
        np_pg_disconnect(conn);
        conn->retry_ms = conn->retry_ms == 0                       ? NP_PG_RETRY_MIN_MS
                         : conn->retry_ms * 2 > NP_PG_RETRY_MAX_MS ? NP_PG_RETRY_MAX_MS
                                                                   : conn->retry_ms * 2;
        pause_after(conn, asked_ms);
        return conn->generation ? -EAGAIN : rc;
    }
    PQsetnonblocking(conn->pg, 1);
    conn->retry_ms = 0;
    conn->generation++;
    return 0;
}

void np_pg_describe(const char *url, char *out, size_t size)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    const char *host = "", *port = "", *name = "";
    for (PQconninfoOption *o = options; o && o->keyword; o++) {
        const char *value = o->val ? o->val : "";
        if (strcmp(o->keyword, "host") == 0)
            host = value;
        else if (strcmp(o->keyword, "port") == 0)
            port = value;
        else if (strcmp(o->keyword, "dbname") == 0)
            name = value;
    }
    snprintf(out, size, "postgresql://%s%s%s/%s", host, *port ? ":" : "", port, name);
    PQconninfoFree(options);
}
