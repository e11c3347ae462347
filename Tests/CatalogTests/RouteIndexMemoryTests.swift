import TestSupport
import Testing

@testable import Catalog

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite struct RouteIndexMemoryTests {
  /// Whether a sanitizer's runtime is in this process, told by its own symbols.
  private static let isSanitized =
    dlsym(dlopen(nil, RTLD_NOW), "__asan_init") != nil
    || dlsym(dlopen(nil, RTLD_NOW), "__tsan_init") != nil

  /// What stays mapped when nothing is in use: the small spans and one region.
  private static let leastByteCount = 16 * NodeSlabs.spanSize + 2 << 20

  /// A sanitizer sees a use after free only in what malloc handed out.
  @Test func sanitizersSeeEachNode() {
    let store = IndexStore()
    let index = Self.index(count: 1_000, in: store)
    #expect(index.count == 1_000)
    #expect((store.mappedByteCount == 0) == Self.isSanitized)
  }

  @Test func memoryOfATableGoesBack() {
    let store = IndexStore()
    for _ in 0..<2 {
      do {
        let index = Self.index(count: 50_000, in: store)
        #expect(index.count == 50_000)
        if !Self.isSanitized { #expect(store.mappedByteCount > Self.leastByteCount) }
      }
      store.reclaim(limit: .max)
      #expect(store.nodeCount == 0)
      #expect(store.mappedByteCount <= Self.leastByteCount)
    }
  }

  /// Blocks come and go in any order: none overlaps another, and all memory is used again.
  @Test(arguments: testSeeds(count: 5))
  func blocksDoNotOverlap(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var slabs = NodeSlabs()
    var blocks: [(block: UnsafeMutableRawPointer, size: Int, mark: UInt64)] = []
    func free(_ index: Int, _ slabs: inout NodeSlabs) {
      blocks.swapAt(index, blocks.count - 1)
      guard let (block, size, mark) = blocks.popLast() else { return }
      let isWhole = stride(from: 0, to: size, by: 64).allSatisfy {
        block.load(fromByteOffset: $0, as: UInt64.self) == mark
      }
      #expect(isWhole, "seed \(seed)")
      slabs.free(block, blockSize: size)
    }
    for phase in 0..<6 {
      for _ in 0..<4_000 {
        let grows = UInt64.random(in: 0..<10, using: &random) < (phase % 2 == 0 ? 8 : 2)
        if grows || blocks.isEmpty {
          let size = NodeSlabs.blockSize(for: Int.random(in: 1...20_000, using: &random))
          let block = slabs.allocate(blockSize: size)
          let mark = random.next()
          for offset in stride(from: 0, to: size, by: 64) {
            block.storeBytes(of: mark, toByteOffset: offset, as: UInt64.self)
          }
          blocks.append((block, size, mark))
        } else {
          free(Int.random(in: 0..<blocks.count, using: &random), &slabs)
        }
      }
    }
    while !blocks.isEmpty { free(Int.random(in: 0..<blocks.count, using: &random), &slabs) }
    #expect(slabs.mappedByteCount <= Self.leastByteCount, "seed \(seed)")
  }

  private static func index(count: Int, in store: IndexStore) -> RouteIndex {
    let payload = [UInt8](repeating: 1, count: 128)
    var builder = RouteIndex.Builder(in: store)
    for number in 0..<UInt64(count) {
      withUnsafeBytes(of: number.bigEndian) { key in
        payload.withUnsafeBytes { builder.append(key: key, payload: $0) }
      }
    }
    return builder.finish()
  }
}
