import Catalog
import Foundation
import TestSupport
import Testing

@testable import Node

/// The story that `make demo` tells, as a test: real keys, a leader, learners in two regions, a
/// watcher, a lost mirror that is rebuilt from the log. Every node is a process of its own.
@Suite struct DemoStoryTests {
  /// Routes start at every 100th of the 120,000 keys: a debug build shall get through quickly.
  static let every = 100

  @Test(.timeLimit(.minutes(5))) func aLostMirrorIsRebuiltFromTheLog() async throws {
    try await withTemporaryFolder { folder in
      let story = try Story(folder: folder)

      let imported = try await story.run(
        "import", fixturesFolder.appending(path: "debian-paths-120k.tsv.gz").path, "--log",
        story.log("leader"), "--every", "\(Self.every)")
      #expect(try imported["routes"].number == 1200)
      let first = try imported["version"].number

      let leader = try await story.serve("leader", region: "eu-central")
      let tokyo = try await story.serve("tokyo", region: "ap-tokyo", following: leader)
      let virginia = try await story.serve("virginia", region: "us-east", following: leader)
      for node in [tokyo, virginia] { try await story.waitUntil(node, has: first) }
      #expect(try await story.digest(tokyo) == story.digest(leader))

      try await refusesASecondWriter(story, leader)

      let (batches, size) = (4, 25)
      let watcher = try CadastreProcess([
        "watch", "--json", "--from", "\(first)", "--until", "\(Int(first) + 2 * batches)",
        "--server", virginia.address,
      ])
      var made: [[UInt64]] = []
      for batch in 0..<batches {
        let keys = (0..<size).map { story.keys[($0 * batches + batch) * Self.every + 7] }
        let split = try await story.run(
          "split", "--from-file", "-", "--server", leader.address,
          input: keys.joined(separator: "\n"))
        made.append(try split["new_routes"].array.map { try $0.number })
        #expect(made[batch].count == size)
      }
      for batch in 0..<batches {
        let ids = made[batch].prefix(size / 2).flatMap { ["--id", "\($0)"] }
        let routes = try await story.run(["routes", "--server", leader.address] + ids)
        let pairs = try routes["routes"].array.flatMap {
          ["\(try $0["parent"].number)", "\(try $0["id"].number)"]
        }
        // Sent to a learner, which forwards it.
        let merge = try await story.run(["merge", "--server", tokyo.address] + pairs)
        #expect(try merge["outcome"].string == "appended")
      }
      let watched = try await watcher.wait(limit: .seconds(60))
      #expect(watched.status == 0, "\(watched.errors)")
      let changes = try watched.jsonLines.filter { try $0["type"].string == "change" }
      #expect(
        try changes.map { try $0["version"].number }
          == Array(first + 1...first + UInt64(2 * batches)))

      try await readsItsOwnWrite(story, leader, at: tokyo)

      // The mirror is lost, the world goes on, and the mirror comes back from the log.
      try await story.stop(tokyo)
      try FileManager.default.removeItem(at: story.folder.appending(path: "tokyo"))
      _ = try await story.run("split", "--at", "usr/share/man", "--server", virginia.address)
      let rebuilt = try await story.run(
        "replay", "--from", story.log("leader"), "--into", story.log("tokyo"))
      #expect(try await rebuilt["digest"].string == story.digest(leader))
      let newest = try await story.run("split", "--at", "usr/src", "--server", leader.address)
      let returned = try await story.serve("tokyo", region: "ap-tokyo", following: leader)
      for node in [returned, virginia] {
        try await story.waitUntil(node, has: newest["version"].number)
      }
      let digest = try await story.digest(leader)
      #expect(try await story.digest(returned) == digest)
      #expect(try await story.digest(virginia) == digest)

      for node in [returned, virginia, leader] { try await story.stop(node) }
      var heads: Set<String> = []
      for name in ["leader", "tokyo", "virginia"] {
        let proof = try await story.run(
          "verify", "--log", story.log(name), "--expect-digest", digest)
        heads.insert(try proof["head_hash"].string)
      }
      #expect(heads.count == 1)
    }
  }

  /// A folder has one writer, and who it is can be read from the refusal.
  private func refusesASecondWriter(_ story: Story, _ leader: Story.Node) async throws {
    let refused = try await cadastre("split", "--at", "m", "--log", story.log("leader"), "--json")
    #expect(refused.status == 6)
    #expect(try refused.error["message"].string.contains("\(leader.process.identifier)"))
    #expect(try refused.error["help"].string.contains("--server"))
    // Reading beside the server is fine.
    let read = try await cadastre("status", "--log", story.log("leader"), "--json")
    #expect(read.status == 0, "\(read.errors)")
  }

  /// Real keys resolve at a learner, at the version of a write that was just made.
  private func readsItsOwnWrite(
    _ story: Story, _ leader: Story.Node, at learner: Story.Node
  ) async throws {
    let split = try await story.run("split", "--at", "usr/share/doc", "--server", leader.address)
    let version = try split["version"].number
    let sample = stride(from: 0, to: story.keys.count, by: 40).map { story.keys[$0] }
    let answer = try await story.run(
      "resolve", "-", "--min-version", "\(version)", "--max-staleness", "10s", "--server",
      learner.address, input: (["usr/share/doc"] + sample).joined(separator: "\n"))
    #expect(try answer["version"].number >= version)
    let found = try answer["keys"].array
    #expect(found.count == sample.count + 1)
    #expect(try found[0]["route"]["id"].number == split["new_routes"].array[0].number)
    for (key, answer) in zip(["usr/share/doc"] + sample, found) where !key.contains("\\") {
      let start = try answer["route"]["start"].string
      let end = try answer["route"]["end"].optionalString
      #expect(!key.utf8.lexicographicallyPrecedes(start.utf8), "\(key) in \(start)")
      if let end { #expect(key.utf8.lexicographicallyPrecedes(end.utf8), "\(key) before \(end)") }
    }
  }
}

/// The nodes of the story, their folders and the keys.
private final class Story {
  struct Node {
    var process: CadastreProcess
    var address: String
  }

  let folder: URL
  /// The keys of the sample, in order.
  let keys: [String]

  init(folder: URL) throws {
    self.folder = folder
    let list = try KeyFileReader.read(
      path: fixturesFolder.appending(path: "debian-paths-120k.tsv.gz").path, escaped: false
    ).keys
    keys = (0..<list.count).map { String(decoding: list.key(at: $0).bytes, as: UTF8.self) }
  }

  func log(_ name: String) -> String { folder.appending(path: name).path }

  /// Runs a command that must succeed; its JSON document.
  func run(_ arguments: String..., input: String? = nil) async throws -> JSONDocument {
    try await run(arguments, input: input)
  }

  func run(_ arguments: [String], input: String? = nil) async throws -> JSONDocument {
    let ended = try await CadastreProcess(
      arguments + ["--json"], input: input.map { Data($0.utf8) }
    ).wait()
    try #require(ended.status == 0, "\(arguments): \(ended.errors)")
    return try ended.json
  }

  /// Starts a node and waits until it says where it listens.
  func serve(_ name: String, region: String, following leader: Node? = nil) async throws -> Node {
    let addressFile = folder.appending(path: "\(name).address")
    try? FileManager.default.removeItem(at: addressFile)
    let process = try CadastreProcess(
      [
        "serve", "--log", log(name), "--region", region, "--listen", "127.0.0.1:0",
        "--address-file",
        addressFile.path, "--patience", "20s",
      ] + (leader.map { ["--follow", $0.address] } ?? []))
    for _ in 0..<600 {
      if let address = try? String(contentsOf: addressFile, encoding: .utf8),
        address.hasSuffix("\n")
      {
        return Node(process: process, address: String(address.dropLast()))
      }
      try #require(process.isRunning, "\(name) ended: \(process.errorsSoFar)")
      try await Task.sleep(for: .milliseconds(50))
    }
    throw JSONDocument.Missing(field: "address of \(name)", document: process.errorsSoFar)
  }

  func stop(_ node: Node) async throws {
    let ended = try await node.process.stop()
    #expect(ended.status == 0, "\(ended.errors)")
  }

  func waitUntil(_ node: Node, has version: UInt64) async throws {
    _ = try await run("resolve", "a", "--min-version", "\(version)", "--server", node.address)
  }

  func digest(_ node: Node) async throws -> String {
    try await run("status", "--server", node.address)["digest"].string
  }
}
