/** Faults that last until somebody ends them: what alerts that wait for minutes are about. */
import { kubectl, lab, podProcesses } from "./lab.ts";
import { pause } from "./shell.ts";
import type { Subject } from "./subject.ts";

/** Ends a fault; resolves once it has ended. */
export type Heal = () => Promise<void>;

/** Repeats something until it is healed. @param once - One turn; what goes wrong with it is told when that is healed. */
export function again(once: () => Promise<void>): Heal {
  const stop = new AbortController();
  const repeating = (async () => {
    while (!stop.signal.aborted) await once();
  })();
  repeating.catch(() => undefined); // thrown by heal
  return async () => {
    stop.abort();
    await repeating;
  };
}

/** An engine stands still for so long, long enough to show in a percentile, short enough for every deadline of the agent. */
const STALL_MS = 400;
/** How many times the same processes are stopped before they are looked up anew: the engine may have been restarted. */
const STALLS_A_LOOK = 10;

/** Makes the engine of one pod slow and nothing else. */
export function slowEngine(subject: Subject, pod: string): Heal {
  return stall(async () => {
    const processes = await podProcesses(subject.writer.namespace, pod).catch(() => []); // it is being restarted
    return processes.filter(subject.isEngine).map(({ pid }) => pid);
  });
}

/** Makes processes slow: stops them for a moment, again and again. @param find - Which they are now. */
export function stall(find: () => Promise<readonly number[]>): Heal {
  return again(async () => {
    const pids = await find();
    for (let stalls = 0; stalls < STALLS_A_LOOK; stalls++) {
      for (const pid of pids) signal(pid, "SIGSTOP");
      await pause(STALL_MS);
      for (const pid of pids) signal(pid, "SIGCONT");
      await pause(STALL_MS);
    }
  });
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it ended meanwhile
  }
}

/** An API server stands still for so long, and answers for so long: one call in three takes longer than half a second. */
const [API_STALL_MS, API_REST_MS] = [1_000, 500];

/** Makes the API server slow for everybody. */
export function slowApiServer(): Heal {
  const heal = again(async () => {
    await lab("apiserver", "pause");
    await pause(API_STALL_MS);
    await lab("apiserver", "resume");
    await pause(API_REST_MS);
  });
  return async () => {
    try {
      await heal();
    } finally {
      await lab("apiserver", "resume"); // it was the pause, maybe, that failed
    }
  };
}

/** Stops every process of some pods, as if their machines hung: nothing of them answers, and nothing of them ends. */
export async function freezePods(namespace: string, pods: readonly string[]): Promise<Heal> {
  const found = await Promise.all(pods.map((pod) => podProcesses(namespace, pod)));
  const pids = found.flat().map(({ pid }) => String(pid));
  await lab("pause", ...pids);
  return async () => void (await lab("resume", ...pids));
}

/** Uses up all the processor that a pod's limit allows. */
export function burnProcessor(namespace: string, pod: string): Promise<Heal> {
  return runWithin(namespace, pod, "while :; do :; done");
}

const PSQL = "psql -XqAt -h /run -U postgres -c";

/** Ends the sessions of all clients of one PostgreSQL, again and again, as a network that drops connections does. */
export function cutSessions(namespace: string, pod: string): Promise<Heal> {
  const cut =
    "select pg_terminate_backend(pid) from pg_stat_activity where usename is not null and pid <> pg_backend_pid()";
  return runWithin(namespace, pod, `while :; do ${PSQL} "${cut}"; sleep 5; done`);
}

/** Keeps a PostgreSQL follower from applying what it receives, as a long query does that must not be cancelled. */
export async function holdReplay(namespace: string, pod: string): Promise<Heal> {
  const ask = (sql: string) => kubectl("-n", namespace, "exec", pod, "-c", "engine", "--", ...PSQL.split(" "), sql);
  await ask("select pg_wal_replay_pause()");
  return async () => void (await ask("select pg_wal_replay_resume()"));
}

/** Runs a script within a pod, beside its engine, until it ends or is healed. */
export async function runWithin(namespace: string, pod: string, script: string): Promise<Heal> {
  // Left to itself at once: an exec that lasts would end with the first call that the API server does not answer.
  const start = 'setsid sh -c "$0" </dev/null >/dev/null 2>&1 &';
  await kubectl("-n", namespace, "exec", pod, "-c", "engine", "--", "sh", "-c", start, script);
  return async () => {
    const processes = await podProcesses(namespace, pod);
    const pids = processes.filter(({ command }) => command.includes(script)).map(({ pid }) => String(pid));
    if (pids.length === 0) throw new Error(`${script} does not run in ${namespace}/${pod} any more`);
    await lab("kill", ...pids);
  };
}
