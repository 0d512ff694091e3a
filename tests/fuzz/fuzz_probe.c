/* An answer to a probe, whatever it is, and what the judge makes of it. The first byte chooses the question. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/network/probe_judge.h"
#include "resolver/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check(const struct np_probe_question *question, const struct np_probe_answer *answer)
{
    require(answer->state == NP_PROBE_ANSWERED || answer->state == NP_PROBE_BROKEN, "state");
    require(answer->address_count <= NP_PROBE_ADDRESSES_MAX, "count");
    for (size_t i = 0; i < answer->address_count; i++)
        require(answer->addresses[i].family == (question->type == NP_RR_A ? AF_INET : AF_INET6), "family");
    require(memchr(answer->software, 0, sizeof answer->software) != NULL, "end of the text");
    for (const char *c = answer->software; *c; c++)
        require(*c >= 0x20 && *c < 0x7f, "printable");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *name;
        uint16_t type, class;
    } questions[] = {{"box.devices.example", NP_RR_A, NP_CLASS_IN},
                     {"box.devices.example", NP_RR_AAAA, NP_CLASS_IN},
                     {"version.bind", NP_RR_TXT, NP_CLASS_CHAOS}};
    static struct np_probe_server server;
    static struct np_probe_result result;
    struct np_probe_facts facts = {.confirmed = true};
    if (size < 3)
        return 0;
    unsigned which = data[0] % 3;
    struct np_probe_question question = {.type = questions[which].type, .class = questions[which].class};
    require(np_name_parse(questions[which].name, &question.name) == 0, "name");
    struct np_probe_answer answer = {.state = NP_PROBE_SILENT};
    uint16_t id = (uint16_t)(data[1] << 8 | data[2]);
    if (!np_probe_read(&question, id, data + 1, size - 1, &answer)) {
        require(answer.state == NP_PROBE_SILENT, "untouched");
        return 0;
    }
    check(&question, &answer);
    np_addr_parse("192.168.1.9", &facts.published.v4[facts.published.v4_count++]);
    memset(&server, 0, sizeof server);
    server.role = data[0] >> 2 & 3;
    for (int i = 0; i < NP_PROBE_ITEMS; i++) {
        server.asked[i] = true;
        server.answers[i] = answer;
    }
    np_probe_judge(&facts, &server, 1, &result);
    require(result.summary[0] != 0, "summary");
    return 0;
}
