/** The manifest by which `kubectl krew install` finds and checks the plugin. */

/** One archive of the plugin, the same for every platform: it is a program for Node. */
export interface PluginArchive {
  readonly version: string;
  /** Where the archive can be downloaded. */
  readonly url: string;
  /** Of the archive, in hexadecimal. */
  readonly sha256: string;
}

/** The program's name in the archive. */
export const PLUGIN_PROGRAM = "kubectl-quorate.mjs";

/** Platforms that Node runs on and krew names. */
const PLATFORMS = ["linux", "darwin"].flatMap((os) => ["amd64", "arm64"].map((arch) => ({ os, arch })));

/** A Plugin of krew.googlecontainertools.github.com/v1alpha2 (krew.sigs.k8s.io/docs/developer-guide/plugin-manifest). */
export function krewManifest({ version, url, sha256 }: PluginArchive): object {
  const files = [
    { from: PLUGIN_PROGRAM, to: "." },
    { from: "LICENSE", to: "." },
  ];
  return {
    apiVersion: "krew.googlecontainertools.github.com/v1alpha2",
    kind: "Plugin",
    metadata: { name: "quorate" },
    spec: {
      version: `v${version}`,
      homepage: new URL("../../..", url).href.replace(/\/$/, ""),
      shortDescription: "See, foretell and change clustered workloads",
      description:
        "Draws clusters that the operator quorate runs as trees, says what holds a change back and how to let it\n" +
        "pass, foretells what an edited ClusterSpec would do, and asks for switchovers, restarts and rebuilds.\n",
      caveats: "It is a program for Node.js 22.19 or later, which has to be in PATH as `node`.\n",
      platforms: PLATFORMS.map((matchLabels) => ({
        selector: { matchLabels },
        uri: url,
        sha256,
        files,
        bin: PLUGIN_PROGRAM,
      })),
    },
  };
}
