#ifndef CADASTRE_CINTRINSICS_H
#define CADASTRE_CINTRINSICS_H

/// Asks for the cache line that holds `address`; never faults, whatever the address.
static inline void cadastre_prefetch(const void *address) {
  __builtin_prefetch(address, 0, 3);
}

#endif
