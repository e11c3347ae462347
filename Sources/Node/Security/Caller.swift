/// Who asks, as the node made sure.
package struct Caller: Hashable, Sendable {
  package var name: String
  package var role: AccessRole
  /// The node that passed the call on in the caller's name; nil where the caller called itself.
  package var via: String?

  package init(name: String, role: AccessRole, via: String? = nil) {
    self.name = name
    self.role = role
    self.via = via
  }

  /// Who asks for what the current task does, until the call has its answer; nil where nobody asks,
  /// or the node asks nobody who they are. What a streamed answer does comes after that.
  @TaskLocal package static var current: Caller?
}
