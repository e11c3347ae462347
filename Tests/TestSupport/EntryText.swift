import Catalog

/// Entries and routes as the text beside the golden files; `read_log.py` writes the same.
package enum EntryText {
  package static func text(of encoded: EncodedEntry) -> String {
    let entry = encoded.entry
    var lines = [
      "entry \(entry.position)",
      "  previous \(entry.previous)",
      "  time \(entry.time)",
      "  version \(entry.version)",
      "  digest \(entry.digest)",
      "  command \(entry.command)",
      "  actor \(quoted(Array(entry.actor.utf8)))",
      "  reason \(quoted(Array(entry.reason.utf8)))",
      "  events \(entry.events.count)",
    ]
    lines += entry.events.flatMap(self.lines(of:)).map { "    \($0)" }
    lines.append("  bytes \(encoded.bytes.count) hash \(encoded.hash)")
    return lines.map { $0 + "\n" }.joined()
  }

  package static func text(of route: Route) -> String {
    let upper = route.span.upper.map { quoted($0.bytes) } ?? "end"
    return "route \(route.id) from \(quoted(route.span.lower.bytes)) to \(upper) "
      + "group \(route.group) state \(route.state) parent \(route.parent?.rawValue ?? 0) "
      + "regions \(text(of: route.allowedRegions)) version \(route.version) "
      + "changed \(route.changedAt)"
  }

  package static func lines(of event: Event) -> [String] {
    switch event {
    case .routesBootstrapped(let seeds):
      ["bootstrap routes \(seeds.count)"]
        + seeds.map {
          "  route \($0.id) start \(quoted($0.start.bytes)) group \($0.group) "
            + "regions \(text(of: $0.allowedRegions))"
        }
    case .routeSplit(let route, let start, let boundary, let newRoute):
      [
        "split route \(route) start \(quoted(start.bytes)) boundary \(quoted(boundary.bytes)) "
          + "new \(newRoute)"
      ]
    case .routesMerged(let route, let start, let boundary, let absorbed):
      [
        "merge route \(route) start \(quoted(start.bytes)) boundary \(quoted(boundary.bytes)) "
          + "absorbed \(absorbed)"
      ]
    case .routeMoved(let route, let start, let from, let to):
      ["move route \(route) start \(quoted(start.bytes)) from \(from) to \(to)"]
    case .routeStateChanged(let route, let start, let from, let to):
      ["state route \(route) start \(quoted(start.bytes)) from \(from) to \(to)"]
    case .allowedRegionsChanged(let route, let start, let regions):
      ["regions route \(route) start \(quoted(start.bytes)) regions \(text(of: regions))"]
    case .catalogCommitted(let commitment):
      [
        "commitment version \(commitment.version) position \(commitment.position)",
        "  routes \(commitment.routesRoot)",
        "  log \(commitment.logRoot)",
      ]
    case .logTrimmed(let marker):
      [
        "trim through \(marker.through) version \(marker.version) "
          + "policy \(quoted(Array(marker.policy.utf8)))",
        "  hash \(marker.hash)",
        "  digest \(marker.digest)",
        "  key \(marker.publicKey)",
        "  signature \(marker.signature)",
      ]
    case .membership(let event):
      MembershipText.lines(of: event)
    case .region(let event): lines(of: event)
    }
  }

  private static func lines(of event: RegionEvent) -> [String] {
    func text(_ clock: ClockHandover) -> String {
      "term \(clock.term) ceiling \(clock.ceiling) floor \(clock.floor) lease \(clock.lease)"
    }
    return switch event {
    case .groupsLed(let groups, let term):
      [
        "led groups \(groups) by \(term.leader) term \(term.term) floor \(term.floor) "
          + "ceiling \(term.ceiling) lease \(term.lease) wait \(term.wait)"
      ]
    case .ceilingsRaised(let groups, let term, let ceiling):
      ["raised groups \(groups) term \(term) ceiling \(ceiling)"]
    case .groupsRetired(let groups, let term, let floor, let lease):
      ["retired groups \(groups) term \(term) floor \(floor) lease \(lease)"]
    case .groupsDeparted(let groups, let region, let clock):
      ["departed groups \(groups) to \(region) \(text(clock))"]
    case .groupsArrived(let groups, let region, let clock):
      ["arrived groups \(groups) from \(region) \(text(clock))"]
    case .transactionBegun(let id, let participants, let expiry):
      ["begun transaction \(id) participants \(participants) expiry \(expiry)"]
    case .transactionDecided(let id, let outcome):
      ["decided transaction \(id) \(outcome)"]
    }
  }

  package static func text(of record: RegionRecord) -> String {
    switch record {
    case .clocks(let groups, let clock):
      let standing =
        switch clock.standing {
        case .led(let member, let floor, let lease, let wait):
          "led by \(member) floor \(floor) lease \(lease) wait \(wait)"
        case .vacant(let floor, let lease): "vacant floor \(floor) lease \(lease)"
        case .departed(let region): "departed to \(region)"
        }
      return "groups \(groups) ceiling \(clock.ceiling) term \(clock.term) \(standing)"
    case .transaction(let transaction):
      return "transaction \(transaction.id) participants \(transaction.participants) "
        + "expiry \(transaction.expiry) " + (transaction.outcome?.description ?? "undecided")
    }
  }

  private static func text(of regions: [Region]) -> String {
    regions.isEmpty ? "anywhere" : regions.map(\.name).joined(separator: ",")
  }

  /// Printable ASCII as it is, but for the quote and the backslash; every other byte as `\xNN`.
  package static func quoted(_ bytes: [UInt8]) -> String {
    var text = "\""
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "\""): text += "\\\""
      case UInt8(ascii: "\\"): text += "\\\\"
      case 0x20...0x7E: text.unicodeScalars.append(Unicode.Scalar(byte))
      default: text += "\\x" + hexadecimal(CollectionOfOne(byte))
      }
    }
    return text + "\""
  }
}
