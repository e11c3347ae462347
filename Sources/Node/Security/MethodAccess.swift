import CadastreProtocol
import GRPCCore

/// What each method of each service does: the one place that says who may call it.
package enum MethodAccess {
  /// Nil for a method that nobody entered here; nobody may call such a one.
  package static func access(to method: MethodDescriptor) -> Access? {
    table[method.service.fullyQualifiedService]?[method.method]
  }

  /// By service and method: two descriptors of one method may differ in what else they say of it.
  private static let table: [String: [String: Access]] = {
    var table: [String: [String: Access]] = [:]
    for (access, methods) in entries {
      for method in methods {
        table[method.service.fullyQualifiedService, default: [:]][method.method] = access
      }
    }
    return table
  }()

  // The generated lists of a service's methods would enter a new one by themselves; each is to be
  // thought of once.
  private static let entries: [(Access, [MethodDescriptor])] = [
    (
      .open,
      [
        // Probes and load balancers carry no token; what is told is that the node runs.
        Grpc_Health_V1_Health.Method.Check.descriptor,
        Grpc_Health_V1_Health.Method.Watch.descriptor,
        // The protocol is no secret.
        Grpc_Reflection_V1_ServerReflection.Method.ServerReflectionInfo.descriptor,
        Grpc_Reflection_V1alpha_ServerReflection.Method.ServerReflectionInfo.descriptor,
      ]
    ),
    (
      .reading,
      [
        Cadastre_V1_CatalogReads.Method.Resolve.descriptor,
        Cadastre_V1_CatalogReads.Method.ResolveBatch.descriptor,
        Cadastre_V1_CatalogReads.Method.ListRoutes.descriptor,
        Cadastre_V1_CatalogReads.Method.GetStatus.descriptor,
        Cadastre_V1_CatalogWatch.Method.Watch.descriptor,
        Cadastre_V1_Audit.Method.At.descriptor,
        Cadastre_V1_Audit.Method.Diff.descriptor,
        Cadastre_V1_Audit.Method.History.descriptor,
        Cadastre_V1_Audit.Method.Blame.descriptor,
        Cadastre_V1_Audit.Method.Log.descriptor,
        Cadastre_V1_Audit.Method.Prove.descriptor,
        Cadastre_V1_Audit.Method.GetExtent.descriptor,
        Cadastre_V1_Members.Method.List.descriptor,
        Cadastre_V1_Members.Method.CheckPlacement.descriptor,
        Cadastre_V1_Timestamps.Method.Regions.descriptor,
        Cadastre_V1_Timestamps.Method.Clocks.descriptor,
        Cadastre_V1_Transactions.Method.Get.descriptor,
      ]
    ),
    (
      .copying,
      [
        Cadastre_V1_Replication.Method.FetchCheckpoint.descriptor,
        Cadastre_V1_Replication.Method.FetchState.descriptor,
        Cadastre_V1_Replication.Method.FetchMembers.descriptor,
        Cadastre_V1_Replication.Method.Follow.descriptor,
        Cadastre_V1_Replication.Method.FetchRegionState.descriptor,
      ]
    ),
    (
      .joining,
      [
        Cadastre_V1_Members.Method.Change.descriptor,
        // The node that leads a group's new home asks for its clock.
        Cadastre_V1_Timestamps.Method.DepartGroups.descriptor,
      ]
    ),
    (
      .changing,
      [
        Cadastre_V1_CatalogCommands.Method.Bootstrap.descriptor,
        Cadastre_V1_CatalogCommands.Method.Split.descriptor,
        Cadastre_V1_CatalogCommands.Method.SplitBatch.descriptor,
        Cadastre_V1_CatalogCommands.Method.Merge.descriptor,
        Cadastre_V1_CatalogCommands.Method.Move.descriptor,
        Cadastre_V1_CatalogCommands.Method.SetState.descriptor,
        Cadastre_V1_CatalogCommands.Method.SetAllowedRegions.descriptor,
        Cadastre_V1_CatalogCommands.Method.Arrange.descriptor,
      ]
    ),
    (
      .leading,
      [
        // A timestamp that is handed out raises the clock.
        Cadastre_V1_Timestamps.Method.Next.descriptor,
        Cadastre_V1_Timestamps.Method.LeadGroups.descriptor,
        Cadastre_V1_Timestamps.Method.RetireGroups.descriptor,
        Cadastre_V1_Timestamps.Method.PromoteRegion.descriptor,
        Cadastre_V1_Transactions.Method.Begin.descriptor,
        Cadastre_V1_Transactions.Method.Decide.descriptor,
      ]
    ),
  ]
}
