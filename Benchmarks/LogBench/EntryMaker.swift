import Catalog
import Replay
import StateMachines

/// Makes a catalog and the splits of it, the same each time.
struct EntryMaker {
  static let catalog: CatalogID = {
    guard let id = CatalogID(bytes: Array("log-bench 000001".utf8)) else {
      preconditionFailure("sixteen bytes")
    }
    return id
  }()

  private(set) var state = CatalogState(catalog: catalog)
  private var number: UInt64 = 0

  /// Begins with the bootstrap of so many routes, which goes to `log` where there is one.
  init(routeCount: Int, log: EventLog? = nil) throws {
    let command = EntryMaker.bootstrap(routeCount: routeCount)
    if case .append(let entry) = try state.propose(command, time: state.lastTime.next) {
      try log?.append([entry])
    }
  }

  static func bootstrap(routeCount: Int) -> Command {
    let seeds = (0..<routeCount).map { index in
      RouteSeedRequest(
        start: index == 0 ? .least : key(UInt64(index) << 40),
        group: GroupID(UInt64(index % 1_000)))
    }
    return command(0, .bootstrap(seeds))
  }

  mutating func splits(count: Int) throws -> [EncodedEntry] {
    try (0..<count).map { _ in try split(count: 1) }
  }

  /// The next entry: so many splits all over the keyspace.
  mutating func split(count: Int) throws -> EncodedEntry {
    let requests = (0..<count).map { _ in
      number += 1
      return SplitRequest(at: EntryMaker.boundary(number))
    }
    let proposal = try state.propose(
      EntryMaker.command(number, .split(requests)), time: state.lastTime.next)
    guard case .append(let entry) = proposal else { preconditionFailure("the keys are new") }
    return entry
  }

  static func command(_ number: UInt64, _ change: RouteChange) -> Command {
    // Ids come in no order, as those of callers do.
    let bytes =
      withUnsafeBytes(of: mixed(number).bigEndian, Array.init)
      + withUnsafeBytes(of: number.bigEndian, Array.init)
    guard let id = CommandID(bytes: bytes) else { preconditionFailure("sixteen bytes") }
    return Command(id: id, actor: "bench@host", reason: "load", change: change)
  }

  /// A key that no other number has.
  static func boundary(_ number: UInt64) -> Key { key(mixed(number) >> 4) }

  /// 12 to 40 bytes: a common beginning, sixteen digits, a tail.
  private static func key(_ number: UInt64) -> Key {
    var bytes = Array("usr/".utf8)
    let digits = Array("0123456789abcdef".utf8)
    for shift in stride(from: 60, through: 0, by: -4) {
      bytes.append(digits[Int(number >> UInt64(shift) & 15)])
    }
    bytes += Array(repeating: UInt8(ascii: "t"), count: Int(number % 21))
    return Key(unchecked: bytes)
  }

  /// One to one, and in no order: the finalizer of SplitMix64.
  private static func mixed(_ number: UInt64) -> UInt64 {
    var mixed = number &* 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
