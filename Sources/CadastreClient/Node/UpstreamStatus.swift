import CadastreProtocol
import SwiftProtobuf

/// Whom a learner follows, and what it received from whom.
package struct UpstreamStatus: Hashable, Sendable {
  /// What came from one node since the start: whole entries, and the bytes of entries.
  package struct Receipts: Hashable, Sendable {
    package var address: String
    package var entries: UInt64 = 0
    package var bytes: UInt64 = 0

    package init(address: String) { self.address = address }
  }

  /// The way of the entries: whom it follows first, the leader last.
  package var way: [String] = []
  /// Whether it was named among the learners of its region and follows the leader itself.
  package var isRelay = false
  /// Why it follows whom it follows, for people.
  package var reason = ""
  /// How often it went over from one node to another.
  package var changeCount: UInt64 = 0
  package var received: [Receipts] = []

  package init() {}
}

extension Cadastre_V1_LearnerStatus {
  /// Fills in whom the learner follows.
  mutating func fill(_ status: UpstreamStatus) {
    upstreams = status.way
    relay = status.isRelay
    upstreamReason = status.reason
    upstreamChanges = status.changeCount
    received = status.received.map { receipts in
      .with {
        $0.address = receipts.address
        $0.entries = receipts.entries
        $0.bytes = receipts.bytes
      }
    }
  }

  var upstreamStatus: UpstreamStatus {
    var status = UpstreamStatus()
    status.way = upstreams
    status.isRelay = relay
    status.reason = upstreamReason
    status.changeCount = upstreamChanges
    status.received = received.map { receipts in
      var value = UpstreamStatus.Receipts(address: receipts.address)
      (value.entries, value.bytes) = (receipts.entries, receipts.bytes)
      return value
    }
    return status
  }
}
