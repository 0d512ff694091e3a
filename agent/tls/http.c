#include "agent/tls/http.h"

#include <string.h>
#include <strings.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define RETRY_AFTER_MAX_S (7 * 86400)

enum { STATUS_LINE, HEADER, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, COMPLETE };

void np_http_parser_init(struct np_http_parser *parser, bool head_request)
{
    memset(&parser->response, 0, sizeof parser->response);
    parser->response.body = parser->body;
    parser->state = STATUS_LINE;
    parser->head_request = head_request;
    parser->has_length = parser->chunked = parser->until_close = parser->old = false;
    parser->left = 0;
    parser->line_len = parser->head_len = 0;
    parser->body[0] = 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 9112 section 4: "HTTP/1." one digit, SP, three digits, then SP and a reason, or nothing. */
static int read_status_line(struct np_http_parser *parser)
{
    const char *line = parser->line;
    if (parser->line_len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || !is_digit(line[7]) || line[8] != ' ' ||
        !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) || (line[12] != ' ' && line[12] != 0))
        return NP_E_HTTP;
    int status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (status < 100 || status > 599)
        return NP_E_HTTP;
    parser->response.status = status;
    parser->response.keep_alive = line[7] != '0';
    parser->old = line[7] == '0';
    parser->state = HEADER;
    return 0;
}

/* RFC 9110 section 5.6.2: the characters of a field name. */
static bool is_field_name(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool alnum = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return len > 0;
}

static void keep_text(const char *value, char *out, size_t size)
{
    if (np_is_token(value, size - 1))
        memcpy(out, value, strlen(value) + 1);
}

static int read_length(struct np_http_parser *parser, const char *value)
{
    int64_t length;
    if (!is_digit(value[0]) || np_parse_int(value, 0, INT64_MAX, &length))
        return NP_E_HTTP;
    if (parser->has_length && parser->left != (uint64_t)length)
        return NP_E_HTTP; /* RFC 9112 section 6.3: one of them lies */
    parser->has_length = true;
    parser->left = (uint64_t)length;
    return 0;
}

static void read_media_type(const char *value, char out[NP_HTTP_TYPE_MAX + 1])
{
    size_t n = 0;
    for (; value[n] && value[n] != ';' && value[n] != ' ' && value[n] != '\t' && n < NP_HTTP_TYPE_MAX; n++)
        out[n] = value[n] >= 'A' && value[n] <= 'Z' ? (char)(value[n] + 32) : value[n];
    out[n] = 0;
}

/* Is option one of the comma-separated, case-insensitive words of value? */
static bool has_word(const char *value, const char *word)
{
    size_t len = strlen(word);
    while (*value) {
        value += strspn(value, ", \t");
        size_t n = strcspn(value, ", \t");
        if (n == len && strncasecmp(value, word, len) == 0)
            return true;
        value += n;
    }
    return false;
}

static int read_field(struct np_http_parser *parser, const char *name, const char *value)
{
    struct np_http_response *response = &parser->response;
    int64_t seconds;
    if (strcasecmp(name, "content-length") == 0)
        return read_length(parser, value);
    if (strcasecmp(name, "transfer-encoding") == 0) {
        if (parser->chunked || strcasecmp(value, "chunked") != 0)
            return NP_E_HTTP;
        parser->chunked = true;
    } else if (strcasecmp(name, "connection") == 0) {
        if (has_word(value, "close"))
            response->keep_alive = false;
        else if (parser->old && has_word(value, "keep-alive"))
            response->keep_alive = true;
    } else if (strcasecmp(name, "replay-nonce") == 0) {
        keep_text(value, response->nonce, sizeof response->nonce);
    } else if (strcasecmp(name, "etag") == 0) {
        keep_text(value, response->etag, sizeof response->etag);
    } else if (strcasecmp(name, "content-type") == 0) {
        read_media_type(value, response->content_type);
    } else if (strcasecmp(name, "retry-after") == 0 && np_parse_int(value, 0, INT64_MAX, &seconds) == 0) {
        response->retry_after_s = seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S;
    }
    return 0;
}

/* The head is complete: what comes next (RFC 9112 section 6.3)? */
static int begin_body(struct np_http_parser *parser)
{
    int status = parser->response.status;
    if (status < 200) {
        if (status == 101)
            return NP_E_HTTP; /* we never ask to switch */
        size_t head_len = parser->head_len;
        np_http_parser_init(parser, parser->head_request);
        parser->head_len = head_len; /* endless 100s count as one head */
        return 0;
    }
    if (parser->chunked && (parser->has_length || parser->old))
        return NP_E_HTTP; /* RFC 9112 section 6.1: HTTP/1.0 knows no chunks, somebody in between is confused */
    if (parser->head_request || status == 204 || status == 304) {
        parser->state = COMPLETE;
    } else if (parser->chunked) {
        parser->state = CHUNK_SIZE;
    } else if (parser->has_length) {
        if (parser->left > NP_HTTP_BODY_MAX)
            return NP_E_LIMIT;
        parser->state = parser->left > 0 ? BODY : COMPLETE;
    } else {
        parser->until_close = true;
        parser->response.keep_alive = false;
        parser->state = BODY;
    }
    return 0;
}

static int read_header_line(struct np_http_parser *parser)
{
    if (parser->line_len == 0)
        return begin_body(parser);
    char *colon = memchr(parser->line, ':', parser->line_len);
    if (!colon || !is_field_name(parser->line, (size_t)(colon - parser->line)))
        return NP_E_HTTP; /* also a folded line: it begins with white space */
    *colon = 0;
    char *value = colon + 1, *end = parser->line + parser->line_len;
    while (*value == ' ' || *value == '\t')
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = 0;
    return read_field(parser, parser->line, value);
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 9112 section 7.1: hex digits, then optional white space and extensions, which are ignored. */
static int read_chunk_size(struct np_http_parser *parser)
{
    uint64_t size = 0;
    size_t n = 0;
    for (; hex_value(parser->line[n]) >= 0; n++) {
        size = size * 16 + (uint64_t)hex_value(parser->line[n]);
        if (size > NP_HTTP_BODY_MAX)
            return NP_E_LIMIT;
    }
    char after = parser->line[n];
    if (n == 0 || (after != 0 && after != ';' && after != ' ' && after != '\t'))
        return NP_E_HTTP;
    parser->left = size;
    parser->state = size > 0 ? CHUNK_DATA : TRAILER;
    return 0;
}

static int read_line(struct np_http_parser *parser)
{
    switch (parser->state) {
    case STATUS_LINE:
        return read_status_line(parser);
    case HEADER:
        return read_header_line(parser);
    case CHUNK_SIZE:
        return read_chunk_size(parser);
    case CHUNK_END:
        parser->state = CHUNK_SIZE;
        return parser->line_len == 0 ? 0 : NP_E_HTTP;
    default: /* TRAILER: nothing there means anything to us */
        if (parser->line_len == 0)
            parser->state = COMPLETE;
        return 0;
    }
}

/* Collects one byte of a line; at LF the line without its CRLF is read. */
static int line_byte(struct np_http_parser *parser, uint8_t c)
{
    if (++parser->head_len > NP_HTTP_HEAD_MAX)
        return NP_E_LIMIT;
    if (c == '\n') {
        if (parser->line_len == 0 || parser->line[parser->line_len - 1] != '\r')
            return NP_E_HTTP;
        parser->line[--parser->line_len] = 0;
        int rc = read_line(parser);
        parser->line_len = 0;
        return rc;
    }
    bool after_cr = parser->line_len > 0 && parser->line[parser->line_len - 1] == '\r';
    if (c == 0 || after_cr)
        return NP_E_HTTP;
    parser->line[parser->line_len++] = (char)c; /* head_len bounds it */
    return 0;
}

/* Takes body bytes, as many as belong to this piece. Returns how many. */
static size_t take_body(struct np_http_parser *parser, const uint8_t *data, size_t len)
{
    struct np_http_response *response = &parser->response;
    size_t n = parser->until_close || len < parser->left ? len : (size_t)parser->left;
    memcpy(parser->body + response->body_len, data, n);
    response->body_len += n;
    parser->body[response->body_len] = 0;
    if (parser->until_close)
        return n;
    parser->left -= n;
    if (parser->left == 0)
        parser->state = parser->state == CHUNK_DATA ? CHUNK_END : COMPLETE;
    return n;
}

int np_http_parser_feed(struct np_http_parser *parser, const uint8_t *data, size_t len, size_t *out_used)
{
    size_t pos = 0;
    while (pos < len && parser->state != COMPLETE) {
        if (parser->state == BODY || parser->state == CHUNK_DATA) {
            size_t want = parser->until_close || len - pos < parser->left ? len - pos : (size_t)parser->left;
            if (want > NP_HTTP_BODY_MAX - parser->response.body_len)
                return NP_E_LIMIT;
            pos += take_body(parser, data + pos, len - pos);
            continue;
        }
        int rc = line_byte(parser, data[pos++]);
        if (rc)
            return rc;
    }
    *out_used = pos;
    return parser->state == COMPLETE;
}

int np_http_parser_end(struct np_http_parser *parser)
{
    if (parser->state == BODY && parser->until_close)
        parser->state = COMPLETE;
    return parser->state == COMPLETE ? 1 : NP_E_CLOSED;
}
