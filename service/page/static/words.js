// Every sentence that the scripts write; those that are always there stand in index.html.

export const ASKING = "Asking …";
export const NO_ANSWER = "No answer.";
export const NOTHING_TO_READ = "Nothing to read yet.";
export const SERVICE_IS_SILENT = "The service does not answer. Is it still running?";
export const SCENE_STAYS = " This is the scene before.";
export const NEXT_CHANGE_ASKS = " The next change asks again.";
export const KEY_IS_NEEDED = "This service asks for a key.";
export const KEY_IS_WRONG = "The service does not know this key.";
export const CANNOT_SHOW = " But this browser cannot show pictures of this kind.";
export const LINK_IS_ABOVE = "It is in the address bar";
export const COPY_BY_HAND = "Press Ctrl+C";
export const NO_PICTURE = "No picture yet";

/** What each view asks for while it has no picture. */
export const HINTS = {
  scene: "No scene yet.",
  picture: "Drop a picture here, paste one, or choose one.",
  draw: "Draw a digit here.",
};

/** What the stage is called in each view, for screen readers. */
export const STAGE_NAMES = { scene: "Scene", picture: "Your picture", draw: "Drawing pad" };

/** The status of an answer that is not the service's own. */
export function strangeAnswer(status) {
  return `Something between this page and the service answered with status ${status}.`;
}

export function readingPicture(name) {
  return `Reading ${name || "the picture"} …`;
}

/** A share as a percentage that never claims certainty. */
export function percent(share) {
  if (share > 0.9995) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** How sure the classifier is of its label. */
export function sureness(confidence) {
  if (confidence >= 0.99) return "sure of it";
  if (confidence >= 0.9) return "fairly sure";
  if (confidence >= 0.6) return "leaning to it";
  return "guessing";
}

/** Whether there is a digit at all. */
export function presence(share) {
  if (share >= 0.99) return "Surely a digit";
  if (share >= 0.8) return "Most likely a digit";
  if (share >= 0.5) return "Perhaps a digit";
  if (share >= 0.1) return "Probably no digit here";
  return "Surely no digit here";
}

/** Whether an answer sees a digit: otherwise its label and its box are of nothing. */
export function seesDigit({ digit_present: share }) {
  return share >= 0.5;
}

/** What an answer says, as a sentence. */
export function reading(prediction) {
  return seesDigit(prediction) ? `It reads ${aDigit(prediction.label)}.` : "It sees no digit.";
}

/** A digit with its article, as it is said: a 7, an 8. */
export function aDigit(digit) {
  return `${digit === 8 ? "an" : "a"} ${digit}`;
}

export function milliseconds(ms) {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** What is said under the answer: presence and certainty, or the digit that it would be. */
export function certainty({ label, confidence, digit_present: present }, truth) {
  if (seesDigit({ digit_present: present })) return `${presence(present)}, ${sureness(confidence)}.`;
  return `${presence(present)} (${percent(present)}). ${truth ? `Truly ${aDigit(truth.label)}` : `At best ${aDigit(label)}`}.`;
}

/** Whether a scene was read as what it is. */
export function verdict(right, truth) {
  return right ? `Right: it is ${aDigit(truth.label)}.` : `Wrong: it is ${aDigit(truth.label)}.`;
}

/** A scene of the challenge, as its tile is called. */
export function tile(prediction, truth) {
  const shown = aDigit(truth.label);
  return prediction.label === truth.label ? `Right: ${shown}` : `Wrong: ${shown}, taken for ${aDigit(prediction.label)}`;
}

export function facts({ bbox, timing_ms: timing, model, inverted }, ms) {
  const [x, y, width, height] = [bbox.x, bbox.y, bbox.width, bbox.height].map((value) => value.toFixed(1));
  const read = timing.decode + timing.inference + timing.encode;
  return `Box from (${x}, ${y}), ${width} × ${height} px. `
    + `Read in ${milliseconds(read)} on ${model.provider}, there and back in ${milliseconds(ms)}.`
    + (inverted ? " The ink is darker than its background." : "");
}

/** Which part of the picture a frame shows. */
export function framePlace(frame, { naturalWidth: width, naturalHeight: height }) {
  const all = frame.x <= 0 && frame.y <= 0 && frame.x + frame.width >= width && frame.y + frame.height >= height;
  return all ? "All of the picture, in 100 × 100 values."
    : `A part of ${Math.round(frame.width)} px a side, in 100 × 100 values.`;
}

/** A picture and its answer, for those who do not see it. */
export function description(prediction, truth) {
  const box = ({ x, y, width, height }) =>
    `from (${Math.round(x)}, ${Math.round(y)}), ${Math.round(width)} by ${Math.round(height)} pixels`;
  const { label, bbox } = prediction;
  const found = seesDigit(prediction)
    ? `A picture. The model found ${aDigit(label)} ${box(bbox)}.` : "A picture. The model sees no digit.";
  return truth ? `${found} Truly there is ${aDigit(truth.label)} ${box(truth.bbox)}.` : found;
}
