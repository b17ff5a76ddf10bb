// A scene's parameters: their ranges, how they fit together, and how they stand in the address.

export const SIDE_PX = 100;
export const NAMES = ["digit", "x", "y", "size", "clutter", "noise", "digit_noise", "style", "seed", "paper"];
const HIGHEST_SEED = 2 ** 31 - 1;
const RANGES = {
  digit: [0, 9], x: [10, 90], y: [10, 90], size: [20, 64], clutter: [0, 16],
  noise: [0, 0.4], digit_noise: [0, 0.3], style: [0, HIGHEST_SEED], seed: [0, HIGHEST_SEED],
};
const SWITCHES = new Set(["paper"]);
const WHOLE = new Set(["digit", "clutter", "style", "seed"]);

/** The parameters within their ranges, and the canvas within the scene; what is absent stays absent. */
export function fit(scene) {
  const fitted = {};
  for (const name of NAMES) {
    if (SWITCHES.has(name) && scene[name] !== undefined) fitted[name] = Boolean(scene[name]);
    if (SWITCHES.has(name) || scene[name] === undefined || !Number.isFinite(scene[name])) continue;
    fitted[name] = clamp(scene[name], ...RANGES[name]);
    if (WHOLE.has(name)) fitted[name] = Math.round(fitted[name]);
  }
  for (const name of ["x", "y"]) {
    if (fitted[name] !== undefined && fitted.size !== undefined) {
      fitted[name] = clamp(fitted[name], fitted.size / 2, SIDE_PX - fitted.size / 2);
    }
  }
  return fitted;
}

/** The parameters in an address's query; those that are absent or no numbers are left for the seed to draw. */
export function fromQuery(query) {
  const given = new URLSearchParams(query);
  const named = NAMES.filter((name) => given.get(name)?.trim());
  const read = (name) => (SWITCHES.has(name) ? given.get(name) === "true" : Number(given.get(name)));
  return fit(Object.fromEntries(named.map((name) => [name, read(name)])));
}

/** The parameters as a query, in one order; a switch stands in it where it is on. */
export function toQuery(scene) {
  const known = NAMES.filter((name) => scene[name] !== undefined && scene[name] !== false);
  return known.map((name) => `${name}=${scene[name]}`).join("&");
}

/** A seed that was never seen before, most likely. */
export function randomSeed() {
  return Math.floor(Math.random() * (HIGHEST_SEED + 1));
}

function clamp(value, lowest, highest) {
  return Math.min(Math.max(value, lowest), highest);
}
