import Catalog
import Synchronization

/// A member's part in a shared stream: appends to it what was decided here while it leads, and remembers of
/// what may have got in without its log.
///
/// A lead ends for good with its term; and at once, when it is not certain what the stream ends with, or
/// when the log here could not follow: what got into the stream comes back from there.
package final class StreamLead: Sendable {
  /// Told that a lead is over, and why, by the thread that writes.
  package typealias Loss = @Sendable (ClusterTerm, StoreError) -> Void
  /// Writes entries to the log here.
  package typealias Local =
    ([EncodedEntry], [CommandID: ChangeFingerprint]) throws(StoreError) -> Void

  package let stream: any SharedStream
  private let state = Mutex(State())

  private struct State {
    var lead: Lead?
    /// The last term that was led.
    var lastTerm: ClusterTerm?
    /// Why nothing is to be decided though this member leads.
    var obstacle: StoreError?
    /// What was asked for by commands whose entries may be in the stream, and are not here.
    var unsettled: [EntryHash: (position: LogPosition, fingerprint: ChangeFingerprint)] = [:]
  }

  private struct Lead: Sendable {
    var term: ClusterTerm
    /// Where stream and log end.
    var tail: LogTail
    var orLost: Loss
  }

  /// Does not lead.
  package init(of stream: any SharedStream) { self.stream = stream }

  /// The term that this member leads; nil when it does not.
  package var term: ClusterTerm? { state.withLock { $0.lead?.term } }

  /// Begins to lead a term that was won, the stream having ended with `tail` since then, and the log here
  /// ending with `found`.
  ///
  /// - Throws: ``StoreError/stream(_:_:)`` with ``SharedStreamError/elsewhere(expected:found:)`` unless
  ///   the log ends there as well, and with ``SharedStreamError/deposed(_:)`` when the term is not
  ///   later than those before.
  package func lead(
    in term: ClusterTerm, after tail: LogTail, found: LogTail, orLost: @escaping Loss
  ) throws(StoreError) {
    guard found == tail else {
      throw .stream(stream.name, .elsewhere(expected: found, found: tail))
    }
    let isLater = state.withLock { state in
      if let last = state.lastTerm, term <= last { return false }
      state.lastTerm = term
      state.obstacle = nil
      state.lead = Lead(term: term, tail: tail, orLost: orLost)
      return true
    }
    guard isLater else { throw .stream(stream.name, .deposed(term)) }
  }

  /// Decides nothing any more until a later term. What is being appended may get into the stream still.
  package func stopLeading() {
    state.withLock { $0.lead = nil }
  }

  /// Lets nothing be decided for a reason that has nothing to do with the lead; nil lets it again.
  package func setObstacle(_ obstacle: StoreError?) {
    state.withLock { $0.obstacle = obstacle }
  }

  package func checkDecides() throws(StoreError) {
    let (isLeading, obstacle) = state.withLock { ($0.lead != nil, $0.obstacle) }
    guard isLeading else { throw .notLeading(stream.name) }
    if let obstacle { throw obstacle }
  }

  /// Ends a lead, if it is that of `term` still.
  private func lose(_ term: ClusterTerm, _ why: StoreError) {
    let lost = state.withLock { state -> Lead? in
      guard let lead = state.lead, lead.term == term else { return nil }
      state.lead = nil
      return lead
    }
    lost?.orLost(term, why)
  }
}

// MARK: Writing

extension StreamLead {
  /// Adds entries that were decided here: to the stream, and then to the log.
  ///
  /// - Throws: ``StoreError/notLeading(_:)`` when this member does not lead, and
  ///   ``StoreError/stream(_:_:)`` when the stream did not take them, or may have. After an error of
  ///   the log's own they are in the stream.
  package func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint], to local: Local
  ) throws(StoreError) {
    guard let last = entries.last else { return }
    guard let lead = state.withLock({ $0.lead }) else { throw .notLeading(stream.name) }
    try EventLog.check(entries, continue: lead.tail)
    do {
      try stream.append(entries, after: lead.tail, in: lead.term)
    } catch {
      let problem = StoreError.stream(stream.name, error)
      if case .outcomeUnknown = error { remember(entries, fingerprints) }
      if error.endsLead { lose(lead.term, problem) }
      throw problem
    }
    do {
      try local(entries, fingerprints)
    } catch {
      remember(entries, fingerprints)
      lose(lead.term, error)
      throw error
    }
    state.withLock { state in
      if state.lead?.term == lead.term { state.lead?.tail = LogTail(endingWith: last) }
    }
  }

  private func remember(
    _ entries: [EncodedEntry], _ fingerprints: [CommandID: ChangeFingerprint]
  ) {
    state.withLock { state in
      state.unsettled = [:]
      for encoded in entries {
        guard let fingerprint = fingerprints[encoded.entry.command] else { continue }
        state.unsettled[encoded.hash] = (encoded.entry.position, fingerprint)
      }
    }
  }

  /// Adds entries that came from the stream to the log, and what was asked for by those that were
  /// decided here before a lead ended.
  package func store(_ entries: [EncodedEntry], to local: Local) throws(StoreError) {
    guard let last = entries.last else { return }
    if let term {
      // Nobody else appends while this member leads.
      let tail = LogTail(endingWith: last)
      let known = state.withLock { $0.lead?.tail } ?? tail
      lose(term, .stream(stream.name, .elsewhere(expected: known, found: tail)))
    }
    let fingerprints = state.withLock { state in
      guard !state.unsettled.isEmpty else { return [CommandID: ChangeFingerprint]() }
      return entries.reduce(into: [:]) { found, encoded in
        if let known = state.unsettled[encoded.hash] {
          found[encoded.entry.command] = known.fingerprint
        }
      }
    }
    try local(entries, fingerprints)
    state.withLock { state in
      guard !state.unsettled.isEmpty else { return }
      state.unsettled = state.unsettled.filter { $0.value.position > last.entry.position }
    }
  }

  /// Forgets what may have got into the stream: a state was taken over that has it or has it not.
  package func forgetUnsettled() {
    state.withLock { $0.unsettled = [:] }
  }
}
