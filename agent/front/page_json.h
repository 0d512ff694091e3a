/* page_json: what the status page tells, for programs: /.nameplate/status.json (docs/schema/page.schema.json). Pure. */
#ifndef AGENT_FRONT_PAGE_JSON_H
#define AGENT_FRONT_PAGE_JSON_H

#include "agent/front/page.h"

/* Writes it, with a final newline. Nothing where memory is out; over its room, w has the error NP_E_LIMIT. */
void np_page_write_json(struct np_writer *w, const struct np_page *page);

#endif
