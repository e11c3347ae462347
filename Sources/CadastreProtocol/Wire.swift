/// Short names for the generated messages of the `cadastre.v1` protocol.
package enum Wire {
  package typealias Route = Cadastre_V1_Route
  package typealias RouteState = Cadastre_V1_RouteState
  package typealias KeySpan = Cadastre_V1_KeySpan
  package typealias ReadDemand = Cadastre_V1_ReadDemand
  package typealias ReadStamp = Cadastre_V1_ReadStamp
  package typealias RefusalDetail = Cadastre_V1_RefusalDetail

  package typealias ResolveRequest = Cadastre_V1_ResolveRequest
  package typealias ResolveResponse = Cadastre_V1_ResolveResponse
  package typealias ResolveBatchRequest = Cadastre_V1_ResolveBatchRequest
  package typealias ResolveBatchResponse = Cadastre_V1_ResolveBatchResponse
  package typealias ListRoutesRequest = Cadastre_V1_ListRoutesRequest
  package typealias ListRoutesResponse = Cadastre_V1_ListRoutesResponse
  package typealias GetStatusRequest = Cadastre_V1_GetStatusRequest
  package typealias GetStatusResponse = Cadastre_V1_GetStatusResponse
  package typealias LearnerStatus = Cadastre_V1_LearnerStatus

  package typealias CommandHeader = Cadastre_V1_CommandHeader
  package typealias CommandResponse = Cadastre_V1_CommandResponse
  package typealias BootstrapRequest = Cadastre_V1_BootstrapRequest
  package typealias ArrangeRequest = Cadastre_V1_ArrangeRequest
  package typealias RouteSeed = Cadastre_V1_RouteSeed
  package typealias SplitPoint = Cadastre_V1_SplitPoint
  package typealias SplitRequest = Cadastre_V1_SplitRequest
  package typealias SplitBatchRequest = Cadastre_V1_SplitBatchRequest
  package typealias MergeRequest = Cadastre_V1_MergeRequest
  package typealias MoveRequest = Cadastre_V1_MoveRequest
  package typealias SetStateRequest = Cadastre_V1_SetStateRequest
  package typealias SetAllowedRegionsRequest = Cadastre_V1_SetAllowedRegionsRequest

  package typealias WatchRequest = Cadastre_V1_WatchRequest
  package typealias WatchResponse = Cadastre_V1_WatchResponse
  package typealias VersionDelta = Cadastre_V1_VersionDelta

  package typealias FetchCheckpointRequest = Cadastre_V1_FetchCheckpointRequest
  package typealias FetchCheckpointResponse = Cadastre_V1_FetchCheckpointResponse
  package typealias FetchMembersRequest = Cadastre_V1_FetchMembersRequest
  package typealias FetchMembersResponse = Cadastre_V1_FetchMembersResponse
  package typealias FetchStateRequest = Cadastre_V1_FetchStateRequest
  package typealias FetchStateResponse = Cadastre_V1_FetchStateResponse
  package typealias StateHeader = Cadastre_V1_StateHeader
  package typealias FollowRequest = Cadastre_V1_FollowRequest
  package typealias FollowResponse = Cadastre_V1_FollowResponse
  package typealias Heartbeat = Cadastre_V1_Heartbeat
}
