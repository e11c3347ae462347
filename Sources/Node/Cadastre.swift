import ArgumentParser
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import Logging
import ServiceLifecycle
import SwiftProtobuf
import UnixSignals

@main
struct Cadastre: AsyncParsableCommand {
  mutating func run() async throws {}
}
