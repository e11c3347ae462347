import Catalog
import StateMachines
import TestSupport

/// A catalog under test: the state, the entries that made it, and a clock that ticks by hand.
struct TestCatalog {
  static let id = CatalogID(bytes: Array("test catalog 001".utf8)) ?? unreachable()

  var state = CatalogState(catalog: TestCatalog.id)
  var entries: [EncodedEntry] = []
  private var commandCount: UInt64 = 0

  /// A catalog whose routes start at the least key and at `starts`, all in one group.
  init(starts: [String] = [], group: UInt64 = 1) throws {
    try perform(
      .bootstrap(
        ([.least] + starts.map { Key($0) }).map {
          RouteSeedRequest(start: $0, group: GroupID(group))
        }))
  }

  /// A catalog before its first entry.
  init(empty: Void) {}

  func command(
    _ change: RouteChange, expecting version: UInt64? = nil, origin: RegionOrigin? = nil,
    actor: String = "test", reason: String = "a test", number: UInt64 = 0
  ) -> Command {
    Command(
      id: commandID(number), expectedVersion: version.map { CatalogVersion($0) },
      origin: origin, actor: actor, reason: reason, change: change)
  }

  /// Carries `change` out, and gives back the events of its entry; none when it was done already.
  @discardableResult
  mutating func perform(
    _ change: RouteChange, expecting version: UInt64? = nil, origin: RegionOrigin? = nil
  ) throws(Refusal) -> [Event] {
    commandCount += 1
    let command = command(
      change, expecting: version, origin: origin, number: commandCount)
    switch try state.propose(command, time: state.lastTime.next) {
    case .append(let entry):
      entries.append(entry)
      return entry.entry.events
    case .alreadyDone:
      return []
    }
  }

  /// The refusal of `change`, or nil when it would be carried out.
  func refusal(of change: RouteChange, expecting version: UInt64? = nil) -> Refusal? {
    do throws(Refusal) {
      _ = try state.decide(command(change, expecting: version))
      return nil
    } catch {
      return error
    }
  }

  /// All routes in key order.
  var routes: [Route] { state.routes.routes(overlapping: .all) }

  /// The route that holds the key of this text.
  func route(_ key: String) -> Route {
    state.routes.route(containing: Key(key)) ?? unreachable()
  }
}

/// Sixteen bytes that end with `number`, big-endian.
func commandID(_ number: UInt64) -> CommandID {
  let bytes = [UInt8](repeating: 0, count: 8) + withUnsafeBytes(of: number.bigEndian, Array.init)
  return CommandID(bytes: bytes) ?? unreachable()
}

func unreachable<Value>() -> Value { preconditionFailure("the test is wrong") }
