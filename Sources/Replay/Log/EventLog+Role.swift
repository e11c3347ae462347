import Catalog

/// Who decides what is added to a log.
package enum LogKeeper: Hashable, Sendable {
  /// Whoever opens it to write.
  case leader
  /// The leader that it follows.
  case mirrored
  /// The members of a cluster, who share the stream of this name.
  case cluster(String)

  private static let mirrorMark = "mirror"
  private static let clusterMark = "member of "

  /// What a folder says; nil for nothing.
  var mark: String? {
    switch self {
    case .leader: nil
    case .mirrored: Self.mirrorMark
    case .cluster(let name): Self.clusterMark + name
    }
  }

  /// Reads what ``mark`` gives; nil when it is anything else.
  init?(mark: String?) {
    switch mark {
    case nil: self = .leader
    case Self.mirrorMark: self = .mirrored
    case let mark?:
      guard mark.hasPrefix(Self.clusterMark) else { return nil }
      self = .cluster(String(mark.dropFirst(Self.clusterMark.count)))
    }
  }
}

extension EventLog {
  /// Who decides what is added to the log.
  ///
  /// - Throws: ``StoreError/newerFormat(folder:found:supported:)`` when a later release has to say.
  package func keeper() throws(StoreError) -> LogKeeper {
    try environment.read { transaction throws(StoreError) in
      let mark = try transaction.value(of: LogTables.MetaKey.role, in: tables.meta) {
        String(decoding: $0, as: UTF8.self)
      }
      guard let keeper = LogKeeper(mark: mark) else {
        throw .newerFormat(folder: folder, found: Self.format + 1, supported: Self.format)
      }
      return keeper
    }
  }

  /// Notes who decides what is added to the log. Durable on return.
  package func setKeeper(_ keeper: LogKeeper) throws(StoreError) {
    try checkWritable()
    guard try self.keeper() != keeper else { return }
    try environment.write { transaction throws(StoreError) in
      try put(keeper, in: transaction)
    }
  }

  func put(
    _ keeper: LogKeeper, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    guard let mark = keeper.mark else {
      return try transaction.remove(LogTables.MetaKey.role, from: tables.meta)
    }
    try Array(mark.utf8).withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: LogTables.MetaKey.role, in: tables.meta)
    }
  }

  /// Whether the log is a mirror: it follows the log of a leader, which alone decides what is added.
  package func isMirror() throws(StoreError) -> Bool { try keeper() == .mirrored }

  /// Marks the log as a mirror, or as one to be written by a leader. Durable on return.
  package func setMirror(_ isMirror: Bool) throws(StoreError) {
    try setKeeper(isMirror ? .mirrored : .leader)
  }

  /// Makes sure that a store with these options may write the log, and that others will know it.
  /// `cluster` is the name of the stream that a member shares.
  ///
  /// - Throws: ``StoreError/isMirror(folder:)`` when a leader, or a cluster, is to write a mirror that
  ///   it is not told to promote, and ``StoreError/ofCluster(folder:_:)`` when the log is that of a
  ///   cluster and is opened otherwise: what is decided then would make two histories of one.
  func checkRole(_ options: StoreOptions, cluster: String?) throws(StoreError) {
    let keeper = try keeper()
    if case .cluster(let name) = keeper, name != cluster || options.role != .member {
      throw .ofCluster(folder: folder, name)
    }
    let isPromoted = keeper != .mirrored || options.promotesMirror
    switch options.role {
    case .learner: try setKeeper(.mirrored)
    case .leader:
      guard isPromoted else { throw .isMirror(folder: folder) }
      try setKeeper(.leader)
    case .member:
      guard isPromoted else { throw .isMirror(folder: folder) }
      try setKeeper(.cluster(cluster ?? ""))
    }
  }
}
