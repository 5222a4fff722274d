// Accounts of a user's own: what is made for each, and what holds a cluster back over one.
import { beforeEach, describe, expect, test } from "vitest";
import { buildIntent } from "../../../src/build/config.ts";
import { buildConnections, credentialKeys } from "../../../src/build/connection.ts";
import { contextOf, engine } from "./fixture.ts";
import { Simulator } from "./simulator.ts";

const CONNECTION = { type: "example", uri: "example://$(username)@$(host)/$(database)" };
const ENGINE = { ...engine, applicationConnection: CONNECTION };
const SPEC = { members: 3, accounts: [{ name: "shop" }, { name: "reports", database: "shop" }] };

test("each gets a password, a connection Secret and a place in the intent", () => {
  const context = { ...contextOf(SPEC), engine: ENGINE };
  expect(credentialKeys(context.engine, context.intent)).toEqual(["admin", "app", "shop", "reports"]);
  expect(
    buildConnections(context, { credentialsVersion: "7", peerVersion: "3" }).map(({ metadata, fields }) => [
      metadata.name,
      fields["database"],
    ]),
  ).toEqual([
    ["orders-app", undefined],
    ["orders-shop", "shop"],
    ["orders-reports", "shop"],
  ]);
  const requests = { switchover: null, restart: null, rebuild: null, hook: null };
  const group = { generation: 1, members: ["orders-0"], learners: [], bootstrapMember: null, initialized: true };
  const state = { ...group, ...requests };
  const accountsOf = (accounts: readonly object[]) => {
    const { intent } = contextOf({ members: 3, accounts });
    return buildIntent({ ...context, intent }, state).accounts;
  };
  expect(accountsOf([{ name: "shop", rules: ["read x"] }])?.at(-1)).toEqual({
    ...{ name: "shop", secretKey: "shop", database: "shop" },
    rules: ["read x"],
  });
  expect(buildIntent(context, state).accounts).toEqual([
    { name: "app", secretKey: "app", database: "app" },
    { name: "shop", secretKey: "shop", database: "shop" },
    { name: "reports", secretKey: "reports", database: "shop" },
  ]);
});

test("the Secret names no database where nobody could choose one when connecting", () => {
  const form = { type: "example", uri: "example://$(username)@$(host)" };
  const context = { ...contextOf(SPEC), engine: { ...ENGINE, applicationConnection: form } };
  const made = buildConnections(context, { credentialsVersion: "7", peerVersion: "3" });
  expect(made.map(({ fields }) => "database" in fields)).toEqual([false, false, false]);
});

describe("a cluster", () => {
  let world: Simulator;
  const blocked = (): string => {
    const [first] = world.plan().blocked;
    return `${first?.guard ?? ""}: ${first?.message ?? ""}`;
  };

  beforeEach(() => {
    world = new Simulator({ members: 3 });
    world.engine = ENGINE;
    world.settle();
  });

  test("makes passwords for new accounts without touching a pod", () => {
    world.change(SPEC);
    expect(world.plan().steps).toEqual([
      expect.objectContaining({ kind: "GenerateCredentials", keys: ["admin", "app", "shop", "reports"] }),
      expect.objectContaining({ kind: "Apply" }),
    ]);
    world.settle();
    expect(world.intent?.accounts?.map(({ name }) => name)).toEqual(["app", "shop", "reports"]);
  });

  test("is held back by an Engine that has no accounts of users' own", () => {
    world.engine = engine;
    world.change(SPEC);
    expect(blocked()).toBe("AccountsSupported: Engine example has no accounts of users' own. Remove spec.accounts.");
  });

  test("is held back by a name that the Engine has taken", () => {
    world.change({ ...SPEC, accounts: [{ name: "admin" }] });
    expect(blocked()).toBe(
      "AccountsSupported: Engine example has an account admin of its own. Choose another name in spec.accounts.",
    );
  });

  test.each([
    {
      form: undefined,
      said: "Engine example has no rules for accounts. Remove rules from account shop in spec.accounts.",
    },
    {
      form: "read|write",
      said: 'Engine example has no rule "read all" for accounts. Correct it in account shop of spec.accounts.',
    },
    {
      form: "(",
      said: 'Engine example has no rule "read all" for accounts. Correct it in account shop of spec.accounts.',
    },
    { form: "read( all)?", said: ": " },
  ])("with rules, of an Engine that takes $form", ({ form, said }) => {
    world.engine = form === undefined ? ENGINE : { ...ENGINE, accountRule: form };
    world.change({ ...SPEC, accounts: [{ name: "shop", rules: ["read all"] }] });
    expect(blocked()).toBe(said === ": " ? said : `AccountsSupported: ${said}`);
  });

  test("says what its members cannot make where each has its own", () => {
    world.engine = { ...ENGINE, keepsAccounts: "Member" };
    for (const [name, pod] of world.pods)
      if (pod.report !== undefined && name !== world.leader)
        pod.report = { ...pod.report, accountsMissing: "account shop cannot log in" };
    const names = [...world.pods.keys()].filter((name) => name !== world.leader);
    expect(blocked()).toBe(`AccountsMade: ${names.map((name) => `${name}: account shop cannot log in`).join("; ")}`);
    world.engine = ENGINE; // where they are in the data, what a follower said is of the time in which it led
    expect(blocked()).toBe(": ");
  });

  test("says what its leader cannot make", () => {
    const pod = world.pods.get(world.leader ?? "");
    if (pod?.report === undefined) throw new Error("nobody leads");
    pod.report = { ...pod.report, accountsMissing: "account shop cannot log in to database shop" };
    expect(blocked()).toBe("AccountsMade: account shop cannot log in to database shop");
  });
});
