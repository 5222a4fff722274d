/** The certificate of simulated members, and how they take up another one. */
import { stageTimes } from "../../../src/build/certificate.ts";
import type { MemberReport } from "../../../src/api/agent-wire.ts";
import type { NamedView } from "../../../src/plan/observation.ts";
import type { Step } from "../../../src/plan/plan.ts";

const DAY_MS = 86_400_000;
type Issue = Extract<Step, { kind: "IssueCertificates" }>;
type Connect = Extract<Step, { kind: "WriteConnection" }>;

/** What was issued to one cluster, and who has it. */
export class SimulatedCertificates {
  /** Everything that was issued, in order. */
  readonly issued: Issue[] = [];
  /** How often a connection was written. */
  connected = 0;
  /** Members that do not take up another one. */
  readonly late = new Set<string>();

  /** Others in the same state. */
  fork(): SimulatedCertificates {
    const other = new SimulatedCertificates();
    other.issued.push(...this.issued);
    for (const member of this.late) other.late.add(member);
    return other;
  }

  /** The connections after one was written, with a certificate for a year where it has one. */
  connect(connections: NamedView["connections"], step: Connect, nowMs: number): NamedView["connections"] {
    const { hash, certifies } = step.connection;
    this.connected++;
    const live = certifies === undefined ? { hash } : { hash, notAfterMs: nowMs + 365 * DAY_MS };
    return new Map(connections).set(step.metadata.name, live);
  }

  /** What is found of it afterwards. */
  issue(named: NamedView, step: Issue, nowMs: number): NamedView {
    const { hosts, to, overlapMs, request, hasClients } = step;
    this.issued.push(step);
    const kept = to === "Sign" ? undefined : named.authority?.notAfter; // of the one that signs
    const notAfter = kept ?? new Date(nowMs + 3650 * DAY_MS).toISOString();
    const files = { trusts: `trusts of ${to} ${nowMs}`, shows: `shows of ${to} ${nowMs}` };
    return {
      ...named,
      peerNotAfterMs: nowMs + 1095 * DAY_MS,
      peerHosts: hosts.join(","),
      peerVersion: String(nowMs),
      authority: {
        ...stageTimes(named.authority, { stage: to, overlapMs }, nowMs),
        ...files,
        notAfter,
        request,
        hasClients,
      },
    };
  }

  /** Members that would now say of themselves that they go by it. Nobody says so while nothing changes. */
  takers(
    { authority }: NamedView,
    reports: ReadonlyMap<string, { readonly report?: MemberReport | undefined }>,
  ): readonly { readonly member: string; readonly certificate: NonNullable<MemberReport["certificate"]> }[] {
    if (authority === undefined || authority.stage === "Settled") return [];
    const certificate = { trusts: authority.trusts, shows: authority.shows };
    return [...reports].flatMap(([member, { report }]) => {
      const isTaken = report === undefined || report.certificate?.shows === certificate.shows;
      return isTaken || this.late.has(member) ? [] : [{ member, certificate }];
    });
  }
}
