// The sliders and fields of a scene: they show a scene's parameters and say what the user changes.

import { at } from "./dom.js";
import { SIDE_PX, randomSeed } from "./scene.js";

const SLIDERS = {
  x: (value) => value.toFixed(1), y: (value) => value.toFixed(1), size: (value) => `${value.toFixed(0)} px`,
  clutter: String, noise: (value) => value.toFixed(2), digit_noise: (value) => value.toFixed(2),
};
const FIELDS = ["style", "seed"];

/** Call `change(parameters, { live })` for whatever the user sets; live changes come many in a second. */
export function listen(change) {
  for (const name of Object.keys(SLIDERS)) {
    at(name).addEventListener("input", () => change({ [name]: at(name).valueAsNumber }, { live: true }));
  }
  for (const name of FIELDS) {
    at(name).addEventListener("input", () => {
      if (at(name).value && at(name).validity.valid) change({ [name]: at(name).valueAsNumber });
    });
    at(`other-${name}`).addEventListener("click", () => change({ [name]: randomSeed() }));
  }
  at("paper").addEventListener("change", () => change({ paper: at("paper").checked }));
  at("digit").addEventListener("change", (event) => change({ digit: Number(event.target.value) }));
}

/** Show a scene's parameters; those that are not known yet are left as they are. */
export function show(scene) {
  if (scene.size !== undefined) {
    for (const name of ["x", "y"]) {
      // Ends that are steps: the sliders' steps are counted from the lower end.
      at(name).min = Math.round(scene.size) / 2;
      at(name).max = SIDE_PX - Math.round(scene.size) / 2;
    }
  }
  for (const [name, write] of Object.entries(SLIDERS)) {
    if (scene[name] === undefined) continue;
    at(name).value = scene[name];
    at(`${name}-value`).textContent = write(scene[name]);
  }
  for (const name of FIELDS) {
    if (scene[name] !== undefined && document.activeElement !== at(name)) at(name).value = scene[name];
  }
  if (scene.paper !== undefined) at("paper").checked = scene.paper;
  if (scene.digit !== undefined) at("digit").querySelector(`[value="${scene.digit}"]`).checked = true;
}
