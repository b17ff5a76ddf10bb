// Numbers in plain words.

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

/** Intersection over union of two boxes. */
export function overlap(one, other) {
  const width = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const height = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  const both = Math.max(width, 0) * Math.max(height, 0);
  return both / (one.width * one.height + other.width * other.height - both || 1);
}

export function milliseconds(ms) {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
