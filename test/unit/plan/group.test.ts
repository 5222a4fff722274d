// Clusters whose engine keeps its own list of members: pods go after the list has forgotten them, and a lost majority is recovered
// from only as a person has consented to.
import { beforeEach, describe, expect, test } from "vitest";
import type { MemberReport } from "../../../src/api/agent-wire.ts";
import { childKey } from "../../../src/build/manifest.ts";
import { engine } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

let world: Simulator;

function say(member: string, report: Partial<MemberReport>): void {
  const pod = world.pods.get(member);
  if (pod?.report === undefined) throw new Error(`${member} says nothing`);
  pod.report = { ...pod.report, ...report };
}

function live(seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    world.pass();
    world.nowMs += 1_000;
  }
}

function listed(): string[] {
  return world.intent?.members.map(({ name }) => name) ?? [];
}

describe.each(["Consensus", "ActiveActive"] as const)("topology %s", (topology) => {
  const SPEC = { topology, deletionProtection: false };

  beforeEach(() => {
    world = new Simulator({ ...SPEC, members: 3 });
    world.engine = { ...engine, topologies: [topology] };
    world.settle();
  });

  describe("scaling in", () => {
    const exists = (): boolean => world.children.has(childKey("StatefulSet", "orders-2"));

    test("unlists the member first, and ends its pod only when the engine does not count it any more", () => {
      say(world.leader ?? "", { group: { incarnation: 0, members: ["orders-0", "orders-1", "orders-2"] } });
      world.change({ ...SPEC, members: 2 });
      live(30);
      expect(listed()).toEqual(["orders-0", "orders-1"]);
      expect(exists()).toBe(true);
      say(world.leader ?? "", { group: { incarnation: 0, members: ["orders-0", "orders-1"] } });
      live(5);
      expect(exists()).toBe(false);
    });

    test("ends no pod while no leader says whom the engine counts", () => {
      world.change({ ...SPEC, members: 2 });
      live(30);
      expect(exists()).toBe(true);
      say(world.leader ?? "", { role: "none", state: "Electing" });
      live(30);
      expect(exists()).toBe(true);
    });
  });

  describe("a lost majority", () => {
    const lose = (positions: Readonly<Record<string, { readonly term: number; readonly index: string }>>): void => {
      for (const [name, pod] of world.pods) {
        const position = positions[name];
        if (position === undefined) Object.assign(pod, { ready: false, report: undefined, works: false });
        else say(name, { role: "none", state: "Blocked", reason: "QuorumLost", group: { incarnation: 0, position } });
      }
    };
    const recover = (name: string, consent?: string) => {
      world.operate(name, { type: "Recover", ...(consent === undefined ? {} : { consent }) });
      live(3);
      return world.operations.get(name)?.status;
    };

    test("is told, with the way to find out what could be done", () => {
      lose({ "orders-1": { term: 4, index: "90" } });
      live(3);
      const block = world.status.blocked?.find(({ guard }) => guard === "MajorityReachable");
      expect(block?.message).toContain("missing: orders-0, orders-2");
      expect(block?.override).toContain('"type":"Recover"');
      expect(world.intent?.group).toBeUndefined();
    });

    test("without consent nothing is changed, and the plan is shown: the most advanced copy, what the others have, what could be lost", () => {
      lose({ "orders-1": { term: 9, index: "90" }, "orders-2": { term: 4, index: "101" } });
      const status = recover("look");
      expect(status?.phase).toBe("Refused");
      expect(status?.message).toMatch(
        /^Nothing was changed\. orders-2 would begin .* entry 101 \(the others: orders-1 90\)/,
      );
      expect(status?.message).toContain("What orders-0 acknowledged beyond that entry would be lost");
      expect(status?.message).toContain('"consent":"orders-2@101"');
      expect(world.intent?.group).toBeUndefined();
    });

    test("consent to a plan that has changed is none", () => {
      lose({ "orders-1": { term: 4, index: "90" } });
      expect(recover("stale", "orders-1@80")?.message).toContain("The consent was to orders-1@80");
      expect(world.intent?.group).toBeUndefined();
    });

    test("with consent the group is begun anew, once, and the incarnation outlives the operation and the intent", () => {
      lose({ "orders-1": { term: 4, index: "90" } });
      expect(recover("go", "orders-1@90")?.phase).toBe("Running");
      expect(world.intent?.group).toEqual({ incarnation: 1, founder: "orders-1", request: "op-go" });
      say("orders-1", {
        role: "leader",
        state: "Running",
        reason: null,
        group: { incarnation: 1, members: ["orders-1"] },
      });
      live(3);
      expect(world.operations.get("go")?.status.phase).toBe("Done");
      expect(world.intent?.group?.incarnation).toBe(1);
      world.children.delete(childKey("ConfigMap", "orders-intent"));
      live(3);
      expect(world.intent?.group).toEqual({ incarnation: 1, founder: null, request: null });
    });

    test("that is none is not recovered from", () => {
      expect(recover("no", "orders-0@1")).toMatchObject({ phase: "Refused" });
      expect(recover("no")?.message).toContain("nothing to recover from");
    });
  });
});
