/**
 * docs/start.md as somebody follows it who has nothing but that page: every command as it is printed, in order, on a cluster without an
 * operator. What it printed is in dist/start-transcript.txt afterwards, from where docs/transcript.md has it.
 */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeNamespace } from "../../hack/scenario/example.ts";
import { HELM, installOperator, removeOperator } from "../../hack/scenario/install.ts";
import { KUBECONFIG, KUBECTL, kubectl, lab } from "../../hack/scenario/lab.ts";
import { Terminal } from "../../hack/scenario/runbook.ts";

const ROOT = join(import.meta.dirname, "../..");
const NAMESPACE = "demo";
/** Whose no is an answer: a laboratory is not what production asks for. */
const MAY_SAY_NO = ["kubectl quorate preflight"];
let folder: string;

beforeAll(async () => {
  await lab("up");
  await lab("images", "agent", "operator"); // the chart asks for those of its version
  await removeNamespace(NAMESPACE);
  await removeOperator();
  folder = await mkdtemp(join(tmpdir(), "quorate-start-"));
});

afterAll(async () => {
  await removeNamespace(NAMESPACE);
  await removeOperator();
  await installOperator(); // as the other tests expect it
  if (folder !== undefined) await rm(folder, { recursive: true });
});

/** What the page tells people to type, in order. */
async function commands(): Promise<readonly string[]> {
  const text = await readFile(join(ROOT, "docs/start.md"), "utf8");
  return [...text.matchAll(/^```sh\n([^]*?)^```/gm)].flatMap(([, block = ""]) => block.trim().split("\n"));
}

/** Members in the order in which their pods were made. */
async function membersByAge(): Promise<readonly string[]> {
  const each = "{.metadata.creationTimestamp} {.metadata.labels.quorate\\.io/member}{'\\n'}";
  const path = `jsonpath={range .items[*]}${each}{end}`;
  const text = await kubectl("-n", NAMESPACE, "get", "pods", "-l", "quorate.io/cluster=orders", "-o", path);
  return text
    .trim()
    .split("\n")
    .toSorted()
    .map((line) => line.split(" ")[1] ?? "");
}

/** A connection's address as it can be shown. */
function withoutPassword(text: string): string {
  return text.replaceAll(/(:\/\/\w+:)[^@\s]+@/g, "$1…@");
}

test("every command works as it is printed, and the cluster is what the page says", async () => {
  for (const name of ["charts", "examples"]) await symlink(join(ROOT, name), join(folder, name));
  const terminal = await Terminal.open(folder, KUBECTL[0] ?? "", KUBECONFIG);
  await symlink(HELM, join(folder, "programs/helm"));
  const printed = new Map<string, string>();
  let transcript = "";
  let replaced: readonly string[] = [];
  for (const command of await commands()) {
    // With what it says beside its output, as a terminal shows it.
    const orNo = MAY_SAY_NO.some((start) => command.startsWith(start)) ? "|| [ $? -eq 2 ]" : "";
    const text = await terminal
      .paste(`cd ${folder}; set -o pipefail; { ${command}; } 2>&1 ${orNo}`)
      .catch((error: Error & { readonly stdout?: string }) => {
        throw new Error(`${transcript}$ ${command}\n${withoutPassword(error.stdout ?? "")}`, { cause: error });
      });
    if (command.startsWith("kubectl quorate wait") && replaced.length === 0) replaced = await membersByAge();
    transcript += `$ ${command}\n${withoutPassword(text).trimEnd()}\n`;
    printed.set(command, `${printed.get(command) ?? ""}${text}`);
  }
  await mkdir(join(ROOT, "dist"), { recursive: true });
  await writeFile(join(ROOT, "dist/start-transcript.txt"), transcript);
  process.stdout.write(transcript);

  const said = (start: string): string => [...printed].find(([command]) => command.startsWith(start))?.[1] ?? "";
  expect(said("helm install")).toContain("STATUS: deployed");
  expect(said("kubectl quorate status").match(/3\/3 ready/g)).toHaveLength(2);
  expect(said("kubectl get secret")).toMatch(/^postgresql:\/\/\S+@orders-rw\.demo\.svc\S*$/m);
  const planned = [...said("kubectl quorate plan").matchAll(/replace the pod of (\S+)/g)].map(([, member]) => member);
  expect(planned).toHaveLength(3);
  expect(replaced).toEqual(planned);
  expect(said("kubectl get pvc").match(/^\S*orders-\d\S* +Bound/gm)).toHaveLength(3);
});
