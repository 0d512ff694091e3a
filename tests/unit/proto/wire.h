/* wire: the recorded exchanges of tests/wire/v1 (tests/wire/README.md) for the unit tests: reading them, looking for
 * members that went missing, and adding members that nobody knows. */
#ifndef TESTS_UNIT_PROTO_WIRE_H
#define TESTS_UNIT_PROTO_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/proto/jws.h"
#include "resolver/base/error.h"

#define WIRE_MAX 200 /* recorded exchanges; there are some 60 */

#define WIRE_PROMISE "docs/compatibility.md promises that version 1 of the protocol keeps"

/* One recorded exchange; all borrowed from json. */
struct wire {
    json_t *json;
    const char *file;
    const char *step, *method, *path, *body;
    const char *authorization, *content_type, *if_none_match; /* NULL: none */
    int64_t at_us;
    int status;
    const char *answer; /* "": none */
    const char *nonce, *etag;
    int64_t retry_after_s;
    char name[256];
};

static inline const char *wire_text(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

static inline json_t *wire_load(const char *file)
{
    char path[512];
    json_error_t error;
    snprintf(path, sizeof path, "%s/tests/wire/v1/%s", getenv("NP_SOURCE_DIR"), file);
    json_t *json = json_load_file(path, 0, &error);
    if (!json)
        fail_msg("%s: %s", path, error.text);
    return json;
}

static inline void wire_read(struct wire *w, const char *file)
{
    w->json = wire_load(file);
    json_t *asked = json_object_get(w->json, "headers"), *answer = json_object_get(w->json, "answer"),
           *told = json_object_get(answer, "headers");
    snprintf(w->name, sizeof w->name, "%s", file);
    w->file = w->name;
    w->step = wire_text(w->json, "step");
    w->method = wire_text(w->json, "method");
    w->path = wire_text(w->json, "path");
    w->body = wire_text(w->json, "body");
    w->at_us = json_integer_value(json_object_get(w->json, "at_us"));
    w->authorization = wire_text(asked, "authorization");
    w->content_type = wire_text(asked, "content-type");
    w->if_none_match = wire_text(asked, "if-none-match");
    w->status = (int)json_integer_value(json_object_get(answer, "status"));
    w->answer = wire_text(answer, "body");
    w->nonce = wire_text(told, "replay-nonce");
    w->etag = wire_text(told, "etag");
    const char *wait = wire_text(told, "retry-after");
    w->retry_after_s = wait ? strtoll(wait, NULL, 10) : 0;
    if (!w->step || !w->method || !w->path || !w->body || !w->answer || !w->status)
        fail_msg("%s is no recorded exchange", file);
}

static inline int wire_is_exchange(const struct dirent *entry)
{
    return entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
}

/* All of them in their order; wire_free. */
static inline size_t wire_all(struct wire list[WIRE_MAX])
{
    char folder[512];
    struct dirent **entries;
    snprintf(folder, sizeof folder, "%s/tests/wire/v1", getenv("NP_SOURCE_DIR"));
    int count = scandir(folder, &entries, wire_is_exchange, alphasort);
    assert_true(count > 40 && count <= WIRE_MAX);
    for (int i = 0; i < count; i++) {
        wire_read(&list[i], entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return (size_t)count;
}

static inline void wire_free(struct wire list[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_decref(list[i].json);
}

/* The request's message: what is signed, or the body; a new reference, NULL where there is none. */
static inline json_t *wire_message(const struct wire *w)
{
    struct np_jws *jws;
    if (!w->body[0])
        return NULL;
    if (!w->content_type || strcmp(w->content_type, "application/jose+json") != 0)
        return json_loads(w->body, 0, NULL);
    if (np_jws_parse(w->body, strlen(w->body), &jws))
        fail_msg("%s: " WIRE_PROMISE " signed requests readable: the JWS is not read any more", w->file);
    json_t *message = json_loadb((const char *)jws->payload, jws->payload_len, 0, NULL);
    np_jws_free(jws);
    return message;
}

/* The path of the first member of recorded that today has not, or has with another type, in out; false: none. */
static inline bool wire_lost(const json_t *recorded, const json_t *today, char *out, size_t size)
{
    const char *name;
    json_t *value;
    size_t used = strlen(out);
    if (json_typeof(recorded) != json_typeof(today) && !(json_is_boolean(recorded) && json_is_boolean(today)))
        return true;
    if (json_is_array(recorded) && json_array_size(recorded) && json_array_size(today))
        return wire_lost(json_array_get(recorded, 0), json_array_get(today, 0), out, size);
    if (!json_is_object(recorded))
        return false;
    json_object_foreach((json_t *)recorded, name, value)
    {
        const json_t *now = json_object_get(today, name);
        snprintf(out + used, size - used, "/%s", name);
        if (!now || wire_lost(value, now, out, size))
            return true;
        out[used] = 0;
    }
    return false;
}

/* Adds a member that nobody knows to value and to every object in it. */
static inline void wire_add_unknown(json_t *value)
{
    const char *name;
    json_t *inner;
    size_t i;
    if (json_is_array(value)) {
        json_array_foreach(value, i, inner) wire_add_unknown(inner);
    } else if (json_is_object(value)) {
        json_object_foreach(value, name, inner) wire_add_unknown(inner);
        json_object_set_new(value, "of-a-later-version", json_pack("{s:[i,n,{s:b}]}", "a", 1, "b", 1));
    }
}

#endif
