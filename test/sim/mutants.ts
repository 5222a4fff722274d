// Mistakes sown into a copy of operator and agents, each with the schedules in which an oracle must find it.
import type { Fault } from "./faults.ts";

/** One changed place: `find` must occur exactly once in the file. */
export interface Mutant {
  readonly name: string;
  /** Under src. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** A second guard of the same rule, if there is one. */
  readonly also?: { readonly file: string; readonly find: string; readonly replace: string };
  /** Which simulator looks for it: that of the operator's program when absent. */
  readonly of?: "agents" | "planner";
  /** Arguments of run.ts. */
  readonly args: readonly string[];
}

/** In the middle of a roll. */
const LATER = { actor: "operator", of: "Pod", event: 8 };
/** The scenarios with just these faults. */
const told = (scenario: string, ...faults: readonly Fault[]): readonly string[] => [
  "--scenario",
  scenario,
  "--seeds",
  "1",
  "--faults",
  JSON.stringify(faults),
];
const every = (scenario: string, faults: string): readonly string[] => ["--scenario", scenario, "--every", faults];

/** One pair of changes, the second at each of the first eight steps of the first. */
const pair = (topology: string, first: string, second: string): readonly string[] => [
  ...["--topology", topology, "--first", first, "--second", second],
];

/** The first six are the classic mistakes of controllers (Sieve, Acto), the rest rules of this one. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "objects are deleted by name, not by uid",
    file: "act/act.ts",
    find: 'await api.delete(ref, { uid, propagationPolicy: "Background", signal });',
    replace: 'await api.delete(ref, { propagationPolicy: "Background", signal });',
    args: told("scale"),
  },
  {
    name: "a watch whose version was forgotten is opened from the same version again",
    file: "kube/reflector.ts",
    find: 'const next = reason === "Gone" ? "Listing" : at;',
    replace: "const next = at;",
    also: {
      file: "kube/reflector.ts",
      find: 'if (reason === "Gone" && this.#failures === 1) return { name: "Listing" };',
      replace: "",
    },
    args: told("roll", { kind: "ForgetVersions", ...LATER }),
  },
  {
    name: "a watch that fell silent is believed for ever",
    file: "kube/reflector.ts",
    find: "this.#silenceMs = options.silenceMs ?? 90_000;",
    replace: "this.#silenceMs = options.silenceMs ?? 900_000_000;",
    args: told("roll", { kind: "SilenceWatch", actor: "operator", of: "ConfigMap", event: 2 }),
  },
  {
    name: "deletions that a watch tells of are overlooked",
    file: "kube/store.ts",
    find: "        this.#removeNamesake(event.object, false);\n",
    replace: "",
    args: told("scale"),
  },
  {
    name: "an error of a step is swallowed, and the pass goes on",
    file: "act/act.ts",
    find: "() => carryOut(options, step, ledger, signal));",
    replace: "() => carryOut(options, step, ledger, signal).catch(() => undefined));",
    args: every("delete-deleting", "Refuse"),
  },
  {
    name: "a pass that failed is not tried again",
    file: "controller/workers.ts",
    find: "const delayMs = queue.retry(key, retryAfterMs, priority);",
    replace: "const delayMs = 0;",
    args: every("create", "Refuse"),
  },
  {
    name: "a change that comes during a pass is forgotten",
    file: "queue/queue.ts",
    find: "      this.#active.set(key, moreUrgent(wanted, this.#active.get(key)));\n",
    replace: "",
    args: every("roll", "Slow"),
  },
  {
    name: "changes of pods concern nobody",
    file: "controller/keys.ts",
    find: "return toKeys(metadata.namespace, metadata.labels?.[LABEL_CLUSTER], podPriority(change));",
    replace: "return toKeys(metadata.namespace, undefined, podPriority(change));",
    args: told("create,roll,scale"),
  },
  {
    name: "the members' Lease is applied, not created once",
    file: "act/act.ts",
    find: "    await note(ledger, api.create<Manifest>(manifest, { signal }));",
    replace:
      "    await note(ledger, api.apply<Manifest>(manifest, { fieldManager: FIELD_MANAGER, force: true, signal }));",
    args: told("create", { kind: "SecondOperator", atMs: 0, forMs: 20_000 }),
  },
  {
    name: "a cluster's volumes belong to its ClusterSpec",
    file: "build/volume.ts",
    find: "      annotations: fields.annotations,\n",
    replace:
      '      annotations: fields.annotations,\n      ownerReferences: [{ apiVersion: "quorate.io/v1alpha1", kind: "ClusterSpec", name: context.name, uid: context.uid, controller: true, blockOwnerDeletion: false }],\n',
    args: told("delete-retaining"),
  },
  {
    name: "a member is removed although writes wait for it, or it leads",
    file: "plan/membership.ts",
    find: "    if (isStillCounted(world, member) || member.name === world.leader?.name || statefulSet.deleting) return [];\n",
    replace: "",
    also: {
      file: "plan/membership.ts",
      find: "  if (victim.name === world.leader.name) {",
      replace: "  if (world.listed.length === 0) {",
    },
    args: told("scale-in-leader"),
  },
  {
    name: "a member is removed before the leader has heard that it is to go",
    file: "plan/facts.ts",
    find: "return heard === undefined || written === undefined || heard >= written;",
    replace: "return heard === undefined || written !== 0;",
    // It comes back in the moment in which it is to leave, and the leader hears only of the first.
    args: [
      ...["--scenario", "scale", "--seeds", "4", "--faults"],
      JSON.stringify([
        { kind: "Deaf", atMs: 236_000, forMs: 10_000 },
        { kind: "Crash", actor: "orders-4", atMs: 236_500 },
      ] satisfies Fault[]),
    ],
  },
  {
    name: "a member is stopped while another is down",
    file: "plan/rollout.ts",
    find: "  return listedMembers(world).filter((m) => !isInSync(world, m) || settlingMs(world, target, m) > 0);",
    replace: "  return listedMembers(world).filter((m) => settlingMs(world, target, m) > 1e9);",
    also: {
      file: "plan/rollout.ts",
      find: "  return report.syncNames.filter((name) => !without.has(name)).length >= report.ackCount;",
      replace: "  return without.size >= 0;",
    },
    args: told("roll"),
  },
  {
    name: "a revision that failed stays",
    file: "plan/plan-cluster.ts",
    find: "  Rollback: planRollback,",
    replace: "  Rollback: () => IDLE,",
    args: told("bad-image"),
  },
  {
    name: "Ready says only that somebody serves",
    file: "status/status.ts",
    find: 'const isReady = available.status === "True" && degraded.status === "False" && !reconciling && stalled === undefined;',
    replace: 'const isReady = available.status === "True" && stalled === undefined;',
    args: told("node-loss,roll"),
  },
  {
    name: "members of an earlier cluster are taken for this one's",
    file: "plan/facts.ts",
    find: "!m.isOfEarlierCluster && served(m.pod?.report)",
    replace: "served(m.pod?.report)",
    args: told("delete-and-create-again"),
  },
  {
    name: "a switchover that is over is kept until the next resync",
    of: "planner",
    file: "plan/plan-cluster.ts",
    find: "return untilMs === undefined ? undefined : untilMs - world.seen.nowMs;",
    replace: "return untilMs === world.seen.nowMs ? 0 : undefined;",
    args: pair("ActivePassive", "RefusedDrain", "FollowerLoss"),
  },
  {
    name: "a gone ClusterSpec's volumes go whether it asked for that or not",
    file: "plan/deletion.ts",
    find: "const doomed = members.filter((m) => m.volume?.deleteWith !== undefined);",
    replace: "const doomed = members.filter((m) => m.volume !== undefined);",
    also: {
      file: "observe/observe.ts",
      find: "    if (members.every((m) => m.volume?.deleteWith === undefined)) return undefined;\n",
      replace: "",
    },
    args: told("delete-retaining"),
  },
  {
    name: "what cannot be taken back is judged by what was heard",
    file: "controller/reconcile.ts",
    find: "  if (heard === undefined || !heard.plan.steps.some(cannotBeTakenBack)) return heard;\n",
    replace: "  if (heard === undefined || heard.plan.steps.length >= 0) return heard;\n",
    args: told("roll", { kind: "SilenceWatch", ...LATER }),
  },
  {
    name: "a leader is replaced without handing over",
    file: "plan/rollout.ts",
    find: "  return { switchover: { id: requestId(purpose, world.seen.nowMs), from: leader.name, to: to.name } };",
    replace: '  return purpose === "" ? {} : { steps: replace(world, target, leader) };',
    args: told("roll"),
  },
  {
    name: "children do not say whose they are",
    file: "build/labels.ts",
    find: '    "app.kubernetes.io/managed-by": MANAGED_BY,\n',
    replace: "",
    args: told("create"),
  },
  {
    name: "a roll goes on while the error budget burns",
    of: "planner",
    file: "plan/gates.ts",
    find: 'if (verdict === undefined || verdict.status === "True" ||',
    replace: 'if (verdict === undefined || verdict.reason !== "BudgetExhausted" ||',
    args: pair("ActivePassive", "BudgetBurn", "Rollout"),
  },
  {
    name: "agents are replaced while the error budget burns",
    of: "planner",
    file: "plan/agents.ts",
    find: 'return budgetBlock(world) ?? windowBlock(world, "a replacement of agents");',
    replace: 'return windowBlock(world, "a replacement of agents");',
    args: pair("Consensus", "BudgetBurn", "AgentsInPlace"),
  },
  {
    name: "who spoke for members that all write speaks again as soon as he has handed over",
    of: "planner",
    file: "plan/intent.ts",
    find: 'if (world.switchover.state === "Done" && world.cluster.intent.topology === "ActiveActive") return request;',
    replace: "",
    args: pair("ActiveActive", "Rollout", "Reload"),
  },
  {
    name: "a member is removed although the engine counts it",
    of: "planner",
    file: "plan/facts.ts",
    find: "return report?.group?.members?.includes(name) ?? world.initialized;",
    replace: "return report === undefined && world.initialized;",
    args: ["--topology", "Consensus", "--first", "ScaleIn", "--steps", "3"],
  },
  {
    name: "a member is removed before the leader of its group has heard that it is to go",
    of: "planner",
    file: "plan/facts.ts",
    find: "  if (!hasLeaderHeard(world)) return true;\n",
    replace: "",
    args: pair("Consensus", "ScaleOut", "ScaleIn"),
  },
  {
    name: "a shard is changed while another one is in trouble",
    of: "planner",
    file: "plan/plan-shards.ts",
    find: "  if (others.length === 0)\n",
    replace: "  if (others.length >= 0)\n",
    args: pair("Sharded", "NodeLoss", "Rollout"),
  },
  {
    name: "a shard in trouble waits for the others with the change that would mend it",
    of: "planner",
    file: "plan/plan-shards.ts",
    find: "stale.toSorted((a, b) => Number(b.isInTrouble) - Number(a.isInTrouble));",
    replace: "stale;",
    args: pair("Sharded", "BadImageLater", "Failover"),
  },
  {
    name: "Ready is said as soon as somebody leads",
    of: "planner",
    file: "status/status.ts",
    find: 'const isReady = available.status === "True" && degraded.status === "False" && !reconciling && stalled === undefined;',
    replace: 'const isReady = available.status === "True" && stalled === undefined;',
    args: pair("ActivePassive", "NodeLoss", "Reload"),
  },
  {
    name: "a conflict over the Lease is taken for its own success",
    of: "agents",
    file: "agent/cluster/lease.ts",
    find: 'if (isConflict(error)) return { result: "conflict", resourceVersion: null };',
    replace: 'if (isConflict(error)) return { result: "ok", resourceVersion: casResourceVersion };',
    args: ["--kinds", "SlowNetwork,LosePower,CrashContainer", "--members", "5", "--seeds", "300"],
  },
  {
    name: "the deadline of the fence is not moved on",
    of: "agents",
    file: "agent/fence.ts",
    find: "await this.#init.fence(deadlineNs);",
    replace: "if (this.#deadlineMs === undefined) await this.#init.fence(deadlineNs);",
    args: ["--seeds", "20"],
  },
  {
    name: "the fence is said to be armed and is not",
    of: "agents",
    file: "agent/fence.ts",
    find: "await this.#init.fence(deadlineNs);",
    replace: "",
    args: ["--seeds", "300", "--mode", "Async"],
  },
  {
    name: "members answer a seal without stopping to receive",
    of: "agents",
    file: "agent/protocol/following.ts",
    find: `    turn.emit({ type: "Seal", actionId: turn.beginAction("Seal", record.epoch), epoch: record.epoch });
    return;`,
    replace: "    return answerSealRequests(turn, engine.position);",
    args: ["--kinds", "FreezeNode,Switchover", "--seeds", "300"],
  },
  {
    name: "pre-votes are counted as sealed answers",
    of: "agents",
    file: "agent/protocol/candidacy.ts",
    find: "      answers: {},",
    replace: "      answers: candidate.answers,",
    args: ["--seeds", "100"],
  },
  {
    name: "effects do not wait until a promise is durable",
    of: "agents",
    file: "agent/effects.ts",
    find: 'if (effect.type === "Persist") await this.#ports.persist(effect.record);',
    replace: 'if (effect.type === "Persist") void this.#ports.persist(effect.record);',
    args: ["--seeds", "100"],
  },
  // That WakeAt is dropped would be no mistake: it is asked for by nothing but a candidate that stood down, for the time of its next try,
  // and the beat tells the protocol of the time four times a period, as does every look at the engine. The next try comes a quarter of
  // a period later at most, and nobody is kept safe by its coming in time.
  {
    name: "the engine of a leader is not looked at",
    of: "agents",
    file: "agent/runtime.ts",
    find: 'return state?.engine.status === "follower" || state?.engine.status === "writable";',
    replace: 'return state?.engine.status === "follower";',
    args: ["--seeds", "20"],
  },
];
