/** Connections as a pod makes them: which ports of others it reaches, whatever stands between. */
import { podProcesses } from "./lab.ts";
import { run } from "./shell.ts";

/** A pod that connects. */
export interface PodName {
  readonly namespace: string;
  readonly pod: string;
}

/** How an attempt ended. What closes a port may say so, which looks like a port at which nobody listens, or say nothing. */
export type Reach = "connected" | "refused" | "no answer";

/** Prints what became of each address `host:port`, as JSON. */
const CONNECT = `
  const { connect } = require("node:net");
  const attempt = (address) => new Promise((resolve) => {
    const [host, port] = address.split(":");
    const socket = connect({ host, port: Number(port) });
    const end = (reach) => { socket.destroy(); resolve([address, reach]); };
    socket.on("connect", () => end("connected")).on("error", () => end("refused"));
    setTimeout(() => end("no answer"), 1500).unref();
  });
  Promise.all(process.argv.slice(1).map(attempt)).then((all) => console.log(JSON.stringify(Object.fromEntries(all))));
`;

/** Tries each address, `host:port`, from the pod's own network, all at the same time. */
export async function reach(
  { namespace, pod }: PodName,
  addresses: readonly string[],
): Promise<Readonly<Record<string, Reach>>> {
  const [first] = await podProcesses(namespace, pod);
  if (first === undefined) throw new Error(`pod ${namespace}/${pod} has no process`);
  const text = await run(["nsenter", `--net=/proc/${first.pid}/ns/net`, process.execPath, "-e", CONNECT, ...addresses]);
  return JSON.parse(text) as Record<string, Reach>;
}
