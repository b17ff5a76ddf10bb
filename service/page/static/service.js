// Ask the service, and turn every way that this may fail into one sentence. A record is all that came of one
// question: the answer, its text, the picture ready to be painted and its bytes, the time it took, the path asked.

import * as key from "./key.js";
import { CANNOT_SHOW, KEY_IS_NEEDED, KEY_IS_WRONG, SERVICE_IS_SILENT, reading, strangeAnswer } from "./words.js";

const TIMEOUT_MS = 15_000;

/** The service refused; the message is its own sentence. */
export class Refusal extends Error {}

/** The service answers only to those who have a key. */
export class KeyNeeded extends Refusal {
  constructor() {
    super(key.isGiven() ? KEY_IS_WRONG : KEY_IS_NEEDED);
  }
}

/** Nobody answered. */
export class NoAnswer extends Error {
  constructor() {
    super(SERVICE_IS_SILENT);
  }
}

/** The path of a scene with its answer, as `/synthesize` takes it. */
export function scenePath(query) {
  return `synthesize?${query}${query && "&"}format=json&predict=true`;
}

/** Ask for a scene and its answer in one round trip. */
export async function askScene(query, signal) {
  const path = scenePath(query);
  const { answer, text, ms } = await ask(path, { signal });
  const { image, parameters, prediction, truth } = answer;
  const picture = await load(image, prediction);
  return { parameters, prediction, truth, picture, text, ms, path, bytes: () => bytesOf(image) };
}

/** Ask what is on a picture, given as a file or a blob. */
export async function askPicture(blob, name, signal) {
  const body = new FormData();
  body.append("image", blob, name);
  const { answer, text, ms } = await ask("predict", { method: "POST", body, signal });
  const address = URL.createObjectURL(blob);
  try {
    const picture = await load(address, answer);
    return { prediction: answer, picture, text, ms, path: "predict", name, bytes: () => blob };
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** The address of a picture that the service makes, for an image to show; fetched where a key must go along. */
export async function pictureAddress(path) {
  if (!key.isGiven()) return path;
  try {
    const response = await fetch(path, { headers: key.headers() });
    return URL.createObjectURL(await response.blob());
  } catch {
    return path; // the browser shows what it shows of a picture that does not come
  }
}

async function ask(path, options) {
  const start = performance.now();
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  let response, text;
  try {
    response = await fetch(path, { ...options, signal, headers: key.headers() });
    text = await response.text();
  } catch (error) {
    if (options.signal.aborted) throw error; // a newer question took its place
    throw new NoAnswer();
  }
  if (response.status === 401) throw new KeyNeeded();
  const answer = parse(text, response);
  if (!response.ok) throw new Refusal(answer.detail);
  return { answer, text, ms: performance.now() - start };
}

function parse(text, response) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(strangeAnswer(response.status));
  }
}

/** A picture that can be painted in one go with its answer. */
function load(address, prediction) {
  return new Promise((done, fail) => {
    const picture = new Image();
    // Not decode(): it waits for a frame, which a drag cannot spare; painting decodes as well.
    picture.onload = () => done(picture);
    picture.onerror = () => fail(new Error(reading(prediction) + CANNOT_SHOW));
    picture.src = address;
  });
}

function bytesOf(dataUri) {
  const [head, data] = dataUri.split(",");
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: head.slice("data:".length, head.indexOf(";")) });
}
