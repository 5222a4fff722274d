// Steps against an API that notes what it is asked, and fails where it is told to.
import { describe, expect, test } from "vitest";
import { randomSecrets } from "../../../src/act/secret-source.ts";
import { act } from "../../../src/act/act.ts";
import { writeStatus } from "../../../src/act/status-writer.ts";
import { buildLease } from "../../../src/build/config.ts";
import { systemClock } from "../../../src/clock.ts";
import { RetryableError } from "../../../src/errors.ts";
import type { KubeApi } from "../../../src/kube/api.ts";
import { ApiStatusError } from "../../../src/kube/api-error.ts";
import type { Step } from "../../../src/plan/plan.ts";
import { contextOf } from "../plan/fixture.ts";
import { Simulator } from "../plan/simulator.ts";

const signal = new AbortController().signal;
const LEASE: Step = { kind: "Create", manifest: buildLease(contextOf()), reason: "it is missing" };
const POD = { apiVersion: "v1", kind: "Pod", namespace: "shop", name: "orders-0-0", uid: "p1" };

/** An API that fails its calls with `failures`, by verb. */
function recordingApi(failures: Partial<Record<string, Error>> = {}): { api: KubeApi; calls: unknown[][] } {
  const calls: unknown[][] = [];
  const answer =
    (verb: string) =>
    (...args: unknown[]) => {
      calls.push([verb, ...args]);
      const failure = failures[verb];
      return failure === undefined ? Promise.resolve(args[0]) : Promise.reject(failure);
    };
  const verbs = ["get", "create", "apply", "mergePatch", "delete", "update", "list"];
  return { api: Object.fromEntries(verbs.map((verb) => [verb, answer(verb)])) as unknown as KubeApi, calls };
}

function ledger(): {
  wrote: () => void;
  deleted: () => void;
  changedNamed: () => void;
  acted: (step: Step) => void;
  steps: Step[];
} {
  const steps: Step[] = [];
  return {
    wrote: () => undefined,
    deleted: () => undefined,
    changedNamed: () => undefined,
    acted: (s) => steps.push(s),
    steps,
  };
}

function conflict(reason: string): RetryableError {
  const cause = new ApiStatusError(409, { kind: "Status", reason, details: { name: "orders" } });
  return new RetryableError("conflict", { reason, cause });
}

describe("act", () => {
  test("leaves alone what is already there", async () => {
    const { api } = recordingApi({ create: conflict("AlreadyExists") });
    await expect(
      act({ api, clock: systemClock, secretSource: randomSecrets }, [LEASE], ledger(), signal),
    ).resolves.toBeUndefined();
  });

  test("deletes exactly the incarnation that was seen", async () => {
    const { api, calls } = recordingApi();
    await act(
      { api, clock: systemClock, secretSource: randomSecrets },
      [{ kind: "Delete", object: POD, reason: "old" }],
      ledger(),
      signal,
    );
    const { uid, ...ref } = POD;
    expect(calls).toEqual([["delete", ref, { uid, propagationPolicy: "Background", signal }]]);
  });

  test("stops at the first error", async () => {
    const { api, calls } = recordingApi({ delete: conflict("Conflict") });
    const noted = ledger();
    const steps: Step[] = [LEASE, { kind: "Delete", object: POD, reason: "old" }, LEASE];
    await expect(act({ api, clock: systemClock, secretSource: randomSecrets }, steps, noted, signal)).rejects.toThrow(
      "conflict",
    );
    expect(calls.map(([verb]) => verb)).toEqual(["create", "delete"]);
    expect(noted.steps).toEqual([LEASE]);
  });

  test("does nothing more once it shall stop", async () => {
    const { api, calls } = recordingApi();
    await expect(
      act({ api, clock: systemClock, secretSource: randomSecrets }, [LEASE], ledger(), AbortSignal.abort()),
    ).rejects.toThrow("aborted");
    expect(calls).toEqual([]);
  });
});

describe("writeStatus", () => {
  test("writes once, and not again what is there already", async () => {
    const world = new Simulator({ members: 1 });
    const { cluster } = world.observe();
    if (cluster === undefined) throw new Error("no cluster");
    const { api, calls } = recordingApi();
    await writeStatus(api, cluster, { leader: "orders-0" }, signal);
    expect(calls).toHaveLength(1);
    expect(calls[0]?.[1]).toMatchObject({ metadata: { uid: cluster.uid }, status: { leader: "orders-0" } });
    const written = { ...cluster, status: { leader: "orders-0" } };
    expect(await writeStatus(api, written, { leader: "orders-0" }, signal)).toBeUndefined();
    expect(calls).toHaveLength(1);
  });
});
