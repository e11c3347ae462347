import ArgumentParser
import CadastreClient
import Catalog
import Replay

/// All that `cadastre serve` can be told. Each of its flags is here: a test looks.
enum ServeSettings {
  static let all: [Setting] = [
    .value(
      "log", parsePath, default: nil, example: "./catalog",
      "The log's folder; a learner's is made where there is none. Or etcd://HOST:PORT,.../CLUSTER."),
    .value(
      "folder", parsePath, default: nil, example: "./member",
      "With log etcd://...: the folder of the node's own log; it is made where there is none."),
    .value(
      "follow-from", parseTailSource, default: "etcd", example: "peer",
      "With log etcd://...: take what others append from etcd, from the member that leads (peer), or "
        + "from members at HOST:PORT,..., as far as etcd vouches for it."),
    .value(
      "etcd-ca", parsePath, default: nil, example: "./etcd-ca.pem",
      "Encrypt, and trust etcd servers whose certificates are signed by those in this file."),
    .value(
      "etcd-cert", parsePath, default: nil, example: "./node.pem",
      "Show this certificate to etcd."),
    .value("etcd-key", parsePath, default: nil, example: "./node.key", "The key of etcd-cert."),
    .value(
      "etcd-user", parsePath, default: nil, example: "cadastre",
      "The user at etcd, with etcd-password-file."),
    .value(
      "etcd-password-file", parsePath, default: nil, example: "./etcd.password",
      "A file whose first line is the password of etcd-user."),
    .value(
      "region", parseRegion, default: nil, example: "eu-central", "The region that the node is in."),
    .value(
      "listen", parseAddress, default: "127.0.0.1:0", example: "127.0.0.1:4711",
      "Where to listen; port 0 takes a free one."),
    .value(
      "advertise", parseAddress, default: nil, example: "node1.example:4711",
      "Where others reach the node, if not where it listens."),
    .value(
      "metrics", parseAddress, default: nil, example: "127.0.0.1:9470",
      "Where to serve metrics for Prometheus, at /metrics."),
    .flag(
      "allow-insecure-bind",
      "Listen where other machines reach it, though nothing is encrypted or authenticated."),
    .value(
      "tls-cert", parsePath, default: nil, example: "./node.pem",
      "Serve TLS with this certificate and its chain; read again when it changes."),
    .value("tls-key", parsePath, default: nil, example: "./node.key", "The key of tls-cert."),
    .value(
      "client-ca", parsePath, default: nil, example: "./ca.pem",
      "Take certificates of callers that are signed by those in this file."),
    .flag("require-client-cert", "Refuse callers without a certificate."),
    .value(
      "tokens", parsePath, default: nil, example: "./tokens",
      "Let in those whom this file names alone, each by role; read again when it changes."),
    .flag("allow-plaintext-tokens", "Take tokens in plain text from other machines too."),
    .flag("tls", "Encrypt where the node calls others, and trust whom the system trusts."),
    .value(
      "ca", parsePath, default: nil, example: "./ca.pem",
      "Encrypt where the node calls others, and trust those whose certificates are in this file."),
    .value(
      "cert", parsePath, default: nil, example: "./node.pem",
      "Show this certificate where the node calls others."),
    .value("key", parsePath, default: nil, example: "./node.key", "The key of cert."),
    .value(
      "server-name", parseHostName, default: "the host that is called",
      example: "leader.example", "Expect a certificate for this host where the node calls others."),
    .value(
      "token-file", parsePath, default: nil, example: "./node.token",
      "Send the token in the first line of this file where the node calls others."),
    .flag("allow-plaintext-token", "Send the token in plain text to other machines too."),
    .number(
      "max-connections", in: 1...1_000_000, default: UInt64(ConnectionLimits().connections),
      "The most connections at a time."),
    .number(
      "max-streams", in: 1...1_000_000, default: UInt64(ConnectionLimits().streamsPerConnection),
      "The most calls at a time on one connection."),
    .number(
      "max-message", in: 1024...(1 << 30), default: UInt64(ConnectionLimits().messageByteCount),
      "The longest message, in bytes, that a caller may send."),
    .value(
      "connection-patience", parseDuration, default: "20s", example: "20s",
      "How long a caller may be silent in the middle of a frame or the head of a call."),
    .value(
      "address-file", parsePath, default: nil, example: "./address",
      "A file that gets the address that is listened on, once it is."),
    .value(
      "log-level", parseLogLevel, default: "info", example: "info",
      "Log from this level: trace, debug, info, notice, warning, error, critical."),
    .value(
      "follow", parseAddress, default: nil, example: "leader.example:4711",
      "Follow the leader there, instead of being one."),
    .list(
      "relay", parseAddresses, example: ["a.example:4711", "b.example:4711"],
      "With follow: the learners of the region in the order in which they are to be followed."),
    .flag("wan", "Timeouts, intervals and sizes for a wide area network."),
    .value(
      "probe-every", parseDuration, default: "500ms, with wan 1s", example: "500ms",
      "How often to ask the leader how far it is."),
    .value(
      "silence-limit", parseDuration, default: "10s, with wan 20s", example: "10s",
      "Reconnect to a leader that says nothing for so long."),
    .value(
      "relay-staleness", parseDuration, default: "5s, with wan 10s", example: "5s",
      "Follow no learner whose entries may be older."),
    .value(
      "relay-settle", parseDuration, default: "5s, with wan 15s", example: "5s",
      "How long a learner that was lost must be well before it is followed again."),
    .flag("promote", in: .commandLine, "Lead the catalog from the folder of a learner."),
    .list(
      "lead-region", parseRegions, example: ["eu-central"],
      "Lead the streams of these regions: clocks of their groups, and transactions."),
    .value(
      "region-log", parseClusterURL, default: nil,
      example: "etcd://10.0.1.1:2379,10.0.1.2:2379/tokyo",
      "Share the streams of lead-region on the region's own etcd with others that lead them in turn."
    ),
    .list(
      "mirror-region", parseMirroredRegions, example: ["ap-tokyo", "us-east@node2.example:4711"],
      "Keep mirrors of these regions' streams, or lead them once they were promoted here."),
    .value(
      "clock-window", parseDuration, default: "3s", example: "3s",
      "How far ahead ceilings are raised."),
    .value(
      "renew-every", parseDuration, default: "1s", example: "1s", "How often ceilings are renewed."),
    .value(
      "maximum-skew", parseDuration, default: "500ms", example: "500ms",
      "How far ahead of time's pace the wall clock may jump."),
    .value(
      "catalog-limit", parseDuration, default: nil, example: "60s",
      "Stop leading regions' streams when the newest catalog was not known for so long."),
    .value(
      "member", parseMember, default: nil, example: "node1",
      "The node's name: the member of its region that it takes part as, and who leads groups."),
    .value(
      "membership-timeout", parseDuration, default: "10s", example: "10s",
      "A region is silent when no member of it answers for so long."),
    .number(
      "history", in: 2...1_000_000, default: UInt64(CatalogHistory.defaultCapacity),
      "How many versions to keep at hand for watchers."),
    .value(
      "patience", parseDuration, default: "2s", example: "2s",
      "How long a read waits at most for what it demands."),
    .number(
      "checkpoint-versions", in: 1...UInt64.max, default: CheckpointPolicy().versions,
      "Make a checkpoint after so many versions."),
    .value(
      "checkpoint-age", parseDuration, default: "5m", example: "5m",
      "Make a checkpoint so long after the last, when there is a new version."),
    .value(
      "keep-log", parseRetention, default: "forever", example: "30d",
      "For how long the log's entries are kept. Nothing is removed unless a keep-… is given."),
    .value(
      "keep-checkpoints", parseRetention, default: "1d", example: "1d",
      "For how long every checkpoint is kept."),
    .value(
      "keep-hourly", parseRetention, default: "7d", example: "7d",
      "For how long one checkpoint an hour is kept."),
    .value(
      "keep-daily", parseRetention, default: "90d", example: "90d",
      "For how long one checkpoint a day is kept."),
    .value(
      "keep-weekly", parseRetention, default: "forever", example: "forever",
      "For how long one checkpoint a week is kept."),
    .value(
      "trim-every", parseDuration, default: "10m", example: "10m",
      "How often to look for what is no longer to be kept."),
    .flag("json", in: .commandLine, "Write JSON for programs."),
  ]

  /// The flag, and the variable, that name the file.
  static let fileFlag = "config"
  static let fileVariable = "CADASTRE_CONFIG"

  /// The arguments of `serve` with all that environment and file have to add; any other command's as
  /// they are.
  ///
  /// - Throws: ``Problem`` when something in the environment or the file is none of it.
  static func completed(
    _ arguments: [String], environment: [String: String]
  ) throws(Problem) -> [String] {
    guard arguments.first == ServeCommand.configuration.commandName,
      !arguments.contains("--help"), !arguments.contains("-h")
    else { return arguments }
    let settings = try EffectiveSettings(
      all, arguments: Array(arguments.dropFirst()), environment: environment)
    if let problem = settings.problems.first { throw problem.problem }
    return arguments + settings.added
  }

  /// A file with all settings, each explained, none but the first of them given.
  static var example: String {
    var text = """
      // What `cadastre serve --config FILE` reads: JSON, with comments and trailing commas (JSON5).
      // A flag wins over a variable of the environment, that over this file, this over the default.
      // `cadastre config check FILE` says what is wrong with a file, `cadastre config show` what
      // counts and where it comes from.
      {

      """
    for setting in all where setting.place == .anywhere {
      text += "  // \(setting.about)\n"
      text += "  // Flag --\(setting.name), variable \(setting.variable)."
      text += setting.fallback.map { " Default: \($0).\n" } ?? "\n"
      let isGiven = ["log", "region", "listen"].contains(setting.name)
      text += "  \(isGiven ? "" : "// ")\"\(setting.name)\": \(setting.example),\n\n"
    }
    text.removeLast()
    return text + "}\n"
  }
}
