// What members do about the one-shot requests of an intent.
import type { HookRequest, Intent, TaskRequest } from "../../../src/api/agent-wire.ts";
import type { Simulator } from "./simulator.ts";

/** Requests of the intent that were not answered yet, each as its answer. */
export function answersOf(world: Simulator, intent: Intent, leader: string): (() => void)[] {
  const { switchover, hook, task } = intent;
  const answered = (member: string, kind: "switchover" | "restart" | "rebuild" | "defragment" | "hook" | "task") =>
    world.pods.get(member)?.report?.[kind]?.id === intent[kind]?.id;
  const answers: (() => void)[] = [];
  if (hook !== null && world.pods.get(hook.member)?.report !== undefined && !answered(hook.member, "hook")) {
    answers.push(() => runHook(world, hook));
  }
  if (task !== undefined && world.pods.get(task.member)?.report !== undefined && !answered(task.member, "task")) {
    answers.push(() => runTask(world, task));
  }
  if (world.group !== undefined && switchover !== null) {
    answers.push(...world.group.answerSwitchover(world, switchover));
  } else if (switchover?.from === leader && !answered(leader, "switchover")) {
    answers.push(() => answerSwitchover(world, leader, switchover.id, switchover.to ?? ""));
  }
  for (const kind of ["restart", "rebuild", "defragment"] as const) {
    const request = intent[kind] ?? null;
    if (request === null || answered(request.member, kind)) continue;
    answers.push(() => obeyRequest(world, kind, request));
  }
  return answers;
}

/** A leader with followers refuses; a restarted engine is down for a moment. */
function obeyRequest(
  world: Simulator,
  kind: "restart" | "rebuild" | "defragment",
  { id, member }: { readonly id: string; readonly member: string },
): void {
  const leads = member === world.leader;
  const refuses = leads && (world.intent?.members.length ?? 0) > 1;
  world.report(member, { [kind]: { id, result: refuses ? "Refused" : "Done", message: "answered" } });
  const pod = world.pods.get(member);
  if (refuses || kind === "defragment" || pod?.report === undefined) return;
  world.restarts.push(member);
  if (kind !== "restart" || leads) return;
  world.setReady(pod, false);
  pod.report = { ...pod.report, state: "Starting" };
}

/** Only a leader runs hooks, and only in the office that it was asked in. */
function runHook(world: Simulator, request: HookRequest): void {
  const { id, action, member, epoch } = request;
  const holds = member === world.leader && world.pods.get(member)?.report?.epoch === epoch;
  const result = holds ? (world.hookAnswers.get(action) ?? "Done") : "Failed";
  if (holds) world.hooks.push(request);
  world.report(member, { hook: { id, result, message: `${action} says ${result}` } });
}

/** Whoever is asked, whatever its role. */
function runTask(world: Simulator, request: TaskRequest): void {
  const { id, action, member } = request;
  const result = world.damaged.has(member) ? "Failed" : "Done";
  world.tasks.push(request);
  world.report(member, { task: { id, result, message: `${action} says ${result}` } });
}

function answerSwitchover(world: Simulator, from: string, id: string, to: string): void {
  const isWaitedFor = world.pods.get(from)?.report?.syncNames.includes(to) === true;
  if (world.refusesSwitchover || !isWaitedFor || world.pods.get(to)?.ready !== true) {
    world.refusals += 1;
    world.report(from, { switchover: { id, result: "Refused", message: "not now" } });
    return;
  }
  world.report(from, { role: "follower", syncNames: [], switchover: { id, result: "Done", message: `${to} leads` } });
  world.promote(to);
}
