import CadastreClient
import CadastreProtocol
import Foundation
import GRPCCore
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

/// A node, a process of its own, that can be killed, held and started again at the same address.
final class ServedNode: Sendable {
  let name: String
  let folder: String
  let address: NodeAddress
  private let arguments: [String]
  private let environment: [String: String]
  private let addressFile: String
  private let process = Mutex<CadastreProcess?>(nil)

  /// A node that is not started yet, with more arguments of `serve`. Its log is in the folder that is
  /// called like it, unless they say otherwise.
  init(
    _ name: String, in folder: URL, _ arguments: [String], environment: [String: String] = [:]
  ) {
    self.name = name
    self.folder = folder.appending(path: name).path
    address = NodeAddress(host: "127.0.0.1", port: quietPort())
    addressFile = folder.appending(path: "\(name).address").path
    let log = arguments.contains("--log") ? [] : ["--log", self.folder]
    self.arguments =
      ["serve", "--listen", "\(address)", "--address-file", addressFile, "--log-level", "error"]
      + log + arguments
    self.environment = environment
  }

  /// Starts the node and waits until it listens.
  func start() async throws {
    try? FileManager.default.removeItem(atPath: addressFile)
    let started = try CadastreProcess(arguments, environment: environment)
    process.withLock { $0 = started }
    while true {
      if let text = try? String(contentsOfFile: addressFile, encoding: .utf8),
        text.hasSuffix("\n")
      {
        return
      }
      try #require(started.isRunning, "\(name) ended: \(started.errorsSoFar)")
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Waits until the node takes commands, or passes them on to whoever does.
  func untilHealthy() async throws {
    let service = Cadastre_V1_CatalogCommands.descriptor.fullyQualifiedService
    try await NodeClient.with(address) { client in
      try await until {
        let answer = try? await client.health.check(
          .with { $0.service = service }, options: client.options(.seconds(1)))
        return answer?.status == .serving
      }
    }
  }

  func kill() async throws {
    signal(SIGKILL)
    _ = try await current?.wait()
  }

  /// Sends a signal; to a node that does not run none.
  func signal(_ number: Int32) { current?.signal(number) }

  func stop() async throws {
    let ended = try await current?.stop()
    #expect(ended?.status == 0, "\(name): \(ended?.errors ?? "")")
  }

  /// What the running process has written to its log.
  var errorsSoFar: String { current?.errorsSoFar ?? "" }

  private var current: CadastreProcess? { process.withLock { $0 } }
}

extension [ServedNode] {
  /// Waits until one of them has a status that is looked for; which one, and the status.
  func untilOne(
    _ isFound: (NodeStatus) -> Bool
  ) async throws -> (index: Int, status: NodeStatus) {
    while true {
      for (index, node) in enumerated() {
        let status = try? await NodeClient.with(node.address) {
          try await $0.status(deadline: .seconds(1))
        }
        if let status, isFound(status) { return (index, status) }
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }
}
