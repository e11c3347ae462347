import CadastreClient
import Etcd
import EtcdSupport
import Foundation
import Replay

@testable import Node

/// What a register keeps its log on. What the register does is the same on either, so its tests run
/// on both; suites that do so take the trait ``Testing/Trait/oneEtcd``.
///
/// Bound to one log are the tests of what is below the register: of LMDB the folder and its files
/// (crashes, damage, repair, quarantine, maps that are full), and whoever opens a folder alone; of a
/// cluster, in `Cluster/` and `Faults/`, who leads, and what becomes of commands when that changes. The
/// tests of what is before the register, connections, certificates, messages and metrics, have a node on
/// LMDB, and so have the commands that are given a folder.
enum LogKind: String, CaseIterable, Sendable {
  case lmdb
  case etcd

  /// The role of a node that leads a new catalog on such a log: alone, in a cluster of its own.
  func role() throws -> NodeConfiguration.Role {
    switch self {
    case .lmdb: return .leader
    case .etcd:
      let cluster = "test-\(UUID().uuidString.lowercased())"
      let stream = EtcdStream(try OneEtcd.connect(), cluster: cluster)
      return .member(of: ClusterOptions(stream: stream, name: try MemberName("leader")))
    }
  }
}
