import Catalog
import StateMachines

/// Why a catalog was not exported or restored.
package enum ExportError: Error, Equatable, Sendable {
  case store(StoreError)
  /// The file does not begin as an export does.
  case notAnExport(path: String)
  /// The format is newer than ``ExportManifest/format``.
  case newerFormat(path: String, found: UInt64)
  /// The file ends early, or does not have the bytes that were written; the offset is that of the
  /// part that is wrong.
  case damaged(path: String, offset: UInt64, String)
  /// The bytes are those that were written, and what they say does not hold.
  case doesNotVerify(String)
  /// There is something in the place where a new folder is to be.
  case folderExists(String)
  case system(operation: String, path: String, message: String)
}

extension ExportError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .store(let error): "\(error)"
    case .notAnExport(let path): "\(path) is no export of a catalog"
    case .newerFormat(let path, let found):
      "\(path) has format \(found), and \(ExportManifest.format) is the newest that is known here"
    case .damaged(let path, let offset, let what):
      "\(path) is damaged at byte \(offset): \(what)"
    case .doesNotVerify(let what): "what was exported does not hold: \(what)"
    case .folderExists(let folder): "there is something in \(folder) already"
    case .system(let operation, let path, let message):
      "the \(operation) of \(path) failed: \(message)"
    }
  }
}

/// Runs what reads or writes a log for an export or a restore, and throws its error as theirs.
func orExportError<Value>(
  _ body: () throws(StoreError) -> Value
) throws(ExportError) -> Value {
  do {
    return try body()
  } catch {
    throw .store(error)
  }
}
