// An Engine for tests of its driver.
import { EngineDriver } from "../../../src/agent/engine/driver.ts";
import { EngineSpec } from "../../../src/api/engine.ts";

const NOTHING = { exec: ["/bin/true"] };

/** The driver of an Engine whose actions do nothing but those that are given. */
export function driverOf(actions: Record<string, unknown>, sessions: readonly object[] = []): EngineDriver {
  const spec = EngineSpec.parse({
    topologies: ["ActivePassive"],
    versions: [{ version: "1", image: "x" }],
    runAs: { user: 1, group: 1 },
    port: 1,
    start: ["/bin/true"],
    sessions,
    actions: {
      initialize: NOTHING,
      configure: NOTHING,
      clone: NOTHING,
      rejoin: NOTHING,
      observe: NOTHING,
      seal: NOTHING,
      follow: NOTHING,
      promote: NOTHING,
      setSyncSet: NOTHING,
      checkpoint: NOTHING,
      reload: NOTHING,
      ...actions,
    },
  });
  return new EngineDriver(spec, { QUORATE_MEMBER: "orders-0" }, () => undefined);
}
