import Catalog
import Replay
import StateMachines
import Synchronization
import TestSupport

/// A log on a simulated disk that keeps LMDB's contract: an append is seen at once by who made it, and
/// is durable, whole or not at all, when the disk has synced. A crash before that leaves it whole or
/// takes it back. A disk that lies about its syncs breaks the contract, on purpose.
///
/// Bytes on it may flip, and its end may be lost: to notice that is for who reads it.
final class SimulatedLog: CatalogLog {
  let catalog: CatalogID
  let dedupeWindow: UInt64 = 1 << 20

  struct Image {
    var base: CatalogState?
    /// The bytes of the entries from ``first`` on.
    var entries: [[UInt8]] = []
    var rows: [UInt64: CommandRow] = [:]
    /// Commands from before ``first``.
    var remembered: [CommandRecord] = []
    var head: LogTail?

    var first: LogPosition { base?.appliedThrough.next ?? LogPosition(1) }
    var last: LogPosition { LogPosition(first.rawValue - 1 + UInt64(entries.count)) }

    /// The commands that are known, with their entries where those are there.
    func knownCommands() throws(StoreError) -> [KnownCommand] {
      var known = remembered.map { KnownCommand(record: $0, entry: nil) }
      for (index, bytes) in entries.enumerated() {
        let position = LogPosition(first.rawValue + UInt64(index))
        do {
          let encoded = try EncodedEntry(decoding: bytes)
          let row = rows[position.rawValue]
          known.append(
            KnownCommand(
              record: CommandRecord(encoded.entry, fingerprint: row?.fingerprint), entry: encoded))
        } catch {
          throw StoreError(error, at: position)
        }
      }
      return known
    }

    /// Lets the log begin after `state`, and remembers the commands of the entries that go.
    mutating func trim(to state: CatalogState, forgetting: Bool) {
      let count = Int(state.appliedThrough.rawValue - first.rawValue + 1)
      let known = (try? knownCommands()) ?? []
      remembered = known.map(\.record).filter { $0.position <= state.appliedThrough }
      if forgetting { remembered = [] }
      for record in remembered { rows[record.position.rawValue] = nil }
      entries.removeFirst(count)
      base = state
    }
  }

  private struct Contents {
    /// What a crash leaves.
    var durable = Image()
    var visible = Image()
    /// What the disk held before it was damaged.
    var pristine: Image?
    var isFull = false
    /// Nothing is durable that is not synced by hand.
    var isLying = false
    /// Takes the last entry that is there for the one that was written last.
    var forgetsHead = false
    /// A trim, or a state that is taken over, takes what is known of commands with it.
    var forgetsCommands = false
    var writtenEnd: LogTail?
    var quarantinedCount = 0
  }

  private let contents = Mutex(Contents())

  init(catalog: CatalogID) { self.catalog = catalog }
}

// MARK: What goes wrong

extension SimulatedLog {
  var isFull: Bool {
    get { contents.withLock { $0.isFull } }
    set { contents.withLock { $0.isFull = newValue } }
  }

  var isLying: Bool {
    get { contents.withLock { $0.isLying } }
    set { contents.withLock { $0.isLying = newValue } }
  }

  var forgetsHead: Bool {
    get { contents.withLock { $0.forgetsHead } }
    set { contents.withLock { $0.forgetsHead = newValue } }
  }

  var forgetsCommands: Bool {
    get { contents.withLock { $0.forgetsCommands } }
    set { contents.withLock { $0.forgetsCommands = newValue } }
  }

  var isDamaged: Bool { contents.withLock { $0.pristine != nil } }

  /// Makes what was appended durable, as the end of a sync does.
  func settle() {
    contents.withLock { contents in
      if !contents.isLying { contents.durable = contents.visible }
    }
  }

  /// Loses what was not durable, or keeps it: the transaction under way is whole or not there.
  func crash(keeping: Bool) {
    contents.withLock { contents in
      if keeping, !contents.isLying { contents.durable = contents.visible }
      contents.visible = contents.durable
      contents.writtenEnd = nil
    }
  }

  /// Flips a bit of an entry, or loses the last ones; false when there are none.
  func damage(using generator: inout SeededGenerator) -> Bool {
    contents.withLock { contents in
      guard !contents.durable.entries.isEmpty, contents.pristine == nil else { return false }
      contents.pristine = contents.durable
      if generator.oneIn(4) {
        let count = Int.random(in: 1...min(3, contents.durable.entries.count), using: &generator)
        contents.durable.entries.removeLast(count)
        if contents.forgetsHead {
          contents.durable.head = contents.durable.entries.last.flatMap {
            try? EncodedEntry(decoding: $0)
          }.map { LogTail(position: $0.entry.position, hash: $0.hash, version: $0.entry.version) }
        }
      } else {
        let index = contents.durable.entries.indices.randomElement(using: &generator) ?? 0
        let byte = contents.durable.entries[index].indices.randomElement(using: &generator) ?? 0
        contents.durable.entries[index][byte] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      }
      contents.visible = contents.durable
      return true
    }
  }

  /// Puts back what was there before the damage, as a repair from a peer or a backup does.
  func repair() {
    contents.withLock { contents in
      guard let pristine = contents.pristine else { return }
      contents.durable = pristine
      contents.visible = pristine
      contents.pristine = nil
    }
  }

  /// Lets the log begin after `state`, which is one of its own.
  func trim(to state: CatalogState) {
    contents.withLock { contents in
      guard contents.pristine == nil, state.appliedThrough >= contents.durable.first,
        state.appliedThrough < contents.durable.last
      else { return }
      let forgetting = contents.forgetsCommands
      contents.durable.trim(to: state, forgetting: forgetting)
      contents.visible.trim(to: state, forgetting: forgetting)
    }
  }

  /// The hashes of the bytes that are there, for whoever checks them.
  var hashes: [(position: LogPosition, hash: EntryHash)] {
    contents.withLock { contents in
      contents.visible.entries.indices.map { index in
        (
          LogPosition(contents.visible.first.rawValue + UInt64(index)),
          contents.visible.entries[index].withUnsafeBytes(EntryHash.init(of:))
        )
      }
    }
  }
}

// MARK: The log

extension SimulatedLog {
  private func image() -> Image { contents.withLock { $0.visible } }

  func firstPosition() throws(StoreError) -> LogPosition { image().first }
  func lastPosition() throws(StoreError) -> LogPosition { image().last }
  func writtenHead() throws(StoreError) -> LogTail? { image().head }
  func base() throws(StoreError) -> CatalogState? { image().base }

  func tail() throws(StoreError) -> LogTail {
    if let end = contents.withLock({ $0.writtenEnd }) { return end }
    let image = image()
    let start = LogTail(
      position: image.base?.appliedThrough ?? .zero,
      hash: image.base?.lastHash ?? .genesis(of: catalog), version: image.base?.version ?? .zero)
    let head = image.head ?? start
    guard let last = try entry(at: image.last) else {
      guard head == start else { throw .gap(expected: start.position.next, found: head.position) }
      return start
    }
    let end = LogTail(
      position: last.entry.position, hash: last.hash, version: last.entry.version)
    guard end.position >= head.position else {
      throw .gap(expected: end.position.next, found: head.position)
    }
    guard end == head else { throw .damaged(end.position, .notTheHead(head.hash)) }
    return end
  }

  func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry? {
    let image = image()
    guard position >= image.first, position <= image.last else { return nil }
    let found: EncodedEntry
    do {
      found = try EncodedEntry(
        decoding: image.entries[Int(position.rawValue - image.first.rawValue)])
    } catch {
      throw StoreError(error, at: position)
    }
    guard found.entry.position == position else {
      throw .damaged(position, .misplaced(found.entry.position))
    }
    return found
  }

  func scan(
    from start: LogPosition, maxCount: Int, maxBytes: Int,
    _ body: (LogPosition, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(StoreError) {
    let image = image()
    guard start >= image.first else { throw .notRetained(start, first: image.first) }
    guard start <= image.last, maxCount > 0 else { return }
    var (position, byteCount) = (start, 0)
    for bytes in image.entries.dropFirst(Int(start.rawValue - image.first.rawValue))
      .prefix(maxCount)
    {
      try bytes.withUnsafeBufferPointer { (bytes) throws(StoreError) in
        try body(position, UnsafeRawBufferPointer(bytes))
      }
      position = position.next
      byteCount += bytes.count
      if byteCount >= maxBytes { return }
    }
  }

  func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint]
  ) throws(StoreError) {
    guard let last = entries.last else { return }
    let end = try tail()
    try Self.check(entries, continue: end)
    guard !isFull else { throw .diskFull(folder: "simulated") }
    contents.withLock { contents in
      for encoded in entries {
        contents.visible.entries.append(encoded.bytes)
        contents.visible.rows[encoded.entry.position.rawValue] = CommandRow(
          command: encoded.entry.command, fingerprint: fingerprints[encoded.entry.command])
      }
      let head = LogTail(
        position: last.entry.position, hash: last.hash, version: last.entry.version)
      contents.visible.head = head
      contents.writtenEnd = head
    }
  }

  func goOn(after state: CatalogState) {
    contents.withLock {
      $0.writtenEnd = LogTail(
        position: state.appliedThrough, hash: state.lastHash, version: state.version)
    }
  }

  func install(base state: CatalogState, commands: CommandWindow) throws(StoreError) {
    guard state.catalog == catalog else {
      throw .otherCatalog(expected: catalog, found: state.catalog)
    }
    guard !isFull else { throw .diskFull(folder: "simulated") }
    contents.withLock { contents in
      let head = LogTail(
        position: state.appliedThrough, hash: state.lastHash, version: state.version)
      contents.visible = Image(base: state, head: head)
      if !contents.forgetsCommands { contents.visible.remembered = commands.records }
      contents.writtenEnd = head
      contents.pristine = nil
    }
  }

  func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand? {
    let image = image()
    if let record = image.remembered.first(where: { $0.position == position }) {
      return KnownCommand(record: record, entry: nil)
    }
    guard let row = image.rows[position.rawValue], let encoded = try entry(at: position) else {
      return nil
    }
    return KnownCommand(
      record: CommandRecord(encoded.entry, fingerprint: row.fingerprint), entry: encoded)
  }

  func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow {
    CommandWindow(
      try image().knownCommands().map(\.record).prefix { $0.position <= last })
  }

  func scanCommands(_ body: (LogPosition, CommandID) -> Bool) throws(StoreError) {
    let image = image()
    for record in image.remembered {
      guard body(record.position, record.command) else { return }
    }
    for (position, row) in image.rows.sorted(by: { $0.key < $1.key }) {
      guard body(LogPosition(position), row.command) else { return }
    }
  }

  func fingerprints(
    of entries: [EncodedEntry]
  ) throws(StoreError) -> [CommandID: ChangeFingerprint] {
    let rows = image().rows
    var result: [CommandID: ChangeFingerprint] = [:]
    for encoded in entries {
      guard let row = rows[encoded.entry.position.rawValue] else { continue }
      result[row.command] = row.fingerprint
    }
    return result
  }

  func quarantine(_ poison: PoisonEntry, bytes: [UInt8]) -> PoisonEntry {
    contents.withLock { $0.quarantinedCount += 1 }
    var poison = poison
    poison.report = "simulated"
    return poison
  }
}
