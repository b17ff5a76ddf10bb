"use strict";

const LONGEST_SIDE_SHOWN_PX = 480;
const at = (id) => document.getElementById(id);
let latest = 0; // a slow answer must not overwrite the one to a later question

at("make").addEventListener("click", make);
make(); // the page opens with a scene, or with the reason why there is none
at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) read(file);
  event.target.value = ""; // so that the same file can be chosen again
});
at("heat").addEventListener("change", () => at("map").classList.toggle("off", !at("heat").checked));
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file) read(file);
});

function make() {
  run(async () => {
    say("Making a scene …");
    const scene = await fetchJson("synthesize?format=json&predict=true");
    return { source: scene.image, prediction: scene.prediction, truth: scene.truth };
  });
}

function read(file) {
  run(async () => {
    say(`Reading ${file.name} …`);
    const form = new FormData();
    form.append("image", file);
    const prediction = await fetchJson("predict", { method: "POST", body: form });
    return { source: URL.createObjectURL(file), prediction };
  });
}

async function run(ask) {
  const turn = ++latest;
  at("make").disabled = true;
  try {
    const answer = await ask();
    if (turn !== latest) return;
    await show(answer);
    say("");
  } catch (error) {
    if (turn !== latest) return;
    at("result").hidden = true; // it belongs to another picture
    say(error.message, true);
  } finally {
    if (turn === latest) at("make").disabled = false;
  }
}

async function fetchJson(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

async function show({ source, prediction, truth }) {
  const picture = at("picture");
  if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
  picture.src = source;
  try {
    await picture.decode();
  } catch {
    throw new Error(`It reads ${prediction.label}, but this browser cannot show pictures of this kind.`);
  }
  at("result").hidden = false;
  const { naturalWidth: width, naturalHeight: height } = picture;
  const scale = LONGEST_SIDE_SHOWN_PX / Math.max(width, height);
  picture.classList.toggle("large", scale < 1);
  at("frame").style.width = `min(100%, ${Math.max(1, width * scale)}px)`;
  at("frame").style.aspectRatio = `${width} / ${height}`;
  at("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
  place(at("box"), prediction.bbox);
  place(at("truth"), truth?.bbox);
  at("truth-key").hidden = !truth;
  at("inverted").hidden = !prediction.inverted;
  paint(at("map"), prediction.attention_map, (value) => [255, 120, 0, 190 * value]);
  paint(at("glimpse"), prediction.glimpse, (value) => [255 * value, 255 * value, 255 * value, 255]);
  write(prediction, truth);
}

function place(rectangle, box) {
  rectangle.style.display = box ? "" : "none";
  for (const [name, value] of Object.entries(box ?? {})) rectangle.setAttribute(name, value);
}

function paint(canvas, rows, colour) {
  canvas.width = rows[0].length;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  pixels.data.set(rows.flat().flatMap(colour));
  context.putImageData(pixels, 0, 0);
}

function write(prediction, truth) {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  at("label").textContent = prediction.label;
  at("confidence").textContent = `with ${percent(prediction.confidence)}`;
  at("verdict").textContent = !truth ? "" : truth.label === prediction.label
    ? "Right: the scene was made with this digit."
    : `Wrong: the scene was made with a ${truth.label}.`;
  at("bars").replaceChildren(...prediction.probabilities.map((share, digit) => {
    const item = document.createElement("li");
    const bar = document.createElement("div");
    const fill = document.createElement("span");
    bar.className = "bar";
    fill.style.height = percent(share).replace(" ", "");
    bar.append(fill);
    item.title = percent(share);
    item.append(bar, String(digit));
    return item;
  }));
  const { x, y, width, height } = prediction.bbox;
  const { decode, inference, encode } = prediction.timing_ms;
  const { name, version, provider } = prediction.model;
  at("facts").textContent = `Box from (${x.toFixed(1)}, ${y.toFixed(1)}), ${width.toFixed(1)} × `
    + `${height.toFixed(1)} px. Answered in ${(decode + inference + encode).toFixed(1)} ms by ${name} `
    + `${version} on ${provider}.`;
}

function say(text, isError = false) {
  at("message").textContent = text;
  at("message").classList.toggle("error", isError);
}
