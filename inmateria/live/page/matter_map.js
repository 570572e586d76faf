// A map of the matter: wires, cells, nodes and electrodes, coloured by the activity of the outputs.

import { colours, prepared } from "./outputs.js";

// Viridis at nine places: equal steps of activity look equal, also to people who see fewer colours.
const VIRIDIS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];
const LEGEND = 34;
const MARGIN = 16;
const NAMED = 40;

// Colour of an activity from 0 to 1: the more, the further from the background, light or dark.
export function colour(activity, dark) {
  const part = Math.min(1, Math.max(0, activity));
  const at = (dark ? 0.12 + 0.88 * part : 0.92 * (1 - part)) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(at));
  const mixed = VIRIDIS[below].map((value, k) =>
    Math.round(value + (at - below) * (VIRIDIS[below + 1][k] - value)));
  return `rgb(${mixed.join(",")})`;
}

export class MatterMap {
  constructor(canvas, map) {
    this.canvas = canvas;
    this.map = map;
    this.described = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Map of the matter: ${map.words}.`);
    canvas.style.width = "100%";
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    const take = (x, y) => {
      [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
    };
    for (const [ax, ay, bx, by] of map.wires) {
      take(ax, ay);
      take(bx, by);
    }
    for (const [x, y] of map.points) take(x, y);
    for (const { x, y } of map.electrodes) take(x, y);
    if (!(x1 >= x0)) [x0, y0, x1, y1] = [0, 0, 1, 1];
    this.extent = [x0, y0, x1, y1];
  }

  // Draw with the activity of each output, a Float32Array of numbers from 0 to 1; NaN where it is not known.
  draw(activity) {
    const wide = this.canvas.clientWidth;
    const [x0, y0, x1, y1] = this.extent;
    const [across, up] = [Math.max(x1 - x0, 1e-12), Math.max(y1 - y0, 1e-12)];
    const flat = up < 0.2 * across;
    const height = LEGEND + Math.round(flat ? 80 : Math.min(480, Math.max(160, ((wide - 2 * MARGIN) * up) / across)));
    const place = prepared(this.canvas, height);
    if (!place) return;
    const { context, width } = place;
    const of = colours(this.canvas);
    const tall = flat ? Infinity : (height - LEGEND - 2 * MARGIN) / up;
    const used = Math.min((width - 2 * MARGIN) / across, tall);
    const x = (value) => (width - used * across) / 2 + used * (value - x0);
    const y = (value) => (height - LEGEND) / 2 - used * (value - (y0 + y1) / 2);
    const known = (output) => output >= 0 && output < activity.length && !Number.isNaN(activity[output]);
    const read = this.map.wire_outputs || [];
    const line = (wires, stroke, thick) => {
      context.strokeStyle = stroke;
      context.lineWidth = thick;
      context.beginPath();
      for (const [ax, ay, bx, by] of wires) {
        context.moveTo(x(ax), y(ay));
        context.lineTo(x(bx), y(by));
      }
      context.stroke();
    };
    line(this.map.wires.filter((_, k) => !(read[k] >= 0)), of.line, 0.8);
    this.map.wires.forEach((wire, k) => {
      if (read[k] >= 0) line([wire], known(read[k]) ? colour(activity[read[k]], of.dark) : of.muted, 3);
    });
    context.fillStyle = of.line;
    for (const [px, py] of this.map.points) context.fillRect(x(px) - 1, y(py) - 1, 2, 2);
    const many = this.map.electrodes.length;
    const size = many > 400 ? 2.5 : many > 100 ? 4 : 6;
    context.lineWidth = 1.4;
    context.font = "10px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const { name, x: ex, y: ey, input, output } of this.map.electrodes) {
      const [px, py] = [x(ex), y(ey)];
      context.beginPath();
      // An input is a square, an output alone a circle: the shape tells, too.
      if (input >= 0) context.rect(px - size, py - size, 2 * size, 2 * size);
      else context.arc(px, py, size, 0, 7);
      if (known(output)) {
        context.fillStyle = colour(activity[output], of.dark);
        context.fill();
      }
      context.strokeStyle = of.ink;
      context.stroke();
      if (many <= NAMED && width >= 300) {
        context.fillStyle = of.muted;
        context.fillText(name, px, py + size + 1);
      }
    }
    this.legend(context, of, width, height);
    this.tell(activity, known);
  }

  legend(context, of, width, height) {
    const [left, top, long] = [MARGIN, height - 16, Math.max(110, Math.min(160, width / 3))];
    for (let k = 0; k < long; k += 1) {
      context.fillStyle = colour(k / (long - 1), of.dark);
      context.fillRect(left + k, top, 1, 10);
    }
    context.strokeStyle = of.muted;
    context.lineWidth = 1;
    context.strokeRect(left - 0.5, top - 0.5, long + 1, 11);
    context.fillStyle = of.ink;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "bottom";
    context.textAlign = "left";
    context.fillText("activity: none", left, top - 1);
    context.textAlign = "right";
    context.fillText("most", left + long, top - 1);
    context.textAlign = "left";
    context.textBaseline = "middle";
    let at = left + long + 14;
    for (const [square, words] of [[true, "input"], [false, "output"]]) {
      context.strokeStyle = of.ink;
      context.beginPath();
      if (square) context.rect(at, top + 1, 8, 8);
      else context.arc(at + 4, top + 5, 4, 0, 7);
      context.stroke();
      context.fillText(words, at + 12, top + 6);
      at += 18 + context.measureText(words).width + 8;
    }
  }

  tell(activity, known) {
    const now = Date.now();
    if (now - this.described < 2000) return;
    this.described = now;
    const active = this.map.electrodes
      .filter(({ output }) => known(output))
      .sort((a, b) => activity[b.output] - activity[a.output])
      .slice(0, 3)
      .map(({ name, output }) => `${name} ${activity[output].toFixed(2)}`);
    const most = active.length ? ` Most active now: ${active.join(", ")}.` : "";
    this.canvas.setAttribute("aria-label", `Map of the matter: ${this.map.words}.${most}`);
  }
}
