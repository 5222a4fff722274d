import { expect, test } from "vitest";
import { html } from "../../../src/web/html.ts";
import { type ClusterPage, renderSignIn, renderStatus } from "../../../src/web/page.ts";

const ORDERS: ClusterPage = {
  namespace: "shop",
  name: "orders",
  engine: "postgres 15",
  promise: "ActivePassive · Quorum/Fast",
  ready: "2/3",
  isReady: false,
  trouble: "MembersMissing: orders-2 is not ready.",
  epoch: 4,
  change: "rolling to h2",
  rollout: "Revision h2: Progressing",
  members: [
    { name: "orders-0", role: "Leader", state: "Running", ready: true, node: "n1" },
    { name: "orders-1", role: "Follower", state: "Running", ready: true, node: "n2", lag: "<1Mi" },
    { name: "orders-2", role: "None", state: "Cloning", ready: false },
  ],
  blocked: [
    {
      guard: "MembersInSync",
      object: "orders-2",
      message: "It is <cloning>.",
      since: "2030-01-01T00:00:00Z",
      override: "wait",
    },
  ],
  budgets: [{ objective: "Availability", remaining: 0.5, burn: 2.25 }],
  unjudged: undefined,
  timeline: [{ leader: "orders-0", epoch: 4, since: "2030-01-01T00:00:00Z" }],
};

const page = (clusters: readonly ClusterPage[], more = 0) => renderStatus({ user: "ann", at: "now", clusters, more });

test("whatever comes from elsewhere is text and nothing else", () => {
  expect(html`<p title="${`a"b'c`}">${"<script>&"}</p>`.text).toBe('<p title="a&quot;b&#39;c">&lt;script&gt;&amp;</p>');
  const hostile = '<img src=x onerror="alert(1)">';
  const text = page([
    {
      ...ORDERS,
      trouble: hostile,
      name: hostile,
      blocked: [],
      members: [{ name: hostile, role: "None", state: hostile, ready: false }],
    },
  ]);
  expect(text).not.toContain("<img");
  expect(text).toContain("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;");
  expect(renderSignIn(hostile)).not.toContain("<img");
});

test("a cluster says who leads, who is behind, what goes on, what is held back and how to let it pass", () => {
  const text = page([ORDERS]);
  for (const part of [
    "shop/orders",
    "2/3 ready",
    "epoch 4",
    "MembersMissing: orders-2 is not ready.",
    "★ orders-0",
    "lag &lt;1Mi",
    "Cloning, not ready",
    "rolling to h2",
    "Revision h2: Progressing",
    "It is &lt;cloning&gt;.",
    "To let it pass: <code>wait</code>",
    "50.0 % left",
    "burns 2.3 &times;",
    "since 2030-01-01 00:00:00 UTC",
  ]) {
    expect(text).toContain(part);
  }
});

test("objectives that cannot be judged are told of, beside budgets or without any", () => {
  const unjudged = "The objectives of spec.slo cannot be judged: objective checkout has no data: no answer.";
  for (const budgets of [ORDERS.budgets, undefined]) {
    const text = page([{ ...ORDERS, budgets, unjudged }]);
    expect(text).toContain("Error budgets");
    expect(text).toContain(unjudged);
    expect(text.includes("50.0 % left")).toBe(budgets !== undefined);
  }
});

test("what there is not has no heading", () => {
  const text = page([{ ...ORDERS, blocked: [], budgets: undefined, timeline: [] }]);
  for (const heading of ["Held back", "Error budgets", "Leaders"]) expect(text).not.toContain(heading);
});

test("nobody's clusters, and more than fit, are said", () => {
  expect(page([])).toContain("There are no clusters that you may see.");
  expect(page([ORDERS], 7)).toContain("7 more");
});
