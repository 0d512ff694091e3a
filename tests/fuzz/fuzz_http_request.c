/* agent/front/request and answer: whatever is kept of a head, nothing of it may break the answer's head or its page. */
#include <stdlib.h>
#include <string.h>

#include "agent/front/answer.h"
#include "agent/front/forward.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill_view(struct np_view *view)
{
    np_view_init(view);
    view->own_count = 1;
    view->own[0].https = view->own[0].wildcard = true;
    if (np_name_parse("a.example", &view->own[0].name))
        abort();
}

/* The head has no control characters but its line ends, and says how long the body is. */
static void check(const uint8_t *answer, size_t len)
{
    size_t i = 0;
    for (; i + 4 <= len && memcmp(answer + i, "\r\n\r\n", 4) != 0; i++) {
        if ((answer[i] == '\r') != (answer[i + 1] == '\n') ||
            (answer[i] < 0x20 && answer[i] != '\r' && answer[i] != '\n'))
            abort();
    }
    if (i + 4 > len)
        abort();
    for (i += 4; i < len; i++) {
        if (answer[i] < 0x20 && answer[i] != '\n')
            abort();
    }
}

static void check_answer(const struct np_request *request, bool secure)
{
    static struct np_view view;
    static const struct np_x509 leaf = {.names = {"a.example", "*.a.example"}, .name_count = 2, .not_after_s = 1};
    static uint8_t out[NP_ANSWER_MAX];
    fill_view(&view);
    static const struct np_news news = {.verdict.kind = NP_VERDICT_FILTERED};
    struct np_answer_facts facts = {
        .view = &view, .leaf = &leaf, .https_port = 443, .http_port = 80, .news = &news, .fallback = true};
    struct np_answer_place place = {.secure = secure};
    (void)np_answer_to_backend(&facts, &place, request);
    struct np_writer w = np_writer_make(out, sizeof out);
    bool keep_alive = true;
    np_answer_write(&w, &facts, &place, request, &keep_alive);
    if (w.error)
        abort();
    check(out, w.pos);
}

/* What the backend gets means the same, and asks to close. */
static void check_forwarded(const uint8_t *data, size_t len, const struct np_request *request)
{
    static uint8_t out[NP_REQUEST_HEAD_MAX + NP_FORWARD_MORE];
    struct np_request again;
    struct np_writer w = np_writer_make(out, sizeof out);
    np_forward_head(&w, data, len, request);
    long whole = np_request_parse(out, w.pos, &again);
    if (w.error || (whole != (long)w.pos && w.pos <= NP_REQUEST_HEAD_MAX && whole != NP_E_LIMIT))
        abort(); /* the field that is added may be one too many for us */
    if (whole <= 0)
        return;
    if (strcmp(again.target, request->target) != 0 || strcmp(again.host, request->host) != 0 ||
        again.method != request->method || again.has_body != request->has_body || (again.stays && !request->stays) ||
        !np_addr_equal(&again.host_addr, &request->host_addr))
        abort(); /* a cookie that Connection names ends here */
    if (again.upgrade != request->upgrade || again.keep_alive)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_request request;
    long whole = np_request_parse(data, size, &request);
    if (whole > (long)size)
        abort();
    if (whole < 0) {
        uint8_t out[NP_ANSWER_MAX];
        struct np_writer w = np_writer_make(out, sizeof out);
        np_answer_write_error(&w, whole);
        check(out, w.pos);
        return 0;
    }
    if (whole == 0)
        return 0;
    if (request.target[0] != '/' || strpbrk(request.target, " \r\n\t") || strpbrk(request.host, " \r\n\t/<>\"@:"))
        abort();
    struct np_request cut;
    if (np_request_parse(data, (size_t)whole - 1, &cut) != 0)
        abort(); /* a head is whole at its last byte and not before */
    check_forwarded(data, (size_t)whole, &request);
    check_answer(&request, false);
    check_answer(&request, true);
    return 0;
}
