import CadastreClient
import Etcd
import Foundation
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
/// - Throws: ``NodeError`` when a file cannot be used.
func openStream(_ access: ClusterAccess) throws(NodeError) -> EtcdStream {
  EtcdStream(try openClient(access), cluster: access.url.cluster)
}

private func openClient(_ access: ClusterAccess) throws(NodeError) -> EtcdClient {
  var options = EtcdOptions(endpoints: access.url.endpoints)
  options.connection.security.isEncrypted = access.authority != nil || access.certificate != nil
  options.connection.security.authority = access.authority
  options.connection.security.certificate = access.certificate
  if let user = access.user, let file = access.passwordFile {
    options.user = EtcdUser(name: user, password: try password(in: file))
  }
  let client = try EtcdClient(options)
  client.start()
  return client
}

/// Where the streams of regions are on an etcd of their own: each under its name, and its region's epoch.
///
/// - Throws: ``NodeError`` when a file cannot be used.
func placement(on access: ClusterAccess) throws(NodeError) -> RegionPlacement {
  let (client, cluster) = (try openClient(access), access.url.cluster)
  return RegionPlacement { region, epoch in
    EtcdStream(client, cluster: cluster, stream: "regions/\(region.name)/\(epoch)")
  }
}

private func password(in file: String) throws(NodeError) -> String {
  let text: String
  do {
    text = try String(contentsOfFile: file, encoding: .utf8)
  } catch {
    throw NodeError(
      .invalidArgument, reason: "etcd_password",
      "the file of the password for etcd, \(file), cannot be read: \(Problem.reason(of: error))",
      remedy: "name a file whose first line is the password")
  }
  return String(text.prefix { !$0.isNewline })
}
