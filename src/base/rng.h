/* rng.h - pseudo-random numbers from a seed (splitmix64, Steele, Lea, Flood 2014; public domain algorithm).
 * Pure: same seed, same numbers. Never for keys or certificates; those come from libsodium. */
#ifndef NSMITH_RNG_H
#define NSMITH_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number in [0, limit); limit must not be 0. The bias is below limit / 2^64. */
static inline uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)rng_next(rng) * limit) >> 64);
}

#endif
