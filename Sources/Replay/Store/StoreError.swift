import Catalog
import StateMachines

/// What keeps a log from being opened, read, written or replayed. Each case knows its ``remedy``.
package enum StoreError: Error, Equatable, Sendable {
  /// The folder holds no log.
  case noLog(folder: String)
  /// A log is to be created where there is one already.
  case logExists(folder: String)
  /// The folder's data file is not LMDB's, or holds something other than a log of ours.
  case notALog(folder: String)
  /// Written by a later release than this one.
  case newerFormat(folder: String, found: UInt32, supported: UInt32)
  /// Another holder writes this folder; `pid` is its process where that is known.
  case inUse(folder: String, pid: Int32?)
  /// This process has the folder open for reading only and cannot open it a second time to write.
  case openForReading(folder: String)
  /// The log of one catalog, the entries of another.
  case otherCatalog(expected: CatalogID, found: CatalogID)
  /// The log of one kind of stream, asked for as another: regions by their names, nil the catalog's.
  case otherStream(folder: String, expected: String?, found: String?)
  case permissionDenied(path: String)
  /// A write to a log that was opened for reading.
  case readOnly(folder: String)
  /// The data file was cut: it has fewer bytes than its own header says are in use.
  case truncated(folder: String, byteCount: Int, needed: Int)
  /// The disk, or this user's share of it, is full.
  case diskFull(folder: String)
  /// The log reached the size that it was allowed, in bytes.
  case logFull(limit: Int)
  case tooManyReaders(folder: String)
  /// The entry at this position, or what should be one, is not what was written.
  case damaged(LogPosition, Damage)
  /// The entry at this position was written by a later release than this one.
  case needsNewerReader(LogPosition, String)
  /// Entries are missing between two that are there.
  case gap(expected: LogPosition, found: LogPosition)
  /// The log begins after this position.
  case notRetained(LogPosition, first: LogPosition)
  /// An entry that is whole but does not follow from the state before it.
  case unproven(LogPosition, EvolveError)
  /// An entry that is whole and vouched for, and that cannot be applied: quarantined.
  case poisoned(PoisonEntry)
  /// The base state that the log begins after is not what was written.
  case baseDamaged(String)
  /// The checkpoint of this version is not what was written.
  case checkpointDamaged(CatalogVersion, String)
  /// A node of a checkpoint is not what was written.
  case damagedNode(StoredNodeError)
  /// There is no checkpoint of this version, or none any more.
  case noCheckpoint(CatalogVersion)
  /// The folder's own entries end before those of the source begin, whose base would replace them.
  case wouldErase(folder: String, through: LogPosition, first: LogPosition)
  /// The log follows that of a leader, which alone decides what is added to it.
  case isMirror(folder: String)
  /// The log is that of a member of this cluster, whose members alone decide what is added to it.
  case ofCluster(folder: String, String)
  /// The member does not lead the stream of this name that it shares. Nothing was written.
  case notLeading(String)
  /// The shared stream of this name did not take what was to be appended, or may have.
  case stream(String, SharedStreamError)
  /// These members have yet to store so many entries of the shared stream, more than `limit`.
  case windowHeldBack(by: [MemberName], entries: UInt64, limit: UInt64)
  /// The caller stopped the work after this position.
  case cancelled(after: LogPosition)
  /// The store takes no more writes, for this reason; it still serves reads.
  case unusable(reason: String)
  /// Something else that the operating system or LMDB refused.
  case system(operation: String, code: Int32, message: String)
}

/// How an entry differs from what was written.
package enum Damage: Equatable, Sendable {
  /// The bytes are no entry.
  case undecodable(String)
  /// The entry says that it is at another position.
  case misplaced(LogPosition)
  /// The entry does not name the entry before it: one of the two was changed.
  case brokenChain
  /// The entry is not the one that was written last, whose hash this is.
  case notTheHead(EntryHash)
  /// An index over the entries disagrees with them.
  case index(String)
}

extension StoreError: StoredNodeFailure {}

extension StoreError: CustomStringConvertible {
  /// What is wrong, then what to do about it.
  package var description: String { "\(problem): \(remedy)" }

  /// What is wrong.
  package var problem: String {
    switch self {
    case .noLog(let folder): "there is no log in \(folder)"
    case .logExists(let folder): "there is a log in \(folder) already"
    case .notALog(let folder): "the data file in \(folder) is not a Cadastre log"
    case .newerFormat(let folder, let found, let supported):
      "the log in \(folder) has format \(found), and this release reads up to \(supported)"
    case .inUse(let folder, let pid):
      "\(folder) is being written by " + (pid.map { "process \($0)" } ?? "another process")
    case .openForReading(let folder): "this process has \(folder) open for reading"
    case .otherCatalog(let expected, let found):
      "this is the log of catalog \(expected), not of \(found)"
    case .otherStream(let folder, let expected, let found):
      "\(folder) has the \(Self.stream(found)), not the \(Self.stream(expected))"
    case .permissionDenied(let path): "permission denied: \(path)"
    case .readOnly(let folder): "\(folder) was opened for reading only"
    case .truncated(let folder, let byteCount, let needed):
      "the data file in \(folder) was cut to \(byteCount) bytes and needs \(needed)"
    case .diskFull(let folder): "the disk that holds \(folder) is full"
    case .logFull(let limit): "the log reached its limit of \(limit) bytes"
    case .tooManyReaders(let folder): "too many readers have \(folder) open"
    case .damaged(let position, let damage): "entry \(position) is damaged: \(damage)"
    case .needsNewerReader(let position, let why): "entry \(position) is too new: \(why)"
    case .gap(let expected, let found): "entry \(expected) is missing: the next one is \(found)"
    case .notRetained(let position, let first):
      "entry \(position) is no longer kept: the log begins with \(first)"
    case .unproven(let position, let error):
      "entry \(position) does not follow from the state before it: \(error)"
    case .poisoned(let poison): "\(poison)"
    case .baseDamaged(let what): "the state that the log begins after is damaged: \(what)"
    case .checkpointDamaged(let version, let what):
      "the checkpoint of version \(version) is damaged: \(what)"
    case .damagedNode(let error): "a checkpoint is damaged: \(error)"
    case .noCheckpoint(let version): "there is no checkpoint of version \(version)"
    case .wouldErase(let folder, let through, let first):
      "\(folder) has entries through \(through) and the source begins with \(first): to go on would "
        + "erase them"
    case .isMirror(let folder): "the log in \(folder) is a mirror of its leader's"
    case .ofCluster(let folder, let name):
      "the log in \(folder) is that of a member of the cluster \(name)"
    case .notLeading(let name): "this node does not lead \(name); nothing was written"
    case .stream(let name, let error): "\(name): \(error.problem)"
    case .windowHeldBack(let members, let entries, let limit):
      "\(members.map(\.name).joined(separator: ", ")) has yet to store \(entries) entries of the "
        + "shared stream, which keeps at most \(limit); nothing was written"
    case .cancelled(let position): "stopped after entry \(position)"
    case .unusable(let reason): "the store takes no more writes: \(reason)"
    case .system(let operation, let code, let message): "\(operation) failed: \(message) (\(code))"
    }
  }

  private static func stream(_ region: String?) -> String {
    region.map { "stream of region \($0)" } ?? "catalog's stream"
  }

  /// What the operator can do about it.
  package var remedy: String {
    switch self {
    case .noLog: "create one with cadastre init, or name the right folder"
    case .logExists: "choose an empty folder, or open the one that is there"
    case .notALog: "name the right folder, or move what is there away"
    case .newerFormat, .needsNewerReader: "use the release that wrote it, or a later one"
    case .inUse: "stop that process, or open the folder for reading"
    case .openForReading: "close it first"
    case .otherCatalog: "name the right folder, or rebuild this mirror in an empty one"
    case .otherStream: "name the right folder"
    case .permissionDenied: "run as the user that owns it, or change its owner or mode"
    case .readOnly: "open it for writing"
    case .truncated:
      "restore the file from a backup, or mend it from a peer: cadastre repair --from"
    case .diskFull: "make room; nothing that was acknowledged is lost"
    case .logFull: "open the log with a higher limit; nothing that was acknowledged is lost"
    case .tooManyReaders: "end some of them"
    case .damaged(let position, _):
      "entries before \(position) are proven; mend the rest from a peer: cadastre repair --from"
    case .gap(let expected, _):
      "entries before \(expected) are proven; fetch the rest from a peer: cadastre repair --from"
    case .notRetained: "fetch a state instead, then the entries after it"
    case .unproven(let position, _):
      "the state before \(position) is proven; rebuild the folder from a peer"
    case .poisoned:
      "the version before it is served; read the log with the release that wrote the entry, or compare "
        + "it with a peer's: cadastre repair --from"
    case .baseDamaged: "mend it from a peer: cadastre repair --from; or restore a backup"
    case .checkpointDamaged, .damagedNode:
      "an older one, or the log, is used in its place; it can be made anew from them"
    case .noCheckpoint: "use another one, or the log"
    case .wouldErase: "rebuild in an empty folder, or from a source that has the entries between"
    case .isMirror:
      "write to its leader, or promote the folder on purpose: cadastre serve --promote"
    case .ofCluster:
      "serve it with the --log of its cluster, a region's stream with its --region-log; or choose another "
        + "folder"
    case .notLeading: "send the command to the member that leads"
    case .stream(_, let error): error.remedy
    case .windowHeldBack:
      "help that member to catch up, or stop it: it no longer counts a few seconds later"
    case .cancelled: "start again to go on"
    case .unusable: "cure the cause, then open the store again"
    case .system: "see the message; nothing that was acknowledged is lost"
    }
  }
}

extension Damage: CustomStringConvertible {
  /// What is wrong with the entry.
  package var description: String {
    switch self {
    case .undecodable(let why): "its bytes do not decode (\(why))"
    case .misplaced(let position): "it says that it is entry \(position)"
    case .brokenChain: "it does not continue the hash chain of the entries before it"
    case .notTheHead(let hash): "it is not the entry with the hash \(hash) that was written last"
    case .index(let what): what
    }
  }
}
