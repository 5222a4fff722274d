// ClusterOperations that disturb nobody: Backup, Verify and Repair. They wait for no other operation and hold up no change; among
// themselves they take turns, oldest first. Each becomes a task in the intent, whose id is the operation's uid and the member.
import { isTask, type TaskType } from "../api/cluster-operation.ts";
import { type Decision, IDLE } from "./decision.ts";
import { isInSync, isServing, listedMembers, successors, type World } from "./facts.ts";
import type { MemberView, OperationView } from "./observation.ts";
import { openOperations, type Outcome, reportTurns, withinDeadline } from "./operation-reports.ts";

const ACTIONS = { Backup: "backup", Verify: "verify", Repair: "repair" } as const;
const DOING = {
  Backup: "copies its data to",
  Verify: "looks for damage in its copy",
  Repair: "mends its copy",
} as const;

/** Carries on the oldest task that is not finished. */
export function planTasks(world: World): Decision {
  const [current, ...waiting] = openOperations(world).filter(({ intent }) => isTask(intent.type));
  if (current === undefined) return IDLE;
  const outcome = withinDeadline(world, current, advanceTask);
  const turns = reportTurns(world, [current, outcome], waiting);
  return { busy: false, ...turns, ...(outcome.phase === "Running" ? outcome.decision : {}) };
}

function advanceTask(world: World, operation: OperationView): Outcome {
  const type = operation.intent.type as TaskType;
  const { cluster, context, listed } = world;
  if (cluster.intent.stopped) return { phase: "Refused", message: "spec.stopped is true: no member runs" };
  const action = ACTIONS[type];
  if (context.engine.actions[action] === undefined)
    return { phase: "Refused", message: `Engine ${context.engineName} declares no action ${action}` };
  if (type === "Backup" && cluster.intent.backup === undefined)
    return { phase: "Refused", message: "spec.backup of the ClusterSpec does not say where backups go: set it first" };
  const { member } = operation.intent;
  if (member !== undefined && !listed.includes(member))
    return { phase: "Refused", message: `${member} is no member: there are ${listed.join(", ")}` };
  return type === "Backup" ? advanceBackup(world, operation) : advanceRounds(world, operation);
}

/** One member makes it, to its end: another would have to begin anew. */
function advanceBackup(world: World, operation: OperationView): Outcome {
  const path = backupPath(world, operation);
  const source = backupSource(world, operation);
  if (source === undefined) return { phase: "Running", message: "waits for a member that is in sync" };
  const answer = answerOf(source, operation);
  const members = [source.name];
  switch (answer?.result) {
    case "Done":
      return { phase: "Done", message: answer.message, members, path };
    case "Refused":
    case "Failed":
      return { phase: answer.result, message: `${source.name}: ${answer.message}`, members };
    default: {
      const message = answer?.message ?? `${source.name} ${DOING.Backup} ${path}`;
      return { phase: "Running", message, decision: { task: request(operation, source, path) } };
    }
  }
}

/** Who makes it, or has made it. A follower in sync, so that the leader has its processors and disks to itself; else the leader. */
function backupSource(world: World, operation: OperationView): MemberView | undefined {
  const members = listedMembers(world);
  const ended = members.find((member) => (answerOf(member, operation)?.result ?? "Running") !== "Running");
  if (ended !== undefined) return ended;
  const task = world.seen.intent?.intent?.task;
  const asked = members.find(({ name }) => name === task?.member && task.id === taskId(operation, name));
  // A copy may make it fall behind a little; one that is gone does not come back to it.
  if (asked !== undefined && isServing(asked)) return asked;
  const inSync = members.filter((member) => isInSync(world, member));
  const { member: wanted } = operation.intent;
  if (wanted !== undefined) return inSync.find(({ name }) => name === wanted);
  return successors(world, inSync)[0] ?? inSync.find(({ name }) => name !== world.leader?.name) ?? inSync[0];
}

/** The same in every pass, and another for every operation. */
function backupPath({ cluster }: World, { name, createdMs }: OperationView): string {
  const at = new Date(createdMs).toISOString().replaceAll(/[-:]|[.][0-9]+/g, "");
  return `${cluster.namespace}/${cluster.name}/${at}-${name}`;
}

/** One member after the other, the leader last; each whatever the others found. */
function advanceRounds(world: World, operation: OperationView): Outcome {
  const type = operation.intent.type as Exclude<TaskType, "Backup">;
  const { member } = operation.intent;
  const members = operation.status.members ?? (member === undefined ? world.listed : [member]);
  const concerned = listedMembers(world).filter(({ name }) => members.includes(name));
  const isEnded = (one: MemberView): boolean => (answerOf(one, operation)?.result ?? "Running") !== "Running";
  const leads = ({ name }: MemberView): number => (name === world.leader?.name ? 1 : 0);
  const [next] = concerned
    .filter((one) => !isEnded(one))
    .toSorted((a, b) => leads(a) - leads(b) || b.ordinal - a.ordinal);
  const ended = concerned.filter(isEnded);
  if (next !== undefined) {
    const message = `${ended.length}/${concerned.length} done, ${next.name} ${DOING[type]}`;
    return { phase: "Running", message, members, decision: { task: request(operation, next) } };
  }
  const said = ended.map((one) => ({ name: one.name, answer: answerOf(one, operation) }));
  const bad = said.filter(({ answer }) => answer?.result !== "Done");
  const words = (bad.length > 0 ? bad : said).map(({ name, answer }) => `${name}: ${answer?.message ?? ""}`);
  return { phase: bad.length > 0 ? "Failed" : "Done", message: words.join("; "), members };
}

function request(operation: OperationView, { name }: MemberView, path?: string): NonNullable<Decision["task"]> {
  const action = ACTIONS[operation.intent.type as TaskType];
  return { id: taskId(operation, name), action, member: name, ...(path === undefined ? {} : { path }) };
}

/** Each member is asked under an id of its own, so that its answer says that it was its turn. */
function taskId({ uid }: OperationView, member: string): string {
  return `${uid}/${member}`;
}

function answerOf({ name, pod }: MemberView, operation: OperationView) {
  const answer = pod?.report?.task;
  return answer?.id === taskId(operation, name) ? answer : undefined;
}
