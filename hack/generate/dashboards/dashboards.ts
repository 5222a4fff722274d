// The dashboards: for those who answer for clusters, for whoever is on call, and for finding out why.
import { DEBUG } from "./debug.ts";
import { EVENTS } from "./events.ts";
import { EXECUTIVE } from "./executive.ts";
import { ON_CALL } from "./on-call.ts";
import type { Dashboard } from "./panel.ts";

/** All dashboards. */
export const DASHBOARDS: readonly Dashboard[] = [
  {
    uid: "quorate-executive",
    title: "quorate: executive",
    description: "Whether clusters keep what was promised, and what is left.",
    rows: EXECUTIVE,
  },
  {
    uid: "quorate-on-call",
    title: "quorate: on call",
    description: "What is wrong now, and what was changed.",
    rows: ON_CALL,
  },
  {
    uid: "quorate-debug",
    title: "quorate: debug",
    description: "Why: leadership, members and the operator in detail.",
    rows: DEBUG,
    events: EVENTS,
  },
];
