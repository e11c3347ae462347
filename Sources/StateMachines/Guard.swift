/// A check that keeps a bad entry or state out. A simulation leaves one out to show what it is for.
package enum Guard: Hashable, Sendable, CaseIterable {
  /// That an entry names the one before it.
  case chain
  /// That a state has the digest that its entry or header says.
  case digest
  /// That a transaction which is decided has no other outcome.
  case decision

  #if DEBUG
    /// The checks that the current task leaves out. Release builds have no such thing.
    @TaskLocal package static var absent: Set<Guard> = []
  #endif

  /// Whether the check is made: always, in a release build.
  @inline(__always) var isOn: Bool {
    #if DEBUG
      !Guard.absent.contains(self)
    #else
      true
    #endif
  }
}
