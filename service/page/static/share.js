// What can be taken along: the link, the request as a command, the picture, the answer.

import { at, make } from "./dom.js";
import * as key from "./key.js";
import { COPY_BY_HAND, LINK_IS_ABOVE } from "./words.js";

const SAID_FOR_MS = 1500;

/** `shown()` is the record on the stage, or null; `address()` writes the address and gives it. */
export function listen(shown, address) {
  at("copy-link").addEventListener("click", () => copy(at("copy-link"), address(), LINK_IS_ABOVE));
  at("copy-curl").addEventListener("click", () => {
    copy(at("copy-curl"), at("curl").textContent, COPY_BY_HAND, at("curl"));
  });
  at("save-image").addEventListener("click", () => save(shown().bytes(), shown().name ?? "glimpse-scene.png"));
  at("save-json").addEventListener("click", () => {
    save(new Blob([shown().text], { type: "application/json" }), "glimpse-answer.json");
  });
}

/** Show a record's request as a command; without a record there is nothing to take. */
export function show(record) {
  for (const id of ["copy-curl", "save-image", "save-json"]) at(id).disabled = !record;
  at("curl").textContent = record ? commandOf(record) : "";
}

function commandOf({ path, name }) {
  const address = quote(new URL(path, document.baseURI).href);
  const options = key.isGiven() ? '-H "X-API-Key: $KEY" ' : ""; // the key itself is not for display
  return name === undefined ? `curl ${options}${address}` : `curl ${options}-F ${quote(`image=@${name}`)} ${address}`;
}

/** As one word of a shell, whatever a file is called. */
function quote(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

async function copy(button, text, byHand, shown) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // No clipboard without https, but on localhost: where the text is shown it is selected, to be copied by hand.
    if (shown) getSelection().selectAllChildren(shown);
    button.textContent = byHand;
  }
  at("spoken").textContent = button.textContent;
  setTimeout(() => (button.textContent = words), SAID_FOR_MS);
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
