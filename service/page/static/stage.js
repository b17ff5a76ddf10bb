// The stage: a picture with what belongs to it (boxes, attention, label), painted in one go or not at all.

import { at, clear, paintRows, palette, resize } from "./dom.js";
import { SIDE_PX } from "./scene.js";
import { NO_PICTURE, STAGE_NAMES, description, seesDigit } from "./words.js";

const LONGEST_SIDE_PX = 1200; // a photograph is not drawn larger than any stage shows it
const HEAT = palette((value) => [255, 64, 129, 150 * value]);

/** Show a picture and its answer. In the drawing view the pad itself is the picture. */
export function show({ picture, prediction, truth }, view) {
  const { naturalWidth: width, naturalHeight: height } = picture;
  if (view !== "draw") paintPicture(picture, width, height);
  paintRows(at("heat"), prediction.attention_map, HEAT);
  at("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  place(at("found-box"), prediction.bbox);
  at("found-box").classList.toggle("unsure", !seesDigit(prediction));
  place(at("true-box"), truth?.bbox);
  placeTag(prediction, width, height);
  at("picture").setAttribute("aria-label", description(prediction, truth));
  at("hint").hidden = true;
}

/** Take the answer away: the picture is about to become another one. */
export function hideAnswer() {
  clear(at("heat"));
  place(at("found-box"));
  place(at("true-box"));
  at("tag").hidden = true;
}

/** No picture and no answer; the hint says what would bring them. */
export function blank(hint) {
  hideAnswer();
  clear(at("picture"));
  at("picture").setAttribute("aria-label", NO_PICTURE);
  at("hint").textContent = hint;
  at("hint").hidden = false;
}

/** Which view the stage serves: it decides what a pointer and the keys do there. */
export function setView(view) {
  const stage = at("stage");
  stage.dataset.view = view;
  at("picture").hidden = view === "draw";
  at("pad").hidden = view !== "draw";
  stage.setAttribute("aria-label", STAGE_NAMES[view]);
  at("true-key").classList.toggle("absent", view !== "scene");
}

/** A sentence on the stage: an error, or that it takes long; nothing with "". */
export function say(text, { again = false, error = false, key = false } = {}) {
  const words = at("message-text").cloneNode(); // a new sentence is a new element, not the old one moved
  words.textContent = text;
  at("message-text").replaceWith(words);
  at("message").classList.toggle("shown", text !== "");
  at("message").classList.toggle("error", error);
  at("again").hidden = !again;
  at("key-form").hidden = !key;
}

/** Whether what is shown is older than what was asked for last. */
export function setBusy(busy) {
  at("bench").setAttribute("aria-busy", String(busy));
}

function paintPicture(picture, width, height) {
  const canvas = at("picture");
  const shrink = Math.min(1, LONGEST_SIDE_PX / Math.max(width, height));
  resize(canvas, Math.max(1, Math.round(width * shrink)), Math.max(1, Math.round(height * shrink)));
  canvas.classList.toggle("large", Math.max(width, height) > 2 * SIDE_PX);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height); // of a picture with transparent parts
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
}

function place(rectangle, box) {
  rectangle.classList.toggle("absent", !box);
  for (const name of box ? ["x", "y", "width", "height"] : []) rectangle.setAttribute(name, box[name]);
}

/** The label at the box's upper edge, or at its lower one where there is no room above; none of no digit. */
function placeTag(prediction, width, height) {
  const { label, bbox } = prediction;
  const tag = at("tag");
  const side = Math.max(width, height); // the stage is square, the picture is centred on it
  const left = (bbox.x + (side - width) / 2) / side;
  const top = (bbox.y + (side - height) / 2) / side;
  const below = top < 0.1;
  tag.textContent = label;
  tag.style.translate = `${100 * left}cqw ${100 * (below ? top + bbox.height / side : top)}cqh`;
  tag.classList.toggle("below", below);
  tag.hidden = !seesDigit(prediction);
}
