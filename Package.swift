// swift-tools-version:6.2
import PackageDescription

// `CADASTRE_CORE=1` leaves the network stack out of the package: the core then builds and tests
// in seconds, and sanitizers need not instrument a gRPC server.
let coreOnly = Context.environment["CADASTRE_CORE"] == "1"

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

var products: [Product] = [
  .executable(name: "index-bench", targets: ["IndexBench"]),
  .executable(name: "log-bench", targets: ["LogBench"]),
  .executable(name: "simulate", targets: ["Simulate"]),
]

var dependencies: [Package.Dependency] = [
  .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2")
]

var targets: [Target] = [
  // Prefetch and the like: what the processor has and Swift has no name for.
  .target(name: "CIntrinsics"),
  .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
  .target(
    name: "Catalog",
    dependencies: ["CIntrinsics", .product(name: "Crypto", package: "swift-crypto")],
    swiftSettings: settings
  ),
  .target(name: "StateMachines", dependencies: ["Catalog"], swiftSettings: settings),
  .target(
    name: "Replay",
    dependencies: [
      "Catalog", "StateMachines", "CLMDB", .product(name: "Crypto", package: "swift-crypto"),
    ],
    swiftSettings: settings
  ),
  // Seeds, random keys and fixtures for all tests.
  .target(
    name: "TestSupport",
    dependencies: ["Catalog", .product(name: "Crypto", package: "swift-crypto")],
    path: "Tests/TestSupport",
    swiftSettings: settings),
  // A stream that members of a cluster share, in memory, and what may go wrong with it.
  .target(
    name: "ClusterSupport", dependencies: ["Replay", "Catalog"], path: "Tests/ClusterSupport",
    swiftSettings: settings),
  .testTarget(
    name: "TestSupportTests", dependencies: ["TestSupport", "Catalog"], swiftSettings: settings),
  .testTarget(
    name: "CatalogTests", dependencies: ["Catalog", "TestSupport"], swiftSettings: settings),
  .testTarget(
    name: "StateMachinesTests", dependencies: ["StateMachines", "Catalog", "TestSupport"],
    swiftSettings: settings),
  // The process that the crash tests kill, and what it and they agree on.
  .target(
    name: "CrashPlan", dependencies: ["Replay", "StateMachines", "Catalog"],
    path: "Tests/CrashPlan", swiftSettings: settings),
  .executableTarget(
    name: "CrashWriter", dependencies: ["CrashPlan", "Replay", "StateMachines", "Catalog"],
    path: "Tests/CrashWriter", swiftSettings: settings),
  .testTarget(
    name: "ReplayTests",
    dependencies: [
      "Replay", "StateMachines", "Catalog", "TestSupport", "ClusterSupport", "CrashPlan",
    ],
    swiftSettings: settings
  ),
  // A world from a seed: the production code of leader and learners on a simulated disk, network and
  // clock; its tests, and a program that runs many seeds.
  .target(
    name: "Simulation", dependencies: ["Replay", "StateMachines", "Catalog", "TestSupport"],
    path: "Tests/Simulation", swiftSettings: settings),
  .executableTarget(
    name: "Simulate", dependencies: ["Simulation"], path: "Tests/Simulate",
    swiftSettings: settings),
  .testTarget(
    name: "SimulationTests",
    dependencies: [
      "Simulation", "Replay", "StateMachines", "Catalog", "TestSupport", "ClusterSupport",
    ],
    exclude: ["README.md"], swiftSettings: settings),
  // The figures of the route index and of the log; see Benchmarks/.
  .executableTarget(
    name: "IndexBench", dependencies: ["Catalog"], path: "Benchmarks/IndexBench",
    swiftSettings: settings),
  .executableTarget(
    name: "LogBench", dependencies: ["BenchSupport", "Replay", "StateMachines", "Catalog"],
    path: "Benchmarks/LogBench", swiftSettings: settings),
  .target(name: "BenchSupport", path: "Benchmarks/Support", swiftSettings: settings),
]

if !coreOnly {
  products += [
    .executable(name: "cadastre", targets: ["Node"]),
    .executable(name: "cluster-bench", targets: ["ClusterBench"]),
    .library(name: "CadastreClient", targets: ["CadastreClient"]),
  ]
  dependencies += [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    // These come with the transport; the listener and the clients put their own connections together.
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
  ]
  targets += [
    // The code that is generated from proto/, apart so that it is compiled once.
    .target(
      name: "CadastreProtocol",
      dependencies: [
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings
    ),
    // What it takes to call a node: needs neither log nor server.
    .target(
      name: "CadastreClient",
      dependencies: [
        "CadastreProtocol", "StateMachines", "Catalog",
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
        .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings
    ),
    // A stream of entries that is kept in etcd, and what it takes to call etcd.
    .target(
      name: "Etcd",
      dependencies: [
        "CadastreClient", "Replay", "Catalog",
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings
    ),
    // The figures of a cluster; see Benchmarks/.
    .executableTarget(
      name: "ClusterBench",
      dependencies: [
        "BenchSupport", "CadastreClient", "Etcd", "Replay", "StateMachines", "Catalog",
      ],
      path: "Benchmarks/ClusterBench", swiftSettings: settings),
    // Real etcd servers for the tests.
    .target(
      name: "EtcdSupport", dependencies: ["Etcd", "CadastreClient"], path: "Tests/EtcdSupport",
      swiftSettings: settings),
    // Certificates for the tests.
    .target(
      name: "TLSSupport",
      dependencies: [
        "CadastreClient",
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
        .product(name: "X509", package: "swift-certificates"),
      ],
      path: "Tests/TLSSupport", swiftSettings: settings),
    .testTarget(
      name: "EtcdTests",
      dependencies: [
        "Etcd", "EtcdSupport", "CadastreClient", "Replay", "StateMachines", "Catalog",
        "TestSupport", "ClusterSupport", "TLSSupport",
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings
    ),
    .executableTarget(
      name: "Node",
      dependencies: [
        "CadastreClient", "CadastreProtocol", "Etcd", "Replay", "StateMachines", "Catalog",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
        .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHPACK", package: "swift-nio-http2"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTP2", package: "swift-nio-http2"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
        .product(name: "X509", package: "swift-certificates"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings
    ),
    .testTarget(
      name: "ClientTests",
      dependencies: [
        "CadastreClient", "StateMachines", "Catalog", "TestSupport",
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
      ],
      swiftSettings: settings
    ),
    // What a program outside the package sees of the client: it compiles against what is public.
    .executableTarget(
      name: "client-example", dependencies: ["CadastreClient"], path: "Tests/ClientExample",
      packageAccess: false, swiftSettings: settings),
    .testTarget(
      name: "NodeTests",
      dependencies: [
        "Node", "CadastreClient", "CadastreProtocol", "Etcd", "EtcdSupport", "Replay",
        "StateMachines", "Catalog", "TestSupport", "TLSSupport", "ClusterSupport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHPACK", package: "swift-nio-http2"),
        .product(name: "NIOHTTP2", package: "swift-nio-http2"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "SwiftASN1", package: "swift-asn1"),
        .product(name: "X509", package: "swift-certificates"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings
    ),
  ]
}

let package = Package(
  name: "cadastre", products: products, dependencies: dependencies, targets: targets)
