// Commands of documentation that test/api/documentation.test.ts does not run, each with the test that does, or with what stands in for it
// where nothing can.
import { type PrintedCommand, printedCommands } from "../../hack/scenario/documentation.ts";

const COMMANDS = await printedCommands();
const START = new Set(COMMANDS.flatMap(({ page, command }) => (page === "docs/start.md" ? command : [])));

/** Commands that another test runs, or what stands in for them where nothing can. */
export interface Elsewhere {
  readonly covers: (printed: PrintedCommand) => boolean;
  /** A test, or what runs all tests. */
  readonly file: string;
  /** What is written in that file as long as it does so. */
  readonly says: string;
  readonly why: string;
}

/** All of them. */
export const ELSEWHERE: readonly Elsewhere[] = [
  {
    covers: ({ page, command }) => page === "docs/start.md" || (page === "README.md" && START.has(command)),
    file: "test/lab/start.test.ts",
    says: '"docs/start.md"',
    why: "follows that page in order on a real cluster, as somebody does who has nothing else; the README has its beginning",
  },
  {
    covers: ({ page }) => page === "docs/backup.md",
    file: "test/lab/backup.test.ts",
    says: "docs/backup.md",
    why: "follows that page on a real cluster, with a store that is there",
  },
  {
    covers: ({ page }) => page.startsWith("docs/runbooks/scenarios/"),
    file: "test/lab/scenarios.test.ts",
    says: "commandsOf(page, NAMESPACE",
    why: "makes what each of those pages is about, and follows it",
  },
  {
    covers: ({ command }) => command.includes("/quorate-engine/ask queues"),
    file: "test/engine/rabbitmq.test.ts",
    says: 'runInside("ask", "queues"',
    why: "needs a container with a broker in it; the test runs the same program beside a real one",
  },
  {
    covers: ({ command }) => command.startsWith("etcdctl ") && command.includes("--user="),
    file: "test/engine/etcd-accounts.test.ts",
    says: 'binary("etcdctl")',
    why: "is typed inside a cluster, and asks for a password; the test logs in to a real etcd as such an account",
  },
  {
    covers: ({ command }) => command.startsWith("etcdctl ") && command.includes("--cert="),
    file: "test/engine/etcd-tls.test.ts",
    says: "printedCommands()",
    why: "needs an application's Secret mounted; the test types it with such files beside a real etcd",
  },
  {
    covers: ({ command }) => command.includes(" port-forward "),
    file: "test/api/status-page.test.ts",
    says: "The status page in a real browser",
    why: "needs a container that listens; the test asks the page itself",
  },
  {
    covers: ({ command }) => /^kubectl quorate chaos run kill-leader \S+ --yes/.test(command),
    file: "test/api/chaos.test.ts",
    says: 'run("kill-leader", "killed", "--yes"',
    why: "is about members that elect another leader meanwhile, which that test has them do",
  },
  {
    covers: ({ command }) => /^kubectl quorate chaos run kill-member .* --yes/.test(command),
    file: "test/lab/chaos.test.ts",
    says: "chaos(`run ${experiment}`",
    why: "waits minutes between rounds; the test runs every experiment on a real cluster",
  },
  {
    covers: ({ command }) => /^kubectl quorate chaos game-day .* --yes/.test(command),
    file: "test/lab/chaos.test.ts",
    says: "chaos(`game-day ${scenario}`",
    why: "takes a control plane away; the test runs every game day on a real cluster",
  },
  {
    covers: ({ command }) => command === "make bundle",
    file: "hack/test.ts",
    says: '["make", "-s", "bundle"]',
    why: "makes what many tests run, and must not be made again under them",
  },
  {
    covers: ({ command }) => /^make test\b/.test(command),
    file: "Makefile",
    says: "node hack/test.ts",
    why: "is what this belongs to",
  },
  {
    covers: ({ command }) => /^make demo\b/.test(command),
    file: "test/lab/failover.test.ts",
    says: "measure(",
    why: "takes the whole machine; the test makes the same failures on the same cluster, without the picture",
  },
  {
    covers: ({ command }) => /^make sim\b/.test(command),
    file: "vitest.config.ts",
    says: '"test/sim/**/*.test.ts"',
    why: "computes for an hour; the suite runs the same simulator with fewer seeds",
  },
  {
    covers: ({ command }) => command === "kubectl quorate engine test etcd.yaml",
    file: "test/engine/conformance-mistakes.test.ts",
    says: '"has a vote before promoteMember gave it one"',
    why: "is typed in an image that has the engine, about an Engine with a mistake; the test tries one with that mistake",
  },
  {
    covers: ({ command }) =>
      command.startsWith("kubectl quorate engine test example.yaml --topology Sharded --client "),
    file: "test/engine/shard-mistakes.test.ts",
    says: '"moveSlots: after a move: of "',
    why: "is typed in an image that has the engine, about an Engine with a mistake; the test tries one with that mistake, and a client",
  },
  {
    covers: ({ command }) => command.includes("node bench/simulator.ts"),
    file: "test/model/pairs.test.ts",
    says: "schedules({",
    why: "computes for hours; the suite runs schedules of the same kind with one seed",
  },
  {
    covers: ({ command }) => /^cosign /.test(command),
    file: "test/unit/hack/release.test.ts",
    says: ".github/workflows/release.yaml",
    why: "asks sigstore about a release that was published; the test reads the workflow that signs",
  },
  {
    covers: ({ command }) => /^sha256sum /.test(command),
    file: "test/images/release.test.ts",
    says: 'run("sha256sum", ["--check"',
    why: "needs a release, which takes minutes to make; the test makes one and checks it so",
  },
];
