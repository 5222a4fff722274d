// Kubernetes quantities: read what users write, write what the API server would store.

const SUFFIX_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
const BINARY = ["Ei", "Pi", "Ti", "Gi", "Mi", "Ki"];

const MOST_KNOWN = 4_096; // users write what they like
const known = new Map<string, number>();

/** The number a quantity such as `10Gi` or `500m` stands for. @throws {TypeError} when it is none. */
export function parseQuantity(text: string): number {
  const before = known.get(text);
  if (before !== undefined) return before;
  if (known.size >= MOST_KNOWN) known.clear();
  const number = parse(text);
  known.set(text, number);
  return number;
}

function parse(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$/.exec(text);
  const scale = SUFFIX_BYTES[match?.[2] ?? ""];
  if (match === null || scale === undefined) throw new TypeError(`not a quantity: ${text}`);
  return Number(match[1]) * scale;
}

/** `bytes`, rounded up, with the largest binary suffix that keeps it whole: 1140850688 becomes `1088Mi`. */
export function formatBytes(bytes: number): string {
  const whole = Math.ceil(bytes);
  for (const suffix of BINARY) {
    const scale = SUFFIX_BYTES[suffix] ?? 1;
    if (whole >= scale && whole % scale === 0) return `${whole / scale}${suffix}`;
  }
  return String(whole);
}

/** `cores`, rounded up to a thousandth: 0.5 becomes `500m`, 2 stays `2`. */
export function formatCpu(cores: number): string {
  const milli = Math.ceil(cores * 1000 - 1e-9); // 0.07 * 1000 is a little more than 70
  return milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`;
}

const DECIMAL = ["", "k", "M", "G", "T", "P", "E"];

/** `value` as the API server writes decimal quantities: 0.5 becomes `500m`, 1500 stays `1500`, 2000 becomes `2k`. */
export function formatDecimal(value: number): string {
  const milli = Math.ceil(value * 1000 - 1e-9);
  if (milli % 1000 !== 0) return `${milli}m`;
  let rest = milli / 1000;
  let step = 0;
  while (rest > 0 && rest % 1000 === 0 && step < DECIMAL.length - 1) {
    rest /= 1000;
    step += 1;
  }
  return `${rest}${DECIMAL[step] ?? ""}`;
}
