/**
 * The agent of these tests: it connects its end of init's protocol to the test and does nothing on its own.
 *
 * Two connections to RELAY_SOCKET, each opened by a line that names it: "lines <pid>" copies bytes both ways,
 * "control <pid>" takes one JSON order a line.
 */
import { spawn } from "node:child_process";
import { connect, Socket } from "node:net";
import { createInterface } from "node:readline";

type Order = { do: "exit"; code: number } | { do: "hang-up" } | { do: "spawn"; argv: string[]; detached: boolean };

const path = process.env["RELAY_SOCKET"] ?? "";
const init = new Socket({ fd: Number(process.env["QUORATE_INIT_FD"]), readable: true, writable: true });
const lines = connect(path);
lines.write(`lines ${process.pid}\n`);
lines.pipe(init, { end: false });
init.pipe(lines, { end: false });
init.on("error", () => process.exit(3));
lines.on("error", () => process.exit(3));

const control = connect(path);
control.write(`control ${process.pid}\n`);
control.on("error", () => process.exit(3));
control.on("close", () => process.exit(3));
createInterface(control).on("line", (line) => obey(JSON.parse(line) as Order));

function obey(order: Order): void {
  switch (order.do) {
    case "exit":
      return process.exit(order.code);
    case "hang-up":
      lines.unpipe(init);
      init.destroy();
      break;
    case "spawn": {
      const [command, ...args] = order.argv;
      const child = spawn(command ?? "", args, { detached: order.detached, stdio: "ignore" });
      control.write(`${child.pid}\n`);
      break;
    }
  }
}
