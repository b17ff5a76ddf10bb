// Move and resize the digit on the stage itself, with mouse, finger or keys.

import { at } from "./dom.js";
import { SIDE_PX } from "./scene.js";

const STEPS = { ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowUp: ["y", -1], ArrowDown: ["y", 1] };
const LARGE_STEP = 5;

/**
 * Call `change(parameters, { live })` while the digit is moved or resized.
 *
 * `current()` is the scene as last asked for. The grip shows at once where the digit's canvas will be; the picture
 * follows with its answer.
 */
export function listen(current, change) {
  const stage = at("stage");
  function live(changed) {
    change(changed, { live: true });
    place(current());
  }
  stage.addEventListener("pointerdown", (event) => begin(event, current, live));
  stage.addEventListener("click", (event) => {
    // A finger that taps beside the digit; a mouse has moved it there already.
    if (isScene() && event.pointerType === "touch" && isGround(event.target)) live(placeOf(event));
  });
  stage.addEventListener("keydown", (event) => {
    if (!isScene() || event.target !== stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const changed = keyed(event, current());
    if (!changed) return;
    event.preventDefault();
    live(changed);
  });
}

/** Lay the grip over the digit's canvas. */
export function place({ x, y, size }) {
  if (x === undefined || y === undefined || size === undefined) return;
  const { style } = at("grip");
  style.translate = `${(100 * (x - size / 2)) / SIDE_PX}cqw ${(100 * (y - size / 2)) / SIDE_PX}cqh`;
  style.width = style.height = `${(100 * size) / SIDE_PX}%`;
  at("handle").style.translate = `${(100 * size) / SIDE_PX}cqw ${(100 * size) / SIDE_PX}cqh`;
}

function begin(event, current, live) {
  if (!isScene() || event.button !== 0 || event.target.closest(".message")) return;
  const onGround = isGround(event.target);
  if (onGround && event.pointerType === "touch") return; // it may want to scroll the page
  const stage = at("stage");
  const start = placeOf(event);
  if (onGround) live(start);
  const { x, y } = current();
  const offset = { x: x - start.x, y: y - start.y };
  const resizes = event.target === at("handle");

  function move(moved) {
    const pointer = placeOf(moved);
    const reach = Math.max(Math.abs(pointer.x - x), Math.abs(pointer.y - y));
    if (resizes) live({ size: Math.round(2 * reach) });
    else live({ x: half(pointer.x + offset.x), y: half(pointer.y + offset.y) });
  }
  function end() {
    stage.removeEventListener("pointermove", move);
    stage.removeEventListener("pointerup", end);
    stage.removeEventListener("pointercancel", end);
    stage.classList.remove("held");
  }
  stage.setPointerCapture(event.pointerId);
  stage.classList.add("held");
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
}

function keyed({ key, shiftKey }, { x, y, size }) {
  const step = shiftKey ? LARGE_STEP : 1;
  if (STEPS[key]) {
    const [name, direction] = STEPS[key];
    return { [name]: half((name === "x" ? x : y) + direction * step) };
  }
  if (key === "+" || key === "=") return { size: Math.round(size) + 1 };
  if (key === "-" || key === "_") return { size: Math.round(size) - 1 };
  return null;
}

function isScene() {
  return at("stage").dataset.view === "scene";
}

function isGround(target) {
  return !target.closest(".grip, .message");
}

/** Where a pointer is, in scene px, to half a pixel as the sliders have it. */
function placeOf({ clientX, clientY }) {
  const { left, top, width, height } = at("picture").getBoundingClientRect();
  return { x: half((SIDE_PX * (clientX - left)) / width), y: half((SIDE_PX * (clientY - top)) / height) };
}

function half(value) {
  return Math.round(2 * value) / 2;
}
