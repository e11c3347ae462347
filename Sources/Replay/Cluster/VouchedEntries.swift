import Catalog

/// Entries of a shared stream that came from a peer, until the stream itself vouches for them.
///
/// A peer may have another history than the stream, and its entries be chained and agree with their
/// digests all the same. So none is stored before the hash that the stream ends with, as read after the
/// entry came, names it: itself, or through the chain of those after it.
package struct VouchedEntries: Sendable {
  /// What to do next.
  package enum Step: Sendable {
    /// The stream has these.
    case store([EncodedEntry])
    /// Read where the stream ends, and say so with ``heard(_:)``.
    case ask
    /// More has to come from the peer.
    case wait
  }

  /// Entries of more bytes than these are not kept waiting: who lacks so much asks the stream.
  private let byteLimit: Int
  private var waiting: [EncodedEntry] = []
  private var byteCount = 0
  private var end: LogTail?

  package init(byteLimit: Int = 16 << 20) { self.byteLimit = byteLimit }

  /// Takes entries that follow those that came before.
  package mutating func add(_ entries: [EncodedEntry]) throws(PeerFailure) {
    for encoded in entries {
      if let last = waiting.last {
        guard encoded.entry.position == last.entry.position.next,
          encoded.entry.previous == last.hash
        else { throw .brokenChain(encoded.entry.position) }
      }
      waiting.append(encoded)
      byteCount += encoded.bytes.count
    }
    guard byteCount <= byteLimit || endsHere else { throw .farBehind }
  }

  /// Whether the end of the stream that is known is among what waits.
  private var endsHere: Bool {
    guard let end, let first = waiting.first, let last = waiting.last else { return true }
    return first.entry.position <= end.position && end.position <= last.entry.position
  }

  package mutating func next() throws(PeerFailure) -> Step {
    guard let first = waiting.first, let last = waiting.last else { return .wait }
    guard let end, first.entry.position <= end.position else { return .ask }
    guard end.position <= last.entry.position else { return .wait }
    let count = Int(end.position.rawValue - first.entry.position.rawValue) + 1
    guard waiting[count - 1].hash == end.hash else { throw .otherHistory(end.position) }
    let vouched = Array(waiting.prefix(count))
    waiting.removeFirst(count)
    byteCount = waiting.reduce(0) { $0 + $1.bytes.count }
    return .store(vouched)
  }

  /// Takes where the stream ends, read after all that waits had come: members store nothing before the
  /// stream has it.
  package mutating func heard(_ end: LogTail) throws(PeerFailure) {
    self.end = end
    if let last = waiting.last, last.entry.position > end.position {
      throw .notInStream(last.entry.position)
    }
  }
}

/// Why a peer is not followed any more.
package enum PeerFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// An entry that does not follow the one before it.
  case brokenChain(LogPosition)
  /// An entry that is another one in the stream.
  case otherHistory(LogPosition)
  /// An entry that the stream does not have.
  case notInStream(LogPosition)
  /// More is lacking here than is kept waiting.
  case farBehind
  /// The peer does not bring what the stream has.
  case behind

  package var description: String {
    switch self {
    case .brokenChain(let position): "its entry \(position) does not follow the one before it"
    case .otherHistory(let position): "its entry \(position) is another one than the stream has"
    case .notInStream(let position): "the stream has no entry \(position), which it sent"
    case .farBehind: "more is lacking here than is taken from a peer"
    case .behind: "it does not bring what the stream has"
    }
  }
}
