// The status page: what a person with a phone wants to know at night. From data to HTML; no script, so it works everywhere.
import { createHash } from "node:crypto";
import type { Blocked, MemberStatus } from "../api/cluster-status.ts";
import { Html, html } from "./html.ts";

/** An error budget as the page shows it. */
export interface BudgetView {
  readonly objective: string;
  /** Share that is left. */
  readonly remaining: number;
  /** The fastest burn over any window. */
  readonly burn: number;
}

/** One leadership. */
export interface Leadership {
  readonly leader: string;
  readonly epoch: number;
  /** When it was first seen, or began as the leader says, RFC 3339. */
  readonly since: string;
}

/** One cluster as the page shows it. */
export interface ClusterPage {
  readonly namespace: string;
  readonly name: string;
  readonly engine: string;
  readonly promise: string;
  readonly ready: string;
  readonly isReady: boolean;
  /** Why it is not ready, as a sentence. */
  readonly trouble: string | undefined;
  readonly epoch: number | undefined;
  readonly change: string | undefined;
  readonly rollout: string | undefined;
  readonly members: readonly MemberStatus[];
  readonly blocked: readonly Blocked[];
  /** undefined: nobody measures, or this replica does not. */
  readonly budgets: readonly BudgetView[] | undefined;
  /** Why objectives cannot be judged, as a sentence; undefined when they can, or there are none. */
  readonly unjudged: string | undefined;
  /** Newest first. */
  readonly timeline: readonly Leadership[];
}

/** The whole page. */
export interface StatusPage {
  readonly user: string;
  readonly at: string;
  readonly clusters: readonly ClusterPage[];
  /** Clusters that are left out, because the page would get too long. */
  readonly more: number;
}

const STYLE = `
:root { color-scheme: light dark; --good: #1a7f37; --bad: #c62828; --dim: #6b7280; --line: #8884; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: .75rem; font: 1rem/1.4 system-ui, sans-serif; }
header { display: flex; justify-content: space-between; align-items: center; gap: .5rem; }
h1 { font-size: 1.1rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: .8rem; margin: .75rem 0 .25rem; color: var(--dim); text-transform: uppercase; }
section { border: 1px solid var(--line); border-left: 5px solid var(--good); border-radius: 6px; padding: .75rem; margin: .75rem 0; }
section.bad { border-left-color: var(--bad); }
.dim { color: var(--dim); } .good { color: var(--good); } .bad > h2 .mark, .warn { color: var(--bad); }
ul { list-style: none; margin: 0; padding: 0; }
li { padding: .2rem 0; border-top: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: 0 .75rem; }
li:first-child { border-top: 0; }
li b { min-width: 7rem; }
li p { flex-basis: 100%; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
code { font-size: .85rem; overflow-wrap: anywhere; }
button, input { font: inherit; padding: .4rem .7rem; }
input { width: 100%; margin: .5rem 0; }
`;

/** What the browser may do: show this style, send forms back here, and nothing else. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join("; ");

const REFRESH_SECONDS = 10;

function document(title: string, body: Html, head: Html = html``): string {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">${head}
<title>${title}</title><style>${new Html(STYLE)}</style></head><body>${body}</body></html>
`.text;
}

/** The page for somebody who has not shown a token. @param problem - Why the last one would not do. */
export function renderSignIn(problem: string | undefined): string {
  return document(
    "quorate: sign in",
    html`<header><h1>quorate</h1></header>
<form method="post" action="/sign-in">
${problem === undefined ? undefined : html`<p class="warn" role="alert">${problem}</p>`}
<p><label for="token">Token of a Kubernetes account that may list ClusterSpecs</label></p>
<input id="token" name="token" type="password" autocomplete="off" required>
<button>Sign in</button>
<p class="dim">One that lasts an hour: <code>kubectl create token NAME --namespace NAMESPACE</code></p>
</form>`,
  );
}

/** The page of all clusters that the user may see. */
export function renderStatus({ user, at, clusters, more }: StatusPage): string {
  const body = html`<header><h1>quorate</h1><form method="post" action="/sign-out"><button>Sign out</button></form></header>
<p class="dim">${at} &middot; ${user}</p>
<main>${clusters.map(renderCluster)}
${clusters.length === 0 ? html`<p>There are no clusters that you may see.</p>` : undefined}
${more === 0 ? undefined : html`<p>${more} more; name a namespace in the address: <code>?namespace=&hellip;</code></p>`}
</main>`;
  return document("quorate: clusters", body, html`<meta http-equiv="refresh" content="${REFRESH_SECONDS}">`);
}

function renderCluster(cluster: ClusterPage): Html {
  const { namespace, name, engine, promise, ready, isReady, trouble, epoch, change, rollout } = cluster;
  return html`<section class="${isReady ? "ok" : "bad"}" id="${`${namespace}.${name}`}">
<h2><span class="mark">${isReady ? "●" : "▲"}</span> ${namespace}/${name}</h2>
<p class="dim">${engine} &middot; ${promise} &middot; ${ready} ready${epoch === undefined ? undefined : html` &middot; epoch ${epoch}`}</p>
${trouble === undefined ? undefined : html`<p class="warn">${trouble}</p>`}
${change === undefined ? undefined : html`<p>&hellip; ${change}</p>`}
${rollout === undefined ? undefined : html`<p class="dim">${rollout}</p>`}
<h3>Members</h3><ul class="members">${cluster.members.map(renderMember)}</ul>
${cluster.blocked.length === 0 ? undefined : html`<h3>Held back</h3><ul class="blocked">${cluster.blocked.map(renderBlocked)}</ul>`}
${renderBudgets(cluster)}
${cluster.timeline.length === 0 ? undefined : html`<h3>Leaders</h3><ul class="timeline">${cluster.timeline.map(renderLeadership)}</ul>`}
</section>`;
}

function renderMember({ name, role, state, ready, node, lag }: MemberStatus): Html {
  const mark = { Leader: "★", Follower: "●", None: "○" }[role];
  const behind = role === "Follower" ? html`<span>lag ${lag ?? "unknown"}</span>` : undefined;
  return html`<li><b>${mark} ${name}</b><span>${role}</span><span class="${ready ? "good" : "warn"}">${state}${ready ? "" : ", not ready"}</span>${behind}<span class="dim">${node}</span></li>`;
}

function renderBlocked({ guard, object, message, since, override }: Blocked): Html {
  const way = override === undefined ? undefined : html`<p class="dim">To let it pass: <code>${override}</code></p>`;
  return html`<li><b>${guard}</b><span>${object}, since ${moment(since)}</span><p>${message}</p>${way}</li>`;
}

function renderBudgets({ budgets, unjudged }: ClusterPage): Html | undefined {
  if (budgets === undefined && unjudged === undefined) return undefined;
  const warning = unjudged === undefined ? undefined : html`<p class="warn">${unjudged}</p>`;
  return html`<h3>Error budgets</h3>${warning}<ul class="budgets">${(budgets ?? []).map(renderBudget)}</ul>`;
}

function renderBudget({ objective, remaining, burn }: BudgetView): Html {
  const left = `${(remaining * 100).toFixed(1)} % left`;
  return html`<li><b>${objective}</b><span class="${remaining > 0 ? "good" : "warn"}">${left}</span><span>burns ${burn.toFixed(1)} &times;</span></li>`;
}

function renderLeadership({ leader, epoch, since }: Leadership): Html {
  return html`<li><b>${leader}</b><span>epoch ${epoch}</span><span class="dim">since ${moment(since)}</span></li>`;
}

/** A time of day as people read it; whatever is none stays as it is. */
export function moment(time: string): string {
  return time.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/, "$1 $2 UTC");
}
