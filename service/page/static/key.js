// The key that a guarded service asks for: typed by the user, kept in memory alone, gone with the page.

import { at } from "./dom.js";

let key = "";

/** Call `again()` once a key has been given. */
export function listen(again) {
  at("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key = at("key").value;
    at("key").value = "";
    again();
  });
}

export function isGiven() {
  return key !== "";
}

/** The headers that carry it, if there is one. */
export function headers() {
  return isGiven() ? { "X-API-Key": key } : {};
}
