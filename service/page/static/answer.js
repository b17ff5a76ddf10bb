// The answer beside the stage: label, verdict, confidence, IoU, time, frame, glimpse, probabilities.

import { at, clear, make, paintRows, palette } from "./dom.js";
import { aDigit, milliseconds, overlap, percent, presence, reading, seesDigit, sureness } from "./words.js";

const SPOKEN_AFTER_MS = 700; // a screen reader hears where a drag ends, not all the way there
const GREY = palette((value) => [255 * value, 255 * value, 255 * value, 255]);
let speaking;

export function buildBars() {
  at("bars").replaceChildren(
    ...Array.from({ length: 10 }, (_, digit) =>
      make("li", {},
        make("span", { className: "digit", textContent: digit }),
        make("span", { className: "bar" }, make("span")),
        make("span", { className: "share", textContent: "–" }))),
  );
}

/** Write all of an answer. `ms` is the time from asking to having it, there and back. */
export function write({ prediction, truth, picture, ms }) {
  const { label, confidence, digit_present: present } = prediction;
  const nothing = !seesDigit(prediction);
  at("headline").classList.toggle("nothing", nothing);
  at("label").textContent = nothing ? "none" : label;
  at("presence").textContent = nothing
    ? `${presence(present)} (${percent(present)}). ${truth ? `Truly ${aDigit(truth.label)}` : `At best ${aDigit(label)}`}.`
    : `${presence(present)}, ${sureness(confidence)}.`;
  writeVerdict(verdictOf(prediction, truth));
  at("confidence").textContent = percent(confidence);
  at("iou").textContent = truth ? overlap(prediction.bbox, truth.bbox).toFixed(2) : "–";
  at("time").textContent = milliseconds(ms);
  writeBars(prediction, truth);
  paintRows(at("frame"), prediction.frame, GREY);
  at("frame-place").textContent = placeOf(prediction.frame_box, picture);
  paintRows(at("glimpse"), prediction.glimpse, GREY);
  writeFacts(prediction, ms);
  speak();
}

/** No answer: dashes in its place, so that nothing moves. */
export function blank(verdict) {
  at("headline").classList.remove("nothing");
  writeVerdict({ kind: "", text: verdict });
  for (const id of ["label", "confidence", "iou", "time"]) at(id).textContent = "–";
  for (const id of ["presence", "facts", "frame-place"]) at(id).textContent = "";
  for (const item of at("bars").children) fillBar(item, 0, "–");
  for (const id of ["frame", "glimpse"]) clear(at(id));
}

function verdictOf(prediction, truth) {
  const { label } = prediction;
  if (!truth) return { kind: "", text: reading(prediction) };
  if (!seesDigit(prediction)) return { kind: "wrong", text: reading(prediction) };
  if (truth.label === label) return { kind: "right", text: `Right: it is ${aDigit(label)}.` };
  return { kind: "wrong", text: `Wrong: it is ${aDigit(truth.label)}.` };
}

function writeVerdict({ kind, text }) {
  at("verdict").className = `verdict ${kind}`;
  at("verdict").textContent = text;
}

function writeBars({ label, probabilities }, truth) {
  for (const [digit, item] of [...at("bars").children].entries()) {
    item.classList.toggle("chosen", digit === label);
    item.classList.toggle("truth", digit === truth?.label);
    fillBar(item, probabilities[digit], percent(probabilities[digit]));
  }
}

function fillBar(item, share, text) {
  item.querySelector(".bar span").style.transform = `scaleX(${share})`;
  item.querySelector(".share").textContent = text;
}

function writeFacts({ bbox, timing_ms: timing, model, inverted }, ms) {
  const [x, y, width, height] = [bbox.x, bbox.y, bbox.width, bbox.height].map((value) => value.toFixed(1));
  const read = timing.decode + timing.inference + timing.encode;
  at("facts").textContent = `Box from (${x}, ${y}), ${width} × ${height} px. `
    + `Read in ${milliseconds(read)} on ${model.provider}, there and back in ${milliseconds(ms)}.`
    + (inverted ? " The ink is darker than its ground." : "");
  at("model").textContent = `${model.name} ${model.version} on ${model.provider}`;
}

/** Where the frame lies in the picture, which its last look may show in part only. */
function placeOf(frame, { naturalWidth: width, naturalHeight: height }) {
  const all = frame.x <= 0 && frame.y <= 0 && frame.x + frame.width >= width && frame.y + frame.height >= height;
  return all ? "All of the picture, in 100 × 100 values."
    : `A part of ${Math.round(frame.width)} px a side, in 100 × 100 values.`;
}

function speak() {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    at("spoken").textContent = `${at("verdict").textContent} ${at("presence").textContent} `
      + `Confidence ${at("confidence").textContent}, IoU ${at("iou").textContent}.`;
  }, SPOKEN_AFTER_MS);
}
