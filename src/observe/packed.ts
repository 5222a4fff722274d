// Large parts of objects that differ from those of other clusters in names alone, and that are seldom looked into: the template of
// a StatefulSet, the texts of a ConfigMap. They are kept as text without the names, once for all clusters whose texts are alike then.
import { ANNOTATION_TEMPLATE_HASH } from "../api/names.ts";
import { deepFreeze } from "../kube/deep-freeze.ts";
import { CLUSTER_LABEL } from "../kube/store.ts";
import type { KubeObject, Stored } from "../kube/object.ts";
import { Recent } from "./recent.ts";

const RECENT_TEXTS = 128; // some for each kind of cluster there is; those of one of a kind pass through
const TEXT = Symbol("text");
const OWNER = Symbol("owner");

type Metadata = Stored<KubeObject>["metadata"] & KubeObject["metadata"];

/** A part that is read from its text whenever one of its fields is asked for. To readers it is the part. */
interface PackedPart {
  readonly [TEXT]: string;
  readonly [OWNER]: Metadata;
}

type Getter = (this: PackedPart) => unknown;

/** Packs parts; remembers their texts. */
export class Packing {
  readonly #texts = new Recent<string>(RECENT_TEXTS);

  /** An equal object in place of `part`: frozen, of the same fields, each of which is made anew when it is read. @param owner - Whose part it is. */
  pack(part: object, owner: Metadata): object {
    const text = withoutNames(JSON.stringify(part), owner);
    const packed = {};
    for (const name of Object.keys(part))
      Object.defineProperty(packed, name, { get: getterOf(name), enumerable: true });
    // No spread and no comparison takes them for fields of the part.
    Object.defineProperty(packed, TEXT, { value: this.#texts.use(text, text) });
    Object.defineProperty(packed, OWNER, { value: owner });
    return Object.freeze(packed);
  }
}

const getters = new Map<string, Getter>(); // one for all parts: objects with getters of their own would have shapes of their own
const MOST_GETTERS = 1_024; // users name keys of no ConfigMap of ours, but anybody may add one

function getterOf(name: string): Getter {
  const known = getters.get(name);
  if (known !== undefined) return known;
  if (getters.size >= MOST_GETTERS) getters.clear();
  const getter: Getter = function () {
    return Reflect.get(unpacked(this), name);
  };
  getters.set(name, getter);
  return getter;
}

function unpacked({ [TEXT]: text, [OWNER]: owner }: PackedPart): object {
  return deepFreeze(JSON.parse(withNames(text, owner)) as object);
}

// A function, because the bundler would write the characters themselves into a text that is ASCII.
const placeOf = (code: number): string => String.fromCharCode(code);
const PLACES = {
  name: placeOf(1),
  cluster: placeOf(2),
  namespace: placeOf(3),
  controller: placeOf(4),
  templateHash: placeOf(5),
} as const;

/** Control characters stand for names: there are none in JSON, where they are escaped, so that each can be told from what was there. */
function placesOf(owner: Metadata): readonly (readonly [place: string, name: string])[] {
  const { name, namespace = "", labels, annotations, ownerReferences = [] } = owner;
  const places = [
    [PLACES.name, name],
    [PLACES.cluster, labels?.[CLUSTER_LABEL] ?? ""],
    [PLACES.namespace, namespace],
    [PLACES.controller, ownerReferences.find(({ controller }) => controller === true)?.uid ?? ""],
    [PLACES.templateHash, annotations?.[ANNOTATION_TEMPLATE_HASH] ?? ""],
  ] as const;
  return places.filter(([, own]) => own !== "");
}

function withoutNames(json: string, owner: Metadata): string {
  return placesOf(owner).reduce((text, [place, name]) => text.replaceAll(name, place), json);
}

function withNames(text: string, owner: Metadata): string {
  // By functions, because a name is no pattern of what to put in.
  return placesOf(owner).reduceRight((json, [place, name]) => json.replaceAll(place, () => name), text);
}
