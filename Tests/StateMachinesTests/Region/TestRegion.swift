import Catalog
import StateMachines
import TestSupport

/// A region under test: the state, the entries that made it, and a clock that is set by hand.
struct TestRegion {
  static let catalog = TestCatalog.id
  static let name = (try? Region("tokyo")) ?? unreachable()

  var state = RegionState(catalog: TestRegion.catalog, region: TestRegion.name)
  var entries: [EncodedEntry] = []
  /// What the wall clock says, in milliseconds.
  var wall: UInt64 = 0
  private var commandCount: UInt64 = 0

  var nextTime: HybridTimestamp { state.lastTime.following(wallMilliseconds: wall) }

  func command(_ change: RegionChange, number: UInt64 = 0) -> RegionCommand {
    RegionCommand(id: commandID(number), actor: "test", reason: "a test", change: change)
  }

  /// Carries `change` out, and gives back the events of its entry; none when it was done already.
  @discardableResult
  mutating func perform(_ change: RegionChange) throws(RegionRefusal) -> [RegionEvent] {
    commandCount += 1
    switch try state.propose(command(change, number: commandCount), time: nextTime) {
    case .append(let entry):
      entries.append(entry)
      return entry.entry.events.compactMap { event in
        if case .region(let event) = event { event } else { nil }
      }
    case .alreadyDone:
      return []
    }
  }

  /// A fresh replay of the entries' bytes.
  func replayed() throws -> RegionState {
    var state = RegionState(catalog: Self.catalog, region: Self.name)
    for entry in entries { try state.evolve(try EncodedEntry(decoding: entry.bytes)) }
    return state
  }
}

extension RegionState {
  var records: [RegionRecord] {
    var records: [RegionRecord] = []
    forEachRecord { records.append($0) }
    return records
  }
}

func member(_ name: String) -> MemberName { (try? MemberName(name)) ?? unreachable() }

func groups(_ runs: ClosedRange<UInt64>...) -> GroupSet {
  GroupSet(runs.map { GroupRun(GroupID($0.lowerBound), through: GroupID($0.upperBound)) })
}

func time(_ milliseconds: UInt64) -> HybridTimestamp { HybridTimestamp(milliseconds: milliseconds) }

func transactionID(_ number: UInt64) -> TransactionID {
  TransactionID(bytes: commandID(number).bytes) ?? unreachable()
}
