// The webhook's certificate from one authority to the next: nothing is shown that the API server was not told to believe.
import { X509Certificate } from "node:crypto";
import { beforeEach, expect, test, vi } from "vitest";
import { randomSecrets } from "../../../src/act/secret-source.ts";
import { readAuthorityNote } from "../../../src/build/certificate.ts";
import { ANNOTATION_ROTATE_AUTHORITY } from "../../../src/build/labels.ts";
import type { KubeObject, ObjectRef } from "../../../src/kube/object.ts";
import type { ServerIdentity } from "../../../src/webhook/server.ts";
import { WebhookKeeper, type WebhookKeeperOptions } from "../../../src/webhook/keeper.ts";
import { FakeClock } from "../fake-clock.ts";

const MINUTE_MS = 60_000;

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string | null>>;
}

interface Configuration extends KubeObject {
  readonly webhooks: readonly { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[];
}

/** An API server of some Secrets and one configuration. */
class FakeApi {
  readonly secrets = new Map<string, Secret>();
  configuration: Configuration | undefined = {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingWebhookConfiguration",
    metadata: { name: "quorate-operator", resourceVersion: "1" },
    webhooks: [{ name: "clusterspecs.quorate.io", clientConfig: {} }],
  };
  /** Patches of the configuration fail. */
  isDeaf = false;

  get({ kind, name }: ObjectRef): Promise<unknown> {
    return Promise.resolve(kind === "Secret" ? this.secrets.get(name) : this.configuration);
  }

  create(secret: Secret): Promise<unknown> {
    this.secrets.set(secret.metadata.name ?? "", secret);
    return Promise.resolve(secret);
  }

  apply(secret: Secret): Promise<unknown> {
    return this.create(secret);
  }

  mergePatch({ kind, name }: ObjectRef, patch: object): Promise<unknown> {
    if (kind !== "Secret") {
      if (this.isDeaf) return Promise.reject(new Error("conflict"));
      this.configuration = { ...this.configuration, ...(patch as Configuration), metadata: { name } };
      return Promise.resolve(this.configuration);
    }
    const merged = { ...this.secrets.get(name)?.data, ...(patch as Secret).data };
    const data = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
    return this.create({ ...(this.secrets.get(name) as Secret), data });
  }
}

let api: FakeApi;
let clock: FakeClock;
let errors: unknown[];
let keeper: WebhookKeeper;
let shown: ServerIdentity | undefined;

beforeEach(() => {
  api = new FakeApi();
  clock = new FakeClock();
  errors = [];
  keeper = newKeeper();
});

function newKeeper(): WebhookKeeper {
  return new WebhookKeeper({
    api: api as unknown as WebhookKeeperOptions["api"],
    source: randomSecrets,
    clock,
    namespace: "quorate-system",
    configuration: "quorate-operator",
    hosts: ["localhost"],
    renewed: (identity) => void (shown = identity),
    onError: (error) => errors.push(error),
  });
}

/** Runs one replica, the one that leads, for some minutes, and says what is so at the end of each. */
async function minutes(count: number): Promise<readonly string[]> {
  const stop = new AbortController();
  shown = await keeper.identity(stop.signal);
  const running = Promise.all([keeper.follow(stop.signal), keeper.lead(stop.signal)]);
  await settled();
  const seen: string[] = [];
  for (let minute = 0; minute < count; minute += 1) {
    clock.advance(MINUTE_MS);
    await settled();
    seen.push(`${stage()} ${isBelieved() ? "believed" : "refused"}`);
  }
  stop.abort();
  await running;
  return seen;
}

/** Waits until both have looked and sleep again. */
async function settled(): Promise<void> {
  await vi.waitUntil(() => clock.pending === 2, { timeout: 10_000, interval: 1 });
}

function stage(): string {
  return readAuthorityNote(api.secrets.get("quorate-webhook-peer")?.metadata.annotations)?.stage ?? "none";
}

function authorities(): readonly string[] {
  const [first] = api.configuration?.webhooks ?? [];
  const text = Buffer.from(first?.clientConfig.caBundle ?? "", "base64").toString();
  return text.match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? [];
}

/** Whether what the replica shows is signed by whom the API server was told to believe. */
function isBelieved(): boolean {
  const leaf = new X509Certificate(shown?.cert ?? "");
  return authorities().some((pem) => leaf.verify(new X509Certificate(pem).publicKey));
}

function askForAnother(): void {
  const before = api.configuration as Configuration;
  const annotations = { [ANNOTATION_ROTATE_AUTHORITY]: "now" };
  api.configuration = { ...before, metadata: { ...before.metadata, annotations } };
}

const times = (count: number, text: string): readonly string[] => Array.from({ length: count }, () => text);

test("a first certificate is made, and believed", async () => {
  expect(await minutes(2)).toEqual(times(2, "Settled believed"));
  expect(authorities()).toHaveLength(1);
});

test("another authority comes in steps of ten minutes", async () => {
  await minutes(1);
  const [first] = authorities();
  askForAnother();
  expect(await minutes(25)).toEqual([
    ...times(9, "Trust believed"),
    ...times(10, "Sign believed"),
    ...times(6, "Settled believed"),
  ]);
  expect(authorities()).toHaveLength(1);
  expect(authorities()).not.toContain(first);
  expect(errors).toEqual([]);
});

test("no step is taken before the API server was told of the one before", async () => {
  await minutes(1);
  askForAnother();
  api.isDeaf = true;
  expect(await minutes(30)).toEqual(times(30, "Trust believed"));
  api.isDeaf = false;
  // It is told at the first look, and has as long to hear of it as it always has.
  expect(await minutes(12)).toEqual([...times(9, "Trust believed"), ...times(3, "Sign believed")]);
});

test("a replica that leads from now on does not know when the API server was told, and waits as if it were now", async () => {
  await minutes(1);
  askForAnother();
  await minutes(8);
  keeper = newKeeper();
  expect(await minutes(12)).toEqual([...times(9, "Trust believed"), ...times(3, "Sign believed")]);
});

test("what somebody else wrote over the belief is put right", async () => {
  await minutes(1);
  const bundle = authorities();
  const [webhook] = api.configuration?.webhooks ?? [];
  api.configuration = {
    ...(api.configuration as Configuration),
    webhooks: [{ name: webhook?.name ?? "", clientConfig: {} }],
  };
  await minutes(1);
  expect(authorities()).toEqual(bundle);
});

test("without a configuration nobody asks, and nothing is changed", async () => {
  await minutes(1);
  api.configuration = undefined;
  const before = new Map(api.secrets);
  await minutes(2);
  expect(api.secrets).toEqual(before);
  expect(errors).toEqual([]);
});
