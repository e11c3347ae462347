import ArgumentParser
import CadastreClient
import Catalog
import Etcd
import Replay

struct ClusterLeaderCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "leader", abstract: "Choose who leads a cluster.",
    subcommands: [ClusterLeaderMoveCommand.self])
}

struct ClusterLeaderMoveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "move",
    abstract: "Ask the leader to let another member lead, as before its machine is stopped.",
    discussion: """
      The leader finishes the commands that it is deciding and gives the lead back; those that come \
      meanwhile wait, and are decided by the other. Members do not campaign against the one that is \
      named. A leader that does not hear of it within \(LeaderMove.lifetime.components.seconds) \
      seconds goes on leading. Where the member leads already, nothing happens.

      Examples:
        cadastre cluster leader move b --log etcd://127.0.0.1:2379/prod
        cadastre cluster leader move --log etcd://127.0.0.1:2379/prod
      """)

  @Argument(
    help: ArgumentHelp(
      "Who is to lead. Default: of the others, the one that has stored most.", valueName: "member"))
  var member: String?

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let name: MemberName?
    do {
      name = try member.map { text throws(MemberNameError) in try MemberName(text) }
    } catch {
      throw ValidationError("\(error)")
    }
    let stream = try cluster.stream()
    do {
      let moved = try await LeaderMove(stream: stream).run(to: name) { output.note($0) }
      let (from, leader) = (moved.from, moved.leader)
      output.write(
        [
          "moved": .bool(moved.isMoved),
          "from": .string(from.member.name.name), "from_term": .number(from.term.rawValue),
          "leader": .string(leader.member.name.name),
          "leader_address": .string(leader.member.address),
          "term": .number(leader.term.rawValue),
        ],
        else: moved.isMoved
          ? "\(leader.member.name) at \(leader.member.address) leads in term \(leader.term), "
            + "after \(from.member.name) in term \(from.term)\n"
          : "\(leader.member.name) at \(leader.member.address) leads already, in term "
            + "\(leader.term)\n")
    } catch let error as SharedStreamError {
      throw StoreError.stream(stream.name, error)
    }
  }
}

/// Has the leader of a cluster hand over to another member, and waits for that.
struct LeaderMove {
  /// How long the leader has to do it, and the others hold back.
  static let lifetime = Duration.seconds(15)

  /// Who led, and who leads.
  struct Outcome: Hashable {
    var from: LeaderRecord
    var leader: LeaderRecord

    var isMoved: Bool { from.term != leader.term }
  }

  let stream: any SharedStream
  var lifetime = Self.lifetime

  /// - Throws: ``Problem`` and ``SharedStreamError``.
  func run(to name: MemberName?, note: (String) -> Void) async throws -> Outcome {
    guard try await stream.catalog() != nil else { throw SharedStreamError.missing(stream.name) }
    guard let old = try await stream.leader() else {
      throw Problem(
        .unavailable, code: "no-leader", "nobody leads cluster \(stream.name)",
        help: "look with cluster status which members are up; one of them leads in a few seconds")
    }
    if old.member.name == name { return Outcome(from: old, leader: old) }
    let next = try await choose(name, besides: old.member.name)
    do throws(SharedStreamError) {
      try await stream.nameSuccessor(next, of: old.term, lifetime: lifetime)
    } catch {
      guard case .deposed = error else { throw error }
      throw Problem(
        .refused, code: "leader-changed",
        "\(old.member.name) leads cluster \(stream.name) no more; nothing was done",
        help: "look with cluster status who leads now, and ask again if it has to be another")
    }
    note("\(old.member.name) leads in term \(old.term) and is asked to let \(next.name) lead…")
    return Outcome(from: old, leader: try await successor(next.name, of: old))
  }

  /// The member that is to lead, among those that say how far they are.
  private func choose(
    _ name: MemberName?, besides leader: MemberName
  ) async throws -> ClusterMember {
    let members = try await stream.progress()
    let others = members.filter { $0.member.name != leader }
    let found =
      name.map { name in others.first { $0.member.name == name } }
      ?? others.max { $0.storedThrough < $1.storedThrough }
    if let found { return found.member }
    let names = members.map(\.member.name).sorted().map(\.name)
    throw Problem(
      .notFound, code: "no-such-member",
      name.map { "cluster \(stream.name) has no member \($0) that is up" }
        ?? "cluster \(stream.name) has no other member that is up",
      help: names.isEmpty ? "start a member" : "those that are: " + names.joined(separator: ", "),
      details: [("members", .array(names.map(JSON.string)))])
  }

  /// Waits until another term leads than that of `old`.
  private func successor(_ name: MemberName, of old: LeaderRecord) async throws -> LeaderRecord {
    // What is named at the last moment takes the lead a little later.
    let due = ContinuousClock.now + lifetime + .seconds(2)
    while ContinuousClock.now < due {
      if let leader = try await stream.leader(), leader.term != old.term {
        guard leader.member.name == name else {
          throw Problem(
            .refused, code: "another-leads",
            "\(leader.member.name) leads cluster \(stream.name) now, in term \(leader.term), and "
              + "not \(name)",
            help: "look with cluster status whether \(name) is up, and ask again")
        }
        return leader
      }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw Problem(
      .unavailable, code: "not-moved",
      "\(name) did not take the lead of cluster \(stream.name) within \(lifetime)",
      help: "look with cluster status whether it is up and has stored nearly all, and ask again; "
        + "what was asked for is forgotten")
  }
}
