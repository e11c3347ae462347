import ArgumentParser
import CadastreClient
import Catalog
import Etcd
import Replay

struct ClusterAdoptCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "adopt",
    abstract: "Move the catalog of a folder into a cluster: every entry, hash and version stays.",
    discussion: """
      The cluster's log goes on after the last entry of the folder's, which becomes a member's own \
      log: nobody serves or writes it but as a member from then on. The other members fetch what is \
      before from the first. Where the cluster has this catalog already, nothing happens.

      Examples:
        cadastre cluster adopt ./catalog --log etcd://127.0.0.1:2379/prod
      """)

  @Argument(
    help: ArgumentHelp("The folder of the catalog.", valueName: "dir"), transform: parsePath)
  var folder: String

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try cluster.stream()
    let member = try await MemberLog.adopt(folder, into: stream)
    output.write(member.json, else: member.text)
  }
}

struct ClusterInitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Make a new catalog in a folder, and a cluster that goes on with it.",
    discussion: """
      The new catalog has one route that holds the whole keyspace. The folder is the first member's; \
      the others make theirs when they are served. A cluster that is there already is left alone: \
      serve another member of it, or move a catalog that you have with cluster adopt.

      Examples:
        cadastre cluster init ./a --log etcd://127.0.0.1:2379/prod
        cadastre serve --log etcd://127.0.0.1:2379/prod --folder ./a --member a --region home
        cadastre serve --log etcd://127.0.0.1:2379/prod --folder ./b --member b --region home
      """)

  @Argument(
    help: ArgumentHelp("The folder; it is made where there is none.", valueName: "dir"),
    transform: parsePath)
  var folder: String

  @Option(
    help: ArgumentHelp("The group that owns the one route. Default: 1.", valueName: "id"),
    transform: parseGroupID)
  var group: GroupID?

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var author: AuthorOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try cluster.stream()
    // First, so that nothing is made in the folder where etcd has the cluster or cannot be reached.
    try await stream.checkMissing()
    try await FolderWriter.withOneRoute(in: folder, group: group, by: author).close()
    let member = try await MemberLog.adopt(folder, into: stream)
    output.write(member.json, else: member.text)
  }
}

/// The folder of a member, when it has just become one.
struct MemberLog: Sendable {
  var folder: String
  var cluster: String
  var catalog: CatalogID
  var tail: LogTail

  /// Makes a folder's log a member's, and the cluster's log go on after it; where that is done
  /// already, nothing.
  ///
  /// `takesMirrors`: also a log that is a copy of another, as a restored one is.
  ///
  /// - Throws: ``StoreError`` when the cluster has another catalog, the folder is a mirror's or
  ///   another cluster's, or etcd cannot be reached. The folder is as it was then, or a member's.
  static func adopt(
    _ folder: String, into stream: EtcdStream, takesMirrors: Bool = false
  ) async throws -> Self {
    do {
      let log = try EventLog.open(folder: folder, mode: .readWrite)
      defer { log.releaseForWriting() }
      switch try log.keeper() {
      case .leader: break
      case .mirrored where takesMirrors: break
      case .mirrored: throw StoreError.isMirror(folder: folder)
      case .cluster(let name) where name != stream.name:
        throw StoreError.stream(name, .exists(name))
      case .cluster: break
      }
      let tail = try log.tail()
      let known = try await stream.catalog()
      guard known == nil || known == log.catalog else {
        throw StoreError.otherCatalog(expected: known ?? log.catalog, found: log.catalog)
      }
      // First, so that nobody leads the folder on its own once the stream goes on after it.
      try log.setKeeper(.cluster(stream.name))
      if known == nil { try await stream.create(log.catalog, after: tail) }
      return MemberLog(folder: folder, cluster: stream.name, catalog: log.catalog, tail: tail)
    } catch let error as SharedStreamError {
      throw StoreError.stream(stream.name, error)
    }
  }

  var json: JSON {
    [
      "catalog": .string("\(catalog)"), "cluster": .string(cluster),
      "position": JSON(tail.position), "hash": .string("\(tail.hash)"),
      "version": JSON(tail.version),
    ]
  }

  var text: String {
    "\(folder) is a member's log in cluster \(cluster), which goes on after entry "
      + "\(tail.position), version \(tail.version)\n"
  }
}

extension EtcdStream {
  /// - Throws: ``StoreError/stream(_:_:)`` when the stream is there, or etcd cannot be reached.
  func checkMissing() async throws(StoreError) {
    let known: CatalogID?
    do {
      known = try await catalog()
    } catch {
      throw .stream(name, error)
    }
    if known != nil { throw .stream(name, .exists(name)) }
  }
}
