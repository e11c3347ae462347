extension CatalogStore {
  /// Answers questions about the past of this store's log, as far as it is published.
  package func auditReader() -> AuditReader {
    AuditReader(
      log, checkpoints: { self.checkpoints },
      live: LiveCatalog(current: { self.current }, table: { self.table(at: $0) }))
  }
}
