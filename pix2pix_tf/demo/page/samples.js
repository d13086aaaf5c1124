// Drawings to start from, in percent of the size. Each is a name and a function that paints on a 2D canvas.

// Rectangles of classes of façade label maps: left, top, right, bottom.
function storeys(tops, height, columns, width) {
  return tops.flatMap((top) => columns.map((left) => ["window", left, top, left + width, top + height]));
}

const LABEL_MAPS = {
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

// Colors and SVG paths.
const circle = (x, y, radius) => `M${x - radius} ${y}a${radius} ${radius} 0 1 1 0 .01Z`;
const SHAPES = {
  "Face": [
    ["#ffb02e", circle(50, 50, 44)],
    ["#402a32", "M27 41a7 9 0 1 1 0 .01ZM59 41a7 9 0 1 1 0 .01Z"],
    ["#ff822d", circle(22, 58, 7) + circle(78, 58, 7)],
    ["#bb1d80", "M27 59q23 7 46 0q-2 25-23 25t-23-25Z"],
    ["#ffffff", "M32 60.5q18 5 36 0l-2 7q-16 4-32 0Z"],
  ],
  "Heart": [
    ["#f8312f", "M50 90C22 70 6 55 6 34a22 22 0 0 1 44-8a22 22 0 0 1 44 8C94 55 78 70 50 90Z"],
    ["#f92f60", "M50 90C22 70 6 55 6 34a22 22 0 0 1 8-17C8 44 30 66 50 90Z"],
  ],
  "Star": [["#fcd53f", "M50 7 62.5 36 94 38.5 70 59 77.5 90 50 73.5 22.5 90 30 59 6 38.5 37.5 36Z"]],
  "House": [
    ["#d3d3d3", "M18 42h64v50H18Z"],
    ["#f8312f", "M50 8 96 46H4Z"],
    ["#7d4533", "M42 62h18v30H42Z"],
    ["#00a6ed", "M24 54h12v14H24ZM66 54h12v14H66Z"],
  ],
  "Fish": [
    ["#0074ba", "M70 50 96 26v48ZM44 28q8-16 24-14l-2 20ZM48 70l18 0q0 12-8 14Z"],
    ["#00a6ed", "M4 52Q24 20 56 26Q74 30 82 50Q74 72 56 76Q22 80 4 52Z"],
    ["#ffffff", circle(25, 45, 8)],
    ["#321b41", circle(24, 45, 4.5)],
    ["#ff822d", "M46 44q14 8 0 18q6-9 0-18Z"],
  ],
  "Flower": [
    ["#008463", "M47 50h6v46h-6ZM50 88Q34 88 30 72Q46 72 50 88Z"],
    ["#f70a8d", [0, 1, 2, 3, 4].map((at) => circle(50 + 20 * Math.sin(1.257 * at), 34 - 20 * Math.cos(1.257 * at), 14)).join("")],
    ["#fcd53f", circle(50, 34, 13)],
  ],
};

// strip: an image of held-out inputs, one below the other; or null.
export function startersFor(model, colorOf, strip) {
  const starters = [];
  for (let top = 0; strip && top < strip.height; top += model.height) {
    const paint = (context, width, height) => context.drawImage(strip, 0, top, model.width, model.height, 0, 0, width, height);
    starters.push({ name: `Sample ${top / model.height + 1}`, paint });
  }
  if (model.classes.length) {
    for (const [name, rectangles] of Object.entries(LABEL_MAPS)) {
      const known = rectangles.filter(([className]) => colorOf(className));
      if (known.length) starters.push({ name, paint: paintRectangles(known, colorOf) });
    }
  } else if (model.input_channels === 3) {
    for (const [name, shapes] of Object.entries(SHAPES)) starters.push({ name, paint: paintShapes(shapes) });
  }
  return starters;
}

function paintRectangles(rectangles, colorOf) {
  return (context, width, height) => {
    for (const [name, ...sides] of rectangles) {
      const [left, top, right, bottom] = sides.map((at, side) => Math.round((at / 100) * (side % 2 ? height : width)));
      context.fillStyle = `rgb(${colorOf(name)})`;
      context.fillRect(left, top, right - left, bottom - top);
    }
  };
}

function paintShapes(shapes) {
  return (context, width, height) => {
    const size = Math.min(width, height) / 100;
    context.setTransform(size, 0, 0, size, (width - 100 * size) / 2, (height - 100 * size) / 2);
    for (const [color, path] of shapes) {
      context.fillStyle = color;
      context.fill(new Path2D(path));
    }
    context.resetTransform();
  };
}
