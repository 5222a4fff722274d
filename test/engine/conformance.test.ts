/** The built-in Engines keep the contract, and an Engine that breaks a rule is told which. */
import { describe, expect, it } from "vitest";
import { type CheckResult, CHECK_NAMES, testPasswords, tryEngine } from "../../src/conformance/conformance.ts";
import type { HostSoftware } from "../../src/conformance/host-cluster.ts";
import { userOf } from "../../src/conformance/host-member.ts";
import { hasServer, shippedSpec } from "./host-cluster.ts";
import { hasRedis, REDIS_PROGRAMS } from "./host-redis.ts";

type Spec = HostSoftware["spec"];

function redis(spec: Spec): HostSoftware {
  return { spec, user: userOf("nobody"), passwords: testPasswords(spec.accounts), programs: REDIS_PROGRAMS };
}

function postgres(): HostSoftware {
  const spec = shippedSpec("postgres");
  return { spec, user: userOf("postgres"), passwords: testPasswords(spec.accounts), programs: {} };
}

async function problemsOf(software: HostSoftware, ...only: string[]): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for await (const result of tryEngine(software, only)) results.push(result);
  expect(results.length).toBe(only.length);
  return results.filter(({ problem }) => problem !== undefined);
}

describe("a built-in Engine keeps every rule", () => {
  it.skipIf(!hasRedis).each(CHECK_NAMES)("redis: %s", async (name) => {
    expect(await problemsOf(redis(shippedSpec("redis")), name)).toEqual([]);
  });

  it.skipIf(!hasServer).each(CHECK_NAMES)("postgres: %s", async (name) => {
    expect(await problemsOf(postgres(), name)).toEqual([]);
  });
});

/** The Engine with one file changed. */
function withFile(name: string, change: (text: string) => string): Spec {
  const spec = shippedSpec("redis");
  const text = change(spec.files[name] ?? "");
  expect(text).not.toBe(spec.files[name]);
  return { ...spec, files: { ...spec.files, [name]: text } };
}

describe.skipIf(!hasRedis)("an Engine that breaks a rule is told", () => {
  const broken: readonly [string, string, string, () => Spec][] = [
    [
      "that says of a leader that it does not write",
      "roles",
      "observe: writable is false on orders-a",
      () => withFile("observe", (text) => text.replace("writable=true", "writable=false")),
    ],
    [
      "whose position stands still",
      "writes",
      "observe: the leader's position is not further after writes",
      () => withFile("observe", (text) => text.replace('"$HISTORY" "$VALUE"', '"$HISTORY" 7')),
    ],
    [
      "whose seal does nothing",
      "seal",
      "seal: the follower still says that it is receiving",
      () => withFile("seal", () => "#!/bin/bash\n"),
    ],
    [
      "that follows with a tail of its own",
      "divergence",
      "follow: it does not refuse",
      () => withFile("follow", (text) => text.replace(/^.*diverged:.*\n/gm, "")),
    ],
    [
      "that promises what it does not keep",
      "durability",
      "action setSyncSet failed: writes cannot be made to wait",
      () => ({ ...shippedSpec("redis"), durabilityModes: ["Quorum"] }),
    ],
    [
      "that shows a password",
      "secrets",
      "a password is on the command line",
      () =>
        withFile("start", (text) =>
          text.replace(
            'exec redis-server "$CONFIG"',
            'read_secret app; exec redis-server "$CONFIG" --proc-title-template "{title} $SECRET"',
          ),
        ),
    ],
    [
      "that starts writable",
      "initialize",
      "start: the engine comes up writable",
      () => withFile("configure", (text) => text.replace("replicaof $NOBODY_HOST $NOBODY_PORT\n", "")),
    ],
  ];

  it.each(broken)("%s", async (_, check, problem, spec) => {
    const [found] = await problemsOf(redis(spec()), check);
    expect(found?.problem).toContain(problem);
  });

  it("that cannot be tried without a cluster", async () => {
    const results = tryEngine({ ...redis(shippedSpec("etcd")) }, []);
    await expect(results.next()).rejects.toThrow("topology Consensus");
  });
});
