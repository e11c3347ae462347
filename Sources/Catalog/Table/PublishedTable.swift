import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The table that lookups are answered from.
///
/// It is held once for each of some slots, and a thread always takes the same slot, so that readers do
/// not meet: not at a lock, and not at the table's reference count either, since a lookup is done
/// while the slot is held. The writer goes from slot to slot; for a moment some readers see the version
/// before.
package final class PublishedTable: Sendable {
  private final class Slot: Sendable {
    let table: Mutex<RouteTable?> = Mutex(nil)
    // Keeps the next slot off this one's line.
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) =
      (0, 0, 0, 0, 0, 0, 0, 0)
  }

  private static let slotCount = 64
  private let slots = (0..<slotCount).map { _ in Slot() }

  package init() {}

  /// Who owns a key; nil while there is no table, or there are no routes in it. O(log *n*).
  package func owner(of key: UnsafeRawBufferPointer) -> RouteOwner? {
    slot.table.withLock { $0?.owner(of: key) }
  }

  /// The table; nil while there is none.
  package var current: RouteTable? { slot.table.withLock { $0 } }

  /// Its version.
  package var version: CatalogVersion? { slot.table.withLock { $0?.version } }

  /// The slot of this thread.
  private var slot: Slot {
    // Threads lie far apart in memory: a product spreads what differs over the upper bits.
    #if canImport(Glibc)
      let thread = UInt64(pthread_self())
    #else
      let thread = UInt64(UInt(bitPattern: pthread_self()))
    #endif
    return slots[Int(truncatingIfNeeded: (thread &* 0x9E37_79B9_7F4A_7C15) &>> 58)]
  }

  /// Shows another table to all who come later.
  package func publish(_ table: RouteTable) {
    for slot in slots {
      // What was there is let go of outside the lock: that may free much.
      let old = slot.table.withLock { current in
        let old = current
        current = table
        return old
      }
      withExtendedLifetime(old) {}
    }
  }
}
