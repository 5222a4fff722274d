/** An Engine whose backups or verdicts are wrong is told which rule of the contract it breaks. */
import { describe, expect, it } from "vitest";
import { hasServer } from "./host-cluster.ts";
import { hasRedis } from "./host-redis.ts";
import { POSTGRES, problemsOf, REDIS, software, type Subject, withFiles } from "./trial.ts";

/** A file of an Engine with a mistake in it, and the rule that tells. */
interface Mistake {
  readonly of: Subject;
  readonly rule: string;
  readonly file: string;
  readonly change: (text: string) => string;
  readonly problem: string;
}

describe.skipIf(!hasServer || !hasRedis)(
  "an Engine that can be backed up, or verified, and breaks a rule is told",
  () => {
    const broken: readonly [string, Mistake][] = [
      [
        "whose backup exits 0 and has nothing of the data",
        {
          of: REDIS,
          rule: "backup",
          file: "backup",
          change: () => "#!/bin/bash\nprintf 'REDIS0010\\377\\0\\0\\0\\0\\0\\0\\0\\0'\n",
          problem:
            "restore: of 40 keys that were acknowledged before the backup began a client with the new cluster's password does not find 40",
        },
      ],
      [
        "whose restore keeps the former passwords",
        {
          of: POSTGRES,
          rule: "backup",
          file: "restore",
          change: (text) => text.replace("ALTER ROLE app LOGIN PASSWORD $app_password;", ""),
          problem: "restore: the new cluster opens to a password of the one that the backup was taken of",
        },
      ],
      [
        "whose restore takes a part for the whole",
        {
          of: REDIS,
          rule: "backup",
          file: "restore",
          change: (text) => text.replace(/^checked=.*\n.*\n/m, ""),
          problem: "restore: it succeeds with the first half of a backup",
        },
      ],
      [
        "whose restore cannot be run again after it was cut short",
        {
          of: POSTGRES,
          rule: "backup",
          file: "restore",
          change: (text) => text.replace('rm -rf "$CLONING"\n', '[[ ! -e $CLONING ]] || die "begun already"\n'),
          problem: "action restore failed: begun already",
        },
      ],
      [
        "whose verify finds damage in a healthy copy",
        {
          of: POSTGRES,
          rule: "verify",
          file: "verify",
          change: (text) => text.replace("look_for_damage\n", 'look_for_damage\nDAMAGE+=("index of nothing")\n'),
          problem: "and is healthy, it finds: index of nothing",
        },
      ],
    ];

    it.each(broken)("%s", async (_, { of, rule, file, change, problem }) => {
      const spec = withFiles(of.name, { [file]: change });
      const [found] = await problemsOf(software(of, spec), "ActivePassive", rule);
      expect(found?.problem).toContain(problem);
    });
  },
);
