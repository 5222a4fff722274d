// One authority after the other: never a step before every member took up the one before, and clients get their time.
import { beforeEach, describe, expect, test } from "vitest";
import { ANNOTATION_ROTATE_AUTHORITY } from "../../../src/build/labels.ts";
import { engine } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 86_400_000;
let world: Simulator;

beforeEach(() => {
  world = new Simulator({ members: 3 });
  world.settle();
});

/** The stages that certificates were issued in from here on, until nothing happens any more. */
function stages(act: () => void): string[] {
  const before = world.certificates.issued.length;
  act();
  return world.certificates.issued.slice(before).map(({ to }) => to);
}

function ask(text = "leaked"): void {
  world.annotations = { [ANNOTATION_ROTATE_AUTHORITY]: text };
}

describe("an authority is followed by another", () => {
  test("when it is asked for, once for each text", () => {
    expect(stages(() => (ask(), world.settle()))).toEqual(["Trust", "Sign", "Settled"]);
    expect(stages(() => world.settle())).toEqual([]);
    expect(stages(() => (ask("again"), world.settle()))).toEqual(["Trust", "Sign", "Settled"]);
  });

  test("when more than half of its life is over, and not before", () => {
    const toNames = (name: string) => name === "Trust";
    expect(stages(() => ((world.nowMs += 5.9 * YEAR_MS), world.settle())).filter(toNames)).toEqual([]);
    expect(stages(() => ((world.nowMs += 0.2 * YEAR_MS), world.settle())).filter(toNames)).toEqual(["Trust"]);
  });

  test("no pod is touched for that", () => {
    const pods = [...world.pods.values()].map(({ uid }) => uid);
    ask();
    world.settle();
    expect([...world.pods.values()].map(({ uid }) => uid)).toEqual(pods);
  });

  test("a new cluster has nothing to go away from", () => {
    world = new Simulator({ members: 3 });
    ask();
    world.settle();
    expect(world.certificates.issued.map(({ to }) => to)).toEqual(["Settled"]);
  });
});

describe("it waits", () => {
  test("for every member, and says for whom", () => {
    world.certificates.late.add("orders-2");
    expect(stages(() => (ask(), world.settle()))).toEqual(["Trust"]);
    expect(world.plan().blocked).toEqual([
      expect.objectContaining({
        guard: "AuthorityTaken",
        object: "orders-2",
        message: expect.stringContaining("orders-2 did not"),
      }),
    ]);
    expect(stages(() => (world.certificates.late.clear(), world.settle()))).toEqual(["Sign", "Settled"]);
  });

  test("for the restart of engines that read authorities at their start, and says how", () => {
    world.certificates.late.add("orders-1");
    world.engine = { ...engine, readsAuthority: "Start" };
    ask();
    world.settle();
    const [block] = world.plan().blocked;
    expect(block?.message).toContain("restart the members");
    expect(block?.override).toContain('"type":"Restart"');
  });

  test("for clients of an engine that shows them its certificate: an hour when asked, a week else", () => {
    world.engine = { ...engine, clientTls: true };
    world.settle();
    ask();
    world.pass();
    const askedMs = world.nowMs;
    expect(stages(() => passes(59))).toEqual([]);
    expect(stages(() => passes(2))).toEqual(["Sign", "Settled"]);
    expect(world.nowMs - askedMs).toBeLessThan(62 * MINUTE_MS);
    world.settle();
    world.nowMs += 6.5 * YEAR_MS;
    world.pass(); // the leaf
    world.pass(); // the authority
    expect(world.certificates.issued.at(-1)?.to).toBe("Trust");
    expect(stages(() => ((world.nowMs += 6.9 * 86_400_000), passes(3)))).toEqual([]);
    expect(stages(() => ((world.nowMs += 0.2 * 86_400_000), passes(3)))).toEqual(["Sign", "Settled"]);
  });
});

describe("clients with certificates", () => {
  const asking = { ...engine, clientTls: true, clientCertificates: true };

  test("get an authority once the Engine asks for it, and no pod is touched for that", () => {
    const pods = [...world.pods.values()].map(({ uid }) => uid);
    world.engine = asking;
    expect(stages(() => world.settle())).toEqual(["Settled"]);
    expect(world.certificates.issued.at(-1)?.hasClients).toBe(true);
    expect(stages(() => world.settle())).toEqual([]);
    world.engine = { ...engine, clientTls: true };
    expect(stages(() => world.settle())).toEqual(["Settled"]);
    expect(world.certificates.issued.at(-1)?.hasClients).toBe(false);
    expect([...world.pods.values()].map(({ uid }) => uid)).toEqual(pods);
  });

  test("have an hour for the next authority, and another for the certificate that it signs", () => {
    world.engine = asking;
    world.settle();
    ask();
    world.pass();
    expect(stages(() => passes(59))).toEqual([]);
    expect(stages(() => passes(2))).toEqual(["Sign"]);
    expect(stages(() => passes(57))).toEqual([]);
    expect(stages(() => passes(3))).toEqual(["Settled"]);
  });

  test("get another certificate two thirds through its life, while an operator that is away has four months", () => {
    world.engine = asking;
    world.settle();
    const written = (act: () => void): number => {
      const before = world.certificates.connected;
      act();
      return world.certificates.connected - before;
    };
    const later = (days: number) => (world.nowMs += days * 86_400_000);
    expect(written(() => (later(243), world.settle()))).toBe(0);
    expect(written(() => (later(1), world.settle()))).toBe(1);
    expect(written(() => world.settle())).toBe(0);
  });
});

/** As many minutes, with all that members do. */
function passes(minutes: number): void {
  for (let minute = 0; minute < minutes; minute++) {
    while (world.move());
    world.nowMs += MINUTE_MS;
    world.pass();
  }
}
