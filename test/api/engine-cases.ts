// What the API server must refuse of Engines, each with its exact words.
import { actions, creation, type Creation, minimalEngine } from "./crd-cases.ts";

/** Actions that must be programs. */
const PIPED = ["backup", "restore"];

/** What must not come into being, in the order in which the fields stand in the manual. */
export const engineCreations: readonly Creation[] = [
  creation(
    "a port for TLS of an engine that shows no certificate",
    minimalEngine({ tlsPort: 6380 }),
    "spec.tlsPort: tlsPort needs clientTls and a port of its own: set clientTls and another port, or remove tlsPort",
  ),
  creation(
    "clients' certificates of an engine that shows none",
    minimalEngine({ clientCertificates: true }),
    "spec.clientCertificates: clientCertificates needs clientTls: set clientTls, or remove clientCertificates",
  ),
  creation(
    "ports of members without the first of them",
    minimalEngine({ memberPorts: 3 }),
    "spec.memberPorts: memberPorts needs memberPort, the first of them: set memberPort, or remove memberPorts",
  ),
  creation(
    "accounts of users' own without the action that makes them",
    minimalEngine({
      applicationConnection: { type: "tiny", uri: "tiny://$(host)" },
      actions: { ...actions, makeAccounts: undefined },
    }),
    "spec.applicationConnection: applicationConnection needs the action makeAccounts: declare it, or remove applicationConnection",
  ),
  creation(
    "an engine's name that no label can carry",
    minimalEngine({}, "tiny.eu"),
    `metadata.name: metadata.name must have at most 63 lower-case letters, digits and '-': ClusterSpecs name the engine by it and pods carry it as a label`,
  ),
  ...Object.keys(actions)
    .filter((action) => !PIPED.includes(action))
    .map((action) =>
      creation(
        `a session of ${action} that does not exist`,
        minimalEngine({ actions: { ...actions, [action]: { session: "sql", statement: "SELECT 1" } } }),
        `spec.actions.${action}: actions.${action}.session names no entry of sessions: add the session or correct the name`,
      ),
    ),
  ...PIPED.map((action) =>
    creation(
      `${action} as a statement`,
      minimalEngine({ actions: { ...actions, [action]: { session: "sql", statement: "SELECT 1" } } }),
      `spec.actions.${action}: actions.${action} must be a program, because its data goes through a pipe: use exec`,
    ),
  ),
  creation(
    "backups that nobody could restore",
    minimalEngine({ actions: { ...actions, restore: undefined } }),
    "spec.actions: actions.backup and actions.restore are of use together alone: declare the other one, too, or neither",
  ),
  ...[
    {
      topology: "ActivePassive",
      lacks: "promote",
      needs: "configure, clone, rejoin, seal, follow, promote, setSyncSet, checkpoint",
    },
    { topology: "ActiveActive", lacks: "inspect", needs: "inspect, recover" },
    { topology: "Consensus", lacks: "recover", needs: "addMember, promoteMember, removeMember, handOver, recover" },
  ].map(({ topology, lacks, needs }) =>
    creation(
      `an engine for ${topology} that cannot ${lacks}`,
      minimalEngine({ topologies: [topology], actions: { ...actions, [lacks]: undefined } }),
      `spec.actions: topology ${topology} needs the actions ${needs}: declare those that are missing`,
    ),
  ),
  ...[
    { why: "an action that is both", action: { exec: ["true"], session: "sql", statement: "SELECT 1" } },
    { why: "an action that is exec and half a session", action: { exec: ["true"], session: "sql" } },
    { why: "an action that is half a session", action: { session: "sql" } },
    { why: "an action that is nothing", action: {} },
  ].map(({ why, action }) =>
    creation(
      why,
      minimalEngine({
        sessions: [{ name: "sql", command: ["sql"], markerStatement: "$(MARKER)" }],
        actions: { ...actions, seal: action },
      }),
      "spec.actions.seal: an action needs either exec, or session together with statement: remove one or add the other",
    ),
  ),
  creation(
    "one version twice",
    minimalEngine({
      versions: [
        { version: "1", image: "tiny:1" },
        { version: "1", image: "tiny:2" },
      ],
    }),
    'spec.versions[1]: Duplicate value: {"version":"1"}',
  ),
  creation(
    "upgrade paths to one of two versions",
    minimalEngine({
      versions: [
        { version: "2", image: "tiny:2", upgradesFrom: ["1"] },
        { version: "1", image: "tiny:1" },
      ],
    }),
    "spec.versions: versions[].upgradesFrom must be there for all versions or for none, since a version without it takes members of any: add it, empty for versions that only new clusters begin with",
  ),
  creation(
    "a default parameter with a blank in its name",
    minimalEngine({ parameters: { defaults: { "a b": "1" } } }),
    "spec.parameters.defaults: parameters.defaults has a name that is not a parameter's: use letters, digits, '_', '.' and '-', at most 128 characters, a letter or '_' first",
  ),
  creation(
    "a connection that would take the place of another Secret",
    minimalEngine({ accounts: [{ name: "peer", connection: { type: "tiny", uri: "tiny://$(host)" } }] }),
    "spec.accounts[0].name: name of an account with a connection must not be ca, peer or credentials: those Secrets hold something else; choose another name",
  ),
  creation(
    "a file with quorate's own name",
    minimalEngine({ files: { "engine.json": "{}" } }),
    "spec.files: files has a name that cannot be a file's: use letters, digits, '-', '_' and '.', and not engine.json, which quorate writes",
  ),
];
