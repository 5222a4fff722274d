/** What a shipped thing is made of, as CycloneDX 1.6: every file by its hash, and the packages that the files were made of. Pure. */

const MODULES = "node_modules/";

/** A file as it is shipped. */
export interface ShippedFile {
  /** Inside of what is shipped, such as opt/quorate/agent.mjs. */
  readonly path: string;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** A package of which something is in a file. */
export interface Package {
  readonly type: "library" | "application";
  readonly name: string;
  readonly version: string;
  /** Package URL without qualifiers that say where it was got. */
  readonly purl: string;
  /** SPDX; absent where the package's own manifest names none. */
  readonly license?: string | undefined;
  /** Of the archive that it came in, in hexadecimal. */
  readonly sha512?: string | undefined;
}

/** One shipped thing: an image or an archive. */
export interface Shipment {
  readonly type: "container" | "application";
  readonly name: string;
  readonly version: string;
  readonly files: readonly ShippedFile[];
  readonly packages: readonly Package[];
}

/** What esbuild says of one bundle, as far as it is read here. */
export interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>
  >;
}

/** A package-lock.json, as far as it is read here. */
export interface Lockfile {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly license?: string; readonly integrity?: string }>
  >;
}

/** Packages of which code is in the bundles; one that was bundled but shaken off is not. @throws {Error} for one that the lock lacks. */
export function bundledPackages(metafiles: readonly Metafile[], lock: Lockfile): readonly Package[] {
  const paths = metafiles.flatMap(({ outputs }) =>
    Object.values(outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([path, { bytesInOutput }]) =>
        bytesInOutput === 0 ? [] : (folderOf(path) ?? []),
      ),
    ),
  );
  return [...new Set(paths)].toSorted().map((path) => lockedPackage(path, lock));
}

/** The package that is installed in a folder such as node_modules/zod. @throws {Error} when the lock does not pin it. */
export function lockedPackage(path: string, { packages }: Lockfile): Package {
  const name = path.slice(path.lastIndexOf(MODULES) + MODULES.length);
  const { version, license, integrity } = packages[path] ?? {};
  if (version === undefined || integrity?.startsWith("sha512-") !== true) throw new Error(`${path} is not in the lock`);
  return {
    type: "library",
    name,
    version,
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    license,
    sha512: Buffer.from(integrity.slice("sha512-".length), "base64").toString("hex"),
  };
}

/** The package that a stanza of dpkg's status describes. @throws {Error} when it describes none. */
export function debianPackage(stanza: string): Package {
  const field = (name: string): string => {
    const value = new RegExp(`^${name}: (.*)$`, "m").exec(stanza)?.[1];
    if (value === undefined) throw new Error(`a package of Debian without ${name}`);
    return value;
  };
  const [name, version] = [field("Package"), field("Version")];
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${field("Architecture")}`;
  return { type: "library", name, version, purl };
}

/** The list as an object for JSON; equal for equal shipments, whenever and wherever it is made. */
export function billOfMaterials({ type, name, version, files, packages }: Shipment): object {
  const ordered = packages.toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { "bom-ref": name, type, name, version } },
    components: [
      ...ordered.map((one) => ({
        "bom-ref": one.purl,
        type: one.type,
        name: one.name,
        version: one.version,
        purl: one.purl,
        ...(one.license === undefined ? {} : { licenses: [licenseOf(one.license)] }),
        ...(one.sha512 === undefined ? {} : { hashes: [{ alg: "SHA-512", content: one.sha512 }] }),
      })),
      ...files
        .toSorted((a, b) => (a.path < b.path ? -1 : 1))
        .map(({ path, sha256 }) => ({
          "bom-ref": `file:${path}`,
          type: "file",
          name: path,
          hashes: [{ alg: "SHA-256", content: sha256 }],
        })),
    ],
    dependencies: [{ ref: name, dependsOn: ordered.map(({ purl }) => purl) }],
  };
}

function licenseOf(text: string): object {
  return / (AND|OR|WITH) /.test(text) ? { expression: text } : { license: { id: text } };
}

/** The package's folder of an input such as node_modules/a/node_modules/@b/c/index.js; undefined for what is our own. */
function folderOf(input: string): string | undefined {
  const [first, last] = [input.indexOf(MODULES), input.lastIndexOf(MODULES)];
  const name = /^(@[^/]+\/)?[^/]+/.exec(input.slice(last + MODULES.length))?.[0];
  return last < 0 || name === undefined ? undefined : `${input.slice(first, last)}${MODULES}${name}`;
}
