// The three views as tabs: one is in the tab order, arrow keys go to the others (ARIA's pattern for tabs).

import { at } from "./dom.js";

export const VIEWS = ["scene", "picture", "draw"];

/** Call `choose(view)` when the user picks a view. */
export function listen(choose) {
  for (const [index, view] of VIEWS.entries()) {
    at(`tab-${view}`).addEventListener("click", () => choose(view));
    at(`tab-${view}`).addEventListener("keydown", (event) => {
      const next = {
        ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: VIEWS.length - 1,
      }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const wanted = VIEWS[(next + VIEWS.length) % VIEWS.length];
      at(`tab-${wanted}`).focus();
      choose(wanted);
    });
  }
}

export function select(view) {
  for (const other of VIEWS) {
    const chosen = other === view;
    at(`tab-${other}`).setAttribute("aria-selected", String(chosen));
    at(`tab-${other}`).tabIndex = chosen ? 0 : -1;
    at(`panel-${other}`).hidden = !chosen;
  }
}
