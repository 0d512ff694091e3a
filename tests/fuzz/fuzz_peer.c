/* resolver/peer: a frame of the stream channel, type and payload. What can be read can be written, and says the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_reader r = np_reader_make(data, size);
    struct np_peer_message message, again;
    uint8_t out[NP_PEER_MESSAGE_MAX], out_again[NP_PEER_MESSAGE_MAX];
    uint32_t type = np_read_u32(&r);
    size_t len = np_reader_left(&r);
    const uint8_t *payload = np_read_bytes(&r, len);
    if (r.error || np_peer_decode(type, payload, len, &message))
        return 0;
    if (strlen(message.why) >= sizeof message.why || message.reason >= NP_PEER_REASONS ||
        strlen(message.server.name) > NP_VIEW_AUTH_MAX)
        abort();
    long n = np_peer_encode(type, &message, out);
    if (n < 0 || np_peer_decode(type, out, (size_t)n, &again))
        abort();
    if (np_peer_encode(type, &again, out_again) != n || memcmp(out, out_again, (size_t)n) != 0)
        abort();
    return 0;
}
