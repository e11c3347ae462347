import Catalog

/// What the keeper of a log has to say about it, in an entry of its own that changes no routes.
package struct Note: Hashable, Sendable {
  /// Names the note: sent again under the same name it is appended once.
  package var id: CommandID
  package var actor: String
  package var reason: String
  package var events: [Event]

  package init(id: CommandID, actor: String = "cadastre", reason: String, events: [Event]) {
    self.id = id
    self.actor = actor
    self.reason = reason
    self.events = events
  }
}
