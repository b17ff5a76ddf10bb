// The answer beside the stage: label, verdict, confidence, IoU, time, frame, glimpse, probabilities.

import { overlap } from "./boxes.js";
import { at, clear, make, paintRows, palette } from "./dom.js";
import { certainty, facts, framePlace, milliseconds, percent, reading, seesDigit, verdict } from "./words.js";

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
  const { label, confidence, model } = prediction;
  const nothing = !seesDigit(prediction);
  at("headline").classList.toggle("nothing", nothing);
  at("label").textContent = nothing ? "none" : label;
  at("presence").textContent = certainty(prediction, truth);
  writeVerdict(verdictOf(prediction, truth));
  at("confidence").textContent = percent(confidence);
  at("iou").textContent = truth ? overlap(prediction.bbox, truth.bbox).toFixed(2) : "–";
  at("time").textContent = milliseconds(ms);
  writeBars(prediction, truth);
  paintRows(at("frame"), prediction.frame, GREY);
  at("frame-place").textContent = framePlace(prediction.frame_box, picture);
  paintRows(at("glimpse"), prediction.glimpse, GREY);
  at("facts").textContent = facts(prediction, ms);
  at("model").textContent = `${model.name} ${model.version} on ${model.provider}`;
  speak();
}

/** No answer: dashes in its place, so that nothing moves. */
export function blank(text) {
  at("headline").classList.remove("nothing");
  writeVerdict({ kind: "", text });
  for (const id of ["label", "confidence", "iou", "time"]) at(id).textContent = "–";
  for (const id of ["presence", "facts", "frame-place"]) at(id).textContent = "";
  for (const item of at("bars").children) fillBar(item, 0, "–");
  for (const id of ["frame", "glimpse"]) clear(at(id));
}

function verdictOf(prediction, truth) {
  const { label } = prediction;
  if (!truth) return { kind: "", text: reading(prediction) };
  if (!seesDigit(prediction)) return { kind: "wrong", text: reading(prediction) };
  const right = truth.label === label;
  return { kind: right ? "right" : "wrong", text: verdict(right, truth) };
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

function speak() {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    at("spoken").textContent = `${at("verdict").textContent} ${at("presence").textContent} `
      + `Confidence ${at("confidence").textContent}, IoU ${at("iou").textContent}.`;
  }, SPOKEN_AFTER_MS);
}
