/** An Engine of topology Sharded that breaks a rule of the contract is told which. */
import { describe, expect, it } from "vitest";
import { hasRedis } from "./host-redis.ts";
import { problemsOf, REDIS_SHARDS, software } from "./trial.ts";

/** What stands for a line of a file, and stands in its place. */
type Change = readonly [file: string, from: string, to: string];

const MISTAKES: readonly [string, string, string, readonly Change[]][] = [
  [
    "that says of a follower's write that it is done",
    "writes",
    "probeWrite: it succeeds on a follower",
    [["probe.sh", "else rests; fi", "fi"]],
  ],
  [
    "that takes slots of another shard",
    "assign",
    "assignSlots: orders-s1 takes ",
    [["assign-slots", '[[ -z $new ]] || refuse_others "$new"', ""]],
  ],
  [
    "that takes slots which a shard that is away may own",
    "assign",
    "although nobody of orders-s0 can say whether it owns some",
    [["slots.sh", '[[ -z ${silent[$shard]} ]] || die "$shard does not', ': "$shard does not']],
  ],
  [
    "that owns slots from the start",
    "assign",
    'observe: a new shard, orders-s0, says that it owns "7"',
    [["look.sh", "    read_slots own\n", "    read_slots own\n    OWNED=${OWNED:-7}\n"]],
  ],
  [
    "whose follower does not know what its leader owns",
    "lead",
    "observe: shard of a follower does not become what its leader says",
    [["look.sh", "    read_slots own\n", "    read_slots own\n    [[ ${INFO[role]} == master ]] || OWNED=''\n"]],
  ],
  [
    "whose next leader owns nothing",
    "lead",
    'says that it owns "", where it must be "0-8191"',
    [["promote", "  read_slots own\n", "  own function flush >/dev/null\n  read_slots own\n"]],
  ],
  [
    "that moves slots once only",
    "move",
    "moveSlots: run again, for slots that are moved already, it fails",
    [["move-slots", 'say "moved before"; exit 0;', 'die "moved before";']],
  ],
  [
    "that moves slots without their keys",
    "move",
    "moveSlots: after a move: of ",
    [
      ["move-slots", 'migrate %s %s "" 0 %s replace auth2 quorate %s keys%s\\n\' \\', "del%s\\n' \\"],
      [
        "move-slots",
        '"$QUORATE_TARGET_HOST" "$QUORATE_TARGET_PORT" "$KEY_TIMEOUT_MS" "$(quoted "$MUTUAL")" "$line"',
        '"$line"',
      ],
      ["move-slots", "^(OK|NOKEY)?$", "^[0-9]*$"],
    ],
  ],
  [
    "that forgets what is on its way",
    "resume",
    "is nobody's, and not among those on their way",
    [
      [
        "move-slots",
        '  write_slots own "$OWNED" "$MOVING" "$MOVING_TO"\nfi\nrest=',
        "  write_slots own \"$OWNED\" '' ''\n  sleep 3\nfi\nrest=",
      ],
    ],
  ],
  [
    "whose shard is never empty",
    "leave",
    'moveSlots: emptied, orders-s1 says that it owns "7"',
    [["look.sh", "    read_slots own\n", "    read_slots own\n    OWNED=${OWNED:-7}\n"]],
  ],
  [
    "that forgets its slots when all members are started again",
    "restart",
    'start: after all were killed orders-s0 says that it owns ""',
    [["promote", "  read_slots own\n", "  own function flush >/dev/null\n  read_slots own\n"]],
  ],
  [
    "that does not count",
    "measure",
    "measureSlots: operations went from 7 to 7 over ten writes",
    [["measure-slots", '"$(number total_commands_processed)"', "7"]],
  ],
  [
    "that shows a password while slots move",
    "secrets",
    "a password is on the command line of a running process",
    [["move-slots", "  read_mutual\n", '  read_mutual\n  (exec -a "migrate $MUTUAL" sleep 0.5)\n']],
  ],
];

describe.skipIf(!hasRedis)("an Engine of topology Sharded that breaks a rule is told", { timeout: 300_000 }, () => {
  it.each(MISTAKES)("%s", async (_, check, problem, changes) => {
    let spec = software(REDIS_SHARDS).spec;
    for (const [file, from, to] of changes) {
      const text = spec.files[file] ?? "";
      expect(text, `${file} is as it was`).toContain(from);
      spec = { ...spec, files: { ...spec.files, [file]: text.replace(from, () => to) } };
    }
    const [found] = await problemsOf(software(REDIS_SHARDS, spec), "Sharded", check);
    expect(found?.problem).toContain(problem);
  });
});
