// The configuration for Alertmanager, in a real one: who is told what, and what nobody is told because something else explains it.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { claimPort } from "../../src/conformance/ports.ts";
import { alertmanagerConfig, inhibitRules } from "../../src/slo/alertmanager.ts";
import { ALERTS } from "../../src/slo/alerts.ts";
import { close, listen } from "./harness.ts";

const execute = promisify(execFile);

/** What Alertmanager sends to a webhook, as far as it is looked at. */
interface Message {
  readonly receiver: string;
  readonly groupLabels: Readonly<Record<string, string>>;
  readonly alerts: readonly { readonly labels: Readonly<Record<string, string>> }[];
}

let folder: string;
let file: string;
let url: string;
let child: ChildProcess;
let inbox: Server;
const messages: Message[] = [];

/** The configuration as it ships, but for addresses and how long it collects what belongs together. */
function hurried(inboxUrl: string): string {
  const json = JSON.stringify(alertmanagerConfig());
  return json.replaceAll(/http:[^"]*example/g, inboxUrl).replaceAll(/"group_wait":"[0-9]+s"/g, '"group_wait":"1s"');
}

beforeAll(async () => {
  inbox = createServer((request, response) => {
    text(request).then(
      (body) => {
        messages.push(JSON.parse(body) as Message);
        response.end();
      },
      (error: Error) => response.destroy(error),
    );
  });
  const inboxUrl = `http://127.0.0.1:${await listen(inbox)}`;
  folder = await mkdtemp(join(tmpdir(), "quorate-alertmanager-"));
  file = join(folder, "alertmanager.yml");
  await writeFile(file, hurried(inboxUrl)); // JSON is YAML
  const address = `127.0.0.1:${await claimPort()}`;
  url = `http://${address}`;
  child = spawn(
    "/usr/bin/prometheus-alertmanager",
    [
      `--config.file=${file}`,
      `--storage.path=${join(folder, "data")}`,
      `--web.listen-address=${address}`,
      "--cluster.listen-address=",
      "--log.level=error",
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  await vi.waitFor(
    async () => {
      const { status } = await fetch(`${url}/-/ready`);
      if (status !== 200) throw new Error(`Alertmanager is not ready: ${status}`);
    },
    { timeout: 60_000, interval: 200 },
  );
});

afterAll(async () => {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
  await close(inbox);
  await rm(folder, { recursive: true, force: true });
});

const severityOf = (alertname: string) => ALERTS.find(({ name }) => name === alertname)?.severity ?? "ticket";

async function fire(alerts: readonly (readonly [alertname: string, cluster: string])[]): Promise<void> {
  const body = alerts.map(([alertname, cluster]) => ({
    labels: { alertname, severity: severityOf(alertname), ...(cluster === "" ? {} : { namespace: "shop", cluster }) },
  }));
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${url}/api/v2/alerts`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(200);
}

/** What was told about a cluster, as `receiver alert`. */
function toldOf(cluster: string): string[] {
  return messages
    .filter(({ groupLabels }) => groupLabels["cluster"] === (cluster === "" ? undefined : cluster))
    .flatMap(({ receiver, alerts }) => alerts.map(({ labels }) => `${receiver} ${labels["alertname"] ?? ""}`));
}

test("amtool finds nothing wrong with it", async () => {
  expect((await execute("/usr/bin/amtool", ["check-config", file])).stdout).toContain("SUCCESS");
});

test.each([
  { severity: "page", receiver: "pager" },
  { severity: "ticket", receiver: "tickets" },
])("a $severity goes to the $receiver", async ({ severity, receiver }) => {
  const { stdout } = await execute("/usr/bin/amtool", [
    "config",
    "routes",
    "test",
    `--config.file=${file}`,
    `severity=${severity}`,
  ]);
  expect(stdout.trim()).toBe(receiver);
});

describe("when several alerts fire", { timeout: 60_000 }, () => {
  test("a lost quorum is told, and nothing that follows from it; another cluster's troubles are", async () => {
    await fire([
      ["QuorateQuorumLost", "orders"],
      ["QuorateNoLeader", "orders"],
      ["QuorateReplicaLag", "orders"],
      ["QuorateBudgetBurnsFast", "orders"],
      ["QuorateVolumeFull", "orders"],
      ["QuorateReplicaLag", "carts"],
    ]);
    await vi.waitFor(() => expect(toldOf("carts")).toEqual(["tickets QuorateReplicaLag"]), { timeout: 30_000 });
    await vi.waitFor(
      () => expect(toldOf("orders").toSorted()).toEqual(["pager QuorateQuorumLost", "pager QuorateVolumeFull"]),
      { timeout: 30_000 },
    );
  });

  test("a slow API server explains slow Leases of every cluster", async () => {
    await fire([
      ["QuorateApiSlow", ""],
      ["QuorateLeaseSlow", "basket"],
      ["QuorateChangeStuck", "basket"],
    ]);
    await vi.waitFor(() => expect(toldOf("basket")).toEqual(["tickets QuorateChangeStuck"]), { timeout: 30_000 });
    await vi.waitFor(() => expect(toldOf("")).toEqual(["tickets QuorateApiSlow"]), { timeout: 30_000 });
  });

  test("an operator that is down explains budgets that nobody knows: of clusters without agents it counts them", async () => {
    await fire([
      ["QuorateOperatorDown", ""],
      ["QuorateBudgetUnknown", "web"],
      ["QuorateRolloutFailed", "web"],
    ]);
    await vi.waitFor(() => expect(toldOf("web")).toEqual(["tickets QuorateRolloutFailed"]), { timeout: 30_000 });
  });

  test("what belongs to one cluster comes in one message", async () => {
    await fire([
      ["QuorateMemberKilled", "stock"],
      ["QuorateRolloutFailed", "stock"],
    ]);
    await vi.waitFor(() => expect(toldOf("stock")).toHaveLength(2), { timeout: 30_000 });
    expect(messages.filter(({ groupLabels }) => groupLabels["cluster"] === "stock")).toHaveLength(1);
  });
});

test("an outage hides its consequences and never another outage of its kind", () => {
  const hiddenBy = (cause: string) =>
    inhibitRules()
      .filter(({ source_matchers: [matcher = ""] }) => matcher.includes(`"${cause}"`))
      .flatMap(({ target_matchers: [matcher = ""] }) => /"(.*)"/.exec(matcher)?.[1]?.split("|") ?? []);
  expect(hiddenBy("QuorateQuorumLost")).toEqual(expect.arrayContaining(["QuorateReplicaLag", "QuorateNoLeader"]));
  for (const alert of ["QuorateSplitBrain", "QuorateVolumeFull", "QuorateClusterDown"]) {
    expect(hiddenBy("QuorateQuorumLost")).not.toContain(alert);
  }
});
