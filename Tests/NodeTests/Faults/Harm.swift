import Foundation
import TestSupport

@testable import Node

/// Something bad that is done to a process or a connection, and undone.
struct Harm: Sendable {
  /// What it is done to: nothing else is done to that meanwhile.
  let target: String
  let name: String
  let begin: @Sendable () async throws -> Void
  let end: @Sendable () async throws -> Void

  /// Ends a node without a word, and starts it again.
  static func kill(_ node: ServedNode) -> Harm {
    Harm(target: node.name, name: "kill \(node.name)") {
      try await node.kill()
    } end: {
      try await node.start()
    }
  }

  /// Holds a node, in whatever it does, and lets it go on.
  static func hold(_ node: ServedNode) -> Harm {
    Harm(target: node.name, name: "hold \(node.name)") {
      node.signal(SIGSTOP)
    } end: {
      node.signal(SIGCONT)
    }
  }

  /// Ends a node in good order, and starts it again.
  static func restart(_ node: ServedNode) -> Harm {
    Harm(target: node.name, name: "restart \(node.name)") {
      try await node.stop()
    } end: {
      try await node.start()
    }
  }

  /// Ends a node in good order, and starts it again, until commands may be sent to it.
  static func restartUntilHealthy(_ node: ServedNode) -> Harm {
    Harm(target: node.name, name: "restart \(node.name)") {
      try await node.stop()
    } end: {
      try await node.start()
      try await node.untilHealthy()
    }
  }

  /// Ends connections and takes no more of them for a while.
  static func cut(_ links: [NetworkProxy], _ name: String) -> Harm {
    Harm(target: name, name: "cut \(name)") {
      for link in links { link.cut() }
    } end: {
      for link in links { link.mend() }
    }
  }

  /// Holds up what is under way.
  static func stall(_ links: [NetworkProxy], _ name: String) -> Harm {
    Harm(target: name, name: "stall \(name)") {
      for link in links { link.stall() }
    } end: {
      for link in links { link.resume() }
    }
  }
}

/// One piece of a schedule: one or two harms, for how long, and how many commands are to be carried
/// out after them.
struct HarmRound: Sendable, CustomStringConvertible {
  var harms: [Harm]
  var duration: Duration
  var commandCount: Int

  var description: String {
    "\(harms.map(\.name).joined(separator: " and ")) for \(Int(duration / .milliseconds(1))) ms"
  }

  /// `count` rounds of what is drawn from `harms`.
  static func schedule(
    of harms: [Harm], count: Int, longest: Duration, using generator: inout SeededGenerator
  ) -> [HarmRound] {
    (0..<count).compactMap { _ in
      guard let first = harms.randomElement(using: &generator) else { return nil }
      var chosen = [first]
      if generator.oneIn(3), let other = harms.randomElement(using: &generator),
        other.target != first.target
      {
        chosen.append(other)
      }
      return HarmRound(
        harms: chosen, duration: longest * Double.random(in: 0.03...1, using: &generator),
        commandCount: .random(in: 5...40, using: &generator))
    }
  }
}
