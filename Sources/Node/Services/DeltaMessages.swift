import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import Replay
import SwiftProtobuf
import Synchronization

/// What some versions in a row changed, as messages that are ready to be sent.
final class DeltaMessages: Sendable {
  /// The last of the versions.
  let through: CatalogVersion
  /// Whole versions; one that is too big for a message takes several. None where nothing concerns the
  /// watcher.
  let messages: [EncodedMessage]
  /// Whether more versions would not have gone with them.
  let isFull: Bool
  let byteCount: Int

  init(through: CatalogVersion, messages: [EncodedMessage], isFull: Bool) {
    self.through = through
    self.messages = messages
    self.isFull = isFull
    byteCount = messages.reduce(0) { $0 + $1.bytes.count }
  }
}

/// Puts versions into messages of about a given size.
struct DeltaPacker {
  private let byteCount: Int
  private var message = Wire.WatchResponse()
  private var size = 0
  /// Those that are full.
  private(set) var messages: [EncodedMessage] = []

  init(byteCount: Int) { self.byteCount = byteCount }

  /// Adds a version, with the digest of its routes where that is at hand.
  mutating func add(_ delta: RouteDelta, digest: StateDigest? = nil) throws {
    var wire = Wire.VersionDelta(delta)
    if let digest { wire.routesDigest = Data(digest.bytes) }
    let cost = wire.approximateSize
    if size > 0, size + cost > byteCount { try flush() }
    guard cost <= byteCount else { return try add(oversized: wire) }
    message.deltas.deltas.append(wire)
    size += cost
  }

  /// All messages.
  mutating func finish() throws -> [EncodedMessage] {
    if size > 0 { try flush() }
    return messages
  }

  private mutating func flush() throws {
    messages.append(try EncodedMessage(message))
    (message, size) = (Wire.WatchResponse(), 0)
  }

  private mutating func add(oversized delta: Wire.VersionDelta) throws {
    var part = Wire.VersionDelta()
    part.version = delta.version
    part.partial = true
    var size = 0
    func message() throws -> EncodedMessage {
      try EncodedMessage(Wire.WatchResponse.with { $0.deltas.deltas = [part] })
    }
    for id in delta.removedIds {
      part.removedIds.append(id)
      size += 10
      if size >= byteCount {
        messages.append(try message())
        (part.removedIds, size) = ([], 0)
      }
    }
    for route in delta.upserted {
      part.upserted.append(route)
      size += route.approximateSize
      if size >= byteCount {
        messages.append(try message())
        (part.removedIds, part.upserted, size) = ([], [], 0)
      }
    }
    part.partial = false
    part.routesDigest = delta.routesDigest
    messages.append(try message())
  }
}

extension Cadastre_V1_VersionDelta {
  package init(_ delta: RouteDelta) {
    self.init()
    version = delta.to.rawValue
    removedIds = delta.removed.map(\.rawValue)
    upserted = delta.upserted.map(Wire.Route.init)
  }

  /// About how many bytes it takes on the wire.
  fileprivate var approximateSize: Int {
    48 + removedIds.count * 10 + upserted.reduce(0) { $0 + $1.approximateSize }
  }
}

/// The messages that were made last, for whoever has the same version and watches the same: a
/// publication that wakes a thousand watchers is encoded once or twice.
///
/// Small ones are kept for a while, whoever uses them. Large ones are only found for as long as
/// somebody sends them. So what is kept is bounded, and many who send the same have it once.
final class SharedDeltas: Sendable {
  struct Key: Hashable {
    var era: Int
    var after: CatalogVersion
    var filter: WatchFilter
  }

  private struct Entry {
    weak var found: DeltaMessages?
    var kept: DeltaMessages?
  }

  private struct State {
    var entries: [Key: Entry] = [:]
    /// The keys of the entries, the oldest first.
    var order: [Key] = []
    var keptByteCount = 0
  }

  private let state = Mutex(State())
  private let maximumCount: Int
  private let maximumByteCount: Int

  init(maximumCount: Int = 64, maximumByteCount: Int = 4 << 20) {
    self.maximumCount = maximumCount
    self.maximumByteCount = maximumByteCount
  }

  /// How many bytes of messages are kept, whoever uses them.
  var keptByteCount: Int { state.withLock { $0.keptByteCount } }

  /// The messages that were made last under a key, if they are still there. O(1).
  subscript(key: Key) -> DeltaMessages? { state.withLock { $0.entries[key]?.found } }

  /// Remembers messages in place of those under the same key. O(maximumCount).
  func insert(_ messages: DeltaMessages, for key: Key) {
    let isSmall = messages.byteCount <= maximumByteCount / 4
    state.withLock { state in
      if let old = state.entries.removeValue(forKey: key) {
        state.keptByteCount -= old.kept?.byteCount ?? 0
        state.order.removeAll { $0 == key }
      }
      state.entries[key] = Entry(found: messages, kept: isSmall ? messages : nil)
      state.order.append(key)
      if isSmall { state.keptByteCount += messages.byteCount }
      while state.order.count > maximumCount || state.keptByteCount > maximumByteCount {
        let old = state.entries.removeValue(forKey: state.order.removeFirst())
        state.keptByteCount -= old?.kept?.byteCount ?? 0
      }
    }
  }
}
