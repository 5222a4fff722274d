// kubectl quorate chaos: experiments with guard rails, and scripted game days.
import { setTimeout as sleep } from "node:timers/promises";
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { type Experiment, EXPERIMENT_NAMES, type ExperimentName, isLed } from "../../chaos/experiments.ts";
import { judgeExpectations } from "../../chaos/expectations.ts";
import { GAME_DAY_NAMES, GAME_DAYS, type GameDay, type GameDayName, type GameStep } from "../../chaos/game-days.ts";
import { seconds as inSeconds } from "../../chaos/measure.ts";
import type { Finding } from "../../checklist/checklist.ts";
import { renderGameDay, renderIntent, renderList, renderRound, renderStep } from "../chaos-view.ts";
import { renderFindings } from "../findings.ts";
import { aftermathOf, memoryOf } from "./chaos-aftermath.ts";
import { type Prepared, prepare, type Request, type RoundReport, runRound, standing, Teller } from "./chaos-round.ts";
import { takeTurn, type Turn } from "./chaos-turn.ts";
import { openLiveLine } from "./live-line.ts";
import { seconds, whoAsks } from "./operation.ts";
import { EXIT, type Format, formatted, inSession, type Session } from "./session.ts";

const MOST_ROUNDS = 10;
const DEFAULT_WHOLE_SECONDS = 300;
const DEFAULT_PAUSE_SECONDS = 30;
/** The turn outlasts what it was taken for a little: for the last look, the Events, and a slow API server. */
const TURN_SLACK_SECONDS = 60;

interface ChaosOptions {
  readonly member?: string;
  readonly rounds?: number;
  readonly pause: number;
  readonly yes?: boolean;
  readonly outsideWindow?: boolean;
  readonly withoutBudget?: boolean;
  readonly wholeWithin: number;
  readonly operatorNamespace: string;
  readonly output?: Format;
}

/** What `-o` prints: `Kept` when the cluster kept what it promises, `Broken` when something came otherwise than expected. */
interface ChaosReport {
  readonly cluster: string;
  readonly namespace: string;
  readonly verdict: "Planned" | "Refused" | "Kept" | "Broken" | "Aborted";
  readonly steps: readonly StepReport[];
}

interface StepReport {
  readonly experiment: ExperimentName;
  readonly guards: readonly Finding[];
  readonly promise: Prepared["promise"];
  readonly rounds: readonly (RoundReport & { readonly expectations: readonly Finding[] })[];
}

/** Adds `chaos`. */
export function addChaos(program: Command): void {
  const chaos = program.command("chaos").description("Try on purpose what will happen one day, within guard rails.");
  chaos
    .command("list")
    .description("Say which experiments and game days there are, and for which topologies.")
    .action((_options: object, command: Command) =>
      inSession(command, (session) => Promise.resolve(session.print(renderList(session.palette)))),
    );
  withOptions(
    chaos
      .command("run")
      .addArgument(new Argument("<experiment>", "what to do").choices(EXPERIMENT_NAMES))
      .argument("<name>", "ClusterSpec")
      .option("-m, --member <member>", "member to take, or to hand over to; the tool chooses when left out")
      .option("--rounds <count>", `how often, ${MOST_ROUNDS} times at most`, count, 1),
  )
    .description(
      "Do one experiment, and measure how the cluster bears it. Without --yes it only says what it would do, and whether it may. Exits with 2 when it may not, is broken off, or comes out otherwise than promised.",
    )
    .action((experiment: ExperimentName, name: string, options: ChaosOptions, command: Command) => {
      const step: GameStep = { experiment, rounds: options.rounds ?? 1, watch: "", expects: [] };
      return inSession(command, (session) => chaosOn(session, { name, options }, [step]));
    });
  withOptions(
    chaos
      .command("game-day")
      .addArgument(new Argument("<scenario>", "which one").choices(GAME_DAY_NAMES))
      .argument("<name>", "ClusterSpec"),
  )
    .description(
      "Go through the script of a scenario: say what to watch, do its experiments, check what came of each. Without --yes it only shows the script and whether it may begin.",
    )
    .action((scenario: GameDayName, name: string, options: ChaosOptions, command: Command) => {
      const day = GAME_DAYS[scenario];
      return inSession(command, (session) => chaosOn(session, { name, options }, day.steps, day));
    });
}

function withOptions(command: Command): Command {
  return command
    .option("-y, --yes", "do it; without this, nothing is changed")
    .option("--outside-window", "also while no window of spec.maintenanceWindows is open")
    .option("--without-budget", "also where spec.slo is missing or not measured yet; never while a budget burns")
    .option("--whole-within <seconds>", "when everything must be as before", seconds, DEFAULT_WHOLE_SECONDS)
    .option("--pause <seconds>", "pause between two rounds", seconds, DEFAULT_PAUSE_SECONDS)
    .option("--operator-namespace <name>", "where the operator runs", "quorate-system")
    .addOption(new Option("-o, --output <format>", "print the report as data").choices(["json", "yaml"]));
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0 && value <= MOST_ROUNDS) return value;
  throw new InvalidArgumentError(`Give a whole number from 1 to ${MOST_ROUNDS}.`);
}

/** Shows what would be done; with --yes does it, step by step, until one goes wrong. */
async function chaosOn(
  session: Session,
  { name, options }: { readonly name: string; readonly options: ChaosOptions },
  steps: readonly GameStep[],
  day?: GameDay,
): Promise<void> {
  const { palette, namespace } = session;
  const say = options.output === undefined ? session.print : () => undefined;
  if (day !== undefined) say(renderGameDay(day, namespace, name, palette));
  const requests = steps.map((step) => requestOf(name, step, options));
  const prepared: Prepared[] = [];
  for (const request of requests) prepared.push(await prepare(session, request));
  for (const one of prepared) say([...intentOf(session, one), ...renderFindings("Guard rails", one.guards, palette)]);
  const conclude = (verdict: ChaosReport["verdict"], reports: readonly StepReport[]): void => {
    if (verdict !== "Planned" && verdict !== "Kept") process.exitCode = EXIT.no;
    const report: ChaosReport = { cluster: name, namespace, verdict, steps: reports };
    if (options.output !== undefined) session.print(formatted(options.output, report));
  };
  const plans = prepared.map(planned);
  if (prepared.some((one) => !one.mayBegin)) {
    say([`${palette.red("Nothing was done")}: a guard rail holds it back.`]);
    return conclude("Refused", plans);
  }
  if (options.yes !== true) {
    say(["Nothing was done. To do it, add --yes."]);
    return conclude("Planned", plans);
  }
  const script = new Script(session, options, say);
  const { verdict, reports } = await script.play(steps, requests);
  say([
    verdict === "Kept"
      ? palette.green("✓ it kept what it promises")
      : palette.red(`✗ ${verdict}: kubectl quorate why ${name}`),
  ]);
  return conclude(verdict, reports);
}

function requestOf(cluster: string, { experiment, rounds }: GameStep, options: ChaosOptions): Request {
  return {
    cluster,
    experiment,
    rounds,
    member: options.member,
    outsideWindow: options.outsideWindow === true,
    withoutBudget: options.withoutBudget === true,
    wholeWithinMs: options.wholeWithin * 1000,
    operatorNamespace: options.operatorNamespace,
  };
}

function planned({ experiment, guards, promise }: Prepared): StepReport {
  return { experiment: experiment.name, guards, promise, rounds: [] };
}

function intentOf({ palette }: Session, { experiment, target, promise, cluster }: Prepared): string[] {
  return renderIntent(experiment, target, { promise, isLed: isLed(cluster.spec) }, palette);
}

/** Carries steps out, one after the other, while it has the turn of the namespace. */
class Script {
  readonly #session: Session;
  readonly #options: ChaosOptions;
  readonly #say: (lines: readonly string[]) => void;

  constructor(session: Session, options: ChaosOptions, say: (lines: readonly string[]) => void) {
    this.#session = session;
    this.#options = options;
    this.#say = say;
  }

  async play(
    steps: readonly GameStep[],
    requests: readonly Request[],
  ): Promise<{ readonly verdict: ChaosReport["verdict"]; readonly reports: readonly StepReport[] }> {
    const [first] = requests;
    const person = (await whoAsks(this.#session)) ?? "somebody";
    const holder = `${person}: ${steps.map(({ experiment }) => experiment).join(", ")} of ${first?.cluster ?? ""} (${Date.now().toString(36)})`;
    const turn = await takeTurn(this.#session, holder.slice(0, 250), this.#turnSeconds());
    const reports: StepReport[] = [];
    try {
      for (const [at, step] of steps.entries()) {
        const request = requests[at];
        if (request === undefined) break;
        if (step.watch !== "") this.#say(renderStep(step, at, steps.length, this.#session.palette));
        const { verdict, report } = await this.#step(step, request, turn);
        reports.push(report);
        // A guard rail that holds back a later step ends what has begun.
        if (verdict !== "Kept") return { verdict: verdict === "Refused" && at > 0 ? "Aborted" : verdict, reports };
        if (at < steps.length - 1) await this.#rest();
      }
      return { verdict: "Kept", reports };
    } finally {
      await turn.giveBack();
    }
  }

  async #step(
    step: GameStep,
    request: Request,
    turn: Turn,
  ): Promise<{ readonly verdict: ChaosReport["verdict"]; readonly report: StepReport }> {
    const rounds: StepReport["rounds"][number][] = [];
    for (let round = 1; ; round += 1) {
      await turn.extend(this.#turnSeconds());
      const prepared = await prepare(this.#session, request, turn.holder); // everything may have changed since it was shown
      const report = { ...planned(prepared), rounds };
      if (this.#session.signal.aborted) return { verdict: "Aborted", report };
      if (!prepared.mayBegin) {
        this.#say(renderFindings("Guard rails", prepared.guards, this.#session.palette));
        return { verdict: rounds.length === 0 ? "Refused" : "Aborted", report };
      }
      const done = await this.#round(prepared, step, request);
      rounds.push(done);
      if (done.abort !== undefined) return { verdict: "Aborted", report };
      if (!wentWell(done, done.expectations)) return { verdict: "Broken", report };
      if (round === request.rounds) return { verdict: "Kept", report };
      await this.#rest();
    }
  }

  async #round(prepared: Prepared, step: GameStep, request: Request): Promise<StepReport["rounds"][number]> {
    const { palette } = this.#session;
    const { experiment, cluster, promise } = prepared;
    const memory = step.expects.includes("successor-is-warm")
      ? await memoryOf(this.#session, request.cluster)
      : undefined;
    const teller = new Teller(this.#session, cluster);
    teller.began(`${experiment.name}, by kubectl quorate chaos: it ${experiment.does}.`);
    const startMs = performance.now();
    const line = openLiveLine(process.stderr);
    try {
      const { round, report } = await runRound(this.#session, prepared, request, {
        looked: (seen) => line.tell(standing(seen), `${inSeconds(performance.now() - startMs)} s`),
      });
      line.end();
      const aftermath = await aftermathOf(this.#session, request.cluster, { round, sinceMs: startMs, memory });
      const expectations = report.abort === undefined ? judgeExpectations(step.expects, aftermath) : [];
      const figures = renderRound(report, { promise, isLed: isLed(cluster.spec) }, palette);
      this.#say([...report.acts.map((act) => `  done: ${act}`), ...figures]);
      if (expectations.length > 0) this.#say(renderFindings("Checked", expectations, palette));
      teller.ended(toldOf(experiment, report, expectations), wentWell(report, expectations));
      return { ...report, expectations };
    } catch (error) {
      teller.ended(`${experiment.name}: ${error instanceof Error ? error.message : String(error)}`, false);
      throw error;
    } finally {
      line.end();
      const problem = await teller.flush();
      if (problem !== undefined) this.#say([palette.yellow(`no Event could be written: ${problem}`)]);
    }
  }

  async #rest(): Promise<void> {
    await sleep(this.#options.pause * 1000, undefined, { signal: this.#session.signal }).catch(() => undefined);
  }

  #turnSeconds(): number {
    return Math.max(this.#options.wholeWithin, DEFAULT_WHOLE_SECONDS) + this.#options.pause + TURN_SLACK_SECONDS;
  }
}

function wentWell({ abort, surprises }: RoundReport, expectations: readonly Finding[]): boolean {
  return abort === undefined && surprises.length === 0 && expectations.every(({ result }) => result !== "Fail");
}

function toldOf({ name }: Experiment, report: RoundReport, expectations: readonly Finding[]): string {
  const { measure, abort, surprises } = report;
  const figures = `nobody led for ${inSeconds(measure.leaderlessMs)} s, not Ready for ${inSeconds(measure.unreadyMs)} s`;
  const failed = expectations.flatMap(({ id, result, found }) => (result === "Fail" ? `${id}: ${found}` : []));
  const broken = abort === undefined ? [] : [`broken off, ${abort.reason}: ${abort.message}`];
  return `${[`${name}: ${figures}`, ...broken, ...surprises, ...failed].join("; ")}.`;
}
