import Catalog

extension EventLog {
  /// Whether the log is a mirror: it follows the log of a leader, which alone decides what is added.
  package func isMirror() throws(StoreError) -> Bool {
    try environment.read { transaction throws(StoreError) in
      let mark = try transaction.value(of: LogTables.MetaKey.role, in: tables.meta) { bytes in
        bytes.elementsEqual(Self.mirrorMark)
      }
      guard mark != false else {
        throw .newerFormat(folder: folder, found: Self.format + 1, supported: Self.format)
      }
      return mark ?? false
    }
  }

  /// Marks the log as a mirror, or as one to be written by a leader. Durable on return.
  package func setMirror(_ isMirror: Bool) throws(StoreError) {
    try checkWritable()
    guard try self.isMirror() != isMirror else { return }
    try environment.write { transaction throws(StoreError) in
      guard isMirror else {
        return try transaction.remove(LogTables.MetaKey.role, from: tables.meta)
      }
      try Self.mirrorMark.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LogTables.MetaKey.role, in: tables.meta)
      }
    }
  }

  /// Makes sure that a store with these options may write the log, and that others will know it.
  ///
  /// - Throws: ``StoreError/isMirror(folder:)`` when a leader is to write a mirror that it is not
  ///   told to promote: what it decides would make two histories of one.
  func checkRole(_ options: StoreOptions) throws(StoreError) {
    switch options.role {
    case .learner: try setMirror(true)
    case .leader:
      guard try isMirror() else { return }
      guard options.promotesMirror else { throw .isMirror(folder: folder) }
      try setMirror(false)
    }
  }

  private static let mirrorMark = Array("mirror".utf8)
}
