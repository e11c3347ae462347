import Catalog
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
      var id = SeededGenerator(seed: UInt64(index))
      guard let id = CommandID(bytes: (0..<16).map { _ in UInt8.random(in: 0...255, using: &id) })
      else { preconditionFailure("sixteen bytes") }
      let command = Command(id: id, actor: "test", reason: "", change: change)
      guard case .append(let entry) = try state.propose(command, time: state.lastTime.next) else {
        preconditionFailure("each entry changes something")
      }
      entries.append(entry)
    }
    return entries
  }

  private static func key(_ number: Int) -> Key {
    let text = String(number)
    return Key(
      unchecked: Array(("key-" + String(repeating: "0", count: 20 - text.count) + text).utf8))
  }
}
