/** What a game day checks after each round, as data. Pure. */
import { fail, type Finding, pass, unknown, type Verdict } from "../checklist/checklist.ts";
import { isLed } from "./experiments.ts";
import { leaderIn, type Look, readyIn, rivalsIn } from "./looks.ts";
import { measure, type Round } from "./measure.ts";

/** What is known after a round. A part that is undefined could not be read. */
export interface Aftermath {
  readonly round: Round;
  /** Whom the members' Lease names, and its epoch. */
  readonly register: { readonly leader: string; readonly epoch: number } | undefined;
  /** What Events of the cluster said since the round began, each with its reason. */
  readonly told: readonly { readonly reason: string; readonly note: string }[] | undefined;
  /** Memory that members used right before the fault, and now, by their names. */
  readonly memory:
    | { readonly before: ReadonlyMap<string, number>; readonly after: ReadonlyMap<string, number> }
    | undefined;
}

interface Expectation {
  readonly title: string;
  readonly judge: (aftermath: Aftermath) => Verdict;
}

const LOOK_AT_WHY = "kubectl quorate why says what the operator saw; kubectl quorate diagnose keeps it";
const WARM_SHARE = 0.5;

/** All expectations by name. */
export const EXPECTATIONS = {
  "leader-stays": { title: "The same member leads, in the same epoch", judge: leaderStays },
  "epoch-grew": { title: "Somebody took over, in a higher epoch", judge: epochGrew },
  "one-leader-an-epoch": { title: "No two members led in one epoch", judge: oneLeaderAnEpoch },
  "others-follow": { title: "All others follow the one leader", judge: othersFollow },
  "register-agrees": { title: "The Lease names that leader and that epoch", judge: registerAgrees },
  "change-was-told": { title: "An Event tells of the change of leader", judge: changeWasTold },
  "nobody-came-or-went": { title: "No member came or went", judge: nobodyCameOrWent },
  "only-the-taken-went": { title: "Nobody but those that were taken came or went", judge: onlyTheTakenWent },
  "half-serves": { title: "At least half of the members were ready all the time", judge: halfServes },
  "successor-is-warm": { title: "The new leader's memory is as full as the old one's", judge: successorIsWarm },
  "budget-whole": { title: "No error budget burns", judge: budgetWhole },
} as const satisfies Readonly<Record<string, Expectation>>;

/** The name of an expectation, in kebab-case. */
export type ExpectationId = keyof typeof EXPECTATIONS;

/** Checks those that a step names. */
export function judgeExpectations(ids: readonly ExpectationId[], aftermath: Aftermath): readonly Finding[] {
  return ids.map((id) => ({ id, title: EXPECTATIONS[id].title, ...EXPECTATIONS[id].judge(aftermath) }));
}

function lastOf({ before, looks }: Round): Look {
  return looks.at(-1) ?? before;
}

function leaderStays({ round }: Aftermath): Verdict {
  const { leaderBefore = "nobody", leaderAfter = "nobody", epochBefore = 0, epochAfter = 0 } = measure(round);
  return leaderBefore === leaderAfter && epochBefore === epochAfter
    ? pass(`${leaderAfter}, epoch ${epochAfter}`)
    : fail(`${leaderBefore} (${epochBefore}) before, ${leaderAfter} (${epochAfter}) after`, LOOK_AT_WHY);
}

function epochGrew({ round }: Aftermath): Verdict {
  const { leaderBefore = "nobody", leaderAfter, epochBefore = 0, epochAfter = 0 } = measure(round);
  return leaderAfter !== undefined && epochAfter > epochBefore
    ? pass(`${leaderBefore} (${epochBefore}) → ${leaderAfter} (${epochAfter})`)
    : fail(`${leaderAfter ?? "nobody"} leads, epoch ${epochAfter}, and it was ${epochBefore}`, LOOK_AT_WHY);
}

function oneLeaderAnEpoch({ round }: Aftermath): Verdict {
  const holders = new Map<number, Set<string>>();
  for (const look of [round.before, ...round.looks]) {
    const rivals = rivalsIn(look);
    const led = leaderIn(look);
    for (const one of [...(rivals ?? []), ...(led === undefined ? [] : [led])])
      holders.set(one.epoch, (holders.get(one.epoch) ?? new Set()).add(one.name));
  }
  const shared = [...holders].filter(([, names]) => names.size > 1);
  return shared.length === 0
    ? pass([...holders].map(([epoch, names]) => `${epoch}: ${[...names].join("")}`).join(", "))
    : fail(
        shared.map(([epoch, names]) => `epoch ${epoch}: ${[...names].join(" and ")}`).join(", "),
        "keep all volumes, and follow docs/runbooks/QuorateSplitBrain.md",
      );
}

function othersFollow({ round }: Aftermath): Verdict {
  const last = lastOf(round);
  const leader = leaderIn(last);
  if (leader === undefined) return fail("nobody leads", LOOK_AT_WHY);
  const astray = last.members.filter(
    ({ uid, role, epoch }) => uid !== leader.uid && (role !== "follower" || epoch !== leader.epoch),
  );
  return astray.length === 0
    ? pass(`all in epoch ${leader.epoch}`)
    : fail(astray.map(({ name, role, epoch }) => `${name}: ${role ?? "silent"} in ${epoch}`).join(", "), LOOK_AT_WHY);
}

function registerAgrees({ round, register }: Aftermath): Verdict {
  if (register === undefined) return unknown("the Lease cannot be read");
  const leader = leaderIn(lastOf(round));
  const found = `${register.leader || "nobody"}, epoch ${register.epoch}`;
  return register.leader === leader?.name && register.epoch === leader.epoch
    ? pass(found)
    : fail(`${found}; ${leader?.name ?? "nobody"} says that it leads in ${leader?.epoch ?? 0}`, LOOK_AT_WHY);
}

function changeWasTold({ round, told }: Aftermath): Verdict {
  if (told === undefined) return unknown("Events cannot be read");
  const { leaderAfter } = measure(round);
  const found = told.find(({ reason, note }) => reason === "LeaderChanged" && note.includes(leaderAfter ?? "?"));
  return found === undefined
    ? fail(
        `no Event LeaderChanged names ${leaderAfter ?? "a leader"}`,
        "is the operator up? kubectl -n quorate-system get pods",
      )
    : pass(found.note);
}

function nobodyCameOrWent({ round }: Aftermath): Verdict {
  return changes(round, []);
}

function onlyTheTakenWent({ round }: Aftermath): Verdict {
  return changes(round, round.taken);
}

function changes(round: Round, allowed: readonly string[]): Verdict {
  const stayed = new Set(lastOf(round).members.map(({ uid }) => uid));
  const gone = round.before.members.filter(({ uid }) => !stayed.has(uid) && !allowed.includes(uid));
  const seen = new Set([round.before, ...round.looks].flatMap(({ members }) => members.map(({ uid }) => uid)));
  const came = seen.size - round.before.members.length;
  const found = `${allowed.length} taken, ${came} came`;
  if (gone.length > 0) return fail(`${gone.map(({ name }) => name).join(", ")} went, too`, LOOK_AT_WHY);
  return came <= allowed.length ? pass(found) : fail(found, LOOK_AT_WHY);
}

function halfServes({ round }: Aftermath): Verdict {
  const wanted = Math.ceil(readyIn(round.before).length / 2);
  const { fewestReady } = measure(round);
  const found = `${fewestReady} at the fewest, ${wanted} wanted`;
  return fewestReady >= wanted ? pass(found) : fail(found, LOOK_AT_WHY);
}

function successorIsWarm({ round, memory }: Aftermath): Verdict {
  const { leaderBefore = "", leaderAfter = "" } = measure(round);
  const [was, is] = [memory?.before.get(leaderBefore), memory?.after.get(leaderAfter)];
  if (was === undefined || is === undefined)
    return unknown("members' metrics cannot be read: that needs get pods/proxy");
  const found = `${leaderAfter} uses ${mebibytes(is)}, ${leaderBefore} used ${mebibytes(was)}`;
  return is >= was * WARM_SHARE ? pass(found) : fail(found, "look at the lag of copies before you move the leader");
}

function budgetWhole({ round }: Aftermath): Verdict {
  const { objectives } = lastOf(round);
  if (objectives === "None") return unknown("spec.slo states no objective");
  if (objectives === "Unknown") return unknown("the operator has not measured enough yet");
  return objectives === "Kept"
    ? pass(isLed(round.intent) ? "writes and reads within it" : "within it")
    : fail("it burns, or is spent", LOOK_AT_WHY);
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
