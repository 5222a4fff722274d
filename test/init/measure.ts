/**
 * Measures quorate-init: `node test/init/measure.ts RUNS [ROOTFS...]`, as root. One JSON line a figure.
 *
 * Each rootfs needs /quorate with init, node, its loader and libraries, and this folder's relay-agent.ts. Without one the
 * host's own root is used. Pauses: `agent` SIGSTOPs the agent, `engine` the engine, `both`, `none`; `container` stops
 * everything, init too, until after the deadline, and its figures count from the moment everything is continued.
 */
import { descendants, eventually, type InitOptions, InitUnderTest, isAlive } from "./harness.ts";

const pauses = ["none", "agent", "engine", "both", "container"] as const;
const millisecond = 1_000_000n;
const [runsText = "10", ...rootfsList] = process.argv.slice(2);
const runs = Number(runsText);

function report(where: string, metric: string, samples: number[]): void {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) => Number((sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN).toFixed(2));
  const figure = {
    bench: "init",
    case: where,
    metric,
    unit: "ms",
    n: sorted.length,
    p50: at(0.5),
    p95: at(0.95),
    max: at(1),
  };
  process.stdout.write(`${JSON.stringify(figure)}\n`);
}

/** One fence of an engine of three processes; [delay of the kill, delay until none lived], both in ms. */
async function fence(options: InitOptions, pause: (typeof pauses)[number]): Promise<[number, number]> {
  const init = await InitUnderTest.start(options);
  try {
    const agent = await init.nextAgent();
    const script = "sleep 300 & setsid sleep 300 & wait";
    const pid = init.hostPid(await agent.client.start({ id: "e", argv: ["/bin/sh", "-c", script] }));
    await eventually("engine", () => descendants(pid).length === 2);
    const engine = [pid, ...descendants(pid)];
    const deadline = (await agent.client.nowNs()) + 150n * millisecond;
    await agent.client.fence(deadline);
    const stopped = {
      none: [],
      agent: [agent.pid],
      engine,
      both: [agent.pid, ...engine],
      container: [...engine, agent.pid, init.pid],
    };
    for (const each of stopped[pause]) process.kill(each, "SIGSTOP");
    let from = 0;
    if (pause === "container") {
      await new Promise((resolve) => setTimeout(resolve, 400));
      from = Number(process.hrtime.bigint());
      for (const each of stopped.container) process.kill(each, "SIGCONT");
    }
    const [killed, fenced] = [await init.logged("fence"), await init.logged("fenced")];
    if (engine.some(isAlive) || isAlive(agent.pid)) throw new Error("fenced, yet something lives");
    await init.nextAgent();
    const base = from === 0 ? Number(deadline) : from;
    return [(killed.ns - base) / 1e6, (fenced.ns - base) / 1e6];
  } finally {
    await init.close();
  }
}

/** Kills the agent; ms from its end, as init saw it, to the next agent's HELLO. The engine must not notice. */
async function restart(options: InitOptions): Promise<number> {
  const init = await InitUnderTest.start(options);
  try {
    const agent = await init.nextAgent();
    const pid = init.hostPid(await agent.client.start({ id: "e", argv: ["/bin/sleep", "300"] }));
    process.kill(agent.pid, "SIGKILL");
    const next = await init.nextAgent();
    const { nowNs, engine } = await next.client.hello();
    if (engine !== "running" || !isAlive(pid)) throw new Error("the engine noticed the agent's death");
    return (Number(nowNs) - (await init.logged("agent-exit")).ns) / 1e6;
  } finally {
    await init.close();
  }
}

for (const rootfs of rootfsList.length === 0 ? [""] : rootfsList) {
  const where = rootfs.split("/").at(-1) || "host";
  const agent = [
    "/quorate/lib/ld-linux-x86-64.so.2",
    "--library-path",
    "/quorate/lib",
    "/quorate/bin/node",
    "/quorate/relay-agent.ts",
  ];
  const inRoot = { rootfs, binary: "/quorate/bin/quorate-init", agent };
  const options: InitOptions = { mode: "pid-one", ...(rootfs === "" ? {} : inRoot) };
  for (const pause of pauses) {
    const delays: [number, number][] = [];
    for (let run = 0; run < runs; run++) delays.push(await fence(options, pause));
    report(
      `${where}-${pause}`,
      "kill_after_deadline",
      delays.map(([kill]) => kill),
    );
    report(
      `${where}-${pause}`,
      "fenced_after_deadline",
      delays.map(([, gone]) => gone),
    );
  }
  const times: number[] = [];
  for (let run = 0; run < runs; run++) times.push(await restart(options));
  report(where, "agent_restart", times);
}
