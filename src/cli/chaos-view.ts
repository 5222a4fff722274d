/** Experiments and game days as text. Pure. */
import { type Experiment, EXPERIMENTS, type RecoveryPromise } from "../chaos/experiments.ts";
import { commandFor, type GameDay, GAME_DAYS, type GameStep } from "../chaos/game-days.ts";
import { EXPECTATIONS } from "../chaos/expectations.ts";
import { type Abort, type Measure, seconds } from "../chaos/measure.ts";
import { describeAct, type Target } from "../chaos/target.ts";
import type { Palette } from "./palette.ts";

/** All experiments and game days, with the topologies that they are for. */
export function renderList(palette: Palette): string[] {
  const experiments = Object.values(EXPERIMENTS).map(
    ({ name, does, topologies }) =>
      `  ${palette.bold(name.padEnd(14))} ${does} ${palette.dim(`(${topologies.join(", ")})`)}`,
  );
  const days = Object.values(GAME_DAYS).map(
    ({ name, title, topologies }) =>
      `  ${palette.bold(name.padEnd(24))} ${title} ${palette.dim(`(${topologies.join(", ")})`)}`,
  );
  return [palette.bold("Experiments"), ...experiments, palette.bold("Game days"), ...days];
}

/** What an experiment would do, and what is promised. */
export function renderIntent(
  { does, name }: Experiment,
  target: Target,
  { promise, isLed }: { readonly promise: RecoveryPromise; readonly isLed: boolean },
  palette: Palette,
): string[] {
  const acts = "problem" in target ? [] : target.acts.map((act) => `  would ${describeAct(act)}`);
  const led = isLed ? `nobody leads for ${seconds(promise.leaderlessMs)} s at most, ` : "";
  return [
    `${palette.bold(name)} ${does}.`,
    ...acts,
    `  promised: ${led}all is as before within ${seconds(promise.wholeWithinMs)} s`,
  ];
}

/** The figures of one round, a line for each thing that went wrong after them. */
export function renderRound(
  round: { readonly measure: Measure; readonly abort?: Abort; readonly surprises: readonly string[] },
  { promise, isLed }: { readonly promise: RecoveryPromise; readonly isLed: boolean },
  palette: Palette,
): string[] {
  const { measure, abort, surprises } = round;
  const whole =
    measure.wholeAfterMs === undefined ? "not as before yet" : `as before after ${seconds(measure.wholeAfterMs)} s`;
  const led = isLed
    ? [`nobody led for ${seconds(measure.leaderlessMs)} s (promised: ${seconds(promise.leaderlessMs)} s)`]
    : [];
  const figures = [
    ...led,
    `not Ready for ${seconds(measure.unreadyMs)} s`,
    whole,
    `${measure.fewestReady} ready at the fewest`,
  ];
  const before = `${measure.leaderBefore ?? "nobody"} (epoch ${measure.epochBefore ?? 0})`;
  const after = `${measure.leaderAfter ?? "nobody"} (epoch ${measure.epochAfter ?? 0})`;
  const gone = measure.replaced.length === 0 ? "" : `; replaced: ${measure.replaced.join(", ")}`;
  return [
    `  ${figures.join(", ")}`,
    ...(isLed ? [`  led by ${before}, then by ${after}${gone}`] : gone === "" ? [] : [`  ${gone.slice(2)}`]),
    ...(abort === undefined ? [] : [`  ${palette.red(`broken off: ${abort.reason}`)}: ${abort.message}`]),
    ...surprises.map((one) => `  ${palette.red("✗")} ${one}`),
  ];
}

/** What a game day is about, before it begins. */
export function renderGameDay(day: GameDay, namespace: string, name: string, palette: Palette): string[] {
  return [
    palette.bold(`Game day: ${day.title}`),
    "Keep these open beside this window:",
    ...day.beside.map((command) => `  ${commandFor(command, namespace, name)}`),
    ...day.steps.flatMap((step, at) => renderStep(step, at, day.steps.length, palette)),
    `Not part of it: ${day.notTried}`,
    `Read docs/runbooks/scenarios/${day.name}.md before, and go by it if something goes wrong.`,
  ];
}

/** One step: what is done, what to watch, what will be checked. */
export function renderStep(
  { experiment, rounds, watch, expects }: GameStep,
  at: number,
  of: number,
  palette: Palette,
): string[] {
  const times = rounds === 1 ? "" : `, ${rounds} times`;
  return [
    palette.bold(`Step ${at + 1} of ${of}: ${experiment}${times}`),
    `  ${watch}`,
    ...expects.map((id) => `  ${palette.dim("expected:")} ${EXPECTATIONS[id].title}`),
  ];
}
