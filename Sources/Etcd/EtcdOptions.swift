import CadastreClient

/// How etcd is reached, and how long is waited for it.
package struct EtcdOptions: Hashable, Sendable {
  /// The members, in the order in which they are tried; at least one.
  package var endpoints: [NodeAddress]
  /// Who is trusted, and the client's certificate; see ``ConnectionOptions/security``.
  package var connection = ConnectionOptions()
  package var user: EtcdUser?
  /// How long one call may take at one member.
  package var callTimeout: Duration = .seconds(3)
  /// How long the outcome of an append is looked for.
  package var outcomeTimeout: Duration = .seconds(10)
  /// After how long without a word from the leader another may lead, in whole seconds.
  package var leaseSeconds: Int64 = 5
  /// How many bytes of appends the window may hold. Well below etcd's quota, 2 GiB unless it is told
  /// otherwise: etcd keeps old revisions until they are compacted, and refuses all writes beyond.
  package var windowByteLimit: UInt64 = 256 << 20
  /// What the servers may hold, as they were told (`--quota-backend-bytes`).
  package var quotaByteCount: UInt64 = 2 << 30

  package init(endpoints: [NodeAddress]) {
    self.endpoints = endpoints
    connection.firstPause = .milliseconds(20)
    connection.maximumPause = .milliseconds(500)
  }
}

/// A user of etcd's own access control.
package struct EtcdUser: Hashable, Sendable {
  package var name: String
  package var password: String

  package init(name: String, password: String) {
    self.name = name
    self.password = password
  }
}
