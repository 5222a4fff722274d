// The guards as data: every reason for which the planner holds back, what it protects, and the way past it.
// docs/change.md is generated from this list; a guard that is not here cannot block anything.

/** What people are told about a guard, beside the message of each block. */
export interface GuardText {
  /** What must be true, as a clause that completes “goes on when …”. */
  readonly holds: string;
  /** How a person lets the step pass, or why nobody may. */
  readonly override: string;
}

/** All guards by name, in the order of docs/change.md: the spec, then the cluster, then volumes and nodes, then consent. */
export const GUARDS = {
  SpecValid: {
    holds: "`.spec` can be understood by this version of the operator",
    override: "Correct the field that the message names.",
  },
  EngineKnown: {
    holds: "the Engine object that `spec.engine.name` names exists",
    override: "Apply the Engine; `kubectl get engines` lists those that are there.",
  },
  VersionKnown: {
    holds: "the Engine has the version that `spec.engine.version` names",
    override: "Choose one of the Engine's versions, or add the version to the Engine.",
  },
  UpgradePathAllowed: {
    holds: "the Engine lets members of the version that they run be updated to the one that the spec asks for",
    override:
      "Go by the versions that the message names. Who knows better adds the version to `upgradesFrom` of the Engine.",
  },
  TopologySupported: {
    holds: "the Engine can form `spec.topology`",
    override: "None: the topology cannot be changed. Create another ClusterSpec.",
  },
  ShardTlsSupported: {
    holds: "the Engine has a port at which members of shards can speak TLS, where `spec.sharding.tls` asks for that",
    override: "None: it cannot be changed. Create another ClusterSpec.",
  },
  ParametersAllowed: {
    holds: "`spec.parameters` sets none that the Engine fixes",
    override: "Remove the parameter: the cluster would not work with another value.",
  },
  ParametersTaken: {
    holds: "the running engines took all parameters that need no restart",
    override: "Correct the value in `spec.parameters`. The engines go on with those they had.",
  },
  AccountsSupported: {
    holds: "the Engine can make `spec.accounts`, takes their rules, and has none of these names of its own",
    override: "Remove the account from `spec.accounts`, give it another name, or correct its rules.",
  },
  RestoreSupported: {
    holds: "the Engine can begin a cluster with the backup that `spec.restore` names",
    override: "Remove `spec.restore`; the cluster then begins empty, if nobody led it before.",
  },
  AccountsMade: {
    holds:
      "the leader, or each member where each has its own, could make the accounts and databases of `spec.accounts`, and each can log in",
    override: "None needed: it is tried again by itself. Mend what the message names.",
  },
  AuthorityTaken: {
    holds: "while the authority of the members' certificate changes, every member took up the files of the last step",
    override:
      "None needed: it goes on by itself, and both authorities are trusted meanwhile. Restart the member that the message names.",
  },
  AgentTaken: {
    holds: "every member could run the agent that `spec.update.agents` InPlace brings",
    override:
      "Set `spec.update.agents` to WithPods: members go on with the agents they have. A new pod of the member has it tried again.",
  },
  DurabilitySupported: {
    holds: "the Engine can keep `spec.durability.mode`",
    override: "Choose one of the Engine's durability modes.",
  },
  RequestsCounted: {
    holds: "the Engine counts clients' requests, where `spec.slo` states an objective about them",
    override: "Remove `spec.slo.dataPlane.requestErrorPercent`, or declare countRequests in the Engine.",
  },
  WindowsValid: {
    holds: "every maintenance window has a known time zone and comes true some day",
    override: "Correct the field of `spec.maintenanceWindows` that the message names.",
  },
  NotPaused: {
    holds: "`spec.paused` is false",
    override: "Set `spec.paused` to false.",
  },
  StateConfirmed: {
    holds: "the API server's state did not go back in the last five minutes",
    override: "None: it passes by itself. What seems to be missing may exist.",
  },
  LeaderKnown: {
    holds: "there is one leader that serves",
    override: "None: the members elect a leader by themselves.",
  },
  MajorityReachable: {
    holds:
      "in the topologies Consensus and ActiveActive a majority of the members reaches each other, or all of them have said where their copies end",
    override:
      "Bring members back. A ClusterOperation of type Recover begins anew from the most advanced copy, after your consent.",
  },
  QuorumKept: {
    holds: "enough members in sync are left to keep acknowledged writes and to go on writing",
    override: "None: acknowledged writes could be lost. Take the change back, or repair the members that are behind.",
  },
  MembersInSync: {
    holds: "no other member is down or behind",
    override: "None: two members would be away at once. Repair the member that the message names.",
  },
  SwitchoverTarget: {
    holds: "another member can take over from the leader",
    override: "Raise `spec.failover.maxLag`, or uncordon the node of a follower.",
  },
  SwitchoverDone: {
    holds: "the leader did not refuse or fail the last switchover a short while ago",
    override: "None needed: it is tried again by itself.",
  },
  RevisionFailed: {
    holds: "the revision that the spec asks for has not failed before",
    override: "Change the spec, or annotate the ClusterSpec to try the same revision once more.",
  },
  AnalysisPassed: {
    holds: "every analysis of `spec.update.canary` passed; one that has no data has not",
    override: "Mend what measures it, or take the analysis out of the spec.",
  },
  PromotionGiven: {
    holds: "a person promoted the canary to its next step, where `spec.update.canary.promotion` is Manual",
    override: "Annotate the ClusterSpec with the revision and the step, or create a ClusterOperation of type Promote.",
  },
  PartitionReached: {
    holds: "`spec.update.partition` holds back fewer members",
    override: "Lower `spec.update.partition`.",
  },
  UpdatePrepared: {
    holds: "the Engine's action beforeUpdate, where it has one, succeeded on the leader",
    override: "None needed: it is tried again by itself. Mend what the message names, or take the change back.",
  },
  UpdateFinished: {
    holds: "the Engine's action afterUpdate, where it has one, succeeded on the leader",
    override: "None needed: it is tried again by itself. Mend what the message names, or take the change back.",
  },
  IrreversibleChangeConsented: {
    holds: "a change that the Engine calls irreversible has a person's consent",
    override: "Annotate the ClusterSpec with the revision and its try, after a backup; or take the change back.",
  },
  RollbackPossible: {
    holds: "the Engine says that the revision before can use the data, where it has something to say about that",
    override:
      "Correct the spec, so that members go forward. Who knows better than the Engine can annotate the ClusterSpec with the revision and its try.",
  },
  VolumeUsable: {
    holds: "the volume is bound and is not being deleted",
    override: "A ClusterOperation of type Rebuild gives the member a new volume.",
  },
  VolumeKept: {
    holds: "no volume would have to shrink",
    override: "None: volumes never shrink. Set `spec.storage.data.size` to what the volume has.",
  },
  PriorityClassKnown: {
    holds: "the PriorityClass that `spec.pods.priorityClassName` names exists: without it the API server takes no pod",
    override: "Correct or remove `spec.pods.priorityClassName`, or create the PriorityClass.",
  },
  EarlierClusterGone: {
    holds: "nothing of an earlier ClusterSpec of this name runs any more, when a new cluster begins",
    override:
      "Wait for its pods to end. One on a node that is certainly off ends when the node is tainted out-of-service.",
  },
  VolumesFresh: {
    holds: "a new cluster starts on volumes that were made for it",
    override: "Delete the volumes of the earlier cluster, if nobody wants their data.",
  },
  VolumeExpandable: {
    holds: "the StorageClass of a volume that shall grow allows expansion",
    override: "Set `allowVolumeExpansion: true` on the StorageClass, if its driver can.",
  },
  VolumeHasRoom: {
    holds: "there is room left on the volume of every member",
    override: "Make `spec.storage.data.size` larger, or delete data that nobody wants.",
  },
  VolumeGrown: {
    holds: "the volume that grows has grown, and its file system with it",
    override: "Replace the pod, if the driver needs that. What a driver refuses, only the storage can mend.",
  },
  VolumeReachable: {
    holds: "a node that the volume can be used on still exists",
    override: "Set `spec.disruption.deadNode` to Replace, or order a Rebuild: the member clones onto a new volume.",
  },
  NodeAlive: {
    holds: "the node of a pod that shall end can confirm that it ended",
    override: "Taint the node out-of-service, if it is certainly off. A node that is only cut off may still write.",
  },
  BudgetLeft: {
    holds: "the error budgets of `spec.slo` are measured, not spent, and do not burn too fast",
    override:
      "Annotate the ClusterSpec with the time until which changes are urgent, at most a day ahead; or set `spec.slo.whenExhausted`.",
  },
  WindowOpen: {
    holds: "one of `spec.maintenanceWindows` is open, or there is none",
    override: "Annotate the ClusterSpec with the time until which changes are urgent, at most a day ahead.",
  },
  ShardsSettled: {
    holds: "all other shards are Ready, before the next one changes; one that is not is changed first",
    override: "None: two shards would be disturbed at once. Mend the shard that the message names.",
  },
  SlotsClear: {
    holds: "every slot is owned by one shard at the most, as the shards themselves say",
    override:
      "None: which of two owners is right, a person must say. Let go of the slots in the data of the one that is not.",
  },
  SlotsMoved: {
    holds: "the leader of a shard could do what it was asked about slots",
    override: "None needed: it is tried again by itself. Mend what the message names.",
  },
  SingleMemberMayGo: {
    holds: "a member on a cordoned node is not the only one, or `spec.disruption.singleMember` lets it be evicted",
    override: "Set `spec.disruption.singleMember` to Allow (an outage) or Surge (a second member takes over first).",
  },
  LoadMeasured: {
    holds: "the autoscaler can read every metric of `spec.autoscaling`",
    override:
      "Install what serves the metric: metrics-server for cpuPercent, an adapter for podMetric. Until then raise `spec.members` by hand.",
  },
  TemplateAccepted: {
    holds: "a pod template that differs by the operator's version or the Engine alone was accepted",
    override: "Annotate the ClusterSpec with the template's hash.",
  },
} as const satisfies Record<string, GuardText>;

export type Guard = keyof typeof GUARDS;
