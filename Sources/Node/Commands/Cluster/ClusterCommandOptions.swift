import ArgumentParser
import CadastreClient

/// How a node takes part in a cluster: with `--log etcd://…`.
struct ClusterCommandOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "With --log etcd://…: the folder of the node's own log; it is made where there is none.",
      valueName: "dir"),
    transform: parsePath)
  var folder: String?

  @Option(
    help: ArgumentHelp(
      "With --log etcd://…: take what others append from etcd, from a peer, which is the member that "
        + "leads, or from the first of these members that can be followed. Default: etcd.",
      discussion:
        "Nothing is stored that etcd does not vouch for; it takes the place of a peer that is gone or "
        + "behind, and of any where the node is to lead.",
      valueName: "etcd|peer|host:port,..."),
    transform: parseTailSource)
  var followFrom: TailSource?

  @OptionGroup var etcd: EtcdOptionsGroup

  /// What is given though it is for a cluster; nil when nothing is.
  func firstGiven(withRegionLog hasRegionLog: Bool) -> String? {
    if folder != nil { return "--folder" }
    if followFrom != nil { return "--follow-from" }
    return hasRegionLog ? nil : etcd.firstGiven
  }

  /// How to reach the cluster that `log` means; nil where it means a folder.
  func access(_ log: String) throws -> ClusterAccess? { try etcd.access(log) }
}

/// Reads from whom a member of a cluster takes what others append.
@Sendable
func parseTailSource(_ text: String) throws -> TailSource {
  switch text {
  case "etcd": return .stream
  case "peer": return .leader
  default:
    guard text.contains(":") else {
      throw ValidationError("give etcd, peer, or HOST:PORT,... of members")
    }
    return .peers(try parseAddresses(text))
  }
}

/// How a node, or a command, reaches etcd.
struct EtcdOptionsGroup: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Encrypt, and trust etcd servers whose certificates are signed by those in this file.",
      valueName: "pem"), transform: parsePath)
  var etcdCA: String?

  @Option(
    help: ArgumentHelp("Show this certificate to etcd.", valueName: "pem"), transform: parsePath)
  var etcdCert: String?

  @Option(help: ArgumentHelp("The key of --etcd-cert.", valueName: "pem"), transform: parsePath)
  var etcdKey: String?

  @Option(
    help: ArgumentHelp("The user at etcd, with --etcd-password-file.", valueName: "name"),
    transform: parsePath)
  var etcdUser: String?

  @Option(
    help: ArgumentHelp(
      "A file whose first line is the password of --etcd-user.", valueName: "file"),
    transform: parsePath)
  var etcdPasswordFile: String?

  mutating func validate() throws {
    if (etcdCert == nil) != (etcdKey == nil) {
      throw ValidationError("--etcd-cert and --etcd-key belong together: give both")
    }
    if (etcdUser == nil) != (etcdPasswordFile == nil) {
      throw ValidationError("--etcd-user and --etcd-password-file belong together: give both")
    }
  }

  /// What is given though it is for a cluster; nil when nothing is.
  var firstGiven: String? {
    let given: [(flag: String, value: String?)] = [
      ("--etcd-ca", etcdCA), ("--etcd-cert", etcdCert),
      ("--etcd-user", etcdUser),
    ]
    return given.first { $0.value != nil }?.flag
  }

  /// How to reach the cluster that `log` means; nil where it means a folder.
  func access(_ log: String) throws -> ClusterAccess? {
    guard ClusterURL.isMeant(by: log) else { return nil }
    return access(try parseClusterURL(log))
  }

  /// How to reach a cluster.
  func access(_ url: ClusterURL) -> ClusterAccess {
    var access = ClusterAccess(url)
    access.authority = etcdCA
    if let etcdCert, let etcdKey {
      access.certificate = CertificateFiles(certificate: etcdCert, key: etcdKey)
    }
    access.user = etcdUser
    access.passwordFile = etcdPasswordFile
    return access
  }
}
