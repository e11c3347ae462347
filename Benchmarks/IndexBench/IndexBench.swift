import Catalog

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Measures the route table at its full size and prints a line of JSON for each figure.
@main
struct IndexBench {
  private var keyPath: String?
  private var lookupPath: String?
  private var splitPath: String?
  private var outputFolder: String?
  private var count = 1_000_000
  private var lookupCount = 1_000_000
  private var seed: UInt64 = 1
  private var only: [String] = []

  static let usage = """
    usage: index-bench [--routes N] [--lookups N] [--seed S] 
             [--only NAMES] [--keys FILE] [--lookup-keys FILE] [--splits FILE] [--write FOLDER]

      --only NAMES    of lookup, client, memory, split, batch, retain, store, churn, clock, with
                      commas between them
      --keys FILE     routes start at the keys of this file, not at made ones
      --lookup-keys FILE  look these keys up
      --splits FILE   churn splits at the keys of this file, in their order
      --write FOLDER  write keys.bin and lookups.bin there, for Benchmarks/rust/btreemap.rs; and
                      splits.bin, the keys at which churn split

    A file holds keys one behind the other, each behind its length: four bytes, little-endian.
    """

  static func main() {
    do {
      var bench = IndexBench()
      try bench.parse()
      try bench.run()
    } catch {
      print("index-bench: \(error)\n\(usage)")
      exit(1)
    }
  }

  private mutating func parse() throws(BenchError) {
    var arguments = CommandLine.arguments.dropFirst()
    while let option = arguments.popFirst() {
      guard let value = arguments.popFirst() else { throw .usage(option) }
      switch option {
      case "--routes": count = Int(value) ?? count
      case "--lookups": lookupCount = Int(value) ?? lookupCount
      case "--seed": seed = UInt64(value) ?? seed
      case "--keys": keyPath = value
      case "--lookup-keys": lookupPath = value
      case "--splits": splitPath = value
      case "--write": outputFolder = value
      case "--only": only = value.split(separator: ",").map(String.init)
      default: throw .usage(option)
      }
    }
  }

  private func runs(_ name: String) -> Bool { only.isEmpty || only.contains(name) }

  private func run() throws {
    if runs("clock") { try ClockBench.run() }
    if only == ["clock"] { return }
    var random = Generator(seed: seed)
    let starts = try sortedStarts(&random)
    var lookups = KeyFile()
    if let lookupPath { lookups = try KeyFile.read(lookupPath) }
    for _ in 0..<(lookupPath == nil ? lookupCount : 0) {
      // Made keys are looked up like made ones; a file's are looked up themselves.
      let chosen = Int(random.next() % UInt64(starts.count))
      lookups.append(keyPath == nil ? random.key() : starts[chosen])
    }
    if let outputFolder {
      var keys = KeyFile()
      for key in starts { keys.append(key) }
      try keys.write(to: outputFolder + "/keys.bin")
      try lookups.write(to: outputFolder + "/lookups.bin")
    }

    var bench = TableBench(starts: starts, lookups: lookups, random: random)
    if runs("lookup") { bench.lookUp("lookup") }
    if runs("client") { try bench.lookUpAsAClient() }
    if runs("memory") { bench.measureMemory("memory") }
    if runs("split") { try bench.splitOneByOne() }
    if runs("batch") { try bench.splitInBatches(name: "batch_split_1000", batches: 100) }
    if runs("retain") { try bench.retainVersions() }
    if runs("store") { try bench.storeAndLoad() }
    if runs("churn") {
      if let splitPath {
        try bench.split(at: KeyFile.read(splitPath), name: "million_splits")
      } else {
        try bench.splitInBatches(name: "million_splits", batches: count / 1_000)
      }
      if let outputFolder { try bench.boundaries.write(to: outputFolder + "/splits.bin") }
      bench.lookUp("lookup_after_splits")
      bench.measureMemory("memory_after_splits")
    }
  }

  private func sortedStarts(_ random: inout Generator) throws(BenchError) -> [[UInt8]] {
    var keys: [[UInt8]] = []
    if let keyPath {
      let file = try KeyFile.read(keyPath)
      keys = (0..<file.count).map(file.key)
    } else {
      keys = (0..<count).map { _ in random.key() }
    }
    keys.sort { left, right in
      left.withUnsafeBytes { left in right.withUnsafeBytes { left.isOrdered(before: $0) } }
    }
    var unique: [[UInt8]] = [[]]
    for key in keys where key != unique[unique.count - 1] { unique.append(key) }
    return unique
  }
}
