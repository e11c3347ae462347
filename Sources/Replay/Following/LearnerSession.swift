import Catalog

/// A learner's side of the stream that it follows: makes of what the leader sends what to store, and
/// proves what no later entry vouches for. One for each stream.
package struct LearnerSession: Sendable {
  private let catalog: CatalogID
  /// What the learner reads beyond format 1.
  private let reading: CapabilitySet
  /// The parts of an entry that came in several messages.
  private var partial: [UInt8] = []

  /// What to do with a message, in this order.
  package struct Step: Sendable {
    /// Entries for the store to take over, which proves them.
    package var store: [EncodedEntry] = []
    /// What the leader says of itself: counts once ``store`` is stored.
    package var thenHeard: FollowMessage.Heartbeat?
    /// Ends the following, once ``store`` is stored.
    package var thenFail: FollowFailure?
  }

  package init(catalog: CatalogID, reading: CapabilitySet = .known) {
    self.catalog = catalog
    self.reading = reading
  }

  package mutating func take(_ message: FollowMessage) -> Step {
    switch message {
    case .started(let found, let leader):
      guard found == catalog else {
        return Step(thenFail: .store(.otherCatalog(expected: catalog, found: found)))
      }
      return Step(thenHeard: leader)
    case .entries(let batch, let hash, let leader):
      var entries: [EncodedEntry] = []
      entries.reserveCapacity(batch.count)
      for bytes in batch {
        do {
          entries.append(try EncodedEntry(decoding: bytes, reading: reading))
        } catch {
          // What came before the damage is whole.
          return Step(store: entries, thenFail: .undecodable(error))
        }
      }
      var step = Self.step(entries, vouchedBy: hash)
      if step.thenFail == nil { step.thenHeard = leader }
      return step
    case .part(let part):
      guard partial.count + part.bytes.count <= LogEntry.maximumByteCount else {
        return Step(thenFail: .oversized)
      }
      partial += part.bytes
      guard part.isLast else { return Step() }
      defer { partial = [] }
      do {
        return Self.step(
          [try EncodedEntry(decoding: partial, reading: reading)], vouchedBy: part.hash)
      } catch {
        return Step(thenFail: .undecodable(error))
      }
    case .heartbeat(let heartbeat):
      return Step(thenHeard: heartbeat)
    case .reset(let reset):
      return Step(thenFail: .reset(reset))
    }
  }

  /// Entries, the last of which has the given hash; nil from a leader that gives none. The others
  /// are vouched for by the one after them: the store would find only at that one, when it has taken
  /// over the one before, that they do not go together.
  private static func step(_ entries: [EncodedEntry], vouchedBy hash: EntryHash?) -> Step {
    for (index, next) in entries.enumerated().dropFirst()
    where next.entry.previous != entries[index - 1].hash {
      return Step(
        store: Array(entries[..<(index - 1)]),
        thenFail: .damagedOnTheWay(entries[index - 1].entry.position))
    }
    guard let last = entries.last, let hash, hash != last.hash else { return Step(store: entries) }
    return Step(
      store: Array(entries.dropLast()), thenFail: .damagedOnTheWay(last.entry.position))
  }
}
