// The challenge: a hundred random scenes in a row, with running error and mean IoU.

import { overlap } from "./boxes.js";
import { at, make } from "./dom.js";
import { SIDE_PX, fromQuery, randomSeed, toQuery } from "./scene.js";
import { askScene } from "./service.js";
import { percent, tile } from "./words.js";

const COUNT = 100;
let running = null;

/** Build the hundred tiles; `pick(scene)` is called for the one that is clicked. */
export function build(pick) {
  const list = at("tiles");
  for (let index = 0; index < COUNT; index++) {
    const canvas = make("canvas", { width: SIDE_PX, height: SIDE_PX });
    list.append(make("li", {}, make("a", { tabIndex: -1 }, canvas)));
  }
  list.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // those open another tab
    event.preventDefault();
    pick(fromQuery(link.search));
  });
  list.addEventListener("keydown", walk);
  at("challenge-start").addEventListener("click", () => (running ? running.abort() : run()));
}

async function run() {
  running = new AbortController();
  const { signal } = running;
  const score = { scenes: 0, wrong: 0, overlap: 0 };
  at("challenge-start").textContent = "Stop";
  reset();
  try {
    while (score.scenes < COUNT) {
      const record = await askScene(`seed=${randomSeed()}`, signal);
      if (signal.aborted) break;
      count(score, record);
      drawTile(at("tiles").children[score.scenes - 1].firstChild, record);
    }
  } catch (error) {
    if (!signal.aborted) at("challenge-count").textContent = `${score.scenes}: ${error.message}`;
  } finally {
    running = null;
    at("challenge-start").textContent = `Run ${COUNT} scenes`;
  }
}

function reset() {
  for (const item of at("tiles").children) {
    const link = item.firstChild;
    link.removeAttribute("href");
    link.removeAttribute("aria-label");
    link.className = "";
    link.tabIndex = -1;
    link.firstChild.getContext("2d").clearRect(0, 0, SIDE_PX, SIDE_PX);
  }
  write({ scenes: 0 });
}

function count(score, { prediction, truth }) {
  score.scenes += 1;
  score.wrong += prediction.label !== truth.label;
  score.overlap += overlap(prediction.bbox, truth.bbox);
  write(score);
}

function write({ scenes, wrong, overlap: sum }) {
  at("challenge-count").textContent = `${scenes} of ${COUNT}`;
  at("challenge-error").textContent = scenes ? percent(wrong / scenes) : "–";
  at("challenge-iou").textContent = scenes ? (sum / scenes).toFixed(3) : "–";
}

function drawTile(link, { parameters, picture, prediction, truth }) {
  const pen = link.firstChild.getContext("2d");
  pen.drawImage(picture, 0, 0);
  pen.lineWidth = 3;
  pen.strokeStyle = "#ff9633";
  const { x, y, width, height } = prediction.bbox;
  pen.strokeRect(x, y, width, height);
  const right = prediction.label === truth.label;
  link.className = right ? "right" : "wrong";
  link.setAttribute("aria-label", tile(prediction, truth));
  link.href = `?${toQuery(parameters)}`;
  if (!link.parentElement.previousElementSibling) link.tabIndex = 0;
}

/** One tile is in the tab order; arrow keys go to the others. */
function walk(event) {
  const links = [...at("tiles").querySelectorAll("a[href]")];
  const index = links.indexOf(event.target);
  const columns = getComputedStyle(at("tiles")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const next = links[index + step];
  if (index < 0 || !next) return;
  event.preventDefault();
  links[index].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
