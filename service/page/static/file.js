// A picture of one's own: chosen, photographed, dropped anywhere on the page, or pasted.

import { at } from "./dom.js";

/** Call `given(file)` for each picture that comes in, by whatever way. */
export function listen(given) {
  for (const id of ["file", "camera"]) {
    at(id).addEventListener("change", () => {
      const [file] = at(id).files;
      if (file) given(file);
      at(id).value = ""; // so that the same file can be chosen again
    });
  }
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    given(file);
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (!file) return;
    event.preventDefault();
    given(file);
  });
}
