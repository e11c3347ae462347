import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

/// Carries out a transcript of a region's stream: scenes parted by empty lines, each with comments,
/// commands, a line `----` and what is expected. Gives back the transcript with what happened
/// instead.
///
/// The commands; times are milliseconds:
///
///     at TIME                                       set the wall clock
///     lead GROUPS MEMBER ceiling=TIME lease=MS [ended=1]
///     renew MEMBER TERM:GROUPS … ceiling=TIME       retire MEMBER TERM:GROUPS … floor=TIME [waited=1]
///     raise GROUPS to=TIME                          depart GROUPS REGION
///     arrive GROUPS REGION term= ceiling= floor= lease=
///     begin ID GROUPS expiry=TIME                   commit ID at=TIME     abort ID     expire
///     clocks                                        transactions          replay
struct RegionStory {
  private var region = TestRegion()

  mutating func happen(_ told: String) throws -> String {
    var scenes: [String] = []
    for scene in told.split(separator: "\n\n") {
      var lines: [Substring] = []
      var outcome: [String] = []
      for line in scene.split(separator: "\n") {
        if line == "----" { break }
        lines.append(line)
        if !line.hasPrefix("#") { outcome += try perform(line) }
      }
      var scene = lines.joined(separator: "\n")
      if !outcome.isEmpty { scene += "\n----\n" + outcome.joined(separator: "\n") }
      scenes.append(scene)
    }
    return scenes.joined(separator: "\n\n") + "\n"
  }

  private struct Words {
    var plain: [Substring] = []
    var named: [Substring: UInt64] = [:]

    init(_ line: Substring) {
      for word in line.split(separator: " ") {
        let parts = word.split(separator: "=")
        if parts.count == 2, let number = UInt64(parts[1]) {
          named[parts[0]] = number
        } else {
          plain.append(word)
        }
      }
    }

    func number(_ name: Substring) throws -> UInt64 {
      guard let number = named[name] else { throw mistake("\(name)=") }
      return number
    }

    func time(_ name: Substring) throws -> HybridTimestamp {
      HybridTimestamp(milliseconds: try number(name))
    }

    func milliseconds(_ name: Substring) throws -> Milliseconds { Milliseconds(try number(name)) }

    func groups(_ index: Int) throws -> GroupSet {
      guard plain.count > index, let groups = GroupSet(text: plain[index]) else {
        throw mistake("groups")
      }
      return groups
    }

    func transaction() throws -> TransactionID {
      guard plain.count > 1, let number = UInt64(plain[1]) else { throw mistake("a transaction") }
      return transactionID(number)
    }

    func termGroups() throws -> [TermGroups] {
      try plain.dropFirst(2).map { word in
        let parts = word.split(separator: ":")
        guard parts.count == 2, let term = UInt64(parts[0]), let groups = GroupSet(text: parts[1])
        else { throw mistake(word) }
        return TermGroups(term: Term(term), groups: groups)
      }
    }
  }

  private mutating func perform(_ line: Substring) throws -> [String] {
    let words = Words(line)
    switch words.plain.first {
    case "at":
      region.wall = UInt64(words.plain.last ?? "") ?? 0
      return []
    case "clocks":
      return region.state.records.filter { if case .clocks = $0 { true } else { false } }
        .map(EntryText.text(of:))
    case "transactions":
      return region.state.records.filter { if case .transaction = $0 { true } else { false } }
        .map(EntryText.text(of:))
    case "replay":
      let replayed = try region.replayed()
      let isEqual =
        replayed.header == region.state.header && replayed.records == region.state.records
      return ["at entry \(replayed.appliedThrough), \(isEqual ? "equal" : "NOT EQUAL")"]
    default:
      return ask(for: try change(words))
    }
  }

  private func change(_ words: Words) throws -> RegionChange {
    switch words.plain.first {
    case "lead":
      return .lead(
        LeadRequest(
          groups: try words.groups(1), leader: try MemberName(words.plain.last ?? ""),
          ceiling: try words.time("ceiling"), lease: try words.milliseconds("lease"),
          predecessorsEnded: words.named["ended"] == 1))
    case "renew":
      return .renew(
        RenewalRequest(
          leader: try MemberName(words.plain[1]), groups: try words.termGroups(),
          ceiling: try words.time("ceiling")))
    case "retire":
      return .retire(
        RetirementRequest(
          leader: try MemberName(words.plain[1]), groups: try words.termGroups(),
          floor: try words.time("floor"), hasWaited: words.named["waited"] == 1))
    case "raise": return .raise(try words.groups(1), to: try words.time("to"))
    case "depart":
      return .depart(try words.groups(1), to: try Region(words.plain.last ?? ""))
    case "arrive":
      return .arrive(
        [
          Arrival(
            groups: try words.groups(1),
            clock: ClockHandover(
              term: Term(try words.number("term")), ceiling: try words.time("ceiling"),
              floor: try words.time("floor"), lease: try words.milliseconds("lease")))
        ], from: try Region(words.plain.last ?? ""))
    case "begin":
      return .begin(
        try words.transaction(), participants: try words.groups(2),
        expiry: try words.time("expiry"))
    case "commit":
      return .decide(try words.transaction(), .committed(at: try words.time("at")))
    case "abort": return .decide(try words.transaction(), .aborted)
    case "expire": return .expire
    default: throw mistake(words.plain.first ?? "")
    }
  }

  private mutating func ask(for change: RegionChange) -> [String] {
    do throws(RegionRefusal) {
      let events = try region.perform(change)
      guard !events.isEmpty else { return ["already done"] }
      return ["entry \(region.state.appliedThrough)"]
        + events.flatMap { EntryText.lines(of: .region($0)) }.map { "  \($0)" }
    } catch {
      return ["refused: \(error.code)", "  \(error)"]
    }
  }
}

private func mistake(_ word: Substring) -> Story.Mistake {
  Story.Mistake(description: "the story lacks \(word), or does not know it")
}

/// The transcripts in `fixtures/region-stories`; see ``StoryTests``.
@Suite struct RegionStoryTests {
  static let folder = fixturesFolder.appending(path: "region-stories")

  static let names: [String] = {
    let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
    return (names ?? []).filter { $0.hasSuffix(".txt") }.sorted()
  }()

  @Test(arguments: names)
  func happensAsItIsTold(name: String) throws {
    let url = Self.folder.appending(path: name)
    let told = try String(contentsOf: url, encoding: .utf8)
    var story = RegionStory()
    let happened = try story.happen(told)
    #expect(try golden(happened, at: url) == happened)
  }

  @Test func thereAreStories() { #expect(Self.names.count >= 3) }
}
