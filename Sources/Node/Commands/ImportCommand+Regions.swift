import CadastreClient
import Catalog
import Foundation
import StateMachines

extension ImportCommand {
  /// Brings a catalog into line with a region listing.
  func importRegions() async throws {
    let start = NodeClock.system.now()
    let place = dryRun ? nil : try catalog.place()
    var existing: FolderWriter?
    if case .folder(let folder) = place { existing = try openExisting(folder) }
    defer { existing?.close() }
    let listing = try readListing()
    let layout = try listing.layout(
      by: groupsBy == .leaderStore ? .leaderStore : .region, filling: fillGaps)
    var summary = RegionImportSummary(
      regions: listing.regionCount, wasUnordered: listing.wasUnordered, gaps: listing.gaps,
      routes: layout.count, groups: Set(layout.map(\.group)).count)
    let command = Command(
      id: .random(), actor: author.actorOrUser,
      reason: author.reason.isEmpty ? "import of \(abbreviated(file))" : author.reason,
      change: .arrange(layout))
    switch place {
    case .folder(let folder):
      let writer = try existing ?? FolderWriter(creating: .random(), in: folder)
      defer { if existing == nil { writer.close() } }
      summary.receipt = try await writer.submit(command)
    case .server(let address, let connection):
      summary.receipt = try await NodeClient.with(address, connection: connection) { client in
        try await ServerCatalog(client: client).submit(command)
      }
    case nil: break
    }
    let elapsed = NodeClock.system.now() - start
    output.write(summary.json(elapsed), else: summary.text(elapsed))
  }

  private func readListing() throws -> RegionListing {
    let isInput = file == "-"
    let handle = isInput ? FileHandle.standardInput : try KeyFileReader.open(file)
    defer { if !isInput { try? handle.close() } }
    let name = isInput ? "standard input" : file
    let document: Data
    do {
      document = try handle.readToEnd() ?? Data()
    } catch {
      throw Problem(
        .failed, code: "file-unreadable", "\(name) cannot be read: \(Problem.reason(of: error))",
        help: "give a file that you may read")
    }
    return try RegionListing(document, name: name)
  }
}

/// What an import of regions did.
private struct RegionImportSummary {
  /// How many gaps are listed for people.
  private static let shownGapCount = 8

  var regions: Int
  var wasUnordered: Bool
  var gaps: [RegionListing.Gap]
  var routes: Int
  var groups: Int
  /// Nil after a dry run.
  var receipt: CommandReceipt?

  func json(_ elapsed: Duration) -> JSON {
    [
      "dry_run": .bool(receipt == nil),
      "regions": JSON(regions),
      "sorted": .bool(wasUnordered),
      "gaps": .array(
        gaps.map { gap in
          .object(
            JSON.fields("start", gap.span.lower) + JSON.fields("end", gap.span.upper)
              + [("after_region", JSON(gap.after))])
        }),
      "routes": JSON(routes),
      "groups": JSON(groups),
      "changed": .bool(receipt?.outcome == .appended),
      "position": JSON(receipt?.position.rawValue),
      "version": JSON(receipt?.version.rawValue),
      "seconds": .decimal(elapsed.inSeconds),
    ]
  }

  func text(_ elapsed: Duration) -> String {
    var facts = FactList()
    facts.add("regions", grouped(regions) + (wasUnordered ? ", not in order: sorted them" : ""))
    for gap in gaps.prefix(Self.shownGapCount) {
      facts.add("gap filled", gap.span)
    }
    if gaps.count > Self.shownGapCount {
      facts.add("", "and \(grouped(gaps.count - Self.shownGapCount)) more")
    }
    facts.add("routes", grouped(routes))
    facts.add("groups", grouped(groups))
    if let receipt {
      facts.add(
        "changed",
        receipt.outcome == .alreadyDone ? "nothing: the catalog already is like this" : "yes")
      facts.add("version", receipt.version)
      facts.add("position", receipt.position)
    } else {
      facts.add("written", "nothing: this was a dry run")
    }
    facts.add("seconds", String((elapsed.inSeconds * 100).rounded() / 100))
    return facts.text(style: StandardStream.output.style)
  }
}
