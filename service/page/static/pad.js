// The pad: draw on the stage with a pen and an eraser; every finished stroke is a picture to ask about.

import { at } from "./dom.js";

const SIDE_PX = 300; // three times the model's: it is shrunk with smooth edges, as scanned ink is
const WIDTH_PX = { pen: 14, eraser: 34 };
const KEY_STEP_PX = 6;

/**
 * Call `begun()` when the ink is about to change and `drawn(blob)` when a stroke is finished; `cleared()` when
 * nothing is left.
 */
export function listen({ begun, drawn, cleared }) {
  const pad = at("pad");
  const ink = pad.getContext("2d", { willReadFrequently: true });
  const cursor = { x: SIDE_PX / 2, y: SIDE_PX / 2, down: false };
  wipe();

  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    begun();
    pad.setPointerCapture(event.pointerId);
    let last = placeOf(event);
    stroke(last, last);
    function move(moved) {
      for (const step of moved.getCoalescedEvents?.() ?? [moved]) {
        const next = placeOf(step);
        stroke(last, next);
        last = next;
      }
    }
    function end() {
      pad.removeEventListener("pointermove", move);
      pad.removeEventListener("pointerup", end);
      pad.removeEventListener("pointercancel", end);
      finish();
    }
    pad.addEventListener("pointermove", move);
    pad.addEventListener("pointerup", end);
    pad.addEventListener("pointercancel", end);
  });

  at("stage").addEventListener("keydown", (event) => {
    if (pad.hidden || event.target !== at("stage")) return;
    const direction = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    }[event.key];
    if (event.key === " ") {
      cursor.down = !cursor.down;
      if (cursor.down) {
        begun();
        stroke(cursor, cursor);
      } else finish();
    } else if (direction) moveCursor(direction);
    else return;
    event.preventDefault();
    showCursor();
  });
  at("clear").addEventListener("click", () => {
    begun();
    wipe();
    cleared();
  });

  function moveCursor([right, down]) {
    const from = { ...cursor };
    cursor.x = Math.min(Math.max(cursor.x + right * KEY_STEP_PX, 0), SIDE_PX);
    cursor.y = Math.min(Math.max(cursor.y + down * KEY_STEP_PX, 0), SIDE_PX);
    if (cursor.down) stroke(from, cursor);
  }

  function showCursor() {
    at("cursor").hidden = false;
    at("cursor").classList.toggle("down", cursor.down);
    at("cursor").style.translate = `${(100 * cursor.x) / SIDE_PX}cqw ${(100 * cursor.y) / SIDE_PX}cqh`;
  }

  function stroke(from, to) {
    const tool = document.querySelector("[name=tool]:checked").value;
    ink.lineCap = ink.lineJoin = "round";
    ink.lineWidth = WIDTH_PX[tool];
    ink.strokeStyle = tool === "pen" ? "#fff" : "#000";
    ink.beginPath();
    ink.moveTo(from.x, from.y);
    ink.lineTo(to.x, to.y);
    ink.stroke();
  }

  function finish() {
    if (isEmpty()) cleared();
    else pad.toBlob(drawn, "image/png");
  }

  function isEmpty() {
    const { data } = ink.getImageData(0, 0, SIDE_PX, SIDE_PX);
    for (let index = 0; index < data.length; index += 4) if (data[index]) return false;
    return true;
  }

  function wipe() {
    cursor.down = false;
    ink.fillStyle = "#000";
    ink.fillRect(0, 0, SIDE_PX, SIDE_PX);
  }

  function placeOf({ clientX, clientY }) {
    const { left, top, width, height } = pad.getBoundingClientRect();
    return { x: (SIDE_PX * (clientX - left)) / width, y: (SIDE_PX * (clientY - top)) / height };
  }
}
