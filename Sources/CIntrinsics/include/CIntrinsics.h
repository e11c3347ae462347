#ifndef CADASTRE_CINTRINSICS_H
#define CADASTRE_CINTRINSICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Asks for the cache line that holds `address`; never faults, whatever the address.
static inline void cadastre_prefetch(const void *address) {
  __builtin_prefetch(address, 0, 3);
}

/// How many of `count` ascending numbers are at most `bound`; `count` is at least 1.
///
/// Binary search without branches. The processor can only guess which way a step goes, and a wrong
/// guess costs more than the step; left alone, the compiler makes branches of it.
static inline size_t cadastre_rank(const uint64_t *numbers, size_t count, uint64_t bound) {
  const uint64_t *base = numbers;
  while (count > 1) {
    size_t half = count >> 1;
    base = __builtin_unpredictable(base[half - 1] <= bound) ? base + half : base;
    count -= half;
  }
  return (size_t)(base - numbers) + (base[0] <= bound);
}

/// Whether the address or thread sanitizer watches: it sees only what malloc hands out.
///
/// Not inline: Swift reads this header without the flags that C is compiled with.
bool cadastre_is_sanitized(void);

/// Tells the thread sanitizer, which does not see into Swift's `Mutex`, that what was done before
/// `cadastre_releasing(lock)` has happened before what is done after `cadastre_acquired(lock)`.
/// Without it nothing is done.
void cadastre_acquired(void *lock);
void cadastre_releasing(void *lock);

/// Maps `size` bytes of zeros at a multiple of `size`, a power of two, in huge pages where the
/// system has them; null when there is no memory left.
void *cadastre_map_huge(size_t size);

/// Gives back what `cadastre_map_huge` mapped.
void cadastre_unmap(void *address, size_t size);

#endif
