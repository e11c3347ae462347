import Catalog
import StateMachines
import Synchronization

/// The log of a region's stream whose entries are in a stream that members share before they are here; as
/// ``ReplicatedLog`` is for the catalog.
///
/// Which stream that is follows from the catalog, and is said after the log was opened: until then nothing
/// is decided.
package final class SharedRegionLog: RegionLog {
  private let local: RegionEventLog
  private let part = Mutex<StreamLead?>(nil)

  package init(_ local: RegionEventLog) { self.local = local }

  /// The part that this member plays in the shared stream; nil until that is known.
  package var lead: StreamLead? { part.withLock { $0 } }

  /// Shares a stream from now on.
  package func share(_ stream: any SharedStream) {
    part.withLock { $0 = StreamLead(of: stream) }
  }

  package func checkDecides() throws(StoreError) { try shared().checkDecides() }

  private func shared() throws(StoreError) -> StreamLead {
    guard let lead else { throw .notLeading("regions/\(region)") }
    return lead
  }
}

// MARK: Writing

extension SharedRegionLog {
  package func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint]
  ) throws(StoreError) {
    guard !entries.isEmpty else { return }
    let local = local
    try shared().append(entries, fingerprints: fingerprints) {
      (entries, prints) throws(StoreError) in
      try local.append(entries, fingerprints: prints)
    }
  }

  package func store(_ entries: [EncodedEntry]) throws(StoreError) {
    guard !entries.isEmpty else { return }
    let local = local
    try shared().store(entries) { (entries, prints) throws(StoreError) in
      try local.append(entries, fingerprints: prints)
    }
  }

  package func goOn(after state: RegionState) { local.goOn(after: state) }

  package func begin(after state: RegionState) throws(StoreError) {
    try local.begin(after: state)
  }

  package func install(base state: RegionState, commands: CommandWindow) throws(StoreError) {
    lead?.stopLeading()
    try local.install(base: state, commands: commands)
    lead?.forgetUnsettled()
  }

  package func removeTrimmed(limit: Int) throws(StoreError) -> Int {
    try local.removeTrimmed(limit: limit)
  }
}

// MARK: Reading

extension SharedRegionLog {
  package var catalog: CatalogID { local.catalog }
  package var region: Region { local.region }
  package var dedupeWindow: UInt64 { local.dedupeWindow }

  package func firstPosition() throws(StoreError) -> LogPosition { try local.firstPosition() }
  package func lastPosition() throws(StoreError) -> LogPosition { try local.lastPosition() }
  package func base() throws(StoreError) -> RegionState? { try local.base() }

  package func writtenHead() throws(StoreError) -> (position: LogPosition, hash: EntryHash)? {
    try local.writtenHead()
  }

  package func entries(
    from start: LogPosition, maxCount: Int, maxBytes: Int
  ) throws(StoreError) -> [EncodedEntry] {
    try local.entries(from: start, maxCount: maxCount, maxBytes: maxBytes)
  }

  package func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry? {
    try local.entry(at: position)
  }

  package func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand? {
    try local.knownCommand(at: position)
  }

  package func scanCommands(_ body: (LogPosition, CommandID) -> Bool) throws(StoreError) {
    try local.scanCommands(body)
  }

  package func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow {
    try local.commandWindow(through: last)
  }
}
