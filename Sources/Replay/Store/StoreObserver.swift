/// Told by a store's writer of each commit, so that somebody with a clock can measure it. The writer
/// waits for both calls: they are to take nanoseconds.
package protocol StoreObserver: Sendable {
  /// A commit begins: commands are about to be decided, or entries to be proven.
  func commitBegins()

  /// It ended, with so many entries durable now; none when it failed, or had nothing to write.
  func commitEnded(entries: Int)
}
