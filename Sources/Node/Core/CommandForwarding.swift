/// How a node tells another that a command was passed on to it.
package enum CommandForwarding {
  /// Present in the metadata of a command that was passed on: whoever gets it decides it or refuses
  /// it, so that two nodes that take each other for the leader pass nothing back and forth.
  package static let header = "cadastre-forwarded"
}
