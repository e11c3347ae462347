import Catalog

/// Where the entries of recent commands are, in memory: for each, a hash of its id and its position.
///
/// An index by id on disk would touch a page of its own for each command, since ids come in no
/// order: a commit of 1,000 entries then writes 1,000 pages more, and takes 15 times as long. So the
/// disk has the ids in the order of positions, and who decides commands keeps this beside them: 16
/// bytes a slot, 32 MB for a million commands.
///
/// It says where to look: two ids may have the same hash.
struct CommandIndex {
  private struct Slot {
    var hash: UInt64 = 0
    /// Zero in an empty slot.
    var position: UInt64 = 0
  }

  /// A power of two of them, probed one after the other from the one that the hash names.
  private var slots: [Slot]
  private var usedCount = 0
  /// Positions this far behind the last one are forgotten.
  private let window: UInt64

  init(window: UInt64) {
    self.window = window
    slots = Array(repeating: Slot(), count: 64)
  }

  /// How many commands are known, forgotten ones that still take a slot among them.
  var count: Int { usedCount }

  /// Where the command may have its entry, newest first. O(1).
  func positions(of command: CommandID, last: LogPosition) -> [LogPosition] {
    let hash = CommandIndex.hash(command)
    var found: [LogPosition] = []
    var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while slots[index].position > 0 {
      if slots[index].hash == hash, isRemembered(slots[index].position, last.rawValue) {
        found.append(LogPosition(slots[index].position))
      }
      index = (index + 1) & (slots.count - 1)
    }
    if found.count > 1 { found.sort(by: >) }
    return found
  }

  /// Notes the entry of a command. Positions only rise. O(1), amortized.
  mutating func insert(_ command: CommandID, at position: LogPosition) {
    if (usedCount + 1) * 4 > slots.count * 3 { makeRoom(last: position.rawValue) }
    put(Slot(hash: CommandIndex.hash(command), position: position.rawValue))
  }

  /// Drops what is forgotten, and doubles the slots when that was not enough.
  private mutating func makeRoom(last: UInt64) {
    let live = slots.filter { $0.position > 0 && isRemembered($0.position, last) }
    let count = live.count * 2 > slots.count ? slots.count * 2 : slots.count
    slots = Array(repeating: Slot(), count: count)
    usedCount = 0
    for slot in live { put(slot) }
  }

  private mutating func put(_ slot: Slot) {
    var index = Int(truncatingIfNeeded: slot.hash) & (slots.count - 1)
    while slots[index].position > 0 { index = (index + 1) & (slots.count - 1) }
    slots[index] = slot
    usedCount += 1
  }

  private func isRemembered(_ position: UInt64, _ last: UInt64) -> Bool {
    // Newer ones may be known already than the last that the caller saw.
    position > last || last - position < window
  }

  /// Differs from process to process, so that no caller can make ids collide.
  private static func hash(_ command: CommandID) -> UInt64 {
    var hasher = Hasher()
    hasher.combine(command)
    return UInt64(bitPattern: Int64(hasher.finalize()))
  }
}
