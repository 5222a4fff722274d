/** The peer of etcd under the operator: etcd under a StatefulSet, which elects its leader as it always does. */
import { until } from "../../hack/scenario/shell.ts";
import type { LeaderPod } from "../../hack/scenario/subject.ts";
import { startKeyClient } from "../counting-clients.ts";
import type { Contender } from "./contender.ts";
import { plainContender } from "./plain-contender.ts";
import { engineDefaults, PASSWORD, PlainSet } from "./plain-set.ts";

const NAME = "etcd";
const PORT = 2379;
const PEER_PORT = 2380;
const MEMBERS = 3;

function serverScript(domain: string, parameters: readonly string[]): string {
  const cluster = Array.from(
    { length: MEMBERS },
    (_, at) => `${NAME}-${at}=http://${NAME}-${at}.${domain}:${PEER_PORT}`,
  );
  return `#!/bin/bash
exec etcd --name="$HOSTNAME" --data-dir=/data/etcd --initial-cluster-state=new --initial-cluster=${cluster.join(",")} \\
  --listen-peer-urls=http://0.0.0.0:${PEER_PORT} --initial-advertise-peer-urls="http://$HOSTNAME.${domain}:${PEER_PORT}" \\
  --listen-client-urls=http://0.0.0.0:${PORT} --advertise-client-urls="http://$HOSTNAME.${domain}:${PORT}" \\
  --bcrypt-cost=4 ${parameters.join(" ")}
`;
}

const CTL = ["etcdctl", `--user=root:${PASSWORD}`, "--command-timeout=4s"] as const;

/** The same timings as ours: those that etcd comes with. */
export async function etcdContender(name: string, namespace: string): Promise<Contender> {
  const domain = `${NAME}.${namespace}.svc.cluster.local`;
  const parameters = Object.entries(await engineDefaults("etcd")).map(([key, value]) => `--${key}=${value}`);
  const set = new PlainSet({
    namespace,
    name: NAME,
    image: "localhost/etcd:3.6",
    replicas: MEMBERS,
    port: PORT,
    containers: [
      {
        name: "server",
        command: ["/files/server"],
        resources: { requests: { cpu: "100m", memory: "256Mi" } },
        readinessProbe: { httpGet: { path: "/readyz", port: PORT }, periodSeconds: 2 },
      },
    ],
    files: { server: serverScript(domain, parameters) },
  });
  /** Fields of the leader's line: its address, its identity, and what else is told. */
  const leaderLine = (): Promise<readonly string[]> =>
    until("a leader of the group", 30_000, async () => {
      const text = await set.execAnywhere(...CTL, "endpoint", "status", "--cluster");
      const lines = text.split("\n").map((line) => line.split(", "));
      // The first of the two answers is whether it leads, the second whether it learns.
      return lines.find((fields) => fields.find((field) => /^(true|false)$/.test(field)) === "true");
    });
  const leader = async (): Promise<LeaderPod> => {
    const [address = ""] = await leaderLine();
    const pod = await set.pod(/^http:\/\/([^.]*)\./.exec(address)?.[1] ?? "");
    if (pod === undefined) throw new Error(`no pod at ${address}`);
    return pod;
  };
  const makeAccounts = async (): Promise<void> => {
    const steps = [
      ["user", "add", `root:${PASSWORD}`],
      ["user", "grant-role", "root", "root"],
      ["role", "add", "app"],
      ["role", "grant-permission", "app", "--prefix=true", "readwrite", ""],
      ["user", "add", `app:${PASSWORD}`],
      ["user", "grant-role", "app", "app"],
      ["auth", "enable"],
    ];
    for (const step of steps) await set.execAnywhere("etcdctl", ...step);
  };
  return plainContender(name, namespace, {
    set,
    leader,
    wholeness: "all members to be healthy",
    isWhole: async () => {
      await set.execAnywhere(...CTL, "endpoint", "health", "--cluster");
      return true;
    },
    formMs: 60_000,
    form: makeAccounts,
    switchover: async () => {
      const text = await set.execAnywhere(...CTL, "endpoint", "status", "--cluster");
      const [from = "", own = ""] = await leaderLine();
      const ids = text.split("\n").map((line) => line.split(", ")[1] ?? "");
      const to = ids.find((id) => id !== "" && id !== own) ?? "";
      await set.execAnywhere(...CTL, `--endpoints=${from}`, "move-leader", to);
    },
    isEngine: ({ command }) => command.startsWith("etcd "),
    startClient: () => startKeyClient(set.pods, PASSWORD),
  });
}
