import Catalog

/// A stream of entries that the members of a cluster share: one of them leads, appends and trims, all
/// of them follow. It keeps a window of recent entries; every member keeps all of them in a log of its
/// own.
///
/// What an implementation owes, whatever happens to its servers and connections:
/// - An append is of all its entries or none, and of none unless the term still leads and the stream
///   ends where the appender says.
/// - An append that threw ``SharedStreamError/outcomeUnknown(_:)`` may have happened, or may happen
///   still until the term has ended. After any other error it has not and will not.
/// - At most one term leads at a time, and terms only rise.
/// - Followers see the appends in order, each once and whole.
package protocol SharedStream: Sendable {
  /// Where the stream is kept, for messages.
  var name: String { get }

  /// Appends entries behind `tail`. Blocks the thread until the outcome is known or can no longer be
  /// found out; called by one thread at a time. Entries are of any size and number.
  func append(
    _ entries: [EncodedEntry], after tail: LogTail, in term: ClusterTerm
  ) throws(SharedStreamError)

  /// The catalog that the stream is of; nil before it was made.
  func catalog() async throws(SharedStreamError) -> CatalogID?

  /// Makes the stream, to go on from `tail`: whole, or not at all.
  ///
  /// - Throws: ``SharedStreamError/exists(_:)`` when there is one already.
  func create(_ catalog: CatalogID, after tail: LogTail) async throws(SharedStreamError)

  /// Removes the stream for good, with all that belongs to it, where it ends with `tail` and nobody
  /// leads it.
  ///
  /// - Throws: ``SharedStreamError/elsewhere(expected:found:)`` when it ends elsewhere, or somebody
  ///   has begun to lead; nothing was removed then.
  func remove(endingWith tail: LogTail) async throws(SharedStreamError)

  /// Where the stream ends, by a linearizable read.
  func tail() async throws(SharedStreamError) -> LogTail

  /// The position of the last entry that is no longer in the window: members that have stored less
  /// need a peer.
  func trimmedThrough() async throws(SharedStreamError) -> LogPosition

  /// Lends what was appended behind `position`, in order, until `body` throws or the task is cancelled;
  /// several appends as one where they came while `body` was busy. Between appends, and at least every few seconds, `body` is given an
  /// empty ``SharedAppend`` that says where the stream ended when it was asked for.
  ///
  /// - Throws: ``SharedStreamError/trimmed(through:)`` when what comes next is no longer in the window,
  ///   what `body` throws, `CancellationError`.
  func follow(
    after position: LogPosition, _ body: @Sendable (SharedAppend) async throws -> Void
  ) async throws

  /// Waits until this member leads. Cancelling the task gives up, and leaves nothing behind that
  /// could win later. While a successor is named, it alone is elected.
  ///
  /// - Throws: ``SharedStreamError/refused(_:)``, which waiting does not change; `CancellationError`.
  func campaign(_ member: ClusterMember) async throws -> any Leadership

  /// Who leads, by a linearizable read; nil when nobody does.
  func leader() async throws(SharedStreamError) -> LeaderRecord?

  /// Lends the leader, now and whenever another leads or none, until the task is cancelled.
  ///
  /// - Throws: ``SharedStreamError/refused(_:)``, which waiting does not change; `CancellationError`.
  func watchLeader(_ body: @Sendable (LeaderRecord?) async -> Void) async throws

  /// Names the member that is to lead after a term. The leader gives the lead to it when it hears of
  /// that. Until it leads, or the word is forgotten after `lifetime`, nobody else is elected.
  ///
  /// - Throws: ``SharedStreamError/deposed(_:)`` when that term leads no more; nobody is named then.
  func nameSuccessor(
    _ member: ClusterMember, of term: ClusterTerm, lifetime: Duration
  ) async throws(SharedStreamError)

  /// Who was named to lead after a term, while that leads; nil when nobody was.
  func successor(of term: ClusterTerm) async throws(SharedStreamError) -> ClusterMember?

  /// Says how far this member has stored the stream, for the window to go on. The word is forgotten
  /// when it is not said again for `lifetime`: the member no longer holds the window back then.
  func report(
    _ member: ClusterMember, storedThrough position: LogPosition, lifetime: Duration
  ) async throws(SharedStreamError)

  /// What the members said last.
  func progress() async throws(SharedStreamError) -> [MemberProgress]

  /// Removes the entries through `position` from the window, and gives their space back. Only for
  /// who leads.
  func trim(through position: LogPosition, in term: ClusterTerm) async throws(SharedStreamError)

  /// How many bytes the servers hold, and how many they may; nil where that is not limited.
  func usage() async throws(SharedStreamError) -> SharedStreamUsage?
}

/// One append, as followers see it; without entries, a word on where the stream ends.
package struct SharedAppend: Sendable {
  package var entries: [EncodedEntry]
  /// Where the stream ended when this was read: never before the last of ``entries``.
  package var tail: LogTail

  package init(entries: [EncodedEntry], tail: LogTail) {
    self.entries = entries
    self.tail = tail
  }
}

/// One time of leading. A later one is greater.
package struct ClusterTerm: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let rawValue: UInt64

  package init(_ rawValue: UInt64) { self.rawValue = rawValue }

  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  package var description: String { "\(rawValue)" }
}

/// A member of a cluster, as it announces itself.
package struct ClusterMember: Hashable, Sendable {
  package var name: MemberName
  /// Where the other members reach it, `HOST:PORT`.
  package var address: String

  package init(name: MemberName, address: String) {
    self.name = name
    self.address = address
  }
}

/// Who leads.
package struct LeaderRecord: Hashable, Sendable {
  package var member: ClusterMember
  package var term: ClusterTerm

  package init(member: ClusterMember, term: ClusterTerm) {
    self.member = member
    self.term = term
  }
}

/// How far a member has stored a stream.
package struct MemberProgress: Hashable, Sendable {
  package var member: ClusterMember
  package var storedThrough: LogPosition

  package init(member: ClusterMember, storedThrough: LogPosition) {
    self.member = member
    self.storedThrough = storedThrough
  }
}

/// How full the servers of a stream are, in bytes.
package struct SharedStreamUsage: Hashable, Sendable {
  package var used: UInt64
  package var quota: UInt64

  package init(used: UInt64, quota: UInt64) {
    self.used = used
    self.quota = quota
  }
}

/// The lead of a stream, from its start to its end. It is kept up in the background as long as its
/// owner holds it.
package protocol Leadership: Sendable {
  var term: ClusterTerm { get }

  /// Returns when this member no longer leads, or can no longer know that it does: its lease was not
  /// renewed in time, by its own clock, and says why; and when the task is cancelled.
  func untilLost() async -> String

  /// Gives the lead back at once, for another to take. Again: a no-op.
  func resign() async
}

/// Why something could not be done to a shared stream.
package enum SharedStreamError: Error, Hashable, Sendable {
  /// The term leads no more. Nothing was written.
  case deposed(ClusterTerm)
  /// The stream does not end where the appender thinks. Nothing was written.
  case elsewhere(expected: LogTail, found: LogTail)
  /// Whether it was written could not be found out.
  case outcomeUnknown(String)
  /// The servers cannot be reached, or have no leader. Nothing was written.
  case unavailable(String)
  /// No connection to the servers came about that both sides trust. Nothing was written.
  case untrusted(String, remedy: String)
  /// The servers refuse who calls.
  case refused(String)
  /// The window is as large as it may become. Nothing was written.
  case windowFull(used: UInt64, limit: UInt64)
  /// What comes next is not in the window any more.
  case trimmed(through: LogPosition)
  /// There is no such stream.
  case missing(String)
  /// There is such a stream already.
  case exists(String)
  /// What is kept there is not what this version writes, or was damaged.
  case damaged(String)
}
