/** The agent's metrics. Labels that name the member are default labels, so every series carries the same ones. */
import { Counter, Gauge, Histogram, Registry, Summary } from "prom-client";
import { ACTION_BOUNDS_SECONDS, LEASE_BOUNDS_SECONDS } from "../api/agent-metrics.ts";
import type { Usage } from "./usage.ts";

/**
 * Phases of a failover as the new leader measures them. `detect` begins with the last sign of life of the old one; `fence` is the
 * seal: once enough members are sealed, whatever the old leader still does is acknowledged no more.
 */
export const FAILOVER_PHASES = ["detect", "elect", "fence", "promote", "route"] as const;
export type FailoverPhase = (typeof FAILOVER_PHASES)[number];

/** Bounds that tell 50 ms from 100 ms and 9 s from 15 s. */
const PHASE_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 9, 15, 30, 60];

/** What names the member on every one of its series. */
export interface MemberLabels {
  readonly cluster: string;
  readonly namespace: string;
  readonly member: string;
  readonly node: string;
}

/** Creates all instruments, each with its label values at zero, on one registry. */
export function agentMetrics(labels: MemberLabels) {
  const registry = new Registry();
  registry.setDefaultLabels({ ...labels });
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name: `quorate_member_${name}`, help, registers });
  const counter = (name: string, help: string): Counter =>
    new Counter({ name: `quorate_member_${name}`, help, registers });
  const metrics = {
    registry,
    isLeader: gauge("leader", "1 while this member leads."),
    epoch: gauge("epoch", "Epoch of the leadership this member last promised or holds."),
    lagBytes: gauge(
      "replication_lag_bytes",
      "Bytes of the log that this member has not got yet, as last seen; NaN while it is not known.",
    ),
    lagSeconds: gauge(
      "replication_lag_seconds",
      "Age of the newest change applied here, as last seen; 0 on the leader, NaN while it is not known.",
    ),
    leaseMargin: gauge("lease_margin_seconds", "Seconds left until the fence deadline of this leader."),
    engineUp: gauge("engine_up", "1 while the engine answers."),
    expectedMembers: gauge("expected_members", "Members that the cluster has, as this member was last told."),
    writeConflicts: gauge(
      "write_conflicts",
      "Transactions of this member's clients that were rolled back because another member had changed the same rows, since the engine's start; topology ActiveActive.",
    ),
    flowControlSeconds: gauge(
      "flow_control_seconds",
      "Time in which writes stood still until the slowest member had caught up, since the engine's start; topology ActiveActive.",
    ),
    leaderChanges: counter("leader_changes_total", "Times this member became leader."),
    engineExits: counter("engine_exits_total", "Times the engine's main process ended, asked to or not."),
    fenced: counter("fenced_total", "Times the fence deadline stopped the engine."),
    writeSlices: new Counter({
      name: "quorate_member_write_slices_total",
      help: "Slices of time in which a probe write of the leader was or was not acknowledged.",
      labelNames: ["result"],
      registers,
    }),
    quorumSlices: new Counter({
      name: "quorate_member_quorum_slices_total",
      help: "Looks of a serving leader at its followers that did or did not find a majority of all members with it.",
      labelNames: ["result"],
      registers,
    }),
    followerLagBytes: new Gauge({
      name: "quorate_follower_lag_bytes",
      help: "Bytes that a follower has not confirmed yet, as the leader sees it.",
      labelNames: ["follower"],
      registers,
    }),
    // Sum and count alone: what was slow once must not be shown for as long as nobody is asked.
    heartbeatSeconds: new Summary({
      name: "quorate_member_heartbeat_seconds",
      help: "Time from a sign of life to the peer's answer: what the network between members takes, and their agents.",
      labelNames: ["peer"],
      percentiles: [],
      registers,
    }),
    ...durations(registers),
  };
  for (const lag of [metrics.lagBytes, metrics.lagSeconds]) lag.set(Number.NaN); // not 0: nobody knows yet
  for (const result of ["good", "bad"]) {
    metrics.writeSlices.inc({ result }, 0);
    metrics.quorumSlices.inc({ result }, 0);
  }
  return metrics;
}

/** What takes time whose distribution matters. */
function durations(registers: Registry[]) {
  return {
    leaseSeconds: new Histogram({
      name: "quorate_member_lease_write_seconds",
      help: "Time of one write of the Lease.",
      labelNames: ["result"],
      buckets: LEASE_BOUNDS_SECONDS,
      registers,
    }),
    failoverSeconds: new Histogram({
      name: "quorate_failover_phase_seconds",
      help: "Time that each phase took when this member became leader.",
      labelNames: ["phase", "trigger"],
      buckets: PHASE_SECONDS,
      registers,
    }),
    actionSeconds: new Histogram({
      name: "quorate_member_action_seconds",
      help: "Time of one engine action.",
      labelNames: ["action", "result"],
      buckets: ACTION_BOUNDS_SECONDS,
      registers,
    }),
  };
}

/** All instruments of one agent. */
export type AgentMetrics = ReturnType<typeof agentMetrics>;

/** Instruments for what the member uses of what it may use. @returns what shows one reading; what it lacks has no series. */
export function usageMetrics(registry: Registry): (usage: Usage) => void {
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name: `quorate_member_${name}`, help, registers });
  const counter = (name: string, help: string): Counter =>
    new Counter({ name: `quorate_member_${name}`, help, registers });
  const counters = {
    cpuSeconds: counter("cpu_seconds_total", "Processor time of the member's container, agent included."),
    cpuThrottledSeconds: counter("cpu_throttled_seconds_total", "Time in which a CPU limit made the member wait."),
  };
  const gauges = {
    cpuCapacityCores: gauge(
      "cpu_capacity_cores",
      "CPU limit of the member in cores; the node's processors where there is none.",
    ),
    memoryBytes: gauge("memory_bytes", "Memory of the member's container that cannot be dropped, agent included."),
    memoryLimitBytes: gauge("memory_limit_bytes", "Memory limit of the member; absent where there is none."),
    volumeSizeBytes: gauge("volume_size_bytes", "Size of the file system that holds the data."),
    volumeFreeBytes: gauge("volume_free_bytes", "Bytes that can still be written to that file system."),
  };
  return (usage) => {
    for (const name of Object.keys(counters) as (keyof typeof counters)[]) {
      counters[name].reset(); // counted by the kernel; shown as it stands
      const value = usage[name];
      if (value === undefined) counters[name].remove();
      else counters[name].inc(value);
    }
    for (const name of Object.keys(gauges) as (keyof typeof gauges)[]) {
      const value = usage[name];
      if (value === undefined) gauges[name].remove();
      else gauges[name].set(value);
    }
  };
}
