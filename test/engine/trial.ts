/** Engines as they are tried against the contract: as they are shipped, or with a mistake. */
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import type { Topology } from "../../src/api/topology.ts";
import { checkNames, type CheckResult, tryEngine } from "../../src/conformance/conformance.ts";
import { testPasswords } from "../../src/conformance/credentials.ts";
import type { HostSoftware } from "../../src/conformance/host-cluster.ts";
import { userOf } from "../../src/conformance/host-place.ts";
import { binary } from "../api/harness.ts";
import { built } from "../init/harness.ts";
import { shippedSpec } from "./host-cluster.ts";
import { MARIADB_PROGRAMS } from "./host-mariadb.ts";
import { REDIS_PROGRAMS } from "./host-redis.ts";

/** What a rule may take, on a busy machine and with an engine that is slow to start. */
const RULE_MS = 240_000;

type Spec = HostSoftware["spec"];

/** An Engine's software on this host; programs are looked for when it is tried. */
export interface Subject {
  readonly name: string;
  readonly user: string;
  readonly programs: () => HostSoftware["programs"];
  /** File beside this one that writes and reads keys. */
  readonly client?: string;
}

export const REDIS: Subject = { name: "redis", user: "nobody", programs: () => REDIS_PROGRAMS, client: "redis-keys" };
export const REDIS_SHARDS = REDIS;
export const POSTGRES: Subject = { name: "postgres", user: "postgres", programs: () => ({}), client: "postgres-keys" };
export const ETCD: Subject = {
  name: "etcd",
  user: "nobody",
  programs: () => ({ etcd: binary("etcd"), etcdctl: binary("etcdctl"), etcdutl: binary("etcdutl") }),
  client: "etcd-keys",
};
export const GALERA: Subject = {
  name: "galera",
  user: "nobody",
  programs: () => MARIADB_PROGRAMS,
  client: "galera-keys",
};
export const RABBITMQ: Subject = {
  name: "rabbitmq",
  user: "nobody",
  programs: () => ({}),
  client: "rabbitmq-keys",
};

/** What is to be tried, with another spec than the shipped one if there is one. */
export function software({ name, user, programs, client }: Subject, spec: Spec = shippedSpec(name)): HostSoftware {
  return {
    spec,
    user: userOf(user),
    passwords: testPasswords(spec.accounts),
    programs: programs(),
    init: built("dist/quorate-init"),
    ...(client === undefined ? {} : { client: join(import.meta.dirname, client) }),
  };
}

/** The rules that it breaks, of the named ones. */
export async function problemsOf(tried: HostSoftware, topology: Topology, ...only: string[]): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for await (const result of tryEngine(tried, { topology, only })) results.push(result);
  expect(results.length).toBe(only.length);
  return results.filter(({ problem }) => problem !== undefined);
}

/** The shipped Engine with some files changed. */
export function withFiles(name: string, changes: Readonly<Record<string, (text: string) => string>>): Spec {
  const spec = shippedSpec(name);
  const changed = Object.entries(changes).map(([file, change]) => {
    const text = change(spec.files[file] ?? "");
    expect(text, `${name}/${file} is as it was`).not.toBe(spec.files[file]);
    return [file, text];
  });
  return { ...spec, files: { ...spec.files, ...(Object.fromEntries(changed) as Record<string, string>) } };
}

/** Tries these rules one after the other before the tests, each of which is about one. */
export function keepsRules(subject: Subject, topology: Topology): void {
  const only = checkNames(topology);
  const results = new Map<string, CheckResult>();
  beforeAll(async () => {
    for await (const result of tryEngine(software(subject), { topology, only })) results.set(result.name, result);
  }, only.length * RULE_MS);
  it.each(only)("%s", (name) => {
    expect(results.get(name)).toEqual({ name, rule: expect.any(String) as string });
  });
}
