import Catalog
import GRPCCore
import Replay

/// What a node is told when it starts.
package struct NodeConfiguration: Sendable {
  /// What part the node plays.
  package enum Role: Sendable {
    case leader
    /// Follows the node at this address.
    case learner(of: NodeAddress)
  }

  package var role: Role
  /// The folder of the node's own log. A learner's is made where there is none.
  package var folder: String
  /// Where to listen; port 0 takes any free one.
  package var listen: NodeAddress
  /// Listen elsewhere than on this machine's loopback, though nothing is encrypted.
  package var allowInsecureBind = false
  package var region: Region?
  /// Where others reach the node; what it listens on when nil.
  package var advertisedAddress: NodeAddress?
  /// A file that gets the address that is listened on, once it is.
  package var addressFile: String?
  package var limits = NodeLimits()
  package var store = StoreOptions()
  package var following = FollowOptions()
  /// What of the past is kept; nil: all of it.
  package var retention: RetentionPolicy?
  /// How often it is looked whether there is something to trim.
  package var retentionInterval: Duration = .seconds(600)
  /// How long calls may take to end when the node shuts down.
  package var gracePeriod: Duration = .seconds(10)
  /// Told the address that is listened on, once it is.
  package var onListening: @Sendable (NodeAddress) -> Void = { _ in }

  package init(role: Role, folder: String, listen: NodeAddress) {
    self.role = role
    self.folder = folder
    self.listen = listen
  }

  /// - Throws: ``NodeError`` when the node must not start like this.
  package func check() throws(NodeError) {
    guard allowInsecureBind || listen.isLoopback else {
      throw NodeError(
        .invalidArgument, reason: "insecure_bind",
        "\(listen) can be reached from other machines, and nothing is encrypted or authenticated: "
          + "listen on 127.0.0.1, or allow it in so many words with --allow-insecure-bind")
    }
  }
}

/// How a learner follows.
package struct FollowOptions: Sendable {
  /// How often it asks its leader how far that is.
  package var probeInterval: Duration = .milliseconds(500)
  /// It reconnects when it hears nothing for so long.
  package var silenceLimit: Duration = .seconds(10)
  /// The pause before the first try to reconnect; each pause is half as long again as the one
  /// before, up to ``maximumPause``, and shortened at random by up to half.
  package var firstPause: Duration = .milliseconds(50)
  package var maximumPause: Duration = .seconds(5)
  /// The pause after something that an operator has to mend.
  package var haltedPause: Duration = .seconds(10)
  /// How long the leader may take for a command that is passed on without a deadline.
  package var forwardTimeout: Duration = .seconds(30)

  package init() {}
}
