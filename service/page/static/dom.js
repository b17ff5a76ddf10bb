// Small helpers that every part of the page needs.

/** The element with that id. */
export function at(id) {
  return document.getElementById(id);
}

/** A new element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** 256 colours as ImageData has them, from a function that gives [red, green, blue, opacity] for 0 to 1. */
export function palette(colour) {
  const bytes = new Uint8ClampedArray(4 * 256);
  for (let level = 0; level < 256; level++) bytes.set(colour(level / 255), 4 * level);
  return new Uint32Array(bytes.buffer);
}

/** Paint rows of numbers from 0 to 1 onto a canvas, in the colours of a palette. */
export function paintRows(canvas, rows, colours) {
  resize(canvas, rows[0].length, rows.length);
  const pixels = new ImageData(canvas.width, canvas.height);
  const words = new Uint32Array(pixels.data.buffer); // one write for each pixel: this runs at every step of a drag
  let index = 0;
  for (const row of rows) for (const value of row) words[index++] = colours[Math.round(255 * value)];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** Give a canvas another size; to set the same one again would cost a new buffer. */
export function resize(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

export function clear(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
