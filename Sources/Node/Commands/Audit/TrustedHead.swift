import ArgumentParser
import Catalog

/// A head that was noted earlier: the hash of a log's entry, and its position where that was noted
/// too.
struct TrustedHead: Hashable, Sendable {
  var hash: EntryHash
  var position: LogPosition?
}

/// Reads `HASH` or `HASH@POSITION`.
@Sendable
func parseHead(_ text: String) throws -> TrustedHead {
  let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
  guard let first = parts.first, let hash = EntryHash(hexadecimal: first) else {
    throw ValidationError(
      "give the \(EntryHash.byteCount * 2) hexadecimal digits of an entry's hash, and its position "
        + "as in HASH@POSITION")
  }
  guard parts.count > 1 else { return TrustedHead(hash: hash) }
  return TrustedHead(hash: hash, position: try parsePosition(String(parts[1])))
}
