/// How a node tells another that a command was passed on to it.
package enum CommandForwarding {
  /// In the metadata of a command that was passed on: how many times it was.
  package static let header = "cadastre-forwarded"

  /// In the metadata of a command that was passed on: in whose name, where the node that did so knows.
  package static let onBehalfHeader = "cadastre-on-behalf-of"

  /// A command that was passed on so often finds no leader: learners that follow each other in a
  /// circle pass nothing round and round. A chain of learners may be as long.
  package static let maximumHops = 8
}
