import Catalog
import Foundation
import Replay
import Synchronization

/// A member's way to a ``MemoryCluster``, which can be cut, or be slow, for this member alone.
package final class MemoryStream: SharedStream {
  private struct Faults {
    var isCut = false
    var delay: Duration = .zero
    var appends: [MemoryCluster.AppendFault] = []
  }

  private let cluster: MemoryCluster
  private let faults = Mutex(Faults())

  init(_ cluster: MemoryCluster) { self.cluster = cluster }

  package var name: String { cluster.name }

  // MARK: What goes wrong

  /// Whether the member reaches the stream.
  package func setCut(_ isCut: Bool) {
    faults.withLock { $0.isCut = isCut }
    // Followers are to notice.
    cluster.change { _ in }
  }

  /// How long each call takes.
  package func setDelay(_ delay: Duration) { faults.withLock { $0.delay = delay } }

  /// Lets one of the next appends go wrong for each of `faults`.
  package func fail(_ faults: MemoryCluster.AppendFault...) {
    self.faults.withLock { $0.appends += faults }
  }

  private func check() throws(SharedStreamError) {
    guard faults.withLock({ !$0.isCut }) else { throw .unavailable("cut") }
  }

  private func travel() async throws(SharedStreamError) {
    let delay = faults.withLock { $0.delay }
    if delay > .zero { try? await Task.sleep(for: delay) }
    try check()
  }

  // MARK: Writing

  package func append(
    _ entries: [EncodedEntry], after tail: LogTail, in term: ClusterTerm
  ) throws(SharedStreamError) {
    guard !entries.isEmpty else { return }
    let (delay, fault) = faults.withLock { faults in
      (faults.delay, faults.appends.isEmpty ? nil : faults.appends.removeFirst())
    }
    if delay > .zero { Thread.sleep(forTimeInterval: delay / .seconds(1)) }
    try check()
    if fault == .unavailable { throw .unavailable("at a test's word") }
    let error = cluster.change { [name] contents -> SharedStreamError? in
      guard contents.catalog != nil else { return .missing(name) }
      guard contents.leader?.term == term else { return .deposed(term) }
      guard contents.tail == tail else { return .elsewhere(expected: tail, found: contents.tail) }
      switch fault {
      case .unknownUntilTermEnds: contents.late = entries
      case .unknown(isDone: false): break
      case .unknown(isDone: true), .unavailable, nil: contents.appends.append(entries)
      }
      return fault == nil ? nil : .outcomeUnknown("at a test's word")
    }
    if let error { throw error }
  }

  package func create(_ catalog: CatalogID, after tail: LogTail) async throws(SharedStreamError) {
    try await travel()
    let isNew = cluster.change { contents in
      guard contents.catalog == nil else { return false }
      (contents.catalog, contents.start, contents.trimmedThrough) = (catalog, tail, tail.position)
      return true
    }
    guard isNew else { throw .exists(name) }
  }

  package func remove(endingWith tail: LogTail) async throws(SharedStreamError) {
    try await travel()
    let error = cluster.change { [name] contents -> SharedStreamError? in
      guard contents.catalog != nil else { return .missing(name) }
      guard contents.leader == nil, contents.tail == tail else {
        return .elsewhere(expected: tail, found: contents.tail)
      }
      (contents.catalog, contents.appends, contents.progress) = (nil, [], [:])
      return nil
    }
    if let error { throw error }
  }

  package func trim(
    through position: LogPosition, in term: ClusterTerm
  ) async throws(SharedStreamError) {
    try await travel()
    let isDone = cluster.change { contents in
      // Whole appends only; where there is none, there is nothing to refuse.
      let ends = contents.appends.compactMap { $0.last?.entry.position }
      guard let end = ends.last(where: { $0 <= position }), end > contents.trimmedThrough
      else { return true }
      guard contents.leader?.term == term else { return false }
      contents.trimmedThrough = end
      return true
    }
    guard isDone else { throw .deposed(term) }
  }

  // MARK: Reading

  package func catalog() async throws(SharedStreamError) -> CatalogID? {
    try await travel()
    return cluster.look { $0.catalog }
  }

  package func tail() async throws(SharedStreamError) -> LogTail {
    try await travel()
    let tail = cluster.look { $0.catalog == nil ? nil : $0.tail }
    guard let tail else { throw .missing(name) }
    return tail
  }

  package func trimmedThrough() async throws(SharedStreamError) -> LogPosition {
    try await travel()
    let trimmed = cluster.look { $0.catalog == nil ? nil : $0.trimmedThrough }
    guard let trimmed else { throw .missing(name) }
    return trimmed
  }

  package func follow(
    after position: LogPosition, _ body: @Sendable (SharedAppend) async throws -> Void
  ) async throws {
    var position = position
    try await listening { [self] in
      try await travel()
      let (trimmed, next) = cluster.look { contents in
        (
          contents.catalog == nil ? nil : contents.trimmedThrough,
          contents.append(after: position)
        )
      }
      guard let trimmed else { throw SharedStreamError.missing(name) }
      guard trimmed <= position else { throw SharedStreamError.trimmed(through: trimmed) }
      try await body(next)
      guard let last = next.entries.last else { return false }
      position = last.entry.position
      return true
    }
  }

  /// Calls `body` now, again while it says that there is more, and at each change.
  private func listening(_ body: () async throws -> Bool) async throws {
    let (wakeUps, id) = cluster.changes()
    defer { cluster.forget(id) }
    while try await body() { try Task.checkCancellation() }
    for await _ in wakeUps {
      while try await body() { try Task.checkCancellation() }
    }
    throw CancellationError()
  }

  // MARK: Members

  package func leader() async throws(SharedStreamError) -> LeaderRecord? {
    try await travel()
    return cluster.leader
  }

  package func watchLeader(_ body: @Sendable (LeaderRecord?) async -> Void) async throws {
    var last: LeaderRecord??
    try await listening { [self] in
      try await travel()
      let leader = cluster.leader
      if last != .some(leader) { await body(leader) }
      last = .some(leader)
      return false
    }
  }

  package func campaign(_ member: ClusterMember) async throws -> any Leadership {
    try await travel()
    let id = cluster.change { contents in
      let id = contents.makeID()
      contents.campaigns.append((id, member))
      contents.elect()
      return id
    }
    var term: ClusterTerm?
    do {
      try await waiting { [cluster] in
        term = cluster.look { $0.won[id] }
        return term != nil
      }
    } catch {
      cluster.change { contents in
        contents.campaigns.removeAll { $0.id == id }
        if let won = contents.won[id], contents.leader?.term == won {
          contents.endTerm("given up")
        }
      }
      throw error
    }
    guard let term else { throw CancellationError() }
    return MemoryLeadership(cluster: cluster, term: term)
  }

  package func nameSuccessor(
    _ member: ClusterMember, of term: ClusterTerm, lifetime: Duration
  ) async throws(SharedStreamError) {
    try await travel()
    let id = cluster.change { contents -> UInt64? in
      guard contents.leader?.term == term else { return nil }
      let id = contents.makeID()
      contents.successor = (id, member)
      return id
    }
    guard let id else { throw .deposed(term) }
    Task.detached { [cluster] in
      try? await Task.sleep(for: lifetime)
      cluster.change { contents in
        guard contents.successor?.id == id else { return }
        contents.successor = nil
        contents.elect()
      }
    }
  }

  package func successor(of term: ClusterTerm) async throws(SharedStreamError) -> ClusterMember? {
    try await travel()
    return cluster.look { $0.leader?.term == term ? $0.successor?.member : nil }
  }

  /// Waits until `isDone`, which is asked at each change.
  private func waiting(_ isDone: () -> Bool) async throws {
    let (wakeUps, id) = cluster.changes()
    defer { cluster.forget(id) }
    if isDone() { return }
    for await _ in wakeUps where isDone() { return }
    throw CancellationError()
  }

  package func report(
    _ member: ClusterMember, storedThrough position: LogPosition, lifetime: Duration
  ) async throws(SharedStreamError) {
    try await travel()
    cluster.change { contents in
      contents.progress[member.name] = (
        MemberProgress(member: member, storedThrough: position), .now + lifetime
      )
    }
  }

  package func progress() async throws(SharedStreamError) -> [MemberProgress] {
    try await travel()
    let now = ContinuousClock.now
    return cluster.look { contents in
      contents.progress.values.filter { $0.until > now }.map(\.progress)
    }
  }

  package func usage() async throws(SharedStreamError) -> SharedStreamUsage? {
    try await travel()
    return cluster.look { $0.usage }
  }
}

/// The lead of a ``MemoryCluster``.
private struct MemoryLeadership: Leadership {
  let cluster: MemoryCluster
  let term: ClusterTerm

  func untilLost() async -> String {
    let (wakeUps, id) = cluster.changes()
    defer { cluster.forget(id) }
    if let why = cluster.look({ $0.ends[term] }) { return why }
    for await _ in wakeUps {
      if let why = cluster.look({ $0.ends[term] }) { return why }
    }
    return "given up"
  }

  func resign() async {
    cluster.change { contents in
      if contents.leader?.term == term { contents.endTerm("given back") }
    }
  }
}
