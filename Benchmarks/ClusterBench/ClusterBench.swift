import BenchSupport
import CadastreClient
import Etcd
import Foundation

/// Loads a cluster that somebody else started, and prints a line of JSON for each figure.
@main
struct ClusterBench {
  static let usage = """
    usage: cluster-bench rates --node ADDRESS [--other ADDRESS] --etcd ADDRESS,… --cluster NAME
                         [--clients N,…] [--rounds N] [--seconds S]
           cluster-bench lag --node ADDRESS --other ADDRESS --etcd ADDRESS,… --cluster NAME
                         [--commands N]
           cluster-bench fill --node ADDRESS [--clients N] [--commands N] [--splits N]
           cluster-bench probe --node ADDRESS --node ADDRESS… [--pause S]
           cluster-bench await --node ADDRESS --position N

      rates   commands through the leader, through another member, and plain puts in etcd of as many
              bytes as a command's entry has, in turn, from so many clients at once
      lag     how long after a command another member shows its version
      fill    so many commands of so many splits each, from one number of clients
      probe   one command after the other through whichever node takes it, with pauses; a line for
              each acknowledgement, until it is killed
      await   when a node has stored an entry; it need not be up yet

      --node ADDRESS   the leader; for probe all members, each with a --node
      --other ADDRESS  a member that does not lead
      --clients N,…    1,16,256
      --rounds N       3
      --seconds S      of each measurement in a round, 2
      --pause S        between an acknowledgement and the next command, 0.005
      --commands N     1,000
      --splits N       1
    """

  var nodes: [NodeAddress] = []
  var other: NodeAddress?
  var etcd: [NodeAddress] = []
  var cluster = ""
  var clients = [1, 16, 256]
  var rounds = 3
  var seconds = 2.0
  var pause = 0.005
  var commands = 1_000
  var splits = 1
  var position: UInt64 = 0

  static func main() async {
    do {
      var bench = ClusterBench()
      try await bench.run()
    } catch let error as UsageError {
      print("cluster-bench: \(error)\n\(usage)")
      exit(2)
    } catch {
      print("cluster-bench: \(error)")
      exit(1)
    }
  }

  private mutating func run() async throws {
    var arguments = CommandLine.arguments.dropFirst()
    guard let mode = arguments.popFirst() else { throw UsageError("say what to measure") }
    while let flag = arguments.popFirst() {
      guard let value = arguments.popFirst() else { throw UsageError("\(flag) lacks a value") }
      try take(flag, value)
    }
    guard let node = nodes.first else { throw UsageError("--node is missing") }
    switch mode {
    case "rates": try await RateBench(self, node).run()
    case "lag": try await LagBench(self, node).run()
    case "fill": try await fill(node)
    case "probe": try await probe()
    case "await": try await untilStored(at: node)
    default: throw UsageError("\"\(mode)\" is nothing that can be measured")
    }
  }

  private mutating func take(_ flag: String, _ value: String) throws {
    func number<Number: LosslessStringConvertible>(_ text: some StringProtocol) throws -> Number {
      guard let number = Number(String(text)) else {
        throw UsageError("\(flag): \"\(text)\" is no number")
      }
      return number
    }
    switch flag {
    case "--node": nodes.append(try NodeAddress(value))
    case "--other": other = try NodeAddress(value)
    case "--etcd": etcd = try value.split(separator: ",").map { try NodeAddress($0) }
    case "--cluster": cluster = value
    case "--clients": clients = try value.split(separator: ",").map { try number($0) }
    case "--rounds": rounds = try number(value)
    case "--seconds": seconds = try number(value)
    case "--pause": pause = try number(value)
    case "--commands": commands = try number(value)
    case "--splits": splits = try number(value)
    case "--position": position = try number(value)
    default: throw UsageError("there is no flag \(flag)")
    }
  }
}

struct UsageError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
