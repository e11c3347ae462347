import Foundation

extension EtcdServers {
  /// Who may do everything.
  package struct Administrator: Sendable {
    fileprivate let password = UUID().uuidString
  }

  /// Turns etcd's access control on: from now on a call needs a user. Besides the administrator there
  /// is one that may read and write what begins with `prefix`, and nothing else.
  ///
  /// - Throws: ``Failure`` when etcd does not agree.
  @discardableResult
  package func enableUsers(
    _ name: String, password: String, prefix: String
  ) throws -> Administrator {
    let administrator = Administrator()
    let end = prefix.utf8.dropLast() + prefix.utf8.suffix(1).map { $0 + 1 }
    let permission = [
      "permType": "READWRITE", "key": Data(prefix.utf8).base64EncodedString(),
      "range_end": Data(end).base64EncodedString(),
    ]
    for (user, password) in [("root", administrator.password), (name, password)] {
      try auth("user/add", ["name": user, "password": password])
      try auth("role/add", ["name": user])
      try auth("user/grant", ["user": user, "role": user])
    }
    try auth("role/grant", ["name": name, "perm": permission])
    try auth("enable", [:])
    return administrator
  }

  /// Adds a user, which makes tokens old that were given out before and say as of when.
  ///
  /// - Throws: ``Failure`` when etcd does not agree.
  package func addUser(_ name: String, by administrator: Administrator) throws {
    let answer = try auth("authenticate", ["name": "root", "password": administrator.password])
    guard let token = answer["token"] as? String else {
      throw Failure(description: "etcd gave no token: \(answer)")
    }
    try auth("user/add", ["name": name, "password": UUID().uuidString], token: token)
  }

  /// Calls etcd's service for access control, which it offers in JSON too.
  @discardableResult
  private func auth(
    _ call: String, _ fields: [String: Any], token: String? = nil
  ) throws -> [String: Any] {
    let body = String(
      decoding: try JSONSerialization.data(withJSONObject: fields), as: UTF8.self)
    let request = """
      POST /v3/auth/\(call) HTTP/1.0\r
      Content-Length: \(body.utf8.count)\r
      \(token.map { "Authorization: \($0)\r\n" } ?? "")\r
      \(body)
      """
    let answer = Self.answer(of: plainPorts[0], to: request) ?? ""
    let parts = answer.split(separator: "\r\n\r\n", maxSplits: 1)
    guard parts.count == 2, parts[0].prefix(while: { !$0.isNewline }).contains(" 200 "),
      let result = try JSONSerialization.jsonObject(with: Data(parts[1].utf8)) as? [String: Any]
    else {
      throw Failure(description: "etcd did not do \(call): \(answer)")
    }
    return result
  }
}
