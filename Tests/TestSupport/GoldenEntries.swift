import Catalog

/// The entries of the golden files: each kind of event, and the ends of what the format can say.
package enum GoldenEntries {
  package static func all() throws -> [(name: String, entry: LogEntry)] {
    [
      ("no-events", entry(actor: "", reason: "", events: [])),
      (
        "bootstrap-one",
        entry(events: [
          .routesBootstrapped([RouteSeed(id: RouteID(1), start: .least, group: GroupID(1))])
        ])
      ),
      (
        "bootstrap-list",
        entry(events: [
          .routesBootstrapped([
            RouteSeed(id: RouteID(1), start: .least, group: GroupID(1)),
            RouteSeed(
              id: RouteID(2), start: Key("m"), group: GroupID(300),
              allowedRegions: [try Region("eu-west"), try Region("us-east-2")]),
            RouteSeed(
              id: RouteID(3), start: Key("m\u{0}"), group: GroupID(2),
              allowedRegions: [try Region("eu-west")]),
          ])
        ])
      ),
      (
        "split",
        entry(events: [
          .routeSplit(
            route: RouteID(7), start: Key("usr/bin"), boundary: Key("usr/share/doc"),
            newRoute: RouteID(130))
        ])
      ),
      (
        "merge",
        entry(events: [
          .routesMerged(
            route: RouteID(7), start: Key("usr/bin"), boundary: Key("usr/share/doc"),
            absorbed: RouteID(130))
        ])
      ),
      (
        "move",
        entry(events: [
          .routeMoved(route: RouteID(7), start: Key("usr"), from: GroupID(1), to: GroupID(16_384))
        ])
      ),
      (
        "states",
        entry(
          events: RouteState.allCases.map {
            .routeStateChanged(
              route: RouteID(7), start: Key("usr"), from: $0,
              to: $0 == .softFailed ? .active : .softFailed)
          })
      ),
      (
        "regions",
        entry(events: [
          .allowedRegionsChanged(
            route: RouteID(7), start: Key("usr"),
            regions: [
              try Region("a"), try Region("ap-northeast-1"),
              try Region("z" + String(repeating: "9", count: Region.maximumLength - 1)),
            ]),
          .allowedRegionsChanged(route: RouteID(8), start: Key("var"), regions: []),
        ])
      ),
      (
        "commitment",
        entry(events: [
          .catalogCommitted(
            CatalogCommitment(
              version: CatalogVersion(0x0506), position: LogPosition(0x0102_0303),
              routesRoot: fixed(Array(0x20..<0x40)), logRoot: fixed(Array(0x40..<0x60))))
        ])
      ),
      (
        "trim",
        entry(events: [
          .logTrimmed(
            TrimMarker(
              through: LogPosition(0x0100_0000), hash: fixed(Array(0x20..<0x40)),
              version: CatalogVersion(300), digest: fixed(Array(0x40..<0x60)),
              policy: "keep 90 days, the größte Lücke is a week",
              publicKey: fixed(Array(0x60..<0x80)), signature: fixed(Array(0x80..<0xC0))))
        ])
      ),
      (
        "members",
        entry(events: [
          .membership(.capabilityEnabled(bit: 0, name: "cap_members_v1")),
          .membership(
            .memberJoined(
              try MemberName("tokyo-1"), address: "10.0.0.1:4710", region: try Region("asia"),
              capabilities: CapabilitySet(rawValue: 0x8001))),
          .membership(.memberLeft(try MemberName("tokyo-1"))),
          .membership(
            .silenceReported(
              by: try MemberName("paris-2"), of: try Region("asia"), isSilent: true)),
          .membership(
            .silenceReported(
              by: try MemberName("paris-2"), of: try Region("asia"), isSilent: false)),
          .membership(.groupsHomed([GroupID(1), GroupID(300)], in: try Region("asia"))),
          .membership(.groupsHomed([GroupID(0)], in: nil)),
          .membership(
            .leaderPreferenceSet(try Region("asia"), [try Region("europe"), try Region("asia")])),
          .membership(.leaderPreferenceSet(try Region("asia"), [])),
          .membership(
            .promotionPolicySet(try MemberName("hot"), try KeySpan(Key("a"), Key("b\u{0}")))),
          .membership(.promotionPolicySet(try MemberName("all"), .all)),
          .membership(.promotionPolicySet(try MemberName("hot"), nil)),
        ])
      ),
      (
        "region-claims",
        entry(events: [
          .membership(
            .regionClaimed(
              RegionClaim(
                region: try Region("asia"), epoch: 0, member: try MemberName("tokyo-1"), number: 1,
                limit: .zero))),
          .membership(
            .regionClaimed(
              RegionClaim(
                region: try Region("asia"), epoch: 300, member: try MemberName("tokyo-1"),
                number: 129, limit: Milliseconds(60_000)))),
        ])
      ),
      (
        "regions-lost",
        entry(events: [
          .membership(.regionSuspected(try Region("asia"))),
          .membership(.regionCleared(try Region("asia"))),
          .membership(.regionLost(try Region("asia"), epoch: 300)),
          .routeStateChanged(
            route: RouteID(7), start: Key("usr"), from: .active, to: .softFailed),
          .membership(
            .regionSwept(
              try Region("asia"), epoch: 300, group: GroupID(2), route: RouteID(7), changed: 1,
              isLast: true)),
          .membership(
            .recoveryAdvanced(
              try Region("asia"), epoch: 300, plan: fixed(Array(0x20..<0x40)), step: 0, steps: 129,
              promoted: 50_000)),
          .membership(.regionReturning(try Region("asia"), epoch: 300)),
          .membership(
            .regionSwept(
              try Region("asia"), epoch: 300, group: GroupID(2), route: RouteID(9), changed: 0,
              isLast: false)),
        ])
      ),
      (
        "region-clocks",
        regionEntry(events: [
          .groupsLed(
            groups(1...100_000, 100_002...100_002),
            LeaderTerm(
              leader: try MemberName("tokyo-1"), term: Term(3), floor: time(4_000),
              ceiling: time(7_000), lease: Milliseconds(3000), wait: Milliseconds(3000))),
          .ceilingsRaised(groups(1...100_000), term: Term(3), to: time(8_000)),
          .groupsRetired(
            groups(5...5), term: Term(3), floor: time(4_100), lease: Milliseconds(0)),
          .groupsDeparted(
            groups(7...9), to: try Region("eu-west"),
            ClockHandover(
              term: Term(3), ceiling: time(8_000), floor: time(8_000), lease: Milliseconds(3000))),
          .groupsArrived(
            groups(0...0, 300_000...399_999), from: try Region("us-east-2"),
            ClockHandover(
              term: Term(300), ceiling: time(9_000), floor: time(6_500), lease: Milliseconds(0))),
        ])
      ),
      (
        "region-transactions",
        regionEntry(events: [
          .transactionBegun(
            fixed(Array(0x40..<0x50)), participants: groups(1...2, 900...900), expiry: time(90_000)),
          .transactionDecided(fixed(Array(0x40..<0x50)), .committed(at: time(5_000))),
          .transactionDecided(fixed(Array(0x50..<0x60)), .aborted),
        ])
      ),
      (
        "region-extremes",
        regionEntry(events: [
          .ceilingsRaised(
            groups(0...0, 2...(.max - 2), UInt64.max...UInt64.max), term: Term(.max),
            to: HybridTimestamp(.max)),
          .groupsLed(
            groups(0...(.max)),
            LeaderTerm(
              leader: try MemberName("z" + String(repeating: "9", count: 62)), term: Term(0),
              floor: .zero, ceiling: .zero, lease: Milliseconds(.max), wait: Milliseconds(.max))),
        ])
      ),
      (
        "extremes",
        LogEntry(
          position: LogPosition(.max),
          previous: fixed([UInt8](repeating: 0xFF, count: 32)), time: HybridTimestamp(.max),
          actor: String(repeating: "a", count: LogEntry.maximumTextByteCount),
          reason: String(repeating: "\u{1F5FA}", count: LogEntry.maximumTextByteCount / 4),
          command: fixed([UInt8](repeating: 0xFF, count: 16)), version: CatalogVersion(.max),
          events: [
            .routeSplit(
              route: RouteID(.max),
              start: Key(unchecked: [UInt8](repeating: 0xFF, count: Key.maximumLength - 1)),
              boundary: Key(unchecked: [UInt8](repeating: 0xFF, count: Key.maximumLength)),
              newRoute: RouteID(0)),
            .routeMoved(
              route: RouteID(127), start: Key(unchecked: [0]), from: GroupID(128),
              to: GroupID(1 << 63)),
          ], digest: fixed([UInt8](repeating: 0xFF, count: 32)))
      ),
    ]
  }

  private static func groups(_ runs: ClosedRange<UInt64>...) -> GroupSet {
    GroupSet(runs.map { GroupRun(GroupID($0.lowerBound), through: GroupID($0.upperBound)) })
  }

  private static func time(_ milliseconds: UInt64) -> HybridTimestamp {
    HybridTimestamp(milliseconds: 1_785_312_000_000 + milliseconds)
  }

  private static func regionEntry(events: [RegionEvent]) -> LogEntry {
    var entry = entry(events: events.map { .region($0) })
    entry.stream = .region
    entry.version = .zero
    return entry
  }

  private static func entry(
    actor: String = "ops@example", reason: String = "Größe", events: [Event]
  ) -> LogEntry {
    LogEntry(
      position: LogPosition(0x0102_0304), previous: fixed(Array(0..<32)),
      time: HybridTimestamp(milliseconds: 1_785_312_000_123, counter: 7), actor: actor,
      reason: reason, command: fixed(Array(0xA0..<0xB0)), version: CatalogVersion(0x0506),
      events: events, digest: fixed(Array(0xC0..<0xE0)))
  }

  private static func fixed<Value: FixedBytes>(_ bytes: [UInt8]) -> Value {
    guard let value = Value(bytes: bytes) else { preconditionFailure("wrong number of bytes") }
    return value
  }
}
