import Catalog
import Crypto
import Foundation
import Replay
import SwiftProtobuf

/// What is kept under the keys of a stream, and how it is read: whatever is there, nothing traps.
enum StoredValues {
  static let format: UInt32 = 1

  /// - Throws: ``SharedStreamError/damaged(_:)``
  static func decode<Message: SwiftProtobuf.Message>(
    _ type: Message.Type, _ bytes: Data, _ what: String
  ) throws(SharedStreamError) -> Message {
    do {
      return try Message(serializedBytes: bytes)
    } catch {
      throw .damaged("\(what) cannot be read: \(error)")
    }
  }

  static func encode(_ message: some SwiftProtobuf.Message) throws(SharedStreamError) -> Data {
    do {
      return try message.serializedData()
    } catch {
      throw .damaged("what is to be written has no form: \(error)")
    }
  }

  static func meta(
    _ catalog: CatalogID, after tail: LogTail
  ) throws(SharedStreamError) -> Data {
    try encode(
      Cadastre_Etcd_V1_StreamMeta.with {
        $0.format = format
        $0.catalog = Data(catalog.bytes)
        $0.origin = wire(tail)
      })
  }

  static func catalog(_ bytes: Data) throws(SharedStreamError) -> CatalogID {
    let meta = try decode(Cadastre_Etcd_V1_StreamMeta.self, bytes, "what the stream is")
    guard meta.format == format else {
      throw .damaged(
        "the stream is of format \(meta.format), this version reads \(format): use a newer one")
    }
    guard let catalog = CatalogID(bytes: Array(meta.catalog)) else {
      throw .damaged("the stream names no catalog")
    }
    return catalog
  }

  static func wire(_ tail: LogTail, total: UInt64 = 0) -> Cadastre_Etcd_V1_StreamTail {
    .with {
      $0.position = tail.position.rawValue
      $0.hash = Data(tail.hash.bytes)
      $0.version = tail.version.rawValue
      $0.totalByteCount = total
    }
  }

  static func tail(
    _ wire: Cadastre_Etcd_V1_StreamTail
  ) throws(SharedStreamError) -> LogTail {
    guard let hash = EntryHash(bytes: Array(wire.hash)) else {
      throw .damaged("the end of the stream has no hash")
    }
    return LogTail(
      position: LogPosition(wire.position), hash: hash, version: CatalogVersion(wire.version))
  }

  static func member(
    _ member: ClusterMember, storedThrough position: LogPosition = LogPosition(0)
  ) throws(SharedStreamError) -> Data {
    try encode(
      Cadastre_Etcd_V1_StoredMember.with {
        $0.name = member.name.name
        $0.address = member.address
        $0.storedThrough = position.rawValue
      })
  }

  static func progress(_ bytes: Data) throws(SharedStreamError) -> MemberProgress {
    let stored = try decode(Cadastre_Etcd_V1_StoredMember.self, bytes, "a member's word")
    guard let name = try? MemberName(stored.name) else {
      throw .damaged("\"\(stored.name)\" is no member's name")
    }
    return MemberProgress(
      member: ClusterMember(name: name, address: stored.address),
      storedThrough: LogPosition(stored.storedThrough))
  }

  static func entries(
    _ append: Cadastre_Etcd_V1_StoredAppend
  ) throws(SharedStreamError) -> [EncodedEntry] {
    var entries: [EncodedEntry] = []
    entries.reserveCapacity(append.entries.count)
    for bytes in append.entries {
      do {
        entries.append(try EncodedEntry(decoding: Array(bytes)))
      } catch {
        throw .damaged("an entry of the stream cannot be read: \(error)")
      }
    }
    guard !entries.isEmpty else { throw .damaged("an append of the stream has no entries") }
    return entries
  }

  static func sha256(_ bytes: Data) -> Data { Data(SHA256.hash(data: bytes)) }
}

extension LogTail {
  /// Where a log ends with an entry.
  init(_ last: EncodedEntry) {
    self.init(position: last.entry.position, hash: last.hash, version: last.entry.version)
  }
}
