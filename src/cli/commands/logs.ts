// kubectl quorate logs
import { type Command, InvalidArgumentError } from "commander";
import pc from "picocolors";
import { LABEL_CLUSTER, LABEL_MEMBER } from "../../api/names.ts";
import { listAll } from "../../kube/list.ts";
import type { KubeObject, Stored } from "../../kube/object.ts";
import { type LogLine, linesOf, merged } from "../log-lines.ts";
import { inSession, readCluster, type Session } from "./session.ts";

const CONTAINER = "engine";
const TAIL = 100;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
const COLOURS = [pc.cyan, pc.magenta, pc.yellow, pc.green, pc.blue];

interface LogsOptions {
  readonly member?: string;
  readonly follow?: boolean;
  readonly since?: number;
  readonly tail?: number;
}

/** Adds the command. */
export function addLogs(program: Command): void {
  program
    .command("logs")
    .argument("<name>", "ClusterSpec")
    .option("-m, --member <member>", "this member only")
    .option("-f, --follow", "stay, and print what comes")
    .option("--since <duration>", "only lines newer than this, such as 10m", durationSeconds)
    .option("--tail <lines>", `last lines of each member; ${TAIL} when --since is left out`, lineCount)
    .description("Print what members' agents and engines say, in the order of time, each line with its member.")
    .action((name: string, options: LogsOptions, command: Command) =>
      inSession(command, (session) => showLogs(session, name, options)),
    );
}

async function showLogs(session: Session, name: string, options: LogsOptions): Promise<void> {
  await readCluster(session, name);
  const pods = await memberPods(session, name);
  const wanted = pods.filter((pod) => options.member === undefined || memberOf(pod) === options.member);
  if (wanted.length === 0)
    throw new Error(`${options.member ?? name} has no pod: members are ${pods.map(memberOf).join(", ")}`);
  const width = Math.max(...wanted.map((pod) => memberOf(pod).length));
  const show = (line: LogLine, index: number) =>
    session.print([`${(COLOURS[index % COLOURS.length] ?? String)(line.member.padEnd(width))} ${line.text}`]);
  const order = wanted.map(memberOf);
  if (options.follow === true) {
    await Promise.all(wanted.map((pod, index) => eachLine(session, pod, options, (line) => show(line, index))));
    return;
  }
  const lines = await readLogs(session, wanted, options);
  for (const line of merged(lines)) show(line, order.indexOf(line.member));
}

/** The pods of a cluster's members. */
export async function memberPods({ api, namespace }: Session, cluster: string): Promise<readonly Stored<KubeObject>[]> {
  const labelSelector = `${LABEL_CLUSTER}=${cluster},${LABEL_MEMBER}`;
  return (await listAll<KubeObject>(api, { apiVersion: "v1", kind: "Pod", namespace, labelSelector })).items;
}

/** The member that a pod is of. */
export function memberOf({ metadata }: KubeObject): string {
  return metadata.labels?.[LABEL_MEMBER] ?? metadata.name ?? "";
}

/** All lines of several pods that there are now. */
export async function readLogs(
  session: Session,
  pods: readonly Stored<KubeObject>[],
  options: Pick<LogsOptions, "since" | "tail">,
): Promise<readonly LogLine[]> {
  const lines: LogLine[] = [];
  await Promise.all(pods.map((pod) => eachLine(session, pod, options, (line) => void lines.push(line))));
  return lines;
}

async function eachLine(
  { api, namespace, signal }: Session,
  pod: Stored<KubeObject>,
  { follow = false, since, tail }: LogsOptions,
  take: (line: LogLine) => void,
): Promise<void> {
  const tailLines = tail ?? (since === undefined ? TAIL : undefined);
  const options = { container: CONTAINER, follow, sinceSeconds: since, tailLines, signal };
  try {
    const chunks = api.pods.logs({ namespace, name: pod.metadata.name }, options);
    for await (const line of linesOf(memberOf(pod), chunks)) take(line);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function durationSeconds(text: string): number {
  const [, count, unit] = /^([1-9][0-9]*)([smhd])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined)
    throw new InvalidArgumentError("Give a number and s, m, h or d, such as 10m.");
  return Number(count) * SECONDS[unit as keyof typeof SECONDS];
}

function lineCount(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("Give a whole number of lines.");
}
