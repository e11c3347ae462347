import Catalog
import Foundation
import Replay
import SwiftProtobuf
import Synchronization

/// How far a follower was told.
private final class Place: Sendable {
  private let position: Mutex<LogPosition>

  init(_ position: LogPosition) { self.position = Mutex(position) }

  var value: LogPosition {
    get { position.withLock { $0 } }
    set { position.withLock { $0 = newValue } }
  }
}

extension EtcdStream {
  package func follow(
    after position: LogPosition, _ body: @Sendable (SharedAppend) async throws -> Void
  ) async throws {
    let inbox = FollowInbox()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        do {
          try await self.read(after: position, into: inbox)
        } catch {
          inbox.fail(error)
        }
      }
      group.addTask {
        while true {
          try await Task.sleep(for: .seconds(1))
          // Where the end cannot be asked for, there is nothing to say.
          if let tail = try? await self.tail() {
            inbox.put(SharedAppend(entries: [], tail: tail))
          }
        }
      }
      defer { group.cancelAll() }
      try await inbox.drain(into: body)
    }
  }

  /// Reads what is there, then watches what comes, and again where a watch ends.
  private func read(
    after start: LogPosition, into inbox: FollowInbox
  ) async throws {
    let position = Place(start)
    while true {
      try Task.checkCancellation()
      do {
        let revision = try await catchUp(position, into: inbox)
        try await watch(
          keys.appends, to: StreamKeys.end(of: keys.appends), from: revision + 1
        ) { events in
          for event in events where event.type == .put {
            guard try await self.pass(event.kv, position, into: inbox) else { return false }
          }
          return true
        }
      } catch is CancellationError {
        throw CancellationError()
      } catch let error as SharedStreamError {
        switch error {
        case .trimmed, .damaged, .missing, .refused: throw error
        case .deposed, .elsewhere, .outcomeUnknown, .unavailable, .untrusted, .windowFull, .exists:
          break
        }
        try await Task.sleep(for: .milliseconds(100))
      } catch {
        try await Task.sleep(for: .milliseconds(100))
      }
    }
  }

  /// Passes on what is in the window.
  ///
  /// - Returns: The revision as of which that was all.
  private func catchUp(
    _ position: Place, into inbox: FollowInbox
  ) async throws -> Int64 {
    // The append that the next entry is in may begin before it.
    let next = position.value.next
    let before = try await range(
      .with {
        $0.key = keys.appends
        $0.rangeEnd = StreamKeys.after(keys.append(next))
        $0.sortOrder = .descend
        $0.limit = 1
      })
    var from = before.kvs.first?.key ?? keys.appends
    while true {
      let page = try await range(
        .with {
          $0.key = from
          $0.rangeEnd = StreamKeys.end(of: keys.appends)
          $0.limit = 16
        })
      for pair in page.kvs {
        guard try await pass(pair, position, into: inbox) else {
          throw SharedStreamError.damaged(
            "an append is missing behind entry \(position.value)")
        }
      }
      if let last = page.kvs.last { from = StreamKeys.after(last.key) }
      if page.more { continue }
      // What was trimmed while this was read is not in what was read.
      let trimmed = try await trimmedThrough()
      if trimmed > position.value { throw SharedStreamError.trimmed(through: trimmed) }
      return page.header.revision
    }
  }

  /// Passes on an append, but for the entries that were passed on before, once the follower has room.
  ///
  /// - Returns: false when there is one missing before it.
  private func pass(
    _ pair: Mvccpb_KeyValue, _ position: Place, into inbox: FollowInbox
  ) async throws -> Bool {
    var append = try StoredValues.decode(
      Cadastre_Etcd_V1_StoredAppend.self, pair.value, "an append")
    let known = position.value
    guard append.tail.position > known.rawValue else { return true }
    if append.pieces > 0 { append = try await whole(append, pair.key) }
    let entries = try StoredValues.entries(append)
    let left = entries.drop { $0.entry.position <= known }
    guard let first = left.first, let last = left.last else { return true }
    guard first.entry.position == known.next else {
      let trimmed = try await trimmedThrough()
      if trimmed > known { throw SharedStreamError.trimmed(through: trimmed) }
      return false
    }
    try await inbox.untilRoom()
    position.value = last.entry.position
    inbox.put(SharedAppend(entries: Array(left), tail: LogTail(last)))
    return true
  }

  /// The append that was cut into pieces.
  private func whole(
    _ manifest: Cadastre_Etcd_V1_StoredAppend, _ key: Data
  ) async throws -> Cadastre_Etcd_V1_StoredAppend {
    let prefix = keys.pieces(ofAppendAt: key) + Data("\(manifest.pieceSet)/".utf8)
    var bytes = Data()
    var (from, count) = (prefix, 0)
    while count < Int(manifest.pieces) {
      let page = try await range(
        .with {
          $0.key = from
          $0.rangeEnd = StreamKeys.end(of: prefix)
          $0.limit = min(16, Int64(manifest.pieces) - Int64(count))
        })
      for pair in page.kvs { bytes += pair.value }
      count += page.kvs.count
      guard let last = page.kvs.last else { break }
      from = StreamKeys.after(last.key)
    }
    guard bytes.count == manifest.byteCount, StoredValues.sha256(bytes) == manifest.sha256 else {
      let trimmed = try await trimmedThrough()
      if trimmed.rawValue >= manifest.tail.position {
        throw SharedStreamError.trimmed(through: trimmed)
      }
      throw SharedStreamError.damaged("the pieces of an append are not what was written")
    }
    let append = try StoredValues.decode(
      Cadastre_Etcd_V1_StoredAppend.self, bytes, "an append in pieces")
    return append
  }
}
