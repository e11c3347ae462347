/// A source of randomness of any kind, as a value of one type.
///
/// An existential that is opened within a lock's closure is more than Swift 6.3 generates code for.
struct AnyGenerator: RandomNumberGenerator, Sendable {
  private var base: any RandomNumberGenerator & Sendable

  init(_ base: any RandomNumberGenerator & Sendable) { self.base = base }

  mutating func next() -> UInt64 { base.next() }
}
