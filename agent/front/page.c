#include "agent/front/page.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/identity/keys.h"
#include "resolver/base/text.h"

static const char style[] =
    ":root{color-scheme:light dark;--ground:#f3f4f6;--card:#fff;--text:#1c2430;--soft:#5b6675;--line:#dfe3e8;"
    "--good:#12724a;--wait:#8a5a00;--link:#0b57c2}"
    "@media(prefers-color-scheme:dark){:root{--ground:#12161c;--card:#1b2129;--text:#e7ebf0;--soft:#9aa6b4;"
    "--line:#2d3641;--good:#5fd3a0;--wait:#f0c060;--link:#8ab8ff}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:1.5rem;"
    "background:var(--ground);color:var(--text);font:1rem/1.55 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}"
    "main{width:100%;max-width:34rem;background:var(--card);border:1px solid var(--line);border-radius:14px;"
    "padding:2rem 2.25rem}"
    "h1{font-size:1.4rem;line-height:1.3;margin:0 0 .75rem;overflow-wrap:anywhere}"
    "p{margin:.75rem 0}"
    ".mark{font-size:.8rem;font-weight:600;letter-spacing:.04em;margin:0 0 .5rem}"
    ".good{color:var(--good)}.wait{color:var(--wait)}.soft{color:var(--soft)}"
    "dl{margin:1.5rem 0 0;border-top:1px solid var(--line)}"
    "div{display:flex;gap:1rem;padding:.6rem 0;border-bottom:1px solid var(--line)}"
    "dt{flex:0 0 9rem;color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}dd span{display:block}"
    "a{color:var(--link);overflow-wrap:anywhere}"
    ".go{display:inline-block;margin-top:.5rem;padding:.6rem 1.1rem;border-radius:8px;background:var(--link);"
    "color:var(--card);text-decoration:none;font-weight:600}"
    "@media(max-width:30rem){main{padding:1.5rem}div{display:block}}";

static void put(struct np_writer *w, const char *text)
{
    np_write_bytes(w, text, strlen(text));
}

void np_page_escape(struct np_writer *w, const char *text)
{
    for (; text && *text; text++) {
        unsigned char c = (unsigned char)*text;
        switch (c) {
        case '&':
            put(w, "&amp;");
            break;
        case '<':
            put(w, "&lt;");
            break;
        case '>':
            put(w, "&gt;");
            break;
        case '"':
            put(w, "&quot;");
            break;
        case '\'':
            put(w, "&#39;");
            break;
        default:
            np_write_u8(w, c < 0x20 || c == 0x7f ? '?' : c);
        }
    }
}

static bool is_set(const char *text)
{
    return text && *text;
}

/* "12 March 2027", in UTC. */
static void put_date(struct np_writer *w, int64_t seconds)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    char text[48] = "?";
    struct tm tm;
    time_t time = (time_t)seconds;
    if (gmtime_r(&time, &tm))
        snprintf(text, sizeof text, "%d %s %d", tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900);
    put(w, text);
}

static void put_row(struct np_writer *w, const char *term, const char *text)
{
    put(w, "<div><dt>");
    put(w, term);
    put(w, "</dt><dd>");
    np_page_escape(w, text);
    put(w, "</dd></div>\n");
}

/* "<a class=go href=URL>LABEL</a>". */
static void put_button(struct np_writer *w, const char *url, const char *label)
{
    put(w, "<p><a class=\"go\" href=\"");
    np_page_escape(w, url);
    put(w, "\">");
    np_page_escape(w, label);
    put(w, "</a></p>\n");
}

static void put_details(struct np_writer *w, const struct np_page *page)
{
    put(w, "<dl>\n");
    if (is_set(page->name))
        put_row(w, "Name", page->name);
    if (page->not_after_s) {
        put_row(w, "Certificate from", is_set(page->issuer) ? page->issuer : "(not named)");
        put(w, "<div><dt>Valid</dt><dd>");
        put_date(w, page->not_before_s);
        put(w, " to ");
        put_date(w, page->not_after_s);
        put(w, "<span class=\"soft\">It is renewed by itself.</span></dd></div>\n");
    }
    if (page->address_count > 0) {
        put(w, "<div><dt>Address at home</dt><dd>");
        for (size_t i = 0; i < page->address_count && i < NP_PAGE_ADDRESSES_MAX; i++) {
            put(w, "<span>");
            np_page_escape(w, page->addresses[i]);
            put(w, "</span>");
        }
        put(w, "</dd></div>\n");
    }
    put(w, "</dl>\n");
}

static void put_status(struct np_writer *w, const struct np_page *page)
{
    if (page->secure && is_set(page->url)) {
        put(w, "<p class=\"mark good\">Connected securely</p>\n<h1>");
        np_page_escape(w, page->name);
        put(w, "</h1>\n<p>This is your device. It answers under its own name, with a certificate that browsers "
               "trust.</p>\n");
    } else if (is_set(page->url)) {
        put(w, "<p class=\"mark good\">Your device is here</p>\n<h1>");
        np_page_escape(w, page->name);
        put(w, "</h1>\n<p>You are looking at it by its address. Under its name the connection is secure, without "
               "warnings:</p>\n");
        put_button(w, page->url, page->url);
        put(w, "<p class=\"soft\">Does the name not open? Then this computer or phone may be asking another name "
               "server than your router. Try again on your home's Wi-Fi.</p>\n");
    } else if (is_set(page->name)) {
        put(w, "<p class=\"mark wait\">Being set up</p>\n<h1>");
        np_page_escape(w, page->name);
        put(w, "</h1>\n<p>Your device has its name. Its certificate is on its way; this usually takes a minute or two "
               "and needs the Internet.</p>\n<p class=\"soft\">Reload this page in a moment.</p>\n");
    } else {
        put(w, "<p class=\"mark wait\">Being set up</p>\n<h1>Your device is here</h1>\n<p>It has no name yet. It asks "
               "for one as soon as it reaches the Internet.</p>\n<p class=\"soft\">Reload this page in a "
               "moment.</p>\n");
    }
    put_details(w, page);
}

static void put_waiting(struct np_writer *w, const struct np_page *page)
{
    put(w, "<p class=\"mark wait\">One moment</p>\n<h1>");
    np_page_escape(w, page->name);
    put(w,
        "</h1>\n<p>The certificate for this name is on its way. Until it is here there is no secure page to send you "
        "to.</p>\n<p class=\"soft\">This usually takes a minute or two and needs the Internet. Reload this page in "
        "a moment.</p>\n");
}

static void put_error(struct np_writer *w, const struct np_page *page)
{
    char number[16];
    snprintf(number, sizeof number, "%d", page->status);
    put(w, "<p class=\"mark wait\">");
    put(w, number);
    put(w, "</p>\n<h1>");
    np_page_escape(w, page->reason);
    put(w, "</h1>\n<p>This request could not be answered.</p>\n");
}

static void put_body(struct np_writer *w, const struct np_page *page)
{
    switch (page->kind) {
    case NP_PAGE_STATUS:
        put_status(w, page);
        break;
    case NP_PAGE_WAITING:
        put_waiting(w, page);
        break;
    case NP_PAGE_NOT_FOUND:
        put(w, "<p class=\"mark wait\">404</p>\n<h1>There is no such page</h1>\n<p>The device is here, but it has no "
               "page at this address.</p>\n");
        put_button(w, page->secure || !is_set(page->url) ? "/" : page->url, "To the start page");
        break;
    case NP_PAGE_BACKEND:
        put(w, "<p class=\"mark wait\">One moment</p>\n<h1>The device's own pages do not answer</h1>\n<p>The secure "
               "connection to your device works, but the part of it that makes this page does not answer at the "
               "moment. It may still be starting.</p>\n<p class=\"soft\">Reload this page in a moment.</p>\n");
        break;
    case NP_PAGE_MOVED:
        put(w, "<h1>This page has moved</h1>\n");
        put_button(w, page->url, page->url);
        break;
    case NP_PAGE_MISDIRECTED:
        put(w, "<p class=\"mark wait\">421</p>\n<h1>This is not the device you asked for</h1>\n<p>Something has sent "
               "your browser here under a name that does not belong to this device. For safety it answers only under "
               "its own name and its own addresses.</p>\n<p class=\"soft\">Check the address that you typed, or open "
               "the device by its own name.</p>\n");
        break;
    case NP_PAGE_ERROR:
        put_error(w, page);
        break;
    }
}

static const char *title(const struct np_page *page)
{
    switch (page->kind) {
    case NP_PAGE_STATUS:
    case NP_PAGE_WAITING:
        return is_set(page->name) ? page->name : "Your device";
    case NP_PAGE_NOT_FOUND:
        return "There is no such page";
    case NP_PAGE_BACKEND:
        return "One moment";
    case NP_PAGE_MOVED:
        return "Moved";
    case NP_PAGE_MISDIRECTED:
        return "Not this device";
    case NP_PAGE_ERROR:
        break;
    }
    return is_set(page->reason) ? page->reason : "Error";
}

void np_page_write(struct np_writer *w, const struct np_page *page)
{
    put(w, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
           "content=\"width=device-width,initial-scale=1\">\n<title>");
    np_page_escape(w, title(page));
    put(w, "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>");
    put(w, style);
    put(w, "</style>\n</head>\n<body>\n<main>\n");
    put_body(w, page);
    put(w, "</main>\n</body>\n</html>\n");
}

const char *np_page_policy(char buffer[NP_PAGE_POLICY_MAX])
{
    uint8_t hash[32];
    char text[NP_BASE64URL_LEN(sizeof hash)];
    np_sha256(style, sizeof style - 1, hash);
    np_base64url_encode(hash, sizeof hash, text);
    /* CSP takes base64url's letters as well (CSP 3, hash-source), but wants the padding. */
    snprintf(buffer, NP_PAGE_POLICY_MAX,
             "default-src 'none'; style-src 'sha256-%s='; img-src data:; base-uri 'none'; form-action 'none'; "
             "frame-ancestors 'none'",
             text);
    return buffer;
}
