// What members and the operator say and do one by one: lines in Loki with the labels of docs/logs.md, and traces in Tempo.
import type { EventPanel, EventRow } from "./panel.ts";

const LINES = '{namespace=~"$namespace",cluster=~"$cluster",node=~"$node"}';
/** The operator's own place is in the labels; whose cluster a line is about, in the line. Loki renames what is in both. */
const OF_OPERATOR = '{program="operator"} | json | namespace_extracted=~"$namespace" | cluster=~"$cluster"';
/** The operator's passes name the cluster, and agents' resource does: without its place an attribute is looked for in both. */
const SPANS = '.namespace =~ "$namespace" && .cluster =~ "$cluster"';
/** What is below one of those: steps and calls do not name the cluster again. */
const below = (condition: string) => `{ ${SPANS} } >> { ${condition} }`;

type About = readonly [title: string, description: string];

function lines([title, description]: About, query: string, width: EventPanel["width"] = 24): EventPanel {
  return { title, description, source: "loki", kind: "logs", width, query };
}

function traces([title, description]: About, query: string): EventPanel {
  return { title, description, source: "tempo", kind: "traces", width: 12, query };
}

/** Lines and traces, for finding out why. */
export const EVENTS: readonly EventRow[] = [
  {
    title: "Logs (Loki)",
    panels: [
      {
        title: "Warnings and errors by node",
        description: "Lines of agents above news, counted for each node: one that stands out is the node's trouble.",
        source: "loki",
        kind: "timeseries",
        width: 24,
        query: `sum by (node, level) (count_over_time(${LINES.replace("}", ',level=~"warn|error|fatal"}')} [$__auto]))`,
        legend: "{{node}} {{level}}",
      },
      lines(["Members, on the chosen nodes", "What agents and engines say, the newest first."], LINES),
      lines(["The operator", "What it says about the chosen clusters."], OF_OPERATOR, 12),
      lines(
        ["Who changed what", "What people and programs asked for, with the field manager."],
        `${OF_OPERATOR} | audit != ""`,
        12,
      ),
    ],
  },
  {
    title: "Traces (Tempo)",
    panels: [
      traces(
        ["Changes", "One trace for every change of a ClusterSpec."],
        `{ ${SPANS} && name = "ClusterSpec changed" }`,
      ),
      traces(
        ["Recent API calls", "Calls to the API server, one by one; how many there are is above."],
        below('resource.service.name = "quorate-operator" && kind = client'),
      ),
      traces(["Failed", "Spans of steps, calls and actions that failed."], below("status = error")),
      traces(
        ["Slow on members", "What agents and engines took longer for than a second."],
        `{ ${SPANS} && resource.service.name = "quorate-agent" && duration > 1s }`,
      ),
    ],
  },
];
