#include "hq/api/lives.h"

#include <string.h>

/* The place of a life; count: it is new. */
static size_t find(const struct np_lives *lives, const uint8_t life[NP_LIFE_LEN])
{
    size_t at = 0;
    while (at < lives->count && memcmp(lives->lives[at], life, NP_LIFE_LEN) != 0)
        at++;
    return at;
}

/* Puts a life first; what stood there moves on, up to the place at, which is overwritten. */
static void move_first(struct np_lives *lives, const uint8_t life[NP_LIFE_LEN], size_t at)
{
    uint8_t kept[NP_LIFE_LEN];
    memcpy(kept, life, sizeof kept);
    memmove(lives->lives[1], lives->lives[0], at * NP_LIFE_LEN);
    memcpy(lives->lives[0], kept, sizeof kept);
}

enum np_lives_verdict np_lives_tell(struct np_lives *lives, const uint8_t life[NP_LIFE_LEN], int64_t now_s)
{
    size_t at = find(lives, life);
    if (at == 0 && lives->count > 0)
        return NP_LIVES_SAME;
    bool back = at < lives->count;
    if (!back && lives->count < NP_LIVES_MAX)
        lives->count++;
    move_first(lives, life, at < NP_LIVES_MAX ? at : NP_LIVES_MAX - 1);
    if (!back)
        return NP_LIVES_CHANGED;
    memmove(&lives->returns_s[1], &lives->returns_s[0], (NP_LIVES_RETURNS - 1) * sizeof lives->returns_s[0]);
    lives->returns_s[0] = now_s;
    int64_t oldest_s = lives->returns_s[NP_LIVES_RETURNS - 1];
    if (lives->suspected_s || oldest_s == 0 || now_s - oldest_s > NP_LIVES_WINDOW_S)
        return NP_LIVES_CHANGED;
    lives->suspected_s = now_s;
    return NP_LIVES_SUSPECTED;
}
