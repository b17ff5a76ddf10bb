// Boxes: x and y of the top-left corner, width and height, in px.

/** Intersection over union of two boxes. */
export function overlap(one, other) {
  const width = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const height = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  const both = Math.max(width, 0) * Math.max(height, 0);
  return both / (one.width * one.height + other.width * other.height - both || 1);
}
