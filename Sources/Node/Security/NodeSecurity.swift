import CadastreClient
import CadastreProtocol
import GRPCCore
import Logging
import NIOSSL

/// A node's side of encryption and access, kept in step with the files that say how.
package struct NodeSecurity: Sendable {
  /// What the next connection is encrypted with; nil in plain text.
  let context: WatchedFiles<NIOSSLContext>?
  /// Those who may call; nil where anybody may.
  let identities: WatchedFiles<Identities>?
  /// The certificates of callers; nil where none are asked for, or nobody asks whose they are.
  let certificates: PeerCertificates?
  /// Decides who may call what; nil where anybody may.
  let control: AccessControl?
  private let lookInterval: Duration

  /// - Throws: ``NodeError`` when a file cannot be used.
  package init(_ security: ServerSecurity = ServerSecurity(), clock: NodeClock) throws(NodeError) {
    context = try security.makeContext()
    let identities = try security.makeIdentities()
    self.identities = identities
    let certificates =
      identities != nil && security.clientAuthority != nil ? PeerCertificates() : nil
    self.certificates = certificates
    control = identities.map {
      AccessControl(
        $0, certificates: certificates, isEncrypted: security.isEncrypted,
        allowsPlaintextTokens: security.allowsPlaintextTokens, clock: clock)
    }
    lookInterval = security.lookInterval
  }

  /// Looks at the files again and again, until the task is cancelled. What is wrong with a changed one
  /// is logged, and what it said before stays in force.
  func keepInStep(logger: Logger) async throws {
    guard context != nil || identities != nil else { return }
    while true {
      try await Task.sleep(for: lookInterval)
      look(always: false, logger)
    }
  }

  /// Reads the files now, whether they have changed or not, and logs what came of it. Blocks for as
  /// long as that takes.
  func reload(logger: Logger) { look(always: true, logger) }

  private func look(always: Bool, _ logger: Logger) {
    if let context {
      report(context.look(always: always), of: context.paths, "the certificates", always, logger)
    }
    if let identities {
      report(
        identities.look(always: always), of: identities.paths, "the identities", always, logger)
    }
  }

  private func report(
    _ look: WatchedFiles<some Sendable>.Look, of paths: [String], _ what: String,
    _ wasAsked: Bool, _ logger: Logger
  ) {
    let files: Logger.Metadata = ["files": "\(paths.joined(separator: ", "))"]
    switch look {
    case .unchanged: break
    case .loaded:
      logger.notice(
        wasAsked ? "read again: \(what)" : "took up new files: \(what)", metadata: files)
    case .failed(let error):
      logger.error(
        "new files cannot be used: \(what) stay as they were",
        metadata: files.merging(
          ["error": "\(error)", "remedy": "\(error.detail?.remedy ?? "")"]
        ) { $1 })
    }
  }
}
