import Catalog
import Foundation
import Replay
import StateMachines
import Synchronization
import TestSupport

/// A folder of a test's own, which goes when the test does.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    path =
      FileManager.default.temporaryDirectory
      .appending(path: "cadastre-\(UUID().uuidString)").path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// A path in the folder, which need not exist.
  func appending(_ name: String) -> String { path + "/" + name }
}

/// A wall clock that a test turns by hand; goes on by a millisecond at each reading.
final class TestClock: Sendable {
  private let milliseconds = Atomic<UInt64>(1_785_312_000_000)

  var read: @Sendable () -> UInt64 {
    { self.milliseconds.add(1, ordering: .relaxed).newValue }
  }
}

let testCatalog = catalogID("test catalog 001")

/// - Precondition: Sixteen bytes.
func catalogID(_ text: String) -> CatalogID {
  guard let id = CatalogID(bytes: Array(text.utf8)) else { preconditionFailure("not 16 bytes") }
  return id
}

/// Sixteen bytes that end with `number`, big-endian.
func commandID(_ number: UInt64, salt: UInt64 = 0) -> CommandID {
  let bytes =
    withUnsafeBytes(of: salt.bigEndian, Array.init)
    + withUnsafeBytes(of: number.bigEndian, Array.init)
  guard let id = CommandID(bytes: bytes) else { preconditionFailure("not 16 bytes") }
  return id
}

func key(_ text: String) -> Key { Key(text) }

/// A command as tests send it.
func command(_ id: UInt64, _ change: RouteChange, salt: UInt64 = 0) -> Command {
  Command(id: commandID(id, salt: salt), actor: "test", reason: "a test", change: change)
}

/// The change that cuts at the key of `text`, whichever route holds it.
func split(_ text: String) -> RouteChange { .split([SplitRequest(at: Key(text))]) }

/// One route of group 1 over all keys.
let oneRoute = RouteChange.bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))])

/// Entries of a catalog with one route that is cut `count - 1` times.
func makeEntries(
  _ count: Int, catalog: CatalogID = testCatalog
) throws -> (entries: [EncodedEntry], state: CatalogState) {
  var state = CatalogState(catalog: catalog)
  var entries: [EncodedEntry] = []
  for number in 0..<UInt64(count) {
    let change = number == 0 ? oneRoute : split(padded(number))
    guard
      case .append(let entry) = try state.propose(
        command(number + 1, change), time: state.lastTime.next)
    else { preconditionFailure("a cut at a new key appends") }
    entries.append(entry)
  }
  return (entries, state)
}

/// Eight digits, so that keys sort as numbers do.
func padded(_ number: UInt64) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, 8 - digits.count)) + digits
}
