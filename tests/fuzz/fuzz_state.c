#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/identity/state.h"
#include "resolver/base/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct np_state state, again;
static uint8_t bytes[NP_STATE_BYTES_MAX];

/* The records, with length and checksum put right, or no input would get past them; and what was read writes the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = 20 + size + 32;
    np_state_parse(data, size, &state);
    if (len > sizeof bytes)
        return 0;
    memcpy(bytes, "nameplate state\x01", 16);
    struct np_writer w = np_writer_make(bytes + 16, 4);
    np_write_u32(&w, (uint32_t)len);
    if (size)
        memcpy(bytes + 20, data, size);
    np_sha256(bytes, len - 32, bytes + len - 32);
    if (np_state_parse(bytes, len, &state))
        return 0;
    if (np_state_encode(&state, bytes, sizeof bytes, &len) || np_state_parse(bytes, len, &again) ||
        memcmp(&state, &again, sizeof state) != 0)
        abort();
    return 0;
}
