// The gallery's scenes as data, from easy to brutal; the first view is one of them.

const COMMON = { x: 50, y: 50, size: 40, clutter: 0, noise: 0, digit_noise: 0, style: 11 };

export const EXAMPLES = [
  { name: "Clean", scene: { ...COMMON, digit: 5, seed: 1 } },
  { name: "In a corner", scene: { ...COMMON, digit: 7, x: 22, y: 78, size: 36, style: 4, seed: 2 } },
  { name: "Small", scene: { ...COMMON, digit: 2, x: 70, y: 30, size: 21, style: 8, seed: 3 } },
  { name: "Huge", scene: { ...COMMON, digit: 8, size: 64, style: 3, seed: 4 } },
  { name: "In company", scene: { ...COMMON, digit: 4, x: 34, y: 40, clutter: 4, style: 21, seed: 5 } },
  { name: "Grainy", scene: { ...COMMON, digit: 3, x: 62, y: 60, noise: 0.25, style: 6, seed: 6 } },
  { name: "Crowded", scene: { ...COMMON, digit: 3, x: 62, y: 42, size: 38, clutter: 8, noise: 0.1, style: 7, seed: 7 } },
  { name: "Worn", scene: { ...COMMON, digit: 6, x: 40, y: 56, noise: 0.1, digit_noise: 0.25, style: 5, seed: 8 } },
  { name: "Outnumbered", scene: { ...COMMON, digit: 9, x: 28, y: 30, size: 24, clutter: 8, style: 9, seed: 9 } },
  { name: "Packed", scene: { ...COMMON, digit: 0, x: 60, y: 38, size: 34, clutter: 16, noise: 0.1, style: 2, seed: 10 } },
  { name: "Storm", scene: { ...COMMON, digit: 2, x: 66, y: 62, size: 32, clutter: 8, noise: 0.4, digit_noise: 0.1, style: 12, seed: 11 } },
  { name: "Brutal", scene: { ...COMMON, digit: 8, x: 30, y: 68, size: 26, clutter: 16, noise: 0.4, digit_noise: 0.3, style: 13, seed: 12 } },
];

export const FIRST = EXAMPLES.find(({ name }) => name === "Crowded").scene;
