import Catalog
import Replay
import StateMachines
import Synchronization

/// A region's log on a simulated disk that keeps LMDB's contract; see ``SimulatedLog``.
final class SimulatedRegionLog: RegionLog {
  let catalog: CatalogID
  let region: Region
  let dedupeWindow: UInt64 = 1 << 20

  private struct Image {
    var base: RegionState?
    var entries: [EncodedEntry] = []
    var fingerprints: [CommandID: ChangeFingerprint] = [:]
    /// Commands from before ``first``, ascending.
    var remembered: [CommandRecord] = []
    var head: (position: LogPosition, hash: EntryHash)?

    var first: LogPosition { base?.appliedThrough.next ?? LogPosition(1) }
    var last: LogPosition { LogPosition(first.rawValue - 1 + UInt64(entries.count)) }

    func entry(at position: LogPosition) -> EncodedEntry? {
      guard position >= first, position <= last else { return nil }
      return entries[Int(position.rawValue - first.rawValue)]
    }
  }

  private struct Contents {
    var durable = Image()
    var visible = Image()
    var isFull = false
    var isLying = false
    var forgetsCommands = false
  }

  private let contents = Mutex(Contents())

  init(catalog: CatalogID, region: Region, isLying: Bool, forgetsCommands: Bool) {
    self.catalog = catalog
    self.region = region
    contents.withLock {
      $0.isLying = isLying
      $0.forgetsCommands = forgetsCommands
    }
  }

  // MARK: What goes wrong

  func setFull(_ isFull: Bool) { contents.withLock { $0.isFull = isFull } }

  /// Makes what was written durable, as the end of a sync does.
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
    }
  }

  // MARK: The log

  private func image() -> Image { contents.withLock { $0.visible } }

  func firstPosition() throws(StoreError) -> LogPosition { image().first }
  func lastPosition() throws(StoreError) -> LogPosition { image().last }
  func base() throws(StoreError) -> RegionState? { image().base }
  func goOn(after state: RegionState) {}

  func writtenHead() throws(StoreError) -> (position: LogPosition, hash: EntryHash)? {
    image().head
  }

  func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry? {
    image().entry(at: position)
  }

  func entries(
    from start: LogPosition, maxCount: Int, maxBytes: Int
  ) throws(StoreError) -> [EncodedEntry] {
    let image = image()
    guard start >= image.first else { throw .notRetained(start, first: image.first) }
    guard start <= image.last else { return [] }
    return Array(
      image.entries[Int(start.rawValue - image.first.rawValue)...].prefix(maxCount))
  }

  func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint]
  ) throws(StoreError) {
    guard let last = entries.last else { return }
    try contents.withLock { contents throws(StoreError) in
      guard !contents.isFull else { throw .diskFull(folder: "simulated") }
      guard entries[0].entry.position == contents.visible.last.next else {
        throw .gap(expected: contents.visible.last.next, found: entries[0].entry.position)
      }
      contents.visible.entries += entries
      contents.visible.fingerprints.merge(fingerprints) { $1 }
      contents.visible.head = (last.entry.position, last.hash)
    }
  }

  func begin(after state: RegionState) throws(StoreError) {
    contents.withLock { contents in
      let image = contents.visible
      let count = Int(state.appliedThrough.rawValue - image.first.rawValue + 1)
      for encoded in image.entries.prefix(count) where !contents.forgetsCommands {
        contents.visible.remembered.append(
          CommandRecord(
            encoded.entry, fingerprint: image.fingerprints[encoded.entry.command]))
      }
      contents.visible.entries.removeFirst(count)
      contents.visible.base = state
    }
  }

  func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow {
    let image = image()
    var window = CommandWindow(image.remembered.prefix { $0.position <= last })
    for encoded in image.entries where encoded.entry.position <= last {
      window.append(
        CommandRecord(encoded.entry, fingerprint: image.fingerprints[encoded.entry.command]))
    }
    return window
  }

  func install(base state: RegionState, commands: CommandWindow) throws(StoreError) {
    guard state.catalog == catalog else {
      throw .otherCatalog(expected: catalog, found: state.catalog)
    }
    contents.withLock { contents in
      contents.visible = Image()
      contents.visible.remembered = commands.records
      contents.visible.base = state
      contents.visible.head = (state.appliedThrough, state.lastHash)
    }
  }

  func removeTrimmed(limit: Int) throws(StoreError) -> Int { 0 }

  func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand? {
    let image = image()
    if let encoded = image.entry(at: position) {
      let fingerprint = image.fingerprints[encoded.entry.command]
      return KnownCommand(
        record: CommandRecord(encoded.entry, fingerprint: fingerprint), entry: encoded)
    }
    return image.remembered.first { $0.position == position }
      .map { KnownCommand(record: $0, entry: nil) }
  }

  func scanCommands(_ body: (LogPosition, CommandID) -> Bool) throws(StoreError) {
    let image = image()
    for record in image.remembered {
      guard body(record.position, record.command) else { return }
    }
    for encoded in image.entries {
      guard body(encoded.entry.position, encoded.entry.command) else { return }
    }
  }
}
