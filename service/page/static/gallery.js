// A dozen scenes to start from; their thumbnails are made by the service when they come into sight.

import { EXAMPLES } from "./examples.js";
import { at, make } from "./dom.js";
import { toQuery } from "./scene.js";
import { pictureAddress } from "./service.js";

let watch = null;

/** Build the gallery; `pick(scene)` is called for the one that is clicked. */
export function build(pick) {
  at("gallery").append(
    ...EXAMPLES.map(({ name, scene }) => {
      const thumbnail = make("img", { alt: "", width: 100, height: 100 });
      const button = make("button", { type: "button" }, thumbnail, make("span", { textContent: name }));
      button.addEventListener("click", () => pick(scene));
      return make("li", {}, button);
    }),
  );
}

/** Fetch the thumbnails as they come near; called when the first answer is there, which must not wait for them. */
export function load() {
  if (watch) return;
  watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watch.unobserve(target);
      const index = [...at("gallery").children].indexOf(target);
      const path = `synthesize?${toQuery(EXAMPLES[index].scene)}`;
      pictureAddress(path).then((address) => (target.querySelector("img").src = address));
    }
  }, { rootMargin: "200px" });
  for (const item of at("gallery").children) watch.observe(item);
}
