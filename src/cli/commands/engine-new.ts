// kubectl quorate engine new
import { writeFile } from "node:fs/promises";
import { createInterface, type Interface } from "node:readline/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { load } from "js-yaml";
import { parseEngine } from "../../api/parse.ts";
import { Topology } from "../../api/topology.ts";
import { type DraftAnswers, draftEngine } from "../engine-draft.ts";

interface NewOptions extends Partial<Record<Exclude<keyof DraftAnswers, "name">, string>> {
  readonly output?: string;
}

/** What is asked for, in this order, when no flag says it. `hint` is the answer of who just presses return. */
const QUESTIONS = [
  {
    key: "topology",
    flag: "--topology",
    question: "Topology: ActivePassive, ActiveActive, Consensus or Stateless",
    hint: "ActivePassive",
  },
  { key: "image", flag: "--image", question: "Image that runs it, such as registry.example/db:17", hint: undefined },
  { key: "version", flag: "--engine-version", question: "Version of the software in that image", hint: "1" },
  { key: "port", flag: "--port", question: "Port that clients connect to", hint: undefined },
  { key: "user", flag: "--user", question: "User id that the image runs it as, never 0", hint: "1000" },
  { key: "group", flag: "--group", question: "Group id", hint: "1000" },
  { key: "start", flag: "--start", question: "Command of the main process, in the foreground", hint: undefined },
] as const;

/** Adds the command below `engine`. */
export function addEngineNew(engine: Command): void {
  engine
    .command("new")
    .argument("<name>", "name of the Engine, by which ClusterSpecs refer to it")
    .addOption(new Option("--topology <topology>", "how its members form a cluster").choices(Topology.options))
    .option("--image <image>", "image that runs it")
    .option("--engine-version <version>", "version of the software in that image")
    .option("--port <port>", "port that clients connect to", numberOf)
    .option("--user <id>", "user id that the image runs it as", numberOf)
    .option("--group <id>", "group id that the image runs it as", numberOf)
    .option("--start <command>", "command of the main process, its words separated by spaces; no shell reads it")
    .option("-o, --output <file>", "file to write; a file that exists is not overwritten. Standard output when absent")
    .description(
      "Write the draft of an Engine: what its topology needs, with a file for each action that says what is to be written there. Asks for what no flag says, where there is somebody to ask.",
    )
    .action((name: string, options: NewOptions & { readonly engineVersion?: string }) =>
      newEngine(name, {
        ...options,
        ...(options.engineVersion === undefined ? {} : { version: options.engineVersion }),
      }),
    );
}

async function newEngine(name: string, options: NewOptions): Promise<void> {
  const text = draftEngine(await answersFor(name, options));
  parseEngine(load(text)); // says which answer is wrong
  if (options.output === undefined) process.stdout.write(text);
  else await writeFile(options.output, text, { flag: "wx" });
}

async function answersFor(name: string, options: NewOptions): Promise<DraftAnswers> {
  const missing = QUESTIONS.filter(({ key }) => options[key] === undefined);
  const asked = missing.length === 0 ? {} : await ask(missing);
  const said = (key: Exclude<keyof DraftAnswers, "name">): string => options[key] ?? asked[key] ?? "";
  return {
    name,
    topology: Topology.parse(said("topology")),
    image: said("image"),
    version: said("version"),
    port: Number(said("port")),
    user: Number(said("user")),
    group: Number(said("group")),
    start: said("start")
      .split(/\s+/)
      .filter((word) => word !== ""),
  };
}

/** @throws {Error} naming the flags, when nobody is there to answer. */
async function ask(questions: readonly (typeof QUESTIONS)[number][]): Promise<Readonly<Record<string, string>>> {
  if (!process.stdin.isTTY) throw new Error(`give ${questions.map(({ flag }) => flag).join(", ")}`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answers: Record<string, string> = {};
    for (const { key, question, hint } of questions) answers[key] = await answerTo(terminal, question, hint);
    return answers;
  } finally {
    terminal.close();
  }
}

async function answerTo(terminal: Interface, question: string, hint: string | undefined): Promise<string> {
  for (;;) {
    const answer = (await terminal.question(`${question}${hint === undefined ? "" : ` [${hint}]`}: `)).trim();
    if (answer !== "") return answer;
    if (hint !== undefined) return hint;
  }
}

/** Kept as text: the schema says later what is wrong with a number. */
function numberOf(text: string): string {
  if (!/^[0-9]+$/.test(text)) throw new InvalidArgumentError("expected a number");
  return text;
}
