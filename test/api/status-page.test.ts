// The status page in a real browser, before a real API server that says who asks and what they may see.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { Access } from "../../src/web/access.ts";
import { clusterNames, clusterPage } from "../../src/web/cluster-pages.ts";
import { startStatusServer } from "../../src/web/server.ts";
import { admin, atRest, clusterRef, controller, plane, runningCluster } from "./operator-world.ts";
import { OPERATOR_ACCOUNT } from "./rights.ts";

const PHONE = { width: 390, height: 844 };
/** Where pictures go, for people to look at. */
const PICTURES = join(import.meta.dirname, "../../dist/pictures");

let browser: Browser;
/** With the rights that the operator is installed with. */
let reviewer: KubeClient;

beforeAll(async () => {
  await mkdir(PICTURES, { recursive: true });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const { namespace, name } = OPERATOR_ACCOUNT;
  reviewer = await plane.client(await plane.accountKubeconfig(namespace, name));
});
afterAll(async () => {
  await browser?.close();
  reviewer?.close();
});

/** A page at the present operator, as the program serves it. */
async function statusPage(): Promise<{ readonly address: string; close(): Promise<void> }> {
  const { stores, timeline } = controller;
  const budgetsOf = (key: string) => controller.budgetsOf(key);
  const started = await startStatusServer({
    host: "127.0.0.1",
    port: 0,
    access: new Access(reviewer, systemClock),
    clusters: () => clusterNames(stores),
    pageOf: (cluster) => clusterPage({ stores, budgetsOf, timelineOf: (key) => timeline.of(key) }, cluster),
    now: () => new Date(),
    log: pino({ level: "silent" }),
  });
  return { address: `http://127.0.0.1:${started.port}`, close: () => started.close() };
}

/** A token of a service account that is made for it. @param namespace - Where it may list ClusterSpecs; undefined: nowhere. */
async function tokenOf(account: string, namespace: string | undefined): Promise<string> {
  await plane.kubectl("create", "serviceaccount", account);
  if (namespace !== undefined) {
    await plane.kubectl(
      "create",
      "role",
      account,
      "--verb=list",
      "--resource=clusterspecs.quorate.io",
      "-n",
      namespace,
    );
    const subject = `--serviceaccount=default:${account}`;
    await plane.kubectl("create", "rolebinding", account, `--role=${account}`, subject, "-n", namespace);
  }
  return (await plane.kubectl("create", "token", account)).trim();
}

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token of a Kubernetes account").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** How much wider than the screen the page is. As text, because it runs in the browser. */
const OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth";

test("people see the clusters that they may list, on a phone as well, and nobody else's", {
  timeout: 180_000,
}, async () => {
  await runningCluster("orders", { slo: {} });
  // Something that is held back, and says how to let it pass.
  await admin.mergePatch(clusterRef("orders"), { spec: { paused: true, members: 5 } });
  await atRest();
  const served = await statusPage();
  const page = await browser.newPage({ viewport: PHONE, deviceScaleFactor: 2 });
  const refused: string[] = [];
  page.on("console", (message) => refused.push(message.text()));
  try {
    await page.goto(served.address);
    await signIn(page, "no.such.token");
    await expect(page.getByRole("alert").textContent()).resolves.toContain("does not know this token");

    await signIn(page, await tokenOf("stranger", undefined));
    await expect(page.locator("main").textContent()).resolves.toContain("no clusters that you may see");
    await page.getByRole("button", { name: "Sign out" }).click();

    await signIn(page, await tokenOf("viewer", "default"));
    const cluster = page.locator("section");
    await expect(cluster.count()).resolves.toBe(1);
    await expect(cluster.locator("h2").textContent()).resolves.toContain("default/orders");
    await expect(cluster.locator(".members li").allTextContents()).resolves.toEqual([
      expect.stringMatching(/★ orders-0.*Leader/),
      expect.stringMatching(/● orders-1.*lag/),
      expect.stringMatching(/● orders-2.*lag/),
    ]);
    await expect(cluster.locator(".blocked").textContent()).resolves.toMatch(/NotPaused.*To let it pass/s);
    await expect(cluster.locator(".warn").allTextContents()).resolves.toContainEqual(
      expect.stringContaining("The objectives of spec.slo cannot be judged"),
    );
    await expect(cluster.locator(".timeline li").allTextContents()).resolves.toEqual([
      expect.stringContaining("orders-0"),
    ]);
    await expect(page.evaluate(OVERFLOW)).resolves.toBe(0);
    await page.screenshot({ path: join(PICTURES, "status-page-phone.png"), fullPage: true });
    await page.setViewportSize({ width: 1280, height: 800 });
    await expect(page.evaluate(OVERFLOW)).resolves.toBe(0);
    await page.screenshot({ path: join(PICTURES, "status-page.png"), fullPage: true });
    // The first answer was a 401, which browsers tell; that our own style or form were refused they would tell, too.
    expect(refused.filter((text) => !text.includes("401"))).toEqual([]);
    expect(await page.context().cookies()).toEqual([
      expect.objectContaining({ name: "quorate-token", httpOnly: true, sameSite: "Strict" }),
    ]);
  } finally {
    await page.close();
    await served.close();
  }
});
