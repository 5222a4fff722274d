/** What a person wants to know of a member: a log line, and an Event on its pod. */
import type { Logger } from "pino";
import type { EventRecorder } from "../kube/events.ts";
import type { AgentSettings } from "./settings.ts";

/** Tells one thing; `reason` is one CamelCase word. */
export type Teller = (level: "info" | "warning", reason: string, note: string) => void;

/** Makes the function that tells what happens to the pod of `settings`. */
export function tellerOf(settings: AgentSettings, log: Logger, events: EventRecorder): Teller {
  const { QUORATE_NAMESPACE: namespace, QUORATE_POD: name, QUORATE_POD_UID: uid } = settings;
  return (level, reason, note) => {
    log[level === "warning" ? "warn" : "info"]({ reason }, note);
    const type = level === "warning" ? "Warning" : "Normal";
    events.record({ apiVersion: "v1", kind: "Pod", namespace, name, uid }, { type, reason, action: reason, note });
  };
}
