// The page's middle: what is asked, what is shown, and what the address says of it.

import * as answer from "./answer.js";
import * as challenge from "./challenge.js";
import * as controls from "./controls.js";
import * as drag from "./drag.js";
import { FIRST } from "./examples.js";
import * as file from "./file.js";
import * as gallery from "./gallery.js";
import * as key from "./key.js";
import { Latest } from "./latest.js";
import * as pad from "./pad.js";
import { at } from "./dom.js";
import { fit, fromQuery, randomSeed, toQuery } from "./scene.js";
import { KeyNeeded, NoAnswer, askPicture, askScene } from "./service.js";
import * as share from "./share.js";
import * as stage from "./stage.js";
import * as tabs from "./tabs.js";
import * as words from "./words.js";

const BUSY_AFTER_MS = 150;
const ADDRESS_AFTER_MS = 300; // browsers refuse an address that changes with every step of a drag

const latest = new Latest();
const records = { scene: null, picture: null, draw: null }; // in each view, the picture and the answer to it
let view = "scene";
let scene = {}; // what the controls say, and the next question asks
let repeat = null; // the last question, to ask it again
let settling;

answer.buildBars();
tabs.listen(chooseView);
controls.listen(change);
drag.listen(() => scene, change);
file.listen(givenPicture);
pad.listen({ begun: inkBegins, drawn: inkDrawn, cleared: inkCleared });
gallery.build(pick);
challenge.build(pick);
share.listen(() => records[view], writeAddress);
at("surprise").addEventListener("click", () => pick({ seed: randomSeed() }));
at("again").addEventListener("click", () => repeat());
key.listen(() => repeat());
at("heat-switch").addEventListener("change", () => (showHeat(), settle()));
addEventListener("popstate", restore);
addEventListener("online", () => at("again").hidden || repeat());
restore();

/** Take the state from the address, and ask for its scene. */
function restore() {
  const query = new URLSearchParams(location.search);
  const given = fromQuery(location.search);
  at("heat-switch").checked = query.get("attention") !== "off";
  showHeat();
  scene = Object.keys(given).length ? given : FIRST;
  if (scene.seed === undefined) scene = { ...scene, seed: randomSeed() };
  controls.show(scene);
  chooseView(tabs.VIEWS.includes(query.get("view")) ? query.get("view") : "scene");
}

function chooseView(chosen) {
  turnTo(chosen);
  if (chosen === "scene") askForScene(); // the address may have changed it meanwhile
  else settle();
}

/** The user changed some of the scene's parameters. */
function change(changed, { live = false } = {}) {
  scene = fit({ ...scene, ...changed });
  askForScene({ live });
}

/** The user picked a whole scene: one can go back from there. */
function pick(picked) {
  writeAddress();
  scene = fit(picked);
  history.pushState(null, "", addressOf());
  turnTo("scene");
  askForScene();
  at("stage").scrollIntoView({ block: "nearest" });
}

function askForScene({ live = false } = {}) {
  const asked = scene;
  controls.show(asked);
  question("scene", (signal) => askScene(toQuery(asked), signal), {
    live,
    then: ({ parameters }) => {
      if (scene !== asked) return; // a drag has gone on since
      scene = { ...parameters, ...asked }; // what the seed drew is part of the scene from here on
      controls.show(scene);
      drag.place(scene);
    },
  });
}

function givenPicture(picture) {
  turnTo("picture");
  clearView("picture", words.readingPicture(picture.name));
  question("picture", (signal) => askPicture(picture, picture.name || "picture.png", signal));
}

/** The pad's ink changes: its answer is no longer one to this picture. */
function inkBegins() {
  latest.cancel();
  stage.setBusy(false);
  stage.say("");
  records.draw = null;
  stage.hideAnswer();
  at("hint").hidden = true;
  answer.blank("…");
  share.show(null);
}

function inkDrawn(blob) {
  question("draw", (signal) => askPicture(blob, "drawing.png", signal));
}

function inkCleared() {
  showView();
}

/** Ask, and show picture and answer together once both are there; until then all stays as it was. */
function question(asked, ask, { live = false, then = () => {} } = {}) {
  repeat = () => question(asked, ask, { then });
  latest.run(async (signal) => {
    const waiting = setTimeout(() => (stage.setBusy(true), stage.say(words.ASKING)), BUSY_AFTER_MS);
    try {
      const record = await ask(signal);
      if (signal.aborted) return;
      records[asked] = record;
      then(record);
      stage.say("");
      showView();
      settle();
    } catch (error) {
      if (signal.aborted) return;
      fail(asked, error);
    } finally {
      clearTimeout(waiting);
      if (!signal.aborted) stage.setBusy(false);
    }
  }, { live });
}

/** Say what went wrong. A scene before it stays, with its own answer; a picture that was refused has none. */
function fail(asked, error) {
  if (asked === "picture") clearView(asked, words.NO_ANSWER);
  else if (!records[asked]) answer.blank(words.NO_ANSWER);
  const offline = error instanceof NoAnswer;
  const stays = asked === "scene" && records.scene ? words.SCENE_STAYS : "";
  const sentence = error.message + stays + (offline ? words.NEXT_CHANGE_ASKS : "");
  stage.say(sentence, { again: offline, error: true, key: error instanceof KeyNeeded });
}

function turnTo(chosen) {
  if (chosen !== view) latest.cancel();
  stage.say("");
  stage.setBusy(false);
  view = chosen;
  tabs.select(view);
  stage.setView(view);
  showView();
}

function showView() {
  const record = records[view];
  if (record) {
    stage.show(record, view);
    answer.write(record);
  } else {
    stage.blank(words.HINTS[view]);
    answer.blank(view === "scene" ? words.ASKING : words.NOTHING_TO_READ);
  }
  share.show(record);
}

function clearView(cleared, words) {
  records[cleared] = null;
  showView();
  answer.blank(words);
}

function showHeat() {
  at("stage").classList.toggle("cold", !at("heat-switch").checked);
}

/** When things have come to rest: write the address, and let the gallery load. */
function settle() {
  clearTimeout(settling);
  settling = setTimeout(() => {
    writeAddress();
    gallery.load();
  }, ADDRESS_AFTER_MS);
}

function writeAddress() {
  history.replaceState(null, "", addressOf());
  return location.href;
}

function addressOf() {
  const also = (view === "scene" ? "" : `&view=${view}`) + (at("heat-switch").checked ? "" : "&attention=off");
  return `?${toQuery(scene)}${also}`;
}
