import Catalog
import StateMachines

/// A log whose entries are in a stream that members share before they are here; see ``StreamLead``.
///
/// While its member leads, what is decided is appended to the stream first and then to the log beside
/// it. What others decided comes from the stream and is stored in the log alone.
package final class ReplicatedLog: CatalogLog {
  private let local: any CatalogLog
  private let lead: StreamLead

  package var stream: any SharedStream { lead.stream }

  /// Does not lead.
  package init(_ local: any CatalogLog, sharing stream: any SharedStream) {
    self.local = local
    lead = StreamLead(of: stream)
  }
}

// MARK: Leading

extension ReplicatedLog {
  /// The term that this member leads; nil when it does not.
  package var term: ClusterTerm? { lead.term }

  /// Begins to lead a term that was won, the stream having ended with `tail` since then; see
  /// ``StreamLead/lead(in:after:found:orLost:)``.
  package func lead(
    in term: ClusterTerm, after tail: LogTail, orLost: @escaping StreamLead.Loss
  ) throws(StoreError) {
    try lead.lead(in: term, after: tail, found: try local.tail(), orLost: orLost)
  }

  /// Decides nothing any more until a later term. What is being appended may get into the stream still.
  package func stopLeading() { lead.stopLeading() }

  /// Lets nothing be decided for a reason that has nothing to do with the lead; nil lets it again.
  package func setObstacle(_ obstacle: StoreError?) { lead.setObstacle(obstacle) }

  package func checkDecides() throws(StoreError) { try lead.checkDecides() }
}

// MARK: Writing

extension ReplicatedLog {
  package func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint]
  ) throws(StoreError) {
    let local = local
    try lead.append(entries, fingerprints: fingerprints) { (entries, prints) throws(StoreError) in
      try local.append(entries, fingerprints: prints)
    }
  }

  package func store(_ entries: [EncodedEntry]) throws(StoreError) {
    let local = local
    try lead.store(entries) { (entries, prints) throws(StoreError) in
      try local.append(entries, fingerprints: prints)
    }
  }

  package func goOn(after state: CatalogState) { local.goOn(after: state) }

  package func install(
    base state: CatalogState, commands: CommandWindow
  ) throws(StoreError) {
    stopLeading()
    try local.install(base: state, commands: commands)
    lead.forgetUnsettled()
  }

  package func quarantine(_ poison: PoisonEntry, bytes: [UInt8]) -> PoisonEntry {
    local.quarantine(poison, bytes: bytes)
  }
}

// MARK: Reading

extension ReplicatedLog {
  package var catalog: CatalogID { local.catalog }
  package var dedupeWindow: UInt64 { local.dedupeWindow }
  package var reading: CapabilitySet { local.reading }

  package func firstPosition() throws(StoreError) -> LogPosition { try local.firstPosition() }
  package func lastPosition() throws(StoreError) -> LogPosition { try local.lastPosition() }
  package func tail() throws(StoreError) -> LogTail { try local.tail() }
  package func writtenHead() throws(StoreError) -> LogTail? { try local.writtenHead() }
  package func base() throws(StoreError) -> CatalogState? { try local.base() }

  package func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry? {
    try local.entry(at: position)
  }

  package func scan(
    from start: LogPosition, maxCount: Int, maxBytes: Int,
    _ body: (LogPosition, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(StoreError) {
    try local.scan(from: start, maxCount: maxCount, maxBytes: maxBytes, body)
  }

  package func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand? {
    try local.knownCommand(at: position)
  }

  package func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow {
    try local.commandWindow(through: last)
  }

  package func scanCommands(_ body: (LogPosition, CommandID) -> Bool) throws(StoreError) {
    try local.scanCommands(body)
  }

  package func fingerprints(
    of entries: [EncodedEntry]
  ) throws(StoreError) -> [CommandID: ChangeFingerprint] {
    try local.fingerprints(of: entries)
  }

  package func startingPoint(
    in checkpoints: CheckpointStore?, through end: LogPosition?, history: UInt64?
  ) throws(StoreError) -> StartingPoint {
    try local.startingPoint(in: checkpoints, through: end, history: history)
  }
}
