/** The built-in Engines whose leader the members elect keep the contract, and an Engine that breaks a rule is told which. */
import { describe, expect, it } from "vitest";
import type { HostSoftware } from "../../src/conformance/host-cluster.ts";
import { hasServer, shippedSpec } from "./host-cluster.ts";
import { hasRedis } from "./host-redis.ts";
import { keepsRules, POSTGRES, problemsOf, REDIS, software, withFiles } from "./trial.ts";

type Spec = HostSoftware["spec"];

describe.skipIf(!hasRedis)("redis keeps the rule", () => {
  keepsRules(REDIS, "ActivePassive");
});
describe.skipIf(!hasServer)("postgres keeps the rule", () => {
  keepsRules(POSTGRES, "ActivePassive");
});

/** The Engine with one file changed. */
function withFile(name: string, change: (text: string) => string): Spec {
  return withFiles("redis", { [name]: change });
}

describe.skipIf(!hasRedis)("an Engine that breaks a rule is told", () => {
  const broken: readonly [string, string, string, () => Spec][] = [
    [
      "that says of a leader that it does not write",
      "roles",
      "observe: writable is false on orders-a",
      () => withFile("look.sh", (text) => text.replace("writable=true", "writable=false")),
    ],
    [
      "whose position stands still",
      "writes",
      "observe: the leader's position is not further after writes",
      () => withFile("look.sh", (text) => text.replace('"$HISTORY" "$VALUE"', '"$HISTORY" 7')),
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
      "whose server is no child of its start",
      "fence",
      "acknowledged: something serves that start's own process did not begin",
      () =>
        withFiles("redis", {
          configure: (text) =>
            `${text.replace("lock_data\n", 'if [[ -S $SOCKET ]]; then own replicaof "$NOBODY_HOST" "$NOBODY_PORT" >/dev/null; exit; fi\n')}(exec 9>&-; setsid timeout -s KILL 30 redis-server "$CONFIG") &>/dev/null </dev/null &\nuntil [[ -S $SOCKET ]]; do sleep 0.05; done\n`,
          start: (text) => text.replace(/^lock_data\n/m, "").replace('exec redis-server "$CONFIG"', "exec sleep 60"),
        }),
    ],
    [
      "that cannot be started again once it was killed",
      "fence",
      "start: orders-a ended at its start",
      () =>
        withFile("start", (text) =>
          text.replace(
            'exec redis-server "$CONFIG"',
            '[[ ! -e $QUORATE_RUN_DIR/busy ]] || die busy\n: >"$QUORATE_RUN_DIR/busy"\ntrap \'kill "$server"\' TERM\nredis-server "$CONFIG" &\nserver=$!\nwhile ! wait "$server"; do kill -0 "$server" 2>/dev/null || break; done\nrm -f "$QUORATE_RUN_DIR/busy"',
          ),
        ),
    ],
    [
      "whose reload takes the leadership away",
      "reload",
      "reload: the leader is not writable any more",
      () =>
        withFile("reload", (text) =>
          text.replace('. "$QUORATE_ENGINE_DIR/position.sh"', 'own replicaof "$NOBODY_HOST" "$NOBODY_PORT" >/dev/null'),
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
    const [found] = await problemsOf(software(REDIS, spec()), "ActivePassive", check);
    expect(found?.problem).toContain(problem);
  });
});
