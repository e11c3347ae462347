import ArgumentParser

/// What the past of a catalog is asked with.
struct AuditCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit",
    abstract: "Ask the past: any version that is kept, what changed, when, by whom and why.",
    discussion: """
      Every command takes --as-of VERSION or TIME: a version's number, or a time such as \
      2026-08-01T12:00:00Z, "2026-08-01 14:00:00+02:00" or 2026-08-01 (its first moment, UTC). A \
      time means the version that stood then.

      Works on a folder beside whoever writes it (--log DIR), or asks a server (--server HOST:PORT); \
      a mirror answers from its own log.

      Examples:
        cadastre audit at usr/bin/env --as-of 2026-08-01 --log ./catalog
        cadastre audit diff 100 200 --log ./catalog
        cadastre audit history usr/bin/env --server host:4711
        cadastre audit blame usr/lib usr/lic --server host:4711
        cadastre audit log --actor ann --kind move --since 2026-08-01 --log ./catalog
      """,
    subcommands: [
      AuditAtCommand.self, AuditDiffCommand.self, AuditHistoryCommand.self,
      AuditBlameCommand.self, AuditLogCommand.self, VerifyCommand.self, AuditProveCommand.self,
      AuditCheckProofCommand.self, AuditCheckSummaryCommand.self, AuditExportCommand.self,
      AuditRestoreCommand.self,
    ])
}
