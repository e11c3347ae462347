import CadastreClient
import Catalog
import Foundation
import StateMachines

/// The regions of a TiKV cluster, as its placement driver lists them: `pd-ctl region`, or
/// `GET /pd/api/v1/regions`.
///
/// Source: the JSON that PD's HTTP API gives for `regions`: keys in hexadecimal, an empty end key for
/// the end of the keyspace.
package struct RegionListing: Sendable {
  /// What becomes a route's group.
  package enum Grouping: String, CaseIterable, Sendable {
    /// The region itself, which is a Raft group.
    case region
    /// The store that leads the region.
    case leaderStore = "leader-store"
  }

  /// A part of the keyspace that no region holds.
  package struct Gap: Hashable, Sendable {
    package var span: KeySpan
    /// The region before it; nil where the gap is at the beginning.
    package var after: UInt64?
  }

  struct Region: Sendable {
    var id: UInt64
    var span: KeySpan
    var leaderStore: UInt64?
  }

  /// In key order, without overlaps.
  let regions: [Region]
  /// In key order.
  package let gaps: [Gap]
  /// Whether the listing had the regions in another order.
  package let wasUnordered: Bool

  package var regionCount: Int { regions.count }

  /// Reads a listing; `name` is what errors call it.
  ///
  /// - Throws: ``Problem`` that names the region that is malformed, listed twice, or overlaps another.
  package init(_ document: Data, name: String) throws {
    let decoded: Document
    do {
      decoded = try JSONDecoder().decode(Document.self, from: document)
    } catch {
      throw Self.malformed(
        name, "is no region listing: \(Self.reason(of: error))",
        help: "give what `pd-ctl region` prints, or PD's /pd/api/v1/regions answers")
    }
    let listed = try decoded.regions.map { try Self.region($0, name) }
    guard !listed.isEmpty else { throw Self.malformed(name, "lists no regions") }
    let sorted = listed.sorted { ($0.span.lower, $0.id) < ($1.span.lower, $1.id) }
    wasUnordered = listed.map(\.id) != sorted.map(\.id)
    var seen: Set<UInt64> = []
    for region in sorted where !seen.insert(region.id).inserted {
      throw Self.malformed(name, "lists region \(region.id) twice")
    }
    (regions, gaps) = (sorted, try Self.gaps(between: sorted, name))
  }

  /// One route for each region, and one of `filling` for each gap.
  ///
  /// - Throws: ``Problem`` when there are gaps and nothing to fill them with, or a region has no
  ///   leader and is to be named after it.
  package func layout(by grouping: Grouping, filling: GroupID?) throws -> [RouteSeedRequest] {
    if let gap = gaps.first, filling == nil {
      throw Problem(
        .usage, code: "gaps",
        "\(gaps.count == 1 ? "a gap" : "\(grouped(gaps.count)) gaps"), the first from "
          + "\(gap.span): routes hold the whole keyspace",
        help: "list the regions again, or fill gaps with routes of a group: --fill-gaps GROUP")
    }
    var seeds: [RouteSeedRequest] = []
    seeds.reserveCapacity(regions.count + gaps.count)
    for region in regions {
      let group: UInt64
      switch grouping {
      case .region: group = region.id
      case .leaderStore:
        guard let store = region.leaderStore else {
          throw Problem(
            .usage, code: "no-leader", "region \(region.id) has no leader in the listing",
            help: "list the regions again when it has one, or use --groups-by region")
        }
        group = store
      }
      seeds.append(RouteSeedRequest(start: region.span.lower, group: GroupID(group)))
    }
    if let filling {
      seeds += gaps.map { RouteSeedRequest(start: $0.span.lower, group: filling) }
      seeds.sort { $0.start < $1.start }
    }
    return seeds
  }

  // MARK: Reading

  private struct Document: Decodable {
    struct Region: Decodable {
      struct Peer: Decodable {
        var store: UInt64?

        enum CodingKeys: String, CodingKey { case store = "store_id" }
      }

      var id: UInt64
      var start: String
      var end: String
      var leader: Peer?

      enum CodingKeys: String, CodingKey {
        case id, leader
        case start = "start_key"
        case end = "end_key"
      }
    }

    var regions: [Region]
  }

  private static func region(
    _ listed: Document.Region, _ name: String
  ) throws -> Region {
    func key(_ field: String, _ text: String) throws -> Key {
      guard let bytes = bytes(hexadecimal: text) else {
        throw malformed(
          name, "region \(listed.id): \(field) is not hexadecimal: \(text.prefix(60))")
      }
      do {
        return try Key(bytes)
      } catch {
        throw malformed(name, "region \(listed.id): \(field): \(error)")
      }
    }
    let lower = try key("start_key", listed.start)
    let upper = listed.end.isEmpty ? nil : try key("end_key", listed.end)
    if let upper, upper <= lower {
      throw malformed(name, "region \(listed.id) ends at \(upper), before it starts at \(lower)")
    }
    let store = listed.leader?.store
    return Region(
      id: listed.id, span: KeySpan(unchecked: lower, upper),
      leaderStore: store == 0 ? nil : store)
  }

  private static func gaps(between regions: [Region], _ name: String) throws -> [Gap] {
    var gaps: [Gap] = []
    var last: Region?
    for region in regions {
      let end = last.map(\.span.upper) ?? .some(.least)
      guard let end, end <= region.span.lower else {
        throw malformed(
          name, "regions \(last?.id ?? 0) and \(region.id) overlap at \(region.span.lower)",
          help: "list the regions again: this listing was taken while a region was being split")
      }
      if end < region.span.lower {
        gaps.append(Gap(span: KeySpan(unchecked: end, region.span.lower), after: last?.id))
      }
      last = region
    }
    if let last, let end = last.span.upper {
      gaps.append(Gap(span: KeySpan(unchecked: end, nil), after: last.id))
    }
    return gaps
  }

  private static func malformed(
    _ name: String, _ what: String, help: String = "mend the listing, or list the regions again"
  ) -> Problem {
    Problem(.usage, code: "bad-input", "\(name) \(what)", help: help)
  }

  private static func reason(of error: any Error) -> String {
    func place(_ path: [any CodingKey]) -> String {
      path.isEmpty ? "" : " at \(path.map(\.stringValue).joined(separator: "."))"
    }
    return switch error {
    case DecodingError.keyNotFound(let key, let context):
      "\"\(key.stringValue)\" is missing\(place(context.codingPath))"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      "unexpected kind of value\(place(context.codingPath))"
    case DecodingError.dataCorrupted(let context):
      context.codingPath.isEmpty ? "it is not JSON" : "bad value\(place(context.codingPath))"
    default: "\(error)"
    }
  }
}
