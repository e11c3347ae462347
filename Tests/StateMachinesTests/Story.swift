import Catalog
import StateMachines
import TestSupport

/// Carries out a transcript: scenes parted by empty lines, each with comments, commands, a line
/// `----` and what is expected. Gives back the transcript with what happened instead.
///
/// The commands:
///
///     bootstrap KEY:GROUP[:REGION,…] …    split [ID@]KEY …          merge ID+ID …
///     move ID,… GROUP                     state ID,… STATE          regions ID,… REGION,…|anywhere
///     routes                              replay                    learner
///     deliver POSITION [FIELD=VALUE]      members                   placement
///
/// and those of ``MembershipChange/init(words:)``. Those that ask for a change take the last words
/// `expecting=VERSION` and `origin=REGION/EPOCH`. Keys are written as
/// ``Key/init(text:)`` reads them; `""` is the least. `deliver` gives the learner an entry, with a
/// field changed if one is named; `learner` shows where it is.
struct Story {
  private var catalog = TestCatalog(empty: ())
  private var learner = CatalogState(catalog: TestCatalog.id)

  struct Mistake: Error, CustomStringConvertible {
    let description: String
  }

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

  private mutating func perform(_ line: Substring) throws -> [String] {
    var words = line.split(separator: " ")
    var expected: UInt64?
    var origin: RegionOrigin?
    if let last = words.last, last.hasPrefix("origin=") {
      let parts = last.dropFirst("origin=".count).split(separator: "/")
      guard parts.count == 2, let epoch = UInt64(parts[1]) else { throw mistake(last) }
      origin = RegionOrigin(region: try Region(parts[0]), epoch: epoch)
      words.removeLast()
    }
    if let last = words.last, last.hasPrefix("expecting=") {
      expected = UInt64(last.dropFirst("expecting=".count))
      words.removeLast()
    }
    let arguments = Array(words.dropFirst())
    switch words.first {
    case "routes": return routes()
    case "replay": return try replay()
    case "learner": return [place(of: learner)]
    case "deliver": return try deliver(arguments)
    case "members": return MembershipText.lines(of: catalog.state.membership)
    case "placement": return placement()
    case let verb?:
      if let change = try MembershipChange(words: words) {
        return ask(for: .membership(change), expecting: expected, origin: origin)
      }
      return try ask(for: change(verb, arguments), expecting: expected, origin: origin)
    case nil: return []
    }
  }

  // MARK: - Commands

  private func change(_ verb: Substring, _ arguments: [Substring]) throws -> RouteChange {
    switch (verb, arguments.count) {
    case ("bootstrap", 1...):
      return .bootstrap(
        try arguments.map { argument in
          let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
          guard parts.count >= 2, let group = UInt64(parts[1]) else { throw mistake(argument) }
          return RouteSeedRequest(
            start: try key(parts[0]), group: GroupID(group),
            allowedRegions: parts.count > 2 ? try regions(parts[2]) : [])
        })
    case ("split", 1...):
      return .split(
        try arguments.map { argument in
          let parts = argument.split(separator: "@")
          guard parts.count == 2 else { return SplitRequest(at: try key(argument)) }
          return SplitRequest(route: try id(parts[0]), at: try key(parts[1]))
        })
    case ("merge", 1...):
      return .merge(
        try arguments.map { argument in
          let parts = argument.split(separator: "+")
          guard parts.count == 2 else { throw mistake(argument) }
          return MergeRequest(left: try id(parts[0]), right: try id(parts[1]))
        })
    case ("move", 2):
      return .move(
        try ids(arguments[0]), to: GroupID(try id(arguments[1]).rawValue))
    case ("state", 2):
      guard let state = RouteState(name: arguments[1]) else { throw mistake(arguments[1]) }
      return .setState(try ids(arguments[0]), to: state)
    case ("regions", 2):
      return .setAllowedRegions(
        try ids(arguments[0]), to: arguments[1] == "anywhere" ? [] : try regions(arguments[1]))
    default:
      throw mistake(verb)
    }
  }

  private func mistake(_ word: Substring) -> Mistake {
    Mistake(description: "the story says \"\(word)\", which is no command or argument")
  }

  private func key(_ text: Substring) throws -> Key {
    text == "\"\"" ? .least : try Key(text: text)
  }

  private func id(_ text: Substring) throws -> RouteID {
    guard let number = UInt64(text) else { throw mistake(text) }
    return RouteID(number)
  }

  private func ids(_ text: Substring) throws -> [RouteID] {
    try text.split(separator: ",").map(id)
  }

  private func regions(_ text: Substring) throws -> [Region] {
    try text.split(separator: ",").map { try Region($0) }
  }

  // MARK: - Outcomes

  private mutating func ask(
    for change: RouteChange, expecting expected: UInt64?, origin: RegionOrigin?
  ) -> [String] {
    do throws(Refusal) {
      let events = try catalog.perform(change, expecting: expected, origin: origin)
      guard !events.isEmpty else { return ["already done"] }
      return ["entry \(catalog.state.appliedThrough), version \(catalog.state.version)"]
        + events.flatMap(EntryText.lines(of:)).map { "  \($0)" }
    } catch {
      return ["refused: \(error.code)", "  \(error)"]
    }
  }

  private func routes() -> [String] {
    catalog.routes.map { route in
      var text = "\(route.span) route \(route.id) group \(route.group)"
      if route.state != .active { text += " \(route.state)" }
      if let parent = route.parent { text += " from \(parent)" }
      if !route.allowedRegions.isEmpty {
        text += " in \(route.allowedRegions.map(\.name).joined(separator: ","))"
      }
      return text + " since version \(route.version)"
    }
  }

  private func placement() -> [String] {
    let (violations, count, routeCount) = catalog.state.placementViolations()
    return ["\(count) of \(routeCount) routes are where they should not be"]
      + violations.map { violation in
        "  route \(violation.route.id) in group \(violation.route.group) at \(violation.home): "
          + "\(violation.problem)"
      }
  }

  private func replay() throws -> [String] {
    var replayed = CatalogState(catalog: TestCatalog.id)
    for entry in catalog.entries { try replayed.evolve(try EncodedEntry(decoding: entry.bytes)) }
    let equal =
      replayed.header == catalog.state.header
      && replayed.routes.routes(overlapping: .all) == catalog.routes
    return ["\(place(of: replayed)), \(equal ? "equal" : "NOT EQUAL") to the writer's"]
  }

  private mutating func deliver(_ arguments: [Substring]) throws -> [String] {
    guard let first = arguments.first, let position = Int(first),
      catalog.entries.indices.contains(position - 1)
    else { throw mistake(arguments.first ?? "deliver") }
    var entry = catalog.entries[position - 1].entry
    for change in arguments.dropFirst() {
      let parts = change.split(separator: "=", omittingEmptySubsequences: false)
      switch (parts.first, parts.count) {
      case ("reason", 2): entry.reason = String(parts[1])
      case ("version", 2): entry.version = CatalogVersion(try id(parts[1]).rawValue)
      case ("time", 2): entry.time = HybridTimestamp(try id(parts[1]).rawValue)
      case ("digest", 2): entry.digest = .zero
      case ("events", 2): entry.events = Array(repeating: entry.events[0], count: 2)
      default: throw mistake(change)
      }
    }
    let encoded = try EncodedEntry(entry)
    do throws(EvolveError) {
      try learner.evolve(encoded)
      return [place(of: learner)]
    } catch {
      return ["not applied: \(words(for: error))", "  \(words(for: error.recovery))"]
    }
  }

  private func place(of state: CatalogState) -> String {
    "at entry \(state.appliedThrough), version \(state.version), \(state.routes.count) routes"
  }

  /// The error in words, without hashes, which would make a story hard to read and to keep.
  private func words(for error: EvolveError) -> String {
    switch error {
    case .brokenChain(let position, _, _): "entry \(position) follows another entry than the last"
    case .forked(let position, _, _): "entry \(position) is not the one that was applied"
    case .diverged(let position, _, _): "the state after entry \(position) has another digest"
    case .gap, .ahead, .timeNotAfter, .wrongVersion, .doesNotApply, .doesNotFitMembers,
      .routesDoNotFit, .wrongDigest, .impossibleHeader, .membershipUnreadable, .doesNotFitRegion,
      .otherStream, .recordsDoNotFit:
      "\(error)"
    }
  }

  private func words(for recovery: EvolveError.Recovery) -> String {
    switch recovery {
    case .resume(let position): "resume from entry \(position)"
    case .installState: "install a state"
    case .halt(let advice): "halt: \(advice)"
    }
  }
}
