// kubectl quorate switchover, rollout promote|abort|status, operation: everything that is done once.
import { setTimeout as sleep } from "node:timers/promises";
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { ClusterOperation, deadlineSeconds, type OperationIntent } from "../../api/cluster-operation.ts";
import { API_VERSION } from "../../api/names.ts";
import { ANNOTATION_REQUESTED_BY } from "../../build/labels.ts";
import { isForbidden } from "../../kube/api-error.ts";
import type { KubeObject, ObjectRef } from "../../kube/object.ts";
import { duration } from "../ago.ts";
import { operationProgress, progressBar, progressLine } from "../progress.ts";
import { openLiveLine } from "./live-line.ts";
import { EXIT, type Format, formatted, inSession, readCluster, type Session } from "./session.ts";

const POLL_MS = 500;
const TYPES = {
  switchover: "Switchover",
  restart: "Restart",
  rebuild: "Rebuild",
  promote: "Promote",
  abort: "Abort",
  defragment: "Defragment",
  recover: "Recover",
  backup: "Backup",
  verify: "Verify",
  repair: "Repair",
} as const;

interface WaitOptions {
  readonly wait: boolean;
}

/** Adds `switchover`. */
export function addSwitchover(program: Command): void {
  program
    .command("switchover")
    .argument("<name>", "ClusterSpec")
    .option("--to <member>", "member that shall lead; the best follower when left out")
    .option("--no-wait", "do not wait for its end")
    .description("Move the leader, as planned: nothing acknowledged is lost, writes wait for less than a second.")
    .action((name: string, { to, wait }: WaitOptions & { readonly to?: string }, command: Command) =>
      inSession(command, (session) =>
        carryOut(session, { clusterName: name, type: "Switchover", ...(to && { member: to }) }, wait),
      ),
    );
}

/** Adds `operation`. */
export function addOperation(program: Command): void {
  program
    .command("operation")
    .addArgument(new Argument("<type>", "what to do").choices(Object.keys(TYPES)))
    .argument("<name>", "ClusterSpec")
    .option("-m, --member <member>", "member concerned")
    .addOption(new Option("--role <role>", "for restart: members of that role only").choices(["Followers", "Leader"]))
    .option("--consent <words>", "for recover: what its message asked for; without it, it only says what it would do")
    .option("--deadline <seconds>", "when it counts as failed", seconds)
    .option("--no-wait", "do not wait for its end")
    .description("Create a ClusterOperation and wait for its end. Exits with 2 when it is refused or fails.")
    .action((type: keyof typeof TYPES, name: string, options: OperationOptions, command: Command) => {
      const { member, role, consent, deadline, wait } = options;
      const spec: OperationRequest = {
        clusterName: name,
        type: TYPES[type],
        ...(member && { member }),
        ...(role && { role }),
        ...(consent && { consent }),
        ...(deadline && { deadlineSeconds: deadline }),
      };
      return inSession(command, (session) => carryOut(session, spec, wait));
    });
}

/** Adds `rollout`. */
export function addRollout(program: Command): void {
  const rollout = program
    .command("rollout")
    .description("Look at a roll of the members, let a canary go on, or give it up.");
  rollout
    .command("status")
    .argument("<name>", "ClusterSpec")
    .addOption(new Option("-o, --output <format>", "print status.rollout instead").choices(["json", "yaml"]))
    .description("Say how far the roll is. Exits with 2 when it was rolled back, is held or is blocked.")
    .action((name: string, { output }: { readonly output?: Format }, command: Command) =>
      inSession(command, (session) => showRollout(session, name, output)),
    );
  for (const [verb, type, text] of [
    ["promote", "Promote", "Let the canary go on to its next step."],
    ["abort", "Abort", "Give up the revision that is being tried, and go back to the one before."],
  ] as const) {
    rollout
      .command(verb)
      .argument("<name>", "ClusterSpec")
      .option("--no-wait", "do not wait for its end")
      .description(text)
      .action((name: string, { wait }: WaitOptions, command: Command) =>
        inSession(command, (session) => carryOut(session, { clusterName: name, type }, wait)),
      );
  }
}

/** What is asked for; the rest has defaults. */
export type OperationRequest = Pick<OperationIntent, "clusterName" | "type"> & Partial<OperationIntent>;

interface OperationOptions extends WaitOptions {
  readonly member?: string;
  readonly role?: "Followers" | "Leader";
  readonly consent?: string;
  readonly deadline?: number;
}

/** Parses an option in seconds. @throws {InvalidArgumentError} for anything but a whole number above zero. */
export function seconds(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("Give a whole number of seconds.");
}

/** Creates the operation and, if wanted, tells how it goes until its end. */
export async function carryOut(session: Session, spec: OperationRequest, wait: boolean): Promise<void> {
  const { api, namespace } = session;
  await readCluster(session, spec.clusterName); // a misspelt name would wait for ever
  const person = await whoAsks(session);
  const created = await api.create<KubeObject & { readonly spec: OperationRequest }>({
    apiVersion: API_VERSION,
    kind: "ClusterOperation",
    metadata: {
      name: `${spec.clusterName}-${spec.type.toLowerCase()}-${Date.now()}`,
      namespace,
      ...(person === undefined ? {} : { annotations: { [ANNOTATION_REQUESTED_BY]: person } }),
    },
    spec,
  });
  const { name } = created.metadata;
  session.print([`ClusterOperation ${name} created`]);
  if (wait) await follow(session, { apiVersion: API_VERSION, kind: "ClusterOperation", namespace, name });
}

interface SelfSubjectReview extends KubeObject {
  readonly status?: { readonly userInfo?: { readonly username?: string } };
}

/** The name under which the API server knows the person; undefined when it does not tell. */
export async function whoAsks({ api }: Pick<Session, "api">): Promise<string | undefined> {
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview", metadata: {} };
  try {
    return (await api.create<SelfSubjectReview>(review)).status?.userInfo?.username;
  } catch (error) {
    if (isForbidden(error)) return undefined; // the operation is what was asked for, the name is for the log
    throw error;
  }
}

/** Prints every new word about the operation until it has ended, or the person has had enough. */
async function follow({ api, palette, signal }: Session, ref: ObjectRef): Promise<void> {
  const startMs = Date.now();
  const line = openLiveLine(
    process.stdout,
    (word) => `${palette.dim(duration(Date.now() - startMs).padStart(6))} ${word}`,
  );
  try {
    while (!signal.aborted) {
      const found = await api.get<KubeObject>(ref);
      if (found === undefined) throw new Error(`ClusterOperation ${ref.name} was deleted`);
      const { spec, status = {} } = ClusterOperation.parse(found);
      const { phase = "Pending", message = "no operator has looked at it yet" } = status;
      const paint = {
        Done: palette.green,
        Refused: palette.red,
        Failed: palette.red,
        Running: palette.bold,
        Pending: palette.dim,
      }[phase];
      const times = { elapsedMs: Date.now() - startMs, limitMs: deadlineSeconds(spec) * 1000 };
      line.tell(`${paint(phase)} ${message}`, progressLine(operationProgress(status), times, palette));
      if (phase === "Refused" || phase === "Failed") process.exitCode = EXIT.no;
      if (phase !== "Pending" && phase !== "Running") return;
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined); // aborted: the loop ends
    }
  } finally {
    line.end();
  }
}

const STUCK = ["Blocked", "RolledBack", "Held"];

async function showRollout(session: Session, name: string, output: Format | undefined): Promise<void> {
  const { palette, print } = session;
  const { status } = await readCluster(session, name);
  const rollout = status?.rollout;
  if (rollout === undefined) return print([`${name} was never rolled`]);
  if (STUCK.includes(rollout.phase)) process.exitCode = EXIT.no;
  if (output !== undefined) return print(formatted(output, rollout));
  const members = status?.desiredMembers ?? rollout.updated.length;
  const bar = progressBar({ done: rollout.updated.length, total: members }, palette);
  print([
    `${bar} ${rollout.updated.length}/${members} ${palette.bold(rollout.phase)} revision ${rollout.revision}${rollout.step === undefined ? "" : `, step ${rollout.step}`}`,
    ...(rollout.failed ?? []).map(({ revision, reason }) => `${palette.red("failed")} ${revision}: ${reason}`),
    ...(status?.blocked ?? []).map(({ guard, message }) => `${palette.red(`held back by ${guard}`)}: ${message}`),
  ]);
}
