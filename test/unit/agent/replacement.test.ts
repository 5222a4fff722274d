import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AgentBundle, packBundle, readBundle, unpackBundle } from "../../../src/agent-bundle.ts";
import type { Intent } from "../../../src/api/agent-wire.ts";
import {
  type Choice,
  choiceFolder,
  chooseStart,
  keepBundle,
  OF_IMAGE,
  programOf,
  readChoice,
  writeChoice,
} from "../../../src/agent/replacement/choice.ts";
import { Replacement } from "../../../src/agent/replacement/replacement.ts";
import type { KubeObject, Stored } from "../../../src/kube/object.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-replacement-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A bundle whose program is this text. */
async function bundle(text: string): Promise<AgentBundle> {
  const made = join(folder, `made-${text}`);
  await mkdir(made, { recursive: true });
  await writeFile(join(made, "agent.mjs"), text);
  await writeFile(join(made, "otlp.mjs"), "traces");
  const read = await readBundle(made);
  if (read === undefined) throw new Error("not made");
  return read;
}

describe("a bundle", () => {
  test("is the same after it was packed and unpacked, and another when any file is", async () => {
    const one = await bundle("one");
    expect(await unpackBundle(await packBundle(one))).toEqual(one);
    expect((await bundle("two")).hash).not.toBe(one.hash);
    const swapped = { hash: "", files: new Map([...one.files].map(([name]) => [name, Buffer.from("one")])) };
    expect((await unpackBundle(await packBundle(swapped))).hash).not.toBe(one.hash);
  });

  test("is none where the programs run from their sources", async () => {
    expect(await readBundle(import.meta.dirname)).toBeUndefined();
  });

  test.each([
    ["nothing", {}, "agent.mjs.gz is missing"],
    ["no archive", { "agent.mjs.gz": "AAAA", "otlp.mjs.gz": "AAAA" }, "incorrect header check"],
  ])("is refused when there is %s in its place", async (_what, packed, why) => {
    await expect(unpackBundle(packed)).rejects.toThrow(why);
  });

  test("is refused when it unpacks to more than an agent can have", async () => {
    const packed = await packBundle({ hash: "", files: new Map([["agent.mjs", Buffer.alloc(17 * 2 ** 20)]]) });
    await expect(unpackBundle({ ...packed, "otlp.mjs.gz": packed["agent.mjs.gz"] ?? "" })).rejects.toThrow(/larger/);
  });
});

describe("what is started", () => {
  const TAKEN: Choice = { ...OF_IMAGE, hash: "new", serveWithinMs: 2000 };

  test("is the image's agent, where none was taken", () => {
    expect(chooseStart(OF_IMAGE)).toBe(OF_IMAGE);
  });

  test("is one that never served only once", () => {
    const first = chooseStart(TAKEN);
    expect(first).toMatchObject({ hash: "new", starts: 1 });
    expect(chooseStart(first)).toEqual({ ...OF_IMAGE, refused: { hash: "new", reason: "it ended before it served" } });
    expect(chooseStart({ ...first, failure: "it did not serve within 2000 ms" }).refused).toEqual({
      hash: "new",
      reason: "it did not serve within 2000 ms",
    });
  });

  test("is one that served until it ended three times in a row", () => {
    let choice: Choice = { ...TAKEN, isProven: true };
    for (let starts = 1; starts <= 3; starts += 1) {
      choice = chooseStart(choice);
      expect(choice).toMatchObject({ hash: "new", starts });
    }
    expect(chooseStart(choice).refused?.reason).toBe("it ended 3 times soon after its start");
  });

  test("is the image's after at most three starts that came to nothing, whatever was noted before", () => {
    const noted = fc.record({
      hash: fc.constantFrom(null, "new"),
      starts: fc.nat(9),
      isProven: fc.boolean(),
      serveWithinMs: fc.nat(),
    });
    fc.assert(
      fc.property(noted, (before) => {
        let choice: Choice = before;
        for (let starts = 0; starts < 4; starts += 1) choice = chooseStart(choice);
        expect(choice.hash).toBeNull();
        expect(chooseStart(choice)).toBe(choice);
      }),
    );
  });

  test("is the image's when the note is damaged", async () => {
    await mkdir(choiceFolder(folder));
    await writeFile(join(choiceFolder(folder), "choice.json"), '{"hash":');
    expect(await readChoice(choiceFolder(folder))).toBe(OF_IMAGE);
  });
});

describe("a member's turn", () => {
  let offered: Readonly<Record<string, string>> | undefined;
  let within: () => number | undefined;
  let ended: number;
  let failures: number;

  beforeEach(() => {
    offered = undefined;
    within = () => 2000;
    ended = 0;
    failures = 0;
  });

  /** The agent of orders-1, which is the one of that text. */
  async function agent(text = "own"): Promise<Replacement> {
    const own = await bundle(text);
    await keepBundle(join(folder, "image"), own, null);
    const replacement = new Replacement({
      api: {
        list: <T extends KubeObject>() => {
          if (failures > 0) return Promise.reject(new Error("away"));
          const items = offered === undefined ? [] : [{ binaryData: offered } as unknown as Stored<T>];
          return Promise.resolve({ items, resourceVersion: "1" });
        },
      },
      namespace: "shop",
      name: "orders-agent",
      member: "orders-1",
      runDir: folder,
      ownFolder: join(folder, "image", own.hash),
      serveWithinMs: () => within(),
      end: () => void (ended += 1),
      changed: () => undefined,
      onError: () => undefined,
    });
    await replacement.apply();
    return replacement;
  }

  const order = (hash: string, change: object = {}): Intent =>
    ({ agent: { hash, nodeMajor: 24, member: "orders-1", ...change } }) as Intent;

  test("leads to the offered agent, whole, once the member is at rest", async () => {
    const next = await bundle("next");
    offered = await packBundle(next);
    within = () => undefined;
    const replacement = await agent();
    replacement.want(order(next.hash));
    await replacement.apply();
    expect(ended).toBe(0);
    expect(await readChoice(choiceFolder(folder))).toBe(OF_IMAGE);
    within = () => 1700;
    await replacement.apply();
    expect(ended).toBe(1);
    expect(await readChoice(choiceFolder(folder))).toMatchObject({ hash: next.hash, starts: 0, serveWithinMs: 1700 });
    expect(await readFile(programOf(choiceFolder(folder), next.hash), "utf8")).toBe("next");
  });

  test("passes when something begins at the last moment, as if it had not come", async () => {
    const next = await bundle("next");
    offered = await packBundle(next);
    const replacement = await agent();
    replacement.want(order(next.hash));
    const answers = [1700, undefined];
    within = () => answers.shift();
    await replacement.apply();
    expect(answers).toEqual([]);
    expect(ended).toBe(0);
    expect(await readChoice(choiceFolder(folder))).toEqual(OF_IMAGE);
  });

  test.each([
    ["is another's", (hash: string) => order(hash, { member: "orders-2" })],
    ["is over", () => ({}) as Intent],
  ])("changes nothing while it %s", async (_why, intentOf) => {
    const next = await bundle("next");
    offered = await packBundle(next);
    const replacement = await agent();
    replacement.want(intentOf(next.hash));
    await replacement.apply();
    expect(ended).toBe(0);
    expect(replacement.report?.refused).toBeUndefined();
  });

  test("waits for an offer that cannot be read yet", async () => {
    const next = await bundle("next");
    const replacement = await agent();
    replacement.want(order(next.hash));
    await replacement.apply();
    failures = 1;
    await replacement.apply();
    expect(ended).toBe(0);
    [failures, offered] = [0, await packBundle(next)];
    await replacement.apply();
    expect(ended).toBe(1);
  });

  test.each([
    ["what is offered is not what was announced", "f".repeat(64), {}, undefined],
    ["it needs Node 99, and the pod's image has", undefined, { nodeMajor: 99 }, undefined],
    ["it cannot be taken: Error: agent.mjs.gz is missing", undefined, {}, {}],
  ])("is refused and told: %s", async (why, hash, change, packed) => {
    const next = await bundle("next");
    offered = packed ?? (await packBundle(next));
    const replacement = await agent();
    replacement.want(order(hash ?? next.hash, change));
    await replacement.apply();
    expect(ended).toBe(0);
    expect(replacement.report?.refused).toMatchObject({
      hash: hash ?? next.hash,
      reason: expect.stringContaining(why) as string,
    });
    expect(await readChoice(choiceFolder(folder))).toBe(OF_IMAGE);
  });

  test("is over when there is no room for another agent, and the one that runs goes on", async () => {
    const next = await bundle("next");
    offered = await packBundle(next);
    await writeFile(choiceFolder(folder), "not a folder");
    const replacement = await agent();
    replacement.want(order(next.hash));
    await replacement.apply();
    expect(ended).toBe(0);
    expect(replacement.report?.refused?.reason).toContain("it cannot be taken");
  });

  test("does not come again for one that gave way to the image's", async () => {
    const next = await bundle("next");
    offered = await packBundle(next);
    await writeChoice(choiceFolder(folder), { ...OF_IMAGE, refused: { hash: next.hash, reason: "it ended" } });
    const replacement = await agent();
    replacement.want(order(next.hash));
    await replacement.apply();
    expect(ended).toBe(0);
    expect(replacement.report).toMatchObject({ refused: { hash: next.hash, reason: "it ended" } });
  });

  test("keeps beside the new agent only the one that runs", async () => {
    const [one, two, three] = [await bundle("one"), await bundle("two"), await bundle("three")];
    const place = choiceFolder(folder);
    await keepBundle(place, one, null);
    await keepBundle(place, two, one.hash);
    await keepBundle(place, three, two.hash);
    expect((await readdir(place)).toSorted()).toEqual([two.hash, three.hash].toSorted());
  });
});
