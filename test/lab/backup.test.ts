/**
 * docs/backup.md as it is printed, on a real cluster with a real store: a backup under a client that counts, and another cluster that
 * begins with it.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { applyExample, removeNamespace } from "../../hack/scenario/example.ts";
import { inject } from "../../hack/scenario/faults.ts";
import { installOperator } from "../../hack/scenario/install.ts";
import { KUBECONFIG, KUBECTL, kubectl, lab, LAB_HOST } from "../../hack/scenario/lab.ts";
import { Terminal } from "../../hack/scenario/runbook.ts";
import { until } from "../../hack/scenario/shell.ts";
import { quorateSubject, type Subject } from "../../hack/scenario/subject.ts";
import { WriterRun } from "../../hack/scenario/writer-run.ts";
import { type S3Server, startS3Server } from "../engine/s3-server.ts";
import { expectNothingLost } from "./oracle.ts";

const PAGE = join(import.meta.dirname, "../../docs/backup.md");
const NAMESPACE = "backups";
const ORDERS = quorateSubject(NAMESPACE, "orders");
const RESTORED = quorateSubject(NAMESPACE, "restored");

let store: S3Server;
let folder: string;
let terminal: Terminal;

beforeAll(async () => {
  await lab("up");
  await installOperator();
  store = await startS3Server({ host: LAB_HOST });
  folder = await mkdtemp(join(tmpdir(), "quorate-backup-"));
  const kubeconfig = join(folder, "kubeconfig");
  await copyFile(KUBECONFIG, kubeconfig);
  terminal = await Terminal.open(folder, KUBECTL[0] ?? "", kubeconfig);
  await applyExample({ namespace: NAMESPACE, cluster: "orders" });
  await terminal.paste(`kubectl config set-context --current --namespace=${NAMESPACE}`);
  await ORDERS.untilHealthy(240_000);
});

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await store?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

/** What the page says, with a store that is there in place of the one that it names. */
function filled(text: string): string {
  return text
    .replaceAll("http://store.example:7070", store.endpoint)
    .replaceAll(/\bcopies\b/g, store.bucket)
    .replaceAll("access-key-id=quorate", `access-key-id=${store.credentials.accessKeyId}`)
    .replaceAll("secret-access-key=change-me", `secret-access-key=${store.credentials.secretAccessKey}`);
}

async function blocks(kind: "sh" | "yaml"): Promise<readonly string[]> {
  const text = await readFile(PAGE, "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${kind}\\n([^]*?)^\`\`\``, "gm"))].map(([, block = ""]) => filled(block));
}

async function ask(subject: Subject, query: string): Promise<string> {
  const { pod } = await subject.leader();
  const psql = ["psql", "-XqAt", "-h", "/run", "-U", "postgres", "-d", "app", "-c", query];
  return (await kubectl("-n", NAMESPACE, "exec", pod, "-c", "engine", "--", ...psql)).trim();
}

async function operations(): Promise<
  readonly { readonly type: string; readonly phase: string; readonly message: string; readonly path?: string }[]
> {
  const text = await kubectl("-n", NAMESPACE, "get", "clusteroperations", "-o", "json");
  const { items } = JSON.parse(text) as {
    readonly items: readonly { spec: { type: string }; status: { phase: string; message: string; path?: string } }[];
  };
  return items.map(({ spec, status }) => ({ ...spec, ...status }));
}

test("a backup is made as the page says, under a client, and nobody waits for it", async () => {
  const [keys = "", make = ""] = await blocks("sh");
  await terminal.paste(`set -e; ${keys}`);
  await until("the store's keys in every member", 240_000, async () => {
    const pods = await kubectl("-n", NAMESPACE, "get", "pods", "-l", "quorate.io/cluster=orders", "-o", "json");
    const { items } = JSON.parse(pods) as { readonly items: readonly { spec: { volumes: { name: string }[] } }[] };
    return items.every(({ spec }) => spec.volumes.some(({ name }) => name === "store")) ? true : undefined;
  });
  await ORDERS.untilHealthy(240_000);
  const writer = new WriterRun({ ...ORDERS.writer, name: "writer-backup", seconds: 0 });
  await writer.start();
  await until("rows", 60_000, async () =>
    Number(await ask(ORDERS, "select count(*) from quorate_writes")) > 100 ? true : undefined,
  );
  await ask(ORDERS, "create table before_the_backup as select seq from quorate_writes");
  await terminal.paste(`set -e; ${make}`);
  await ask(ORDERS, "create table after_the_backup (id int)");
  expect(await operations()).toMatchObject([
    { type: "Backup", phase: "Done", path: expect.stringMatching(/^backups\/orders\/\d{8}T\d{6}Z-/) },
  ]);
  const verdict = await writer.finish();
  process.stdout.write(`largest write gap beside a backup ${verdict.largestGapMs} ms\n`);
  expectNothingLost(verdict);
});

test("a backup whose member goes away in the middle is made by another", async () => {
  await ask(
    ORDERS,
    "create table large as select n, repeat(md5(n::text), 40) as filler from generate_series(1, 200000) n",
  );
  await terminal.paste("kubectl quorate operation backup orders --no-wait");
  const member = await until("who makes it", 60_000, async () => {
    const intent = await kubectl("-n", NAMESPACE, "get", "configmap", "orders-intent", "-o", "jsonpath={.data}");
    return /"task":\{[^}]*"member":"([^"]+)"/.exec(intent.replaceAll('\\"', '"'))?.[1];
  });
  await kubectl("-n", NAMESPACE, "delete", "pod", `${member}-0`, "--grace-period=0", "--force");
  const ended = await until("the end of the second backup", 240_000, async () => {
    const all = await operations();
    return all.length === 2 && all.every(({ phase }) => phase !== "Running") ? all : undefined;
  });
  expect(ended.map(({ phase, message }) => `${phase}: ${message}`)).toEqual([
    expect.stringMatching(/^Done/),
    expect.stringMatching(/^Done/),
  ]);
  await ORDERS.untilHealthy(240_000);
});

test("another cluster begins with it as the page says, fails over, and its copies are whole", async () => {
  const [, , apply = "", verify = ""] = await blocks("sh");
  const [, manifest = ""] = await blocks("yaml");
  const [{ path } = { path: "" }] = await operations();
  await writeFile(join(folder, "restored.yaml"), manifest.replace(/path: .*/, `path: ${path}`));
  await terminal.paste(`set -e; ${apply}`);
  await RESTORED.untilHealthy(240_000);
  const missing = "select count(*) from before_the_backup b left join quorate_writes w using (seq) where w.seq is null";
  expect(await ask(RESTORED, missing)).toBe("0");
  expect(Number(await ask(RESTORED, "select count(*) from before_the_backup"))).toBeGreaterThan(100);
  expect(await ask(RESTORED, "select to_regclass('after_the_backup') is null")).toBe("t");
  const writer = new WriterRun({ ...RESTORED.writer, name: "writer-restored", seconds: 0 });
  await writer.start();
  await inject("engine-kill", RESTORED);
  await RESTORED.untilHealthy(120_000);
  expectNothingLost(await writer.finish());
  await terminal.paste(verify.replace("orders", "restored"));
  const said = await kubectl(
    "-n",
    NAMESPACE,
    "get",
    "events",
    "--field-selector=reason=Restored",
    "-o",
    "jsonpath={.items[*].message}",
  );
  expect(said).toContain(`The cluster begins with backup ${path ?? ""}`);
});
