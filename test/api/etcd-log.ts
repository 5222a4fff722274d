// The history of one kind of custom resource as etcd tells it. Custom resources are stored as JSON, so it can be read without the API server.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { binary } from "./harness.ts";
import type { TruthEvent, TruthObject } from "./watch-validators.ts";

/** Follows a prefix of etcd's keys from the start. Survives compaction, as long as it keeps up. */
export class EtcdLog {
  readonly events: TruthEvent[] = [];
  readonly #child: ChildProcess;

  /** @param prefix - Such as `/registry/test.quorate.io/things/`. */
  constructor(etcdUrl: string, prefix: string) {
    const args = [`--endpoints=${etcdUrl}`, "watch", "--prefix", "--prev-kv", "--rev=1", "-w", "json", prefix];
    this.#child = spawn(binary("etcdctl"), args, { stdio: ["ignore", "pipe", "inherit"] });
    if (this.#child.stdout === null) throw new Error("etcdctl has no output");
    createInterface(this.#child.stdout).on("line", (line) => {
      for (const event of (JSON.parse(line) as WatchResponse).Events ?? []) this.events.push(toTruth(event));
    });
  }

  /** The newest revision seen, 0 before the first. */
  get revision(): number {
    return this.events.at(-1)?.revision ?? 0;
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}

interface KeyValue {
  readonly key: string;
  readonly mod_revision: number;
  readonly value?: string;
}

interface WatchResponse {
  readonly Events?: readonly { readonly kv: KeyValue; readonly prev_kv?: KeyValue }[];
}

function toTruth({ kv, prev_kv: before }: { readonly kv: KeyValue; readonly prev_kv?: KeyValue }): TruthEvent {
  return {
    revision: kv.mod_revision,
    name: Buffer.from(kv.key, "base64").toString().split("/").at(-1) ?? "",
    ...(kv.value === undefined ? {} : { object: toObject(kv) }),
    ...(before === undefined ? {} : { previous: toObject(before) }),
  };
}

function toObject(kv: KeyValue): TruthObject {
  const stored = JSON.parse(Buffer.from(kv.value ?? "", "base64").toString()) as {
    readonly metadata: { readonly uid: string; readonly labels?: Record<string, string> };
  };
  return { uid: stored.metadata.uid, revision: kv.mod_revision, labels: stored.metadata.labels ?? {} };
}
