/** The built-in Engines whose leader the members elect keep the contract, and an Engine that breaks a rule is told which. */
import { describe, expect, it } from "vitest";
import type { HostSoftware } from "../../src/conformance/host-cluster.ts";
import { hasServer, shippedSpec } from "./host-cluster.ts";
import { hasRedis } from "./host-redis.ts";
import { keepsRules, POSTGRES, problemsOf, REDIS, software, type Subject, withFiles } from "./trial.ts";

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

describe.skipIf(!hasServer || !hasRedis)(
  "an Engine that can be backed up, or verified, and breaks a rule is told",
  () => {
    const broken: readonly [string, Subject, string, string, string, (text: string) => string][] = [
      [
        "whose backup exits 0 and has nothing of the data",
        REDIS,
        "backup",
        "backup",
        "restore: of 40 keys that were acknowledged before the backup began a client with the new cluster's password does not find 40",
        () => "#!/bin/bash\nprintf 'REDIS0010\\377\\0\\0\\0\\0\\0\\0\\0\\0'\n",
      ],
      [
        "whose restore keeps the former passwords",
        POSTGRES,
        "backup",
        "restore",
        "restore: the new cluster opens to a password of the one that the backup was taken of",
        (text) => text.replace("ALTER ROLE app LOGIN PASSWORD $app_password;", ""),
      ],
      [
        "whose restore takes a part for the whole",
        REDIS,
        "backup",
        "restore",
        "restore: it succeeds with the first half of a backup",
        (text) => text.replace(/^checked=.*\n.*\n/m, ""),
      ],
      [
        "whose restore cannot be run again after it was cut short",
        POSTGRES,
        "backup",
        "restore",
        "action restore failed: begun already",
        (text) => text.replace('rm -rf "$CLONING"\n', '[[ ! -e $CLONING ]] || die "begun already"\n'),
      ],
      [
        "whose verify finds damage in a healthy copy",
        POSTGRES,
        "verify",
        "verify",
        "and is healthy, it finds: index of nothing",
        (text) => text.replace("look_for_damage\n", 'look_for_damage\nDAMAGE+=("index of nothing")\n'),
      ],
    ];

    it.each(broken)("%s", async (_, subject, check, file, problem, change) => {
      const spec = withFiles(subject.name, { [file]: change });
      const [found] = await problemsOf(software(subject, spec), "ActivePassive", check);
      expect(found?.problem).toContain(problem);
    });
  },
);
