/** The operator's intent: watched while the API server answers, remembered on the volume for when it does not. */
import { INTENT_KEY, Intent } from "../api/agent-wire.ts";
import type { KubeApi } from "../kube/api.ts";
import type { KubeObject } from "../kube/object.ts";
import { Reflector } from "../kube/reflector.ts";
import type { Intent as ProtocolIntent } from "./protocol/types.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";
import { WATCH_TIMING } from "./watch-timing.ts";

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The part of the intent that the protocol acts on. */
export function protocolIntent(intent: Intent): ProtocolIntent {
  return {
    members: intent.members.map((member) => member.name).toSorted(),
    learners: intent.learners.toSorted(),
    durability: intent.durability,
    maxLag: intent.maxLagBytes,
    paused: intent.paused,
    bootstrapMember: intent.bootstrapMember,
    switchover: intent.switchover,
    forced: intent.forcedPromotion ?? null,
  };
}

/** Where the intent comes from. */
export interface IntentSourceOptions {
  readonly api: Pick<KubeApi, "list" | "watch">;
  readonly namespace: string;
  readonly name: string;
  /** File that keeps the last intent. */
  readonly file: string;
  /** Called with each intent before `onIntent`, which waits for it. */
  readonly beforeIntent: (intent: Intent) => Promise<void>;
  readonly signal: AbortSignal;
  readonly onIntent: (intent: Intent) => void;
  /** Called with the annotations of every version that is seen, before its intent is taken. */
  readonly onAnnotations: (annotations: Readonly<Record<string, string>>) => void;
  /** An intent that was not taken; the last good one stays in force. */
  readonly onError: (error: unknown) => void;
  /** What is to be done by the remembered intent before the API server is asked for a newer one; at once when absent. */
  readonly begun?: Promise<void>;
}

/** Delivers the remembered intent, then every new one, in order, until `signal` aborts. */
export async function followIntent(options: IntentSourceOptions): Promise<void> {
  let lastJson = "";
  const deliver = async (intent: Intent): Promise<void> => {
    await options.beforeIntent(intent);
    options.onIntent(intent);
  };
  const remembered = Intent.safeParse(await readStateFile(options.file));
  let order = remembered.success ? deliver(remembered.data) : Promise.resolve();
  if (remembered.success) await options.begun;
  const take = async (json: string): Promise<void> => {
    const intent = Intent.parse(JSON.parse(json));
    await writeStateFile(options.file, intent);
    await deliver(intent);
  };
  const seen = (object: ConfigMap): void => {
    options.onAnnotations(object.metadata.annotations ?? {});
    const json = object.data?.[INTENT_KEY];
    if (json === undefined || json === lastJson) return;
    lastJson = json;
    order = order.then(() => take(json)).catch(options.onError);
  };
  const reflector = new Reflector<ConfigMap>({
    ...WATCH_TIMING,
    api: options.api,
    selection: { apiVersion: "v1", kind: "ConfigMap", namespace: options.namespace, name: options.name },
    sink: (event) => {
      if (event.type === "Replaced") event.objects.forEach(seen);
      else if (event.type === "Upserted") seen(event.object);
    },
  });
  await reflector.run(options.signal);
}
