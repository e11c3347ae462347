import GRPCCore

/// Sends the client's token with each call.
struct TokenInterceptor: ClientInterceptor {
  let token: WatchedFiles<String>

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingClientRequest<Input>, context: ClientContext,
    next: (StreamingClientRequest<Input>, ClientContext) async throws ->
      StreamingClientResponse<Output>
  ) async throws -> StreamingClientResponse<Output> {
    // One that cannot be read stays as it was; the server says if that is no longer good.
    _ = token.look()
    var request = request
    request.metadata.replaceOrAddString("Bearer \(token.current)", forKey: "authorization")
    return try await next(request, context)
  }
}
