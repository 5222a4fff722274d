// kubectl quorate force-promote: shows what would be lost; does it when told so, in the name of whoever is asking.
import type { Command } from "commander";
import * as z from "zod";
import type { ClusterSpec } from "../../api/cluster-spec.ts";
import { ANNOTATION_LEADER, ANNOTATION_SYNC, nameOf } from "../../api/names.ts";
import type { KubeObject } from "../../kube/object.ts";
import { carryOut } from "./operation.ts";
import { EXIT, inSession, readCluster, type Session } from "./session.ts";

interface Options {
  readonly member: string;
  readonly lost?: readonly string[];
  readonly reason?: string;
  readonly acceptLoss?: string;
  readonly wait: boolean;
}

/** Whose confirmations the last leader counted, as the Lease has it. */
interface LastLeader {
  readonly name: string;
  readonly epoch: number;
  readonly confirming: readonly string[];
}

const SyncNote = z.object({ epoch: z.int(), names: z.array(z.string()) });

/** Adds `force-promote`. */
export function addForcePromote(program: Command): void {
  program
    .command("force-promote")
    .argument("<name>", "ClusterSpec")
    .requiredOption("-m, --member <member>", "member that shall lead")
    .option("--lost <members...>", "members that are gone for good: their nodes are off, or their pods are gone")
    .option("--reason <words>", "why, for those who look into it later")
    .option("--accept-loss <words>", "which writes you accept to lose; without it, nothing is changed")
    .option("--no-wait", "do not wait for its end")
    .description(
      "Let a member lead although acknowledged writes may be lost, when the members that have them are gone for good. Without --accept-loss it only says what would be lost.",
    )
    .action((name: string, options: Options, command: Command) =>
      inSession(command, (session) => forcePromote(session, name, options)),
    );
}

async function forcePromote(session: Session, name: string, options: Options): Promise<void> {
  const { member, lost = [], reason, acceptLoss, wait } = options;
  const cluster = await readCluster(session, name);
  const last = await lastLeader(session, name);
  session.print(lossText(session, cluster, last, options));
  if (acceptLoss === undefined || reason === undefined) {
    process.exitCode = EXIT.no;
    return session.print(["Nothing was changed. To go on, give --reason and --accept-loss, in your words."]);
  }
  const approvedBy = await userName(session);
  const forcePromotion = {
    lostMembers: [...lost],
    epoch: last.epoch,
    acceptedLoss: acceptLoss,
    approvedBy,
    reason,
  };
  await carryOut(session, { clusterName: name, type: "ForcePromote", member, forcePromotion }, wait);
}

/** @throws {Error} when the cluster was never led: then there is nothing to lose, and nothing to promote. */
async function lastLeader({ api, namespace }: Session, name: string): Promise<LastLeader> {
  const lease = await api.get<KubeObject>({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    namespace,
    name: nameOf.lease(name),
  });
  const annotations = lease?.metadata.annotations ?? {};
  const note = annotations[ANNOTATION_SYNC];
  if (note === undefined) throw new Error(`the Lease of ${name} names no leader: the cluster was never led`);
  const { epoch, names } = SyncNote.parse(JSON.parse(note));
  return { name: annotations[ANNOTATION_LEADER] ?? "", epoch, confirming: names };
}

function lossText({ palette }: Session, cluster: ClusterSpec, last: LastLeader, options: Options): string[] {
  const { member, lost = [] } = options;
  const had = [last.name, ...last.confirming];
  const said = (one: string): string => {
    const found = cluster.status?.members?.find(({ name }) => name === one);
    const parts = [found?.state ?? "Absent", ...(found?.lag === undefined ? [] : [`lag ${found.lag}`])];
    const role = had.includes(one) ? "has, or may have, what was acknowledged" : "was not waited for";
    const fate = one === member ? "shall lead" : lost.includes(one) ? "given up" : "has to answer";
    return `  ${one}: ${palette.bold(fate)}; ${role}; ${parts.join(", ")}`;
  };
  const members = cluster.status?.members?.map(({ name }) => name) ?? [];
  return [
    `${last.name} led last, epoch ${last.epoch}; writes were acknowledged once ${last.confirming.join(", ") || "nobody else"} had confirmed them.`,
    ...[...new Set([...members, member, ...lost])].map(said),
    palette.red(`What only ${lost.join(", ") || "members without a readable copy"} had is lost for good.`),
    "A member that is given up and still runs, cut off, goes on writing: switch its node off first.",
  ];
}

interface SelfSubjectReview extends KubeObject {
  readonly status?: { readonly userInfo?: { readonly username?: string } };
}

/** The name by which the API server knows whoever asks. @throws {Error} when it does not say: nobody else can sign. */
async function userName({ api }: Session): Promise<string> {
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview", metadata: {} };
  const { status } = await api.create<SelfSubjectReview>(review);
  if (status?.userInfo?.username === undefined) throw new Error("the API server does not say who you are");
  return status.userInfo.username;
}
