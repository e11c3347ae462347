#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CIntrinsics.h"

#include <stdint.h>
#include <sys/mman.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif

bool cadastre_is_sanitized(void) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return true;
#else
  return false;
#endif
}

#if __has_feature(thread_sanitizer)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
void cadastre_acquired(void *lock) { __tsan_acquire(lock); }
void cadastre_releasing(void *lock) { __tsan_release(lock); }
#else
void cadastre_acquired(void *lock) { (void)lock; }
void cadastre_releasing(void *lock) { (void)lock; }
#endif

void *cadastre_map_huge(size_t size) {
  // Twice the size always holds an aligned part; what is around it goes back at once.
  char *mapped = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return NULL;
  size_t before = (size - (uintptr_t)mapped % size) % size;
  if (before > 0) munmap(mapped, before);
  munmap(mapped + before + size, size - before);
#ifdef MADV_HUGEPAGE
  // Advice: without huge pages everything works, only slower.
  madvise(mapped + before, size, MADV_HUGEPAGE);
#endif
  return mapped + before;
}

void cadastre_unmap(void *address, size_t size) { munmap(address, size); }
