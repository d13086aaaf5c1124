// Sample drawings for the classes of façade label maps: left, top, right and bottom in percent of the size.

function storeys(tops, height, columns, width) {
  return tops.flatMap((top) => columns.map((left) => ["window", left, top, left + width, top + height]));
}

export const SAMPLES = {
  "Three storeys": [
    ["wall", 0, 6, 100, 100],
    ["moulding", 0, 6, 100, 14],
    ...storeys([22, 47], 14, [8, 29, 50, 71], 12),
    ...storeys([47], 14, [86], 8),
    ...storeys([22], 14, [86], 8),
    ...[8, 29, 50, 71].map((left) => ["balcony", left - 1, 60, left + 13, 66]),
    ["moulding", 0, 68, 100, 71],
    ...storeys([78], 12, [8, 29, 71], 12),
    ["door", 51, 76, 62, 100],
  ],
  "Columns": [
    ["wall", 0, 0, 100, 100],
    ["moulding", 0, 4, 100, 12],
    ...storeys([18, 42, 67], 18, [14, 41, 68], 18),
    ...[2, 33, 60, 87].map((left) => ["pillar", left, 12, left + 8, 92]),
    ["moulding", 0, 90, 100, 95],
  ],
  "A small shop": [
    ["wall", 10, 20, 90, 100],
    ["cornice", 10, 18, 90, 24],
    ...storeys([32], 16, [18, 44, 70], 12),
    ...[18, 44, 70].map((left) => ["sill", left - 1, 49, left + 13, 52]),
    ["moulding", 10, 58, 90, 62],
    ["shop", 16, 66, 58, 98],
    ["door", 66, 68, 82, 100],
  ],
};

// Draws the rectangles whose classes the model has; returns whether there were any.
export function drawSample(drawing, rectangles, colorOf) {
  let drawn = 0;
  for (const [name, left, top, right, bottom] of rectangles) {
    const color = colorOf(name);
    if (!color) continue;
    const at = (x, y) => ({ x: Math.round((x / 100) * drawing.width), y: Math.round((y / 100) * drawing.height) });
    const end = at(right, bottom);
    drawing.rectangle(at(left, top), { x: end.x - 1, y: end.y - 1 }, color);
    drawn++;
  }
  return drawn > 0;
}
