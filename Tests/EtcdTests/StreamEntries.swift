import Catalog
import Foundation
import Replay
import StateMachines
import TestSupport

/// The entries of a catalog, to be appended to streams.
enum StreamEntries {
  static let catalog: CatalogID = {
    guard let id = CatalogID(bytes: Array("stream-test 0001".utf8)) else {
      preconditionFailure("sixteen bytes")
    }
    return id
  }()

  /// A bootstrap and splits, so many in all, of `width` splits each: an entry of 4,000 has about
  /// 120,000 bytes.
  static func make(count: Int, width: Int) throws -> [EncodedEntry] {
    var state = CatalogState(catalog: catalog)
    var entries: [EncodedEntry] = []
    for index in 0..<count {
      let change: RouteChange =
        index == 0
        ? .bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))])
        : .split((0..<width).map { SplitRequest(at: key(index * width + $0)) })
      var ids = SeededGenerator(seed: UInt64(index))
      entries.append(try propose(change, on: &state, &ids))
    }
    return entries
  }

  /// An entry that goes on from `state` with a split, or a bootstrap, that no other entry has.
  static func next(
    after state: inout CatalogState, _ random: inout SeededGenerator
  ) throws -> EncodedEntry {
    let change: RouteChange =
      state.appliedThrough == .zero
      ? .bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))])
      : .split([SplitRequest(at: key(Int.random(in: 0..<1 << 50, using: &random)))])
    return try propose(change, on: &state, &random)
  }

  private static func propose(
    _ change: RouteChange, on state: inout CatalogState, _ ids: inout SeededGenerator
  ) throws -> EncodedEntry {
    guard let id = CommandID(bytes: (0..<16).map { _ in UInt8.random(in: 0...255, using: &ids) })
    else { preconditionFailure("sixteen bytes") }
    let command = Command(id: id, actor: "test", reason: "", change: change)
    guard case .append(let entry) = try state.propose(command, time: state.lastTime.next) else {
      preconditionFailure("each entry changes something")
    }
    return entry
  }

  private static func key(_ number: Int) -> Key {
    let text = String(number)
    return Key(
      unchecked: Array(("key-" + String(repeating: "0", count: 20 - text.count) + text).utf8))
  }
}

extension SharedStream {
  /// Appends from a thread of its own, as the writer of a log does.
  func appendFromThread(
    _ entries: [EncodedEntry], after tail: LogTail, in term: ClusterTerm
  ) async throws {
    try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
      Thread.detachNewThread {
        do throws(SharedStreamError) {
          try append(entries, after: tail, in: term)
          done.resume()
        } catch {
          done.resume(throwing: error)
        }
      }
    }
  }
}
