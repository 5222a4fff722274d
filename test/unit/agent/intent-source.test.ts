// What is asked first when an agent starts: what it remembers, and only then the API server.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { Intent } from "../../../src/api/agent-wire.ts";
import { followIntent } from "../../../src/agent/intent-source.ts";
import { writeStateFile } from "../../../src/agent/state-file.ts";

const INTENT = Intent.parse({
  generation: 7,
  members: [{ name: "orders-0", host: "127.0.0.1", agentPort: 1, initPort: 2, enginePort: 3, memberPort: 4 }],
  learners: [],
  bootstrapMember: null,
  durability: { mode: "Quorum", whenDegraded: "Block" },
  profile: "Fast",
  maxLagBytes: "1048576",
  paused: false,
  switchover: null,
  restart: null,
  rebuild: null,
  hook: null,
  parameters: {},
});

/** Follows an intent with what happens, in order, until the test ends. */
async function follow(isRemembered: boolean, begun?: Promise<void>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "quorate-intent-"));
  const file = join(folder, "intent.json");
  if (isRemembered) await writeStateFile(file, INTENT);
  const happened: string[] = [];
  const stop = new AbortController();
  const ask = (): Promise<never> => {
    happened.push("the API server is asked");
    return new Promise(() => undefined);
  };
  const followed = followIntent({
    api: {
      list: ask,
      watch: async function* (): AsyncGenerator<never, void, void> {
        yield await ask();
      },
    },
    namespace: "default",
    name: "orders",
    file,
    beforeIntent: () => Promise.resolve(),
    signal: stop.signal,
    onIntent: ({ generation }) => void happened.push(`intent ${generation}`),
    onAnnotations: () => undefined,
    onError: () => undefined,
    ...(begun === undefined ? {} : { begun }),
  });
  followed.catch(() => undefined);
  onTestFinished(async () => {
    stop.abort();
    await rm(folder, { recursive: true });
  });
  return happened;
}

test("a remembered intent is acted on before the API server is asked", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const happened = await follow(true, promise);
  await expect.poll(() => happened).toEqual(["intent 7"]);
  await pause(50);
  expect(happened).toEqual(["intent 7"]);
  resolve();
  await expect.poll(() => happened).toEqual(["intent 7", "the API server is asked"]);
});

test("without one the API server is asked at once", async () => {
  const happened = await follow(false, new Promise(() => undefined));
  await expect.poll(() => happened).toEqual(["the API server is asked"]);
});
