/** Faults sown into a copy of the protocol, each with the exploration that must find it. */
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One changed place: `find` must occur exactly once in the file. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** A second guard of the same rule, if there is one. */
  readonly also?: { readonly file: string; readonly find: string; readonly replace: string };
  /** Arguments of run.ts. */
  readonly args: readonly string[];
}

const walksOf =
  (scenario: string) =>
  (kinds: string, count: number): readonly string[] => [
    "--scenario",
    scenario,
    "--walks",
    String(count),
    "--steps",
    "400",
    "--kinds",
    kinds,
  ];
const walks = walksOf("one");
const asyncWalks = walksOf("one-async");

/** The mutants; the first eight are the classic mistakes of a failover, the rest rules that this protocol adds. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "members answer a seal without stopping to receive",
    file: "following.ts",
    find: `    turn.emit({ type: "Seal", actionId: turn.beginAction("Seal", record.epoch), epoch: record.epoch });
    return;`,
    replace: "    return answerSealRequests(turn, engine.position);",
    args: walks("pause,cut,delay,row", 600),
  },
  {
    name: "pre-votes are counted as sealed answers",
    file: "candidacy.ts",
    find: "      answers: {},",
    replace: "      answers: candidate.answers,",
    args: walks("pause,cut,delay,row,crash", 600),
  },
  {
    name: "a leader that restarts in place keeps its epoch",
    file: "election.ts",
    find: "const epoch = 1 + Math.max(content.epoch, state.record.epoch, state.seenEpoch);",
    replace: 'const epoch = (cause === "own" ? 0 : 1) + Math.max(content.epoch, state.record.epoch, state.seenEpoch);',
    args: walks("crash,cut,row", 600),
  },
  {
    name: "the promise of a seal is not persisted",
    file: "voting.ts",
    find: "  turn.persist({ epoch, sync: base.recover ? state.record.sync : laterOf(turn, base.sync) });",
    replace: "  turn.set({ record: { ...state.record, epoch } });",
    args: ["--scenario", "stale-14", "--walks", "4000", "--steps", "150", "--kinds", "crash,delay"],
  },
  {
    name: "the Lease is released before the engine is gone",
    file: "resignation.ts",
    find: 'role.stage === "stopping" && !engine.armed',
    replace: 'role.stage === "stopping"',
    args: asyncWalks("change,delay,row", 600),
  },
  {
    name: "a member that has promised contends all the same",
    file: "election.ts",
    find: "  return state.nowAtMs < state.quarantineAtMs || (state.promisedAtMs !== null && state.nowAtMs < state.promisedAtMs);",
    replace: "  return state.nowAtMs < state.quarantineAtMs;",
    args: asyncWalks("cut,delay,row", 600),
  },
  {
    name: "the Lease is narrowed before the engine",
    file: "sync-change.ts",
    find: "const joint = jointSet(sync, change.target);",
    replace: "const joint = change.target;",
    args: walks("crash,row", 3000),
  },
  {
    name: "a member follows a leader of an older epoch",
    file: "voting.ts",
    find: 'return epoch >= state.record.epoch && state.role.kind !== "leader" && state.hold === null;',
    replace: 'return epoch >= 0 && state.role.kind !== "leader" && state.hold === null;',
    also: {
      file: "following.ts",
      find: 'if (!isFresh || leader.epoch < state.record.epoch || state.role.kind !== "follower") return;',
      replace: 'if (!isFresh || state.role.kind !== "follower") return;',
    },
    args: ["--scenario", "stale-13,stale-14,stale-15"],
  },
  {
    name: "one sealed answer too few is enough",
    file: "quorum.ts",
    find: "return sync.names.length - sync.ack + 1;",
    replace: "return sync.names.length - sync.ack;",
    args: walks("pause,cut,delay,row,crash", 600),
  },
  {
    name: "a new leader's set is believed before its standbys hold everything",
    file: "candidacy.ts",
    find: "  return base === null ? [] : unprovenAfter(base);",
    replace: "  return base === null ? [] : unprovenAfter(base).slice(1);",
    args: walks("pause,cut,delay,row,crash", 600),
  },
  {
    name: "a restarted agent adopts a writable engine whatever the Lease says",
    file: "election.ts",
    find: `    content.leader === identity.member &&
    isSamePod(content.holder, identity.holder) &&
    content.epoch === record.epoch &&
    content.sync?.epoch === record.epoch &&
    content.sync.leader === identity.member
`,
    replace: '    content.epoch >= 0 && record.epoch >= 0 && identity.member !== ""\n',
    args: walks("pause,cut,row,crash", 600),
  },
  {
    name: "a forced promotion asks nobody when one member is lost",
    file: "quorum.ts",
    find: "isCovered(member) || absent.includes(member)",
    replace: "isCovered(member) || absent.length > 0",
    args: ["--scenario", "forced-apart"],
  },
  {
    name: "a forced promotion takes the one who was named for lost, though it speaks",
    file: "forced.ts",
    find: ".filter((member) => !hasSpoken(state, candidate, member))",
    replace: "",
    args: ["--scenario", "forced-lie"],
  },
  {
    name: "nobody minds a register that went back",
    file: "voting.ts",
    find: "const isBehind = !message.base.recover && compareVersions(message.base.sync, state.record.sync) < 0;",
    replace: "const isBehind = message.epoch < 0;",
    also: {
      file: "voting.ts",
      find: 'if (!message.base.recover && compareVersions(message.base.sync, state.record.sync) < 0) return "register went back";',
      replace: "",
    },
    args: walks("regress,crash,row", 6000),
  },
  {
    name: "a copy that is ahead is connected before the promotion",
    file: "following.ts",
    find: `  return order === "behind" || order === "equal";`,
    replace: `  return order !== "incomparable";`,
    args: walks("pause,cut,delay,row", 600),
  },
];

/** Writes a copy of the protocol with the mutant's change. @throws Error when the place is not there exactly once. */
export function mutate(mutant: Mutant): string {
  const folder = mkdtempSync(join(tmpdir(), "quorate-mutant-"));
  cpSync(join(import.meta.dirname, "../../src/agent/protocol"), folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  const changes = mutant.also === undefined ? [mutant] : [mutant, mutant.also];
  for (const { file, find, replace } of changes) {
    const path = join(folder, file);
    const source = readFileSync(path, "utf8");
    if (source.split(find).length !== 2) throw new Error(`${file} does not hold the place of “${mutant.name}” once`);
    writeFileSync(
      path,
      source.replace(find, () => replace),
    );
  }
  return folder;
}
