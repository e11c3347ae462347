import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import Replay

extension FollowStart {
  /// - Throws: ``MalformedMessage`` when there is an entry, and its hash is none.
  init(_ message: Cadastre_V1_FollowStart) throws(MalformedMessage) {
    self.init(after: LogPosition(message.afterPosition), hash: nil)
    if after > .zero { hash = try fixed("after_hash", message.afterHash) }
  }
}

extension FollowMessage {
  /// Nil for a kind of message that a later version knows, and that can be done without.
  init?(_ message: Wire.FollowResponse) throws(MalformedMessage) {
    switch message.kind {
    case .started(let started):
      self = .started(try fixed("catalog_id", started.catalogID), Heartbeat(started.leader))
    case .entries(let batch):
      self = .entries(
        batch.entries.map { Array($0) }, lastHash: try hash(batch.lastHash),
        Heartbeat(batch.leader))
    case .chunk(let chunk):
      self = .part(
        EntryPart(
          position: LogPosition(chunk.position), bytes: Array(chunk.data), isLast: chunk.last,
          entryByteCount: Int(clamping: chunk.entrySize), hash: try hash(chunk.hash)))
    case .heartbeat(let heartbeat): self = .heartbeat(Heartbeat(heartbeat))
    case .reset(let reset): self = .reset(FollowReset(reset))
    case nil: return nil
    }
  }
}

/// The hash of an entry; nil from a leader that gives none.
private func hash(_ data: Data) throws(MalformedMessage) -> EntryHash? {
  data.isEmpty ? nil : try fixed("hash", data)
}

extension FollowMessage.Heartbeat {
  init(_ message: Wire.Heartbeat) {
    self.init(
      position: LogPosition(message.position), version: CatalogVersion(message.version),
      probe: message.probe,
      staleness: message.hasStalenessMs
        ? Duration(boundedMilliseconds: message.stalenessMs) : nil)
  }
}

extension FollowReset {
  init(_ message: Cadastre_V1_FollowReset) {
    let reason: Reason =
      switch message.reason {
      case .trimmed: .trimmed
      case .diverged: .diverged
      case .unspecified, .UNRECOGNIZED: .unknown
      }
    self.init(
      reason: reason, firstPosition: LogPosition(message.firstPosition),
      lastPosition: LogPosition(message.lastPosition))
  }
}

extension Cadastre_V1_FollowResponse {
  init(_ message: FollowMessage) {
    self.init()
    switch message {
    case .started(let catalog, let leader):
      started.catalogID = Data(catalog.bytes)
      started.leader = Wire.Heartbeat(leader)
    case .entries(let batch, let lastHash, let leader):
      entries.entries = batch.map { Data($0) }
      entries.leader = Wire.Heartbeat(leader)
      entries.lastHash = lastHash.map { Data($0.bytes) } ?? Data()
    case .part(let part):
      chunk.position = part.position.rawValue
      chunk.data = Data(part.bytes)
      chunk.last = part.isLast
      chunk.entrySize = UInt64(part.entryByteCount)
      chunk.hash = part.hash.map { Data($0.bytes) } ?? Data()
    case .heartbeat(let leader):
      heartbeat = Wire.Heartbeat(leader)
    case .reset(let message):
      reset.reason =
        switch message.reason {
        case .trimmed: .trimmed
        case .diverged: .diverged
        case .unknown: .unspecified
        }
      reset.firstPosition = message.firstPosition.rawValue
      reset.lastPosition = message.lastPosition.rawValue
    }
  }
}

extension Cadastre_V1_Heartbeat {
  init(_ heartbeat: FollowMessage.Heartbeat) {
    self.init()
    position = heartbeat.position.rawValue
    version = heartbeat.version.rawValue
    probe = heartbeat.probe
    if let staleness = heartbeat.staleness { stalenessMs = staleness.wholeMilliseconds }
  }
}
