import CadastreClient
import Catalog

/// Where the stream that a cluster shares is kept: `etcd://HOST:PORT[,HOST:PORT...]/CLUSTER`.
package struct ClusterURL: Hashable, Sendable, CustomStringConvertible {
  /// What every such text begins with.
  package static let scheme = "etcd://"

  /// The servers, in the order in which they are named; one at least.
  package var endpoints: [NodeAddress]
  /// The name of the cluster: of the form of a ``MemberName``.
  package var cluster: String

  /// Whether a text that names a log means a cluster, and not a folder.
  package static func isMeant(by text: String) -> Bool {
    text.lowercased().hasPrefix(scheme)
  }

  /// Reads what ``description`` writes.
  ///
  /// - Throws: ``ClusterURLError`` when it is of another form.
  package init(_ text: String) throws(ClusterURLError) {
    guard Self.isMeant(by: text) else { throw .otherScheme(text) }
    let rest = text.dropFirst(Self.scheme.count)
    guard !rest.contains("@") else { throw .credentials }
    guard let slash = rest.firstIndex(of: "/") else { throw .noCluster(text) }
    let name = rest[rest.index(after: slash)...]
    guard !name.isEmpty else { throw .noCluster(text) }
    guard (try? MemberName(name)) != nil else { throw .badCluster(String(name)) }
    guard slash > rest.startIndex else { throw .noEndpoint(text) }
    var endpoints: [NodeAddress] = []
    for part in rest[..<slash].split(separator: ",", omittingEmptySubsequences: false) {
      let endpoint: NodeAddress
      do {
        endpoint = try NodeAddress(part)
      } catch {
        throw .badEndpoint(String(part), error.description)
      }
      guard endpoint.port > 0 else { throw .badEndpoint(String(part), "a server has a port") }
      guard !endpoints.contains(endpoint) else { throw .repeatedEndpoint("\(endpoint)") }
      endpoints.append(endpoint)
    }
    self.endpoints = endpoints
    cluster = String(name)
  }

  package var description: String {
    Self.scheme + endpoints.map(\.description).joined(separator: ",") + "/" + cluster
  }
}

/// Why a text is not a ``ClusterURL``.
package enum ClusterURLError: Error, Hashable, Sendable, CustomStringConvertible {
  case otherScheme(String)
  /// It has a user or a password in it, which everybody would see in the list of processes.
  case credentials
  case noEndpoint(String)
  case badEndpoint(String, String)
  case repeatedEndpoint(String)
  case noCluster(String)
  case badCluster(String)

  package var description: String {
    switch self {
    case .otherScheme(let text): "\"\(text)\" does not begin with \(ClusterURL.scheme)"
    case .credentials:
      "a user or password has no place in the address: give --etcd-user and --etcd-password-file"
    case .noEndpoint(let text):
      "\"\(text)\" names no server: write \(ClusterURL.scheme)HOST:PORT,HOST:PORT/CLUSTER"
    case .badEndpoint(let text, let why): "\"\(text)\" is no server: \(why)"
    case .repeatedEndpoint(let text): "\(text) is named twice"
    case .noCluster(let text):
      "\"\(text)\" names no cluster: write \(ClusterURL.scheme)HOST:PORT,HOST:PORT/CLUSTER"
    case .badCluster(let name):
      "\"\(name)\" is no name of a cluster: 1 to \(Region.maximumLength) of a-z, 0-9 and -, starting "
        + "with a letter"
    }
  }
}
