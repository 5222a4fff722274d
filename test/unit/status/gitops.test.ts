// What tools make of a cluster's status in each phase: kstatus (Flux, kubectl wait), Argo CD's Lua and our own `wait` must agree.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { lauxlib, lua, lualib, to_jsstring, to_luastring } from "fengari";
import { beforeEach, describe, expect, test } from "vitest";
import type { ClusterSpec } from "../../../src/api/cluster-spec.ts";
import { settledness } from "../../../src/cli/settled.ts";
import { Simulator } from "../plan/simulator.ts";

const FOLDER = join(import.meta.dirname, "../../../examples/gitops");
let world: Simulator;

beforeEach(() => {
  world = new Simulator({ members: 3 });
});

/** The ClusterSpec as tools read it. */
function stored(): ClusterSpec {
  const { cluster } = world.observe();
  if (cluster === undefined) throw new Error("the cluster is gone");
  return {
    apiVersion: "quorate.io/v1alpha1",
    kind: "ClusterSpec",
    metadata: { name: cluster.name, generation: cluster.generation },
    spec: cluster.intent,
    status: world.status,
  };
}

/** The rules of kstatus for a kind that it does not know (sigs.k8s.io/cli-utils, pkg/kstatus/status/generic.go). */
function kstatus({ metadata, status }: ClusterSpec): string {
  const generation = status?.observedGeneration;
  if (generation !== undefined && generation !== metadata.generation) return "InProgress";
  const isTrue = (type: string) => status?.conditions?.find((one) => one.type === type)?.status;
  if (isTrue("Reconciling") === "True") return "InProgress";
  if (isTrue("Stalled") === "True") return "Failed";
  return isTrue("Ready") === undefined || isTrue("Ready") === "True" ? "Current" : "InProgress";
}

/** Runs a health check as Argo CD does: the object is the global `obj`, and what comes back is a table. */
function argo(file: string, object: object): string {
  const state = lauxlib.luaL_newstate();
  lualib.luaL_openlibs(state);
  push(state, object);
  lua.lua_setglobal(state, to_luastring("obj"));
  const source = to_luastring(readFileSync(join(FOLDER, file), "utf8"));
  if (lauxlib.luaL_dostring(state, source) !== lua.LUA_OK) throw new Error(lua.lua_tojsstring(state, -1));
  const field = (name: string): string => {
    lua.lua_getfield(state, -1, to_luastring(name));
    const text = to_jsstring(lua.lua_tostring(state, -1));
    lua.lua_pop(state, 1);
    return text;
  };
  expect(field("message")).not.toBe("");
  return field("status");
}

function push(state: unknown, value: unknown): void {
  if (typeof value === "number") return lua.lua_pushnumber(state, value);
  if (typeof value === "boolean") return lua.lua_pushboolean(state, value);
  if (typeof value === "string") return lua.lua_pushstring(state, to_luastring(value));
  if (value === null || typeof value !== "object") return lua.lua_pushnil(state);
  lua.lua_newtable(state);
  for (const [key, one] of Object.entries(value)) {
    if (one === undefined) continue;
    if (Array.isArray(value)) lua.lua_pushinteger(state, Number(key) + 1);
    else lua.lua_pushstring(state, to_luastring(key));
    push(state, one);
    lua.lua_settable(state, -3);
  }
}

function seen(): { readonly kstatus: string; readonly argo: string; readonly wait: string } {
  const object = stored();
  return { kstatus: kstatus(object), argo: argo("clusterspec-health.lua", object), wait: settledness(object).state };
}

describe("a cluster", () => {
  test("that the operator has not looked at is in progress", () => {
    expect(argo("clusterspec-health.lua", stored())).toBe("Progressing");
    expect(settledness(stored()).state).toBe("InProgress");
  });

  test("that begins is in progress", () => {
    world.pass();
    expect(seen()).toEqual({
      kstatus: "InProgress",
      argo: "Progressing",
      wait: "InProgress",
    });
  });

  test("that is settled is ready", () => {
    world.settle();
    world.pass();
    expect(seen()).toEqual({ kstatus: "Current", argo: "Healthy", wait: "Ready" });
  });

  test("that changes is in progress, and its spec in flight is not taken for done", () => {
    world.settle();
    world.pass();
    world.change({ members: 3, parameters: { size: "20" } });
    world.pass();
    expect(seen()).toEqual({ kstatus: "InProgress", argo: "Progressing", wait: "InProgress" });
  });

  test("whose spec cannot be carried out has failed, with a reason", () => {
    world.settle();
    world.change({ members: 3, engine: { name: "example", version: "9" } });
    world.pass();
    expect(seen()).toEqual({ kstatus: "Failed", argo: "Degraded", wait: "Failed" });
    expect(settledness(stored()).message).toMatch(/^VersionKnown: Engine example has no version 9/);
  });

  test("that lost its leader is degraded, and not failed: it mends by itself", () => {
    world.settle();
    world.pass();
    for (const pod of world.pods.values()) {
      if (pod.report !== undefined) pod.report = { ...pod.report, role: "none", state: "Electing" };
    }
    world.pass();
    expect(seen()).toMatchObject({ kstatus: "InProgress", argo: "Degraded", wait: "InProgress" });
  });

  test("that is paused is suspended", () => {
    world.settle();
    world.change({ members: 3, paused: true });
    world.pass();
    expect(seen().argo).toBe("Suspended");
  });

  test("whose change was rolled back is not waited for", () => {
    world.settle();
    world.pass();
    const object = stored();
    const rollout = {
      phase: "RolledBack",
      revision: "b",
      updated: [],
      failed: [{ revision: "b", reason: "not ready" }],
    };
    const rolled = { ...object, status: { ...object.status, rollout } } as ClusterSpec;
    expect(settledness(rolled)).toEqual({ state: "Failed", message: "the change was rolled back: not ready" });
  });
});

describe("an operation", () => {
  test.each([
    [undefined, "Progressing"],
    ["Pending", "Progressing"],
    ["Running", "Progressing"],
    ["Done", "Healthy"],
    ["Refused", "Degraded"],
    ["Failed", "Degraded"],
  ])("in phase %s is %s", (phase, health) => {
    const status = phase === undefined ? undefined : { phase, message: "said" };
    expect(argo("clusteroperation-health.lua", { status })).toBe(health);
  });
});
