extension SharedStreamError {
  /// What is wrong.
  package var problem: String {
    switch self {
    case .deposed(let term): "term \(term) leads no more"
    case .elsewhere(let expected, let found):
      "it ends with entry \(found.position), not with the \(expected.position) that is known here"
    case .outcomeUnknown(let why): "whether it was written could not be found out (\(why))"
    case .unavailable(let why): "it cannot be reached (\(why)); nothing was written"
    case .untrusted(let why, _):
      "no connection that both sides trust came about (\(why)); nothing was written"
    case .refused(let why): "its servers refuse this node (\(why))"
    case .windowFull(let used, let limit):
      "it has \(used) bytes of at most \(limit); nothing was written"
    case .trimmed(let position): "its entries through \(position) are not there any more"
    case .missing(let name): "there is no stream \(name)"
    case .exists(let name): "there is a stream \(name) already"
    case .damaged(let what): "what is kept there is damaged: \(what)"
    }
  }

  /// What the operator, or whoever sent a command, can do about it.
  package var remedy: String {
    switch self {
    case .deposed, .elsewhere: "nothing was written; another member leads"
    case .outcomeUnknown: "it is carried out once, however often it is sent under its id"
    case .unavailable: "look whether the servers are up and have a leader"
    case .untrusted(_, let remedy): remedy
    case .refused:
      "give the user and password that they know with --etcd-user and --etcd-password-file; the user "
        + "has to be granted the keys of the cluster"
    case .windowFull: "look which member holds the window back, or give the servers more room"
    case .trimmed: "fetch them from another member"
    case .missing:
      "start the member first that has the catalog, or make the cluster: cadastre cluster init"
    case .exists: "follow it, or choose another name"
    case .damaged: "look at what the servers keep, with the release that wrote it"
    }
  }

  /// Whether who led before this cannot know what the stream ends with now, or must not write it.
  package var endsLead: Bool {
    switch self {
    case .unavailable, .untrusted, .windowFull: false
    case .deposed, .elsewhere, .outcomeUnknown, .refused, .trimmed, .missing, .exists, .damaged:
      true
    }
  }
}
