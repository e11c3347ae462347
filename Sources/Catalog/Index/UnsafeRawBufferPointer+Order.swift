#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension UnsafeRawBufferPointer {
  /// Whether these bytes sort before `other` as unsigned bytes, a prefix before what extends it.
  @inlinable
  package func isOrdered(before other: UnsafeRawBufferPointer) -> Bool {
    compare(other) < 0
  }

  /// Negative, zero or positive as these bytes sort before, with or after `other`.
  @inlinable
  package func compare(_ other: UnsafeRawBufferPointer) -> Int {
    let common = Swift.min(count, other.count)
    if common > 0, let left = baseAddress, let right = other.baseAddress {
      let order = memcmp(left, right, common)
      if order != 0 { return Int(order) }
    }
    return count - other.count
  }
}
