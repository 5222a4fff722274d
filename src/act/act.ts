// Carries out a plan: in order, with the preconditions that are in it, until the first error. Decides nothing.
import { type AgentBundle, packBundle } from "../agent-bundle.ts";
import { API_VERSION } from "../api/names.ts";
import type { Manifest } from "../build/manifest.ts";
import type { Clock } from "../clock.ts";
import type { KubeApi } from "../kube/api.ts";
import { isAlreadyExists } from "../kube/api-error.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import type { Doomed, Step } from "../plan/plan.ts";
import { withoutAdditions } from "./additions.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { issuePeerCertificates } from "./peer-certificates.ts";
import type { SecretSource } from "./secret-source.ts";
import { generateCredentials, writeConnection } from "./secrets.ts";

/** What was written, so that the next pass can wait until the caches show it. Called right after each write. */
export interface Ledger {
  wrote(object: Stored<KubeObject>): void;
  deleted(object: Doomed): void;
  /** An object that is never watched may have changed, and nobody knows to what. */
  changedNamed(): void;
  /** A step was carried out; for logs. */
  acted(step: Step): void;
}

export interface ActorOptions {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly secretSource: SecretSource;
  /** The agent that steps may offer; absent: none is asked for. */
  readonly agentBundle?: AgentBundle | undefined;
  /** Carries out a step as a part of the trace of what it is for; absent: there are no traces. */
  readonly traced?: (step: Step, work: () => Promise<void>) => Promise<void>;
}

/** Carries out `steps`. @throws what the first failing call throws; the steps after it are not tried. */
export async function act(
  options: ActorOptions,
  steps: readonly Step[],
  ledger: Ledger,
  signal: AbortSignal,
): Promise<void> {
  const { traced = (_step, work) => work() } = options;
  for (const step of steps) {
    signal.throwIfAborted();
    await traced(step, () => carryOut(options, step, ledger, signal));
    ledger.acted(step);
  }
}

async function carryOut(options: ActorOptions, step: Step, ledger: Ledger, signal: AbortSignal): Promise<void> {
  const { api, clock, secretSource } = options;
  switch (step.kind) {
    case "Apply":
      return apply(api, step.manifest, ledger, signal);
    case "OfferAgent":
      ledger.wrote(await offerAgent(options, step, signal));
      return;
    case "Create":
      return create(api, step.manifest, ledger, signal);
    case "Delete": {
      const { uid, ...ref } = step.object;
      await api.delete(ref, { uid, propagationPolicy: "Background", signal });
      ledger.deleted(step.object);
      return;
    }
    case "IssueCertificates":
      return note(ledger, issuePeerCertificates({ api, source: secretSource }, step, clock.now(), { signal }));
    case "GenerateCredentials":
      return note(ledger, generateCredentials({ api, source: secretSource }, step.metadata, step.keys, { signal }));
    case "WriteConnection":
      return note(ledger, writeConnection({ api, source: secretSource }, step, clock.now(), { signal }));
    case "ReportOperation": {
      const { namespace, name, uid, resourceVersion, status } = step;
      const ref = { apiVersion: API_VERSION, kind: "ClusterOperation", namespace, name };
      const patch = { metadata: { uid, resourceVersion }, status };
      ledger.wrote(await api.mergePatch(ref, patch, { subresource: "status", signal }));
    }
  }
}

/** Applies it. The spec of a shard is the operator's alone, so what others added to it is taken away, too. */
async function apply(api: KubeApi, manifest: Manifest, ledger: Ledger, signal: AbortSignal): Promise<void> {
  const stored = await api.apply<Manifest>(manifest, { fieldManager: FIELD_MANAGER, force: true, signal });
  ledger.wrote(stored);
  const { apiVersion, kind, metadata } = stored;
  const patch = kind === "ClusterSpec" ? withoutAdditions(stored["spec"], manifest["spec"]) : undefined;
  if (patch === undefined) return;
  const { namespace, name, resourceVersion } = metadata;
  const ref = { apiVersion, kind, ...(namespace === undefined ? {} : { namespace }), name };
  ledger.wrote(await api.mergePatch<Manifest>(ref, { metadata: { resourceVersion }, spec: patch }, { signal }));
}

function offerAgent(
  { api, agentBundle }: ActorOptions,
  { manifest, hash }: Extract<Step, { kind: "OfferAgent" }>,
  signal: AbortSignal,
): Promise<Stored<Manifest>> {
  if (agentBundle?.hash !== hash) throw new Error(`agent ${hash} is not the one that this operator has`);
  return packBundle(agentBundle).then((binaryData) =>
    api.apply<Manifest>({ ...manifest, binaryData }, { fieldManager: FIELD_MANAGER, force: true, signal }),
  );
}

/** What is there already stays as it is: a cache that is behind must not overwrite a volume or a Lease. */
async function create(api: KubeApi, manifest: Manifest, ledger: Ledger, signal: AbortSignal): Promise<void> {
  try {
    await note(ledger, api.create<Manifest>(manifest, { signal }));
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** Notes what a write left. Without an answer it may have happened all the same. */
async function note(ledger: Ledger, write: Promise<Stored<KubeObject>>): Promise<void> {
  try {
    ledger.wrote(await write);
  } catch (error) {
    ledger.changedNamed();
    throw error;
  }
}
