// Engines that lie, hang, flood and tell secrets: whatever an action does, the agent gets an answer in time that it can trust, or an
// error of the kind that it expects, and no password leaves the member with it.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ActionError } from "../../../src/agent/engine/driver.ts";
import { EngineSession, SessionError } from "../../../src/agent/engine/session.ts";
import { EngineObservation } from "../../../src/api/engine-observation.ts";
import { driverOf } from "./driver-of.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quorate-hostile-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const HONEST = { writable: true, position: { history: "1", value: "42" }, followers: [], version: "1" };
const lie: fc.Arbitrary<unknown> = fc.oneof(
  fc.constant(undefined),
  fc.jsonValue(),
  fc.bigInt().map(String),
  fc.string({ maxLength: 300 }),
  fc.double(),
);
/** An answer that is right but for one field. */
const mutated = fc
  .tuple(fc.constantFrom("writable", "position", "followers", "version", "syncSet", "group", "__proto__"), lie)
  .map(([field, value]) => JSON.stringify({ ...HONEST, [field]: value }));
const printed: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 2_000 }),
  mutated.map((text) => new TextEncoder().encode(text)),
  fc.tuple(mutated, mutated).map(([first, last]) => new TextEncoder().encode(`${first}\n${last}\n`)),
  fc.integer({ min: 1, max: 5_000 }).map((depth) => new TextEncoder().encode("[".repeat(depth))),
);

describe("an observe action", () => {
  test("whatever it prints, is believed as a whole or not at all", async () => {
    const file = join(folder, "printed");
    const driver = driverOf({ observe: { exec: ["/bin/cat", file] } });
    await fc.assert(
      fc.asyncProperty(printed, async (bytes) => {
        writeFileSync(file, bytes);
        const answer = await driver.observe().catch((error: unknown) => error);
        if (answer instanceof ActionError) return;
        expect(EngineObservation.parse(answer)).toEqual(answer);
      }),
      { numRuns: 60 },
    );
  });

  test("that prints more than anybody reads is not believed, whatever stands at the place where it was cut", async () => {
    const flood = `yes '${JSON.stringify(HONEST)}' | head -c 2000000`;
    const driver = driverOf({ observe: { exec: ["/bin/sh", "-c", flood] } });
    await expect(driver.observe()).rejects.toBeInstanceOf(ActionError);
  });
});

describe("an action", () => {
  test("ends in time although a daemon that it left behind holds its output open", async () => {
    const exec = ["/bin/sh", "-c", "setsid sleep 60 & echo $!"];
    const { stdout } = await driverOf({ checkpoint: { exec } }).run("checkpoint");
    expect(process.kill(Number(stdout), "SIGKILL")).toBe(true); // it still ran
  });

  test("that nobody wants any more before it begins does not begin", async () => {
    const file = join(folder, "begun");
    const driver = driverOf({ clone: { exec: ["/usr/bin/touch", file], timeoutSeconds: 60 } });
    await expect(driver.run("clone", {}, AbortSignal.abort())).rejects.toMatchObject({ code: 125 });
    expect(existsSync(file)).toBe(false);
  });
});

describe("a password", () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9:/+=%&' -]{8,40}$/).filter((text) => text.trim() === text);
  const around = fc.string({ maxLength: 40 }).map((text) => text.replaceAll(/[^ -~]|'/g, " "));

  test("that an engine tells when it fails goes no further, in whatever form it stands", async () => {
    const said = join(folder, "said");
    await fc.assert(
      fc.asyncProperty(secret, around, around, fc.boolean(), async (password, before, after, isEncoded) => {
        writeFileSync(join(folder, "app"), password);
        writeFileSync(said, `${before}${isEncoded ? encodeURIComponent(password) : password}${after}`);
        const context = { QUORATE_CREDENTIALS_DIR: folder };
        for (const exec of [
          ["/bin/sh", "-c", `cat '${said}' >&2; exit 1`],
          ["/bin/cat", said],
        ]) {
          const error: unknown = await driverOf({ observe: { exec } })
            .observe(context)
            .catch((failure: unknown) => failure);
          expect(error).toBeInstanceOf(ActionError);
          const { message, detail } = error as ActionError;
          for (const form of [password, encodeURIComponent(password)]) {
            expect(`${message}\n${detail}`).not.toContain(form);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  test("may be mentioned by the name of its account", async () => {
    writeFileSync(join(folder, "app"), "correct horse");
    const exec = ["/bin/sh", "-c", "echo 'FATAL: postgresql://app:correct%20horse@db refused' >&2; exit 1"];
    const failing = driverOf({ seal: { exec } }).run("seal", { QUORATE_CREDENTIALS_DIR: folder });
    await expect(failing).rejects.toMatchObject({
      detail: "FATAL: postgresql://app:[password of app]@db refused",
    });
  });
});

/** A client of an engine in sh: each line is a thing to do. */
const CLIENT = `
while read -r verb text; do
  case "$verb" in
    out) echo "$text" ;;
    err) echo "$text" >&2 ;;
    mark) echo "$text"; echo "$text" >&2 ;;
    lie) echo "quorate-0-1"; echo "quorate-0-1" >&2 ;;
    die) exit 3 ;;
    close) exec 1>&- ;;
    hang) sleep 60 ;;
    flood) yes "$text" ;;
  esac
done`;

describe("a session", () => {
  test("whatever its client does, every statement ends, and what one said is never taken for another's", async () => {
    const verb = fc.constantFrom("out", "out", "err", "lie", "die", "close", "hang", "flood");
    await fc.assert(
      fc.asyncProperty(fc.array(verb, { minLength: 1, maxLength: 4 }), async (verbs) => {
        const session = new EngineSession({
          argv: ["/bin/sh", "-c", CLIENT],
          env: process.env,
          markerStatement: (marker) => `mark ${marker}`,
        });
        for (const [at, one] of verbs.entries()) {
          const said = await session.run(`${one} said-${at}`, 300).catch((error: unknown) => error);
          if (said instanceof SessionError) continue;
          const { stdout, stderr } = said as { stdout: string[]; stderr: string[] };
          for (const line of [...stdout, ...stderr]) expect([`said-${at}`, "quorate-0-1"]).toContain(line);
        }
        expect((await session.run("out well", 5_000)).stdout).toEqual(["well"]);
        session.close();
      }),
      { numRuns: 8 },
    );
  });
});
