/* Every message of protocol v1. The first byte chooses the kind; what a parser accepts must come through its encoder
 * and be accepted again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hq/proto/message.h"

#define AGAIN(type)                                                                                                    \
    do {                                                                                                               \
        static struct np_##type m, again;                                                                              \
        struct np_message_error error;                                                                                 \
        char *json = NULL;                                                                                             \
        if (np_##type##_parse(text, len, &m, &error))                                                                  \
            break;                                                                                                     \
        if (np_##type##_encode(&m, &json))                                                                             \
            abort();                                                                                                   \
        if (np_##type##_parse(json, strlen(json), &again, &error))                                                     \
            abort();                                                                                                   \
        free(json);                                                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    switch (data[0]) {
    case '0':
        AGAIN(enrol_request);
        break;
    case '1':
        AGAIN(enrol_answer);
        break;
    case '2':
        AGAIN(csr_request);
        break;
    case '3':
        AGAIN(csr_answer);
        break;
    case '4':
        AGAIN(pending_answer);
        break;
    case '5':
        AGAIN(package_answer);
        break;
    case '6':
        AGAIN(addresses_request);
        break;
    case '7':
        AGAIN(addresses_answer);
        break;
    case '8':
        AGAIN(session_answer);
        break;
    case 'd':
        AGAIN(session_request);
        break;
    case 'a':
        AGAIN(checkin_request);
        break;
    case 'b':
        AGAIN(checkin_answer);
        break;
    case 'c':
        AGAIN(leave_request);
        break;
    case 'n':
        AGAIN(name_request);
        break;
    case 'o':
        AGAIN(name_answer);
        break;
    case 't':
        AGAIN(time_request);
        break;
    case 'u':
        AGAIN(time_answer);
        break;
    default:
        AGAIN(problem);
        break;
    }
    return 0;
}
