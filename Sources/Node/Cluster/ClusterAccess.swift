import CadastreClient
import GRPCCore
import Replay

/// Where a cluster's stream is, and how a node proves to its servers who it is.
package struct ClusterAccess: Hashable, Sendable {
  package var url: ClusterURL
  /// The file with the certificates that sign those of the servers; nil: no encryption, unless a
  /// certificate of the node's own is given.
  package var authority: String?
  /// The files with the node's own certificate and its key.
  package var certificate: CertificateFiles?
  package var user: String?
  /// The file whose first line is the user's password.
  package var passwordFile: String?

  package init(_ url: ClusterURL) { self.url = url }
}

/// Opens the stream of a cluster. It connects when it is first used.
///
/// - Throws: ``NodeError`` when there is no way to reach it.
func openStream(_ access: ClusterAccess) throws(NodeError) -> any SharedStream {
  // The one place that knows what streams are kept on.
  throw NodeError(
    .unimplemented, reason: "no_etcd", "this build cannot reach \(access.url)",
    remedy: "use a build with etcd, or give --log a folder")
}
