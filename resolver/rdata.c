#include "resolver/rdata.h"

#define REST SIZE_MAX /* whatever follows */

/* The data of a type that has names in it. */
struct layout {
    uint16_t type;
    uint8_t fixed;   /* bytes before the first name */
    uint8_t strings; /* character strings behind these (RFC 1035 section 3.3) */
    uint8_t names;
    size_t after; /* bytes behind the last name */
};

static const struct layout layouts[] = {
    {NP_RR_NS, 0, 0, 1, 0},           {3 /* MD */, 0, 0, 1, 0},       {4 /* MF */, 0, 0, 1, 0},
    {NP_RR_CNAME, 0, 0, 1, 0},        {NP_RR_SOA, 0, 0, 2, 20},       {7 /* MB */, 0, 0, 1, 0},
    {8 /* MG */, 0, 0, 1, 0},         {9 /* MR */, 0, 0, 1, 0},       {NP_RR_PTR, 0, 0, 1, 0},
    {14 /* MINFO */, 0, 0, 2, 0},     {NP_RR_MX, 2, 0, 1, 0},         {17 /* RP */, 0, 0, 2, 0},
    {18 /* AFSDB */, 2, 0, 1, 0},     {21 /* RT */, 2, 0, 1, 0},      {24 /* SIG */, 18, 0, 1, REST},
    {26 /* PX */, 2, 0, 2, 0},        {30 /* NXT */, 0, 0, 1, REST},  {NP_RR_SRV, 6, 0, 1, 0},
    {35 /* NAPTR */, 4, 3, 1, 0},     {36 /* KX */, 2, 0, 1, 0},      {39 /* DNAME */, 0, 0, 1, 0},
    {46 /* RRSIG */, 18, 0, 1, REST}, {47 /* NSEC */, 0, 0, 1, REST}, {NP_RR_SVCB, 2, 0, 1, REST},
    {NP_RR_HTTPS, 2, 0, 1, REST},
};

static const struct layout *find_layout(uint16_t type)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        if (layouts[i].type == type)
            return &layouts[i];
    }
    return NULL;
}

/* Reads the names, noting where each begins; moves r behind the last one. */
static size_t read_names(struct np_reader *r, const struct layout *layout, const struct np_rr *rr,
                         size_t positions[NP_RDATA_NAMES_MAX])
{
    struct np_name name;
    np_read_seek(r, rr->rdata_pos + layout->fixed);
    for (unsigned i = 0; i < layout->strings; i++)
        np_read_skip(r, np_read_u8(r));
    for (unsigned i = 0; i < layout->names; i++) {
        positions[i] = r->pos;
        np_name_read(r, &name);
    }
    return layout->names;
}

bool np_rdata_is_sound(const uint8_t *message, size_t len, const struct np_rr *rr)
{
    size_t positions[NP_RDATA_NAMES_MAX];
    if (rr->type == NP_RR_A)
        return rr->rdata_len == 4;
    if (rr->type == NP_RR_AAAA)
        return rr->rdata_len == 16;
    const struct layout *layout = find_layout(rr->type);
    if (!layout)
        return true;
    /* Names are read from the whole message, for their pointers, and must end inside the data all the same. */
    struct np_reader r = np_reader_make(message, len);
    size_t end = rr->rdata_pos + rr->rdata_len;
    (void)read_names(&r, layout, rr, positions);
    if (r.error || r.pos > end)
        return false;
    return layout->after == REST || end - r.pos == layout->after;
}

size_t np_rdata_names(const uint8_t *message, size_t len, const struct np_rr *rr,
                      size_t out_positions[NP_RDATA_NAMES_MAX])
{
    const struct layout *layout = find_layout(rr->type);
    struct np_reader r = np_reader_make(message, len);
    return layout ? read_names(&r, layout, rr, out_positions) : 0;
}
