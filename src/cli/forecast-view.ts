/** Prints a forecast: what would happen, in order, and how long writes would wait. Pure. */
import type { Forecast, ForecastEvent } from "../forecast/forecast.ts";
import { duration } from "./ago.ts";
import type { Palette } from "./palette.ts";

/** What a planned hand-over costs writes at most, as docs/benchmarks.md measures it. */
const HAND_OVER_GAP = "up to 1 s";

const WORDS: Readonly<Record<ForecastEvent["kind"], string>> = {
  AddMember: "add",
  RemoveMember: "remove",
  ReplacePod: "replace the pod of",
  StopMember: "stop",
  StartMember: "start",
  HandOver: "hand over",
  RestartEngine: "restart the engine of",
  RebuildMember: "rebuild",
  RunHook: "run the Engine's hook on",
  GrowVolume: "grow volume",
  DeleteVolume: "DELETE VOLUME",
  TellAgents: "change while running",
  Apply: "apply",
  Delete: "delete",
};

/** The lines of a forecast for the cluster `name`. */
export function renderForecast(name: string, { events, blocked, change }: Forecast, palette: Palette): string[] {
  if (events.length === 0 && blocked.length === 0) return [`${palette.green("✓")} ${name}: nothing would change`];
  const steps = events.map((event, index) => `${String(index + 1).padStart(3)}. ${eventLine(event, palette)}`);
  const held = blocked.flatMap(({ guard, object, message, override }) => [
    `${palette.red(`held back by ${guard}`)} (${object}): ${message}`,
    ...(override === undefined ? [] : [`  to let it pass: ${palette.bold(override)}`]),
  ]);
  const unfinished = blocked.length > 0 && change !== "" ? [`${palette.yellow("…")} stays at: ${change}`] : [];
  return [palette.bold(name), ...steps, ...unfinished, ...held, writeGap(events, palette)];
}

function eventLine({ kind, object, detail, gap, afterSeconds }: ForecastEvent, palette: Palette): string {
  const paint = { None: (text: string) => text, HandOver: palette.yellow, UntilBack: palette.red }[gap];
  const what = kind === "DeleteVolume" ? palette.red(WORDS[kind]) : WORDS[kind];
  const subject = kind === "HandOver" || kind === "TellAgents" ? "" : ` ${object}`;
  const about = detail === "" ? "" : kind === "HandOver" || kind === "TellAgents" ? ` ${detail}` : ` (${detail})`;
  const when = afterSeconds < 60 ? "" : palette.dim(`, not before ${duration(afterSeconds * 1000)} from now`);
  return `${paint(`${what}${subject}${about}`)}${when}`;
}

/** The sum that people ask for first. */
function writeGap(events: readonly ForecastEvent[], palette: Palette): string {
  const handOvers = events.filter(({ gap }) => gap === "HandOver").length;
  const outages = events.filter(({ gap }) => gap === "UntilBack").map(({ object }) => object);
  const parts = [
    ...(handOvers === 0 ? [] : [`${handOvers === 1 ? "" : `${handOvers} times `}${HAND_OVER_GAP}, for a hand-over`]),
    ...(outages.length === 0 ? [] : [`as long as ${outages.join(" and ")} is away: nobody could take over`]),
  ];
  if (parts.length === 0) return `writes wait: ${palette.green("not at all")}`;
  return `writes wait: ${parts.join("; ")}`;
}
