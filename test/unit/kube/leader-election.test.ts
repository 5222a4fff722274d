import * as fc from "fast-check";
import { expect, test } from "vitest";
import { TerminalError } from "../../../src/errors.ts";
import type { KubeApi } from "../../../src/kube/api.ts";
import { ApiStatusError, fromApiError, TransportError } from "../../../src/kube/api-error.ts";
import { LeaderElection, type Lease } from "../../../src/kube/leader-election.ts";
import type { KubeObject, Stored } from "../../../src/kube/object.ts";
import { FakeClock } from "../fake-clock.ts";

/** What happens to a call: it works, never arrives, or arrives and its answer is lost. */
type Fate = "ok" | "lost" | "answerLost";

/** One Lease with compare-and-swap, behind an unreliable network. */
class Register {
  #lease: Stored<Lease> | undefined;
  #version = 0;

  apiFor(fate: () => Fate): Pick<KubeApi, "get" | "create" | "update"> {
    const exchange = async <A>(write: boolean, act: () => A): Promise<A> => {
      const end = fate();
      if (end === "lost") throw fromApiError(new TransportError("ECONNREFUSED", false), "Lease", write);
      const answer = act();
      await Promise.resolve();
      if (end === "answerLost") throw fromApiError(new TransportError("DEADLINE", true), "Lease", write);
      return answer;
    };
    const put = (lease: KubeObject) => {
      if (lease.metadata.resourceVersion !== this.#lease?.metadata.resourceVersion) {
        throw fromApiError(new ApiStatusError(409, { kind: "Status", reason: "Conflict" }), "Lease", true);
      }
      this.#version += 1;
      const metadata = { ...lease.metadata, name: "l", uid: "u", resourceVersion: String(this.#version) };
      this.#lease = { ...lease, metadata };
      return this.#lease;
    };
    return {
      get: <T extends KubeObject>() => exchange(false, () => this.#lease as unknown as Stored<T> | undefined),
      create: <T extends KubeObject>(lease: T) => exchange(true, () => put(lease) as unknown as Stored<T>),
      update: <T extends KubeObject>(lease: T) => exchange(true, () => put(lease) as unknown as Stored<T>),
    };
  }
}

const TIMING = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000 };

test("whatever is lost on the way, never do two lead, and one leads again once all is well", async () => {
  // Outages are runs of the same fate, long enough to outlive a deadline.
  const run = fc.tuple(fc.constantFrom<Fate>("ok", "lost", "answerLost"), fc.integer({ min: 1, max: 20 }));
  const fates = fc
    .array(run, { minLength: 1, maxLength: 8 })
    .map((runs) => runs.flatMap(([fate, times]) => Array.from({ length: times }, () => fate)));
  await fc.assert(
    fc.asyncProperty(fates, fates, fc.nat(1000), async (fatesOfA, fatesOfB, salt) => {
      const clock = new FakeClock();
      const register = new Register();
      const stop = new AbortController();
      let healed = false;
      const candidates = [fatesOfA, fatesOfB].map((list, i) => {
        let nth = 0;
        const fate = () => (healed ? "ok" : (list[nth++ % list.length] ?? "ok"));
        const random = () => ((salt + i * 7 + nth * 13) % 17) / 17;
        const api = register.apiFor(fate);
        return new LeaderElection({ api, namespace: "n", name: "l", identity: `c${i}`, clock, random, ...TIMING });
      });
      const running = candidates.map(async (candidate) => {
        while (!stop.signal.aborted) {
          await candidate.run(
            stop.signal,
            (signal) => new Promise((end) => signal.addEventListener("abort", () => end())),
          );
        }
      });
      const leading = () => candidates.filter((candidate) => candidate.isLeading).length;
      for (let step = 0; step < 400; step += 1) {
        if (step === 200) healed = true;
        await clock.run(500, 500);
        expect(leading()).toBeLessThanOrEqual(1);
      }
      expect(leading()).toBe(1);
      stop.abort();
      await Promise.all(running);
      expect(leading()).toBe(0);
    }),
    { numRuns: 30 },
  );
});

test("a renewal whose answer was lost does not end the term; a thief does", async () => {
  const clock = new FakeClock();
  const register = new Register();
  let calls = 0;
  const api = register.apiFor(() => {
    calls += 1;
    return calls === 3 ? "answerLost" : "ok"; // get, create, first renewal
  });
  const holder = new LeaderElection({
    api,
    namespace: "n",
    name: "l",
    identity: "a",
    clock,
    random: () => 0,
    ...TIMING,
  });
  let ended = false;
  const running = holder.run(
    new AbortController().signal,
    (signal) => new Promise((end) => signal.addEventListener("abort", () => end())),
  );
  void running.then(() => (ended = true));
  await clock.run(60_000);
  expect([holder.isLeading, ended]).toEqual([true, false]);
  const other = register.apiFor(() => "ok");
  const lease = await other.get<Lease>({ apiVersion: "coordination.k8s.io/v1", kind: "Lease", name: "l" });
  if (lease === undefined) throw new Error("no Lease");
  await other.update({ ...lease, spec: { ...lease.spec, holderIdentity: "thief" } });
  await clock.run(2 * 2000 + 200); // one renewal meets the conflict, the next one reads
  expect(holder.isLeading).toBe(false);
  expect(await running).toBe(false);
});

test("what `lead` throws comes out, after the Lease was released", async () => {
  const clock = new FakeClock();
  const api = new Register().apiFor(() => "ok");
  const options = { api, namespace: "n", name: "l", clock, ...TIMING };
  const failing = new LeaderElection({ ...options, identity: "a" });
  const failure = new TerminalError("no", { reason: "No" });
  await expect(failing.run(new AbortController().signal, () => Promise.reject(failure))).rejects.toBe(failure);
  const next = new LeaderElection({ ...options, identity: "b" });
  const stop = new AbortController();
  const led = next.run(stop.signal, () => {
    stop.abort();
    return Promise.resolve();
  });
  expect(await led).toBe(true); // without waiting: the clock stands still
});

test("timings that are not safe are refused", () => {
  const api = new Register().apiFor(() => "ok");
  const make = (timing: object) =>
    new LeaderElection({ api, namespace: "n", name: "l", identity: "a", ...TIMING, ...timing });
  expect(() => make({ renewDeadlineMs: 15_000 })).toThrow(RangeError);
  expect(() => make({ retryMs: 9000 })).toThrow(RangeError);
});
