/* pages: the files of agent/front/pages, built into the program (embed.cmake), so that whoever designs them edits HTML,
 * CSS and JavaScript and builds again. */
#ifndef AGENT_FRONT_PAGES_H
#define AGENT_FRONT_PAGES_H

#include <stddef.h>

/* A file's text with its length; a NUL follows. */
struct np_page_file {
    const char *text;
    size_t len;
};

/* One for each file, named after it: start.html is np_page_file_start_html. */
extern const struct np_page_file np_page_file_backend_html, np_page_file_details_html, np_page_file_error_html,
    np_page_file_layout_html, np_page_file_misdirected_html, np_page_file_moved_html, np_page_file_not_found_html,
    np_page_file_page_js, np_page_file_qrcode_min_js, np_page_file_start_html, np_page_file_status_html,
    np_page_file_style_css, np_page_file_trouble_html, np_page_file_verdict_html, np_page_file_waiting_html;

#endif
