import { describe, expect, test } from "vitest";
import { ActionEnded, EngineControl, type EngineHost } from "../../../src/agent/engine/control.ts";
import { EngineDriver } from "../../../src/agent/engine/driver.ts";
import { Volume } from "../../../src/agent/engine/volume.ts";
import { EngineSpec } from "../../../src/api/engine.ts";

const NOTHING = { exec: ["/bin/true"] };
const OBSERVATION = JSON.stringify({
  writable: false,
  position: { history: "1", value: "1", ancestors: [] },
  receiving: false,
  followers: [],
  syncSet: { names: [], ack: 0 },
  version: "1",
});

/** A gate that is opened by hand. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

function controlOver(host: EngineHost): EngineControl {
  const names = ["initialize", "configure", "clone", "rejoin", "seal", "follow", "promote", "setSyncSet", "checkpoint"];
  const spec = EngineSpec.parse({
    topologies: ["ActivePassive"],
    versions: [{ version: "1", image: "x" }],
    runAs: { user: 1, group: 1 },
    port: 1,
    start: ["/bin/true"],
    actions: {
      ...Object.fromEntries([...names, "reload"].map((name) => [name, NOTHING])),
      observe: { exec: ["/bin/echo", OBSERVATION] },
    },
  });
  const driver = new EngineDriver(spec, { QUORATE_MEMBER: "orders-0" }, () => undefined);
  return new EngineControl({
    driver,
    host,
    volume: new Volume("/nonexistent/data", "/nonexistent/state"),
    leader: () => null,
  });
}

describe("the engine of a member", () => {
  test("is started once when a start replaces one that still waits for its permission", async () => {
    let starts = 0;
    const host: EngineHost = {
      start: () => Promise.resolve(void starts++),
      stop: () => Promise.resolve(),
      kill: () => Promise.resolve(),
    };
    const control = controlOver(host);
    const slow = gate();
    const replaced = control.start(() => slow.opened);
    const current = control.start(() => Promise.resolve());
    slow.open();
    await expect(replaced).rejects.toBeInstanceOf(ActionEnded);
    await expect(current).resolves.toMatchObject({ writable: false });
    expect(starts).toBe(1);
  });

  test("says that it is being stopped until nothing of it lives", async () => {
    const gone = gate();
    const host: EngineHost = { start: () => Promise.resolve(), stop: () => gone.opened, kill: () => gone.opened };
    const control = controlOver(host);
    const stopping = control.stop("fast");
    expect(control.isStopping).toBe(true);
    gone.open();
    await stopping;
    expect(control.isStopping).toBe(false);
  });
});
