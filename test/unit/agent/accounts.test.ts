import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AccountKeeper, keepingEpoch, ownAccounts } from "../../../src/agent/accounts.ts";
import { engine } from "../plan/fixture.ts";
import { ActionError } from "../../../src/agent/engine/driver.ts";

const SHOP = { name: "shop", database: "goods", secretKey: "shop-key" };
let folder: string;
let keptIn: number | undefined;
let epochs: number[];
let nowMs: number;
/** The file as the engine's action found it, each time. */
let made: string[];
let answer: Error | undefined;
let keeper: AccountKeeper;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quorate-accounts-"));
  [keptIn, epochs, nowMs, made, answer] = [1, [], 0, [], undefined];
  keeper = new AccountKeeper({
    file: join(folder, "accounts"),
    credentialsDir: folder,
    make: async (epoch) => {
      epochs.push(epoch);
      made.push(await readFile(join(folder, "accounts"), "utf8"));
      if (answer !== undefined) throw answer;
    },
    epoch: () => keptIn,
    nowMs: () => nowMs,
    changed: () => undefined,
  });
  await setPassword("first");
});
afterEach(() => rm(folder, { recursive: true }));

const setPassword = (password: string): Promise<void> => writeFile(join(folder, "shop-key"), password);

test("makes accounts once, again when a password changes, and when the list does", async () => {
  keeper.want({ accounts: [SHOP] });
  await keeper.apply();
  await keeper.apply();
  expect(made).toEqual(["shop\tgoods\tshop-key\n"]);
  await setPassword("second");
  nowMs = 4999; // passwords are looked at every five seconds
  await keeper.apply();
  expect(made).toHaveLength(1);
  nowMs = 5000;
  await keeper.apply();
  expect(made).toHaveLength(2);
  keeper.want({ accounts: [] });
  await keeper.apply();
  expect(made.at(-1)).toBe("");
});

test("only who serves makes accounts, or complains", async () => {
  keptIn = undefined;
  answer = new ActionError("makeAccounts", 1, "no");
  keeper.want({ accounts: [SHOP] });
  await keeper.apply();
  expect(made).toEqual([]);
  keptIn = 1;
  await keeper.apply();
  expect(keeper.missing).toContain("no");
  keptIn = undefined;
  expect(keeper.missing).toBeUndefined();
});

test("waits for a password, and tries what failed again after a while", async () => {
  await rm(join(folder, "shop-key"));
  keeper.want({ accounts: [SHOP] });
  await keeper.apply();
  expect(keeper.missing).toBe("a password has not reached this member yet");
  await setPassword("first");
  await keeper.apply();
  expect(made).toEqual([]);
  nowMs += 10_000;
  await keeper.apply();
  expect(made).toHaveLength(1);
  expect(keeper.missing).toBeUndefined();
});

test("an account's rules come after it, and others are another list", async () => {
  keeper.want({ accounts: [{ ...SHOP, rules: ["read a", "write b"] }] });
  await keeper.apply();
  keeper.want({ accounts: [{ ...SHOP, rules: ["read a"] }] });
  await keeper.apply();
  expect(made).toEqual(["shop\tgoods\tshop-key\tread a\twrite b\n", "shop\tgoods\tshop-key\tread a\n"]);
});

test("they are made again in another epoch, and where somebody else kept them meanwhile", async () => {
  keeper.want({ accounts: [SHOP] });
  for (const next of [1, 1, 2, undefined, 2]) {
    keptIn = next;
    await keeper.apply();
  }
  expect(epochs).toEqual([1, 2, 2]);
  keptIn = undefined;
  await keeper.apply();
  keptIn = 2;
  await setPassword("second");
  await keeper.apply(); // without waiting for the next look
  expect(epochs).toEqual([1, 2, 2, 2]);
});

test.each([
  { keepsAccounts: "Data", serving: 7, isUp: true, kept: 7 },
  { keepsAccounts: "Data", serving: undefined, isUp: true, kept: undefined },
  { keepsAccounts: "Member", serving: 7, isUp: true, kept: 7 },
  { keepsAccounts: "Member", serving: undefined, isUp: true, kept: 0 },
  { keepsAccounts: "Member", serving: undefined, isUp: false, kept: undefined },
] as const)("accounts in $keepsAccounts, served in $serving, up $isUp: kept in $kept", (one) => {
  expect(keepingEpoch(one, one.serving, one.isUp)).toBe(one.kept);
});

test("of those that an engine brings, those without a connection are its own; nobody keeps them where it takes no other passwords", () => {
  const connection = { type: "tiny", uri: "tiny://$(host)" };
  const accounts = [{ name: "copier", secretKey: "copier-key" }, { name: "app", connection }, { name: "boss" }];
  const spec = (actions: object) => ({ ...engine, accounts, actions: { ...engine.actions, ...actions } });
  expect(ownAccounts(spec({ takePasswords: { exec: ["true"], timeoutSeconds: 10 } }))).toEqual({
    accounts: [
      { name: "copier", secretKey: "copier-key", database: "" },
      { name: "boss", secretKey: "boss", database: "" },
    ],
  });
  expect(ownAccounts(spec({ takePasswords: undefined }))).toEqual({});
});

test("an engine that makes its accounts in another way is left alone", async () => {
  keeper.want({});
  await keeper.apply();
  expect(made).toEqual([]);
});
