#include "resolver/stats_fields.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

/* root's object of that name, made where there is none. Borrowed; NULL when out of memory. */
static json_t *group_of(json_t *root, const char *name)
{
    json_t *group = json_object_get(root, name);
    if (!group && json_object_set_new(root, name, json_object()) == 0)
        group = json_object_get(root, name);
    return group;
}

static json_t *histogram_json(const struct np_latency *latency)
{
    json_t *buckets = json_array();
    for (size_t i = 0; i < NP_LATENCY_BUCKETS; i++) {
        if (latency->buckets[i] && json_array_append_new(buckets, json_pack("[I, I]", (json_int_t)np_latency_bound(i),
                                                                            (json_int_t)latency->buckets[i])))
            break;
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "count", (json_int_t)latency->count, "sum_ns",
                     (json_int_t)latency->sum_ns, "p50_ns", (json_int_t)np_latency_percentile(latency, 500), "p99_ns",
                     (json_int_t)np_latency_percentile(latency, 990), "buckets", buckets);
}

static json_t *latency_json(const struct np_stats *stats)
{
    json_t *object = json_object();
    for (const struct np_stats_histogram *histogram = np_stats_histograms; histogram->name; histogram++) {
        struct np_latency latency;
        memcpy(&latency, (const char *)stats + histogram->offset, sizeof latency);
        if (json_object_set_new(object, histogram->name, histogram_json(&latency)))
            break;
    }
    return object;
}

static json_t *upstream_json(const struct np_forward_upstream *upstream)
{
    char zone[NP_NAME_TEXT_MAX], address[NP_VIEW_UPSTREAM_TEXT_MAX];
    return json_pack(
        "{s:s, s:s, s:b, s:o, s:I, s:I, s:s, s:s, s:I, s:I}", "zone", np_name_format(&upstream->zone, zone), "address",
        np_view_upstream_format(&upstream->server, address), "alive", upstream->alive, "srtt_us",
        upstream->measured ? json_integer(upstream->srtt_us) : json_null(), "answers", (json_int_t)upstream->answers,
        "failures", (json_int_t)upstream->failures, "health", np_forward_health_name(upstream->health), "tls",
        np_upstream_tls_state(&upstream->tls, upstream->server.tls), "tls_opened", (json_int_t)upstream->tls.opened,
        "tls_failed", (json_int_t)upstream->tls.refused);
}

static json_t *upstreams_json(const struct np_stats *stats)
{
    json_t *array = json_array();
    for (size_t i = 0; i < stats->upstream_count; i++) {
        if (json_array_append_new(array, upstream_json(&stats->upstreams[i])))
            break;
    }
    return array;
}

static json_t *blocked_json(const struct np_stats *stats)
{
    json_t *array = json_array();
    char name[NP_NAME_TEXT_MAX], address[NP_ADDR_TEXT_MAX];
    size_t room = NP_STATS_NAMES_MAX;
    for (size_t i = 0; i < stats->blocked_count; i++) {
        const struct np_blocked_name *entry = &stats->blocked[i];
        json_t *item = json_pack(
            "{s:s, s:I, s:I, s:i, s:o, s:I}", "name", np_name_format(&entry->name, name), "count",
            (json_int_t)entry->count, "error", (json_int_t)entry->error, "type", (int)entry->qtype, "address",
            entry->addr.family == AF_UNSPEC ? json_null() : json_string(np_addr_format(&entry->addr, address)),
            "last_seconds", (json_int_t)(entry->last_ms / 1000));
        size_t size = strlen(name) * 2 + 200; /* a backslash is two in JSON; the numbers and the members' names */
        if (size > room || json_array_append(array, item)) {
            json_decref(item);
            break;
        }
        json_decref(item);
        room -= size;
    }
    return array;
}

char *np_stats_encode(const struct np_stats *stats)
{
    json_t *root = json_object();
    int failed = !root;
    for (const struct np_stats_field *field = np_stats_fields; field->group && !failed; field++)
        failed = json_object_set_new(group_of(root, field->group), field->name,
                                     json_integer((json_int_t)np_stats_get(stats, field)));
    failed = failed || json_object_set_new(root, "latency", latency_json(stats)) ||
             json_object_set_new(root, "upstreams", upstreams_json(stats)) ||
             json_object_set_new(root, "blocked", blocked_json(stats));
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

/* A number that is absent is 0. */
static int number_of(const json_t *value, int64_t *out_number)
{
    *out_number = 0;
    if (!value)
        return 0;
    if (!json_is_integer(value))
        return NP_E_TYPE;
    *out_number = json_integer_value(value);
    return *out_number < 0 ? NP_E_MALFORMED : 0;
}

static int parse_fields(const json_t *root, struct np_stats *stats)
{
    for (const struct np_stats_field *field = np_stats_fields; field->group; field++) {
        const json_t *group = json_object_get(root, field->group);
        int64_t number;
        if (group && !json_is_object(group))
            return NP_E_TYPE;
        int rc = number_of(json_object_get(group, field->name), &number);
        if (rc)
            return rc;
        np_stats_set(stats, field, (uint64_t)number);
    }
    return 0;
}

/* What a bucket counts makes the sum: count is taken from them, so that percentiles are never out of reach. */
static int parse_bucket(const json_t *pair, struct np_latency *latency)
{
    int64_t bound, count;
    int rc = json_array_size(pair) == 2 ? number_of(json_array_get(pair, 0), &bound) : NP_E_MALFORMED;
    if (rc == 0)
        rc = number_of(json_array_get(pair, 1), &count);
    if (rc)
        return rc;
    size_t i = 0;
    while (i < NP_LATENCY_BUCKETS - 1 && np_latency_bound(i) < bound)
        i++;
    if (np_latency_bound(i) != bound || (uint64_t)count > INT64_MAX - latency->count)
        return NP_E_MALFORMED;
    latency->buckets[i] += (uint64_t)count;
    latency->count += (uint64_t)count;
    return 0;
}

static int parse_histogram(const json_t *object, struct np_latency *out)
{
    const json_t *buckets = json_object_get(object, "buckets");
    struct np_latency latency = {0};
    int64_t sum = 0;
    int rc = number_of(json_object_get(object, "sum_ns"), &sum);
    if (json_array_size(buckets) > NP_LATENCY_BUCKETS)
        rc = NP_E_LIMIT;
    for (size_t i = 0; i < json_array_size(buckets) && rc == 0; i++)
        rc = parse_bucket(json_array_get(buckets, i), &latency);
    latency.sum_ns = (uint64_t)sum;
    *out = latency;
    return rc;
}

static int parse_latency(const json_t *object, struct np_stats *stats)
{
    struct np_latency latency;
    int rc = 0;
    for (const struct np_stats_histogram *histogram = np_stats_histograms; histogram->name && rc == 0; histogram++) {
        rc = parse_histogram(json_object_get(object, histogram->name), &latency);
        memcpy((char *)stats + histogram->offset, &latency, sizeof latency);
    }
    return rc;
}

/* One that is absent or not known is untried. */
static enum np_forward_health health_of(const json_t *value)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    for (int i = NP_FORWARD_UNTRIED; i <= NP_FORWARD_ITSELF; i++) {
        if (strcmp(np_forward_health_name((enum np_forward_health)i), name) == 0)
            return (enum np_forward_health)i;
    }
    return NP_FORWARD_UNTRIED;
}

static int parse_upstream(const json_t *item, struct np_forward_upstream *out)
{
    const char *zone = json_string_value(json_object_get(item, "zone"));
    const char *address = json_string_value(json_object_get(item, "address"));
    const json_t *srtt = json_object_get(item, "srtt_us");
    const char *why;
    const char *tls = json_string_value(json_object_get(item, "tls"));
    int64_t answers, failures, opened, refused;
    if (!zone || !address || np_name_parse(zone, &out->zone) || np_view_upstream_parse(address, &out->server, &why))
        return NP_E_MALFORMED;
    out->alive = json_is_true(json_object_get(item, "alive"));
    out->health = health_of(json_object_get(item, "health"));
    out->measured = json_is_integer(srtt);
    int rc = number_of(out->measured ? srtt : NULL, &out->srtt_us);
    if (rc == 0)
        rc = number_of(json_object_get(item, "answers"), &answers);
    if (rc == 0)
        rc = number_of(json_object_get(item, "failures"), &failures);
    if (rc == 0)
        rc = number_of(json_object_get(item, "tls_opened"), &opened);
    if (rc == 0)
        rc = number_of(json_object_get(item, "tls_failed"), &refused);
    if (rc == 0)
        rc = np_upstream_tls_state_parse(tls ? tls : "off", &out->tls);
    if (rc)
        return rc;
    out->answers = (uint64_t)answers;
    out->failures = (uint64_t)failures;
    out->tls.opened = (uint64_t)opened;
    out->tls.refused = (uint64_t)refused;
    return 0;
}

static int parse_blocked_name(const json_t *item, struct np_blocked_name *out)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *address = json_string_value(json_object_get(item, "address"));
    int64_t count, error, type, last_s;
    if (!name || np_name_parse(name, &out->name) || (address && np_addr_parse(address, &out->addr)))
        return NP_E_MALFORMED;
    int rc = number_of(json_object_get(item, "count"), &count);
    if (rc == 0)
        rc = number_of(json_object_get(item, "error"), &error);
    if (rc == 0)
        rc = number_of(json_object_get(item, "type"), &type);
    if (rc == 0)
        rc = number_of(json_object_get(item, "last_seconds"), &last_s);
    if (rc == 0 && (type > UINT16_MAX || last_s > INT64_MAX / 1000))
        rc = NP_E_MALFORMED;
    if (rc)
        return rc;
    out->count = (uint64_t)count;
    out->error = (uint64_t)error;
    out->qtype = (uint16_t)type;
    out->last_ms = last_s * 1000;
    return 0;
}

static int parse_blocked(const json_t *array, struct np_stats *stats)
{
    size_t count = json_array_size(array);
    if (array && !json_is_array(array))
        return NP_E_TYPE;
    if (count > NP_BLOCKED_MAX)
        return NP_E_LIMIT;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = parse_blocked_name(json_array_get(array, i), &stats->blocked[i]);
    stats->blocked_count = count;
    return rc;
}

static int parse_upstreams(const json_t *array, struct np_stats *stats)
{
    size_t count = json_array_size(array);
    if (array && !json_is_array(array))
        return NP_E_TYPE;
    if (count > NP_STATS_UPSTREAMS_MAX)
        return NP_E_LIMIT;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = parse_upstream(json_array_get(array, i), &stats->upstreams[i]);
    stats->upstream_count = count;
    return rc;
}

int np_stats_parse(const char *text, size_t len, struct np_stats *out_stats)
{
    int rc = NP_E_LIMIT;
    struct np_stats *stats = NULL;
    if (len > NP_STATS_TEXT_MAX)
        return rc;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    rc = json_is_object(root) ? 0 : NP_E_MALFORMED;
    if (rc == 0 && !(stats = calloc(1, sizeof *stats)))
        rc = -ENOMEM;
    if (rc == 0)
        rc = parse_fields(root, stats);
    if (rc == 0)
        rc = parse_latency(json_object_get(root, "latency"), stats);
    if (rc == 0)
        rc = parse_upstreams(json_object_get(root, "upstreams"), stats);
    if (rc == 0)
        rc = parse_blocked(json_object_get(root, "blocked"), stats);
    if (rc == 0)
        *out_stats = *stats;
    free(stats);
    json_decref(root);
    return rc;
}
