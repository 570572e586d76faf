// The output of a readout beside its target, and the running score.

const MOST = 20000;
const ROW = 72;
const SCORE = 64;
const DESCRIBED = 2000;

// Colours of the page, from custom properties of CSS, so that they follow dark mode.
export function colours(element) {
  const style = getComputedStyle(element);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    ink: of("--ink", "#1c2733"),
    muted: of("--dim", "#57606a"),
    line: of("--line", "#d5dbe1"),
    target: of("--target", "#5b6875"),
    output: of("--output", "#0b63b5"),
    right: of("--right", "#1a7f4b"),
    wrong: of("--wrong", "#c2361b"),
    dark: of("--is-dark", "0") === "1",
  };
}

// Prepare a canvas for drawing in CSS pixels, as wide as it is shown; null while it is not shown.
export function prepared(canvas, height) {
  const width = canvas.clientWidth;
  if (!width) return null;
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

export function made(tag, words = "", kind = "") {
  const element = document.createElement(tag);
  if (words !== "") element.textContent = words;
  if (kind) element.className = kind;
  return element;
}

export function shown(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "none yet";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : value.toPrecision(3);
}

export class Outputs {
  constructor(element, hello) {
    this.element = element;
    this.readout = hello.readout;
    element.hidden = !this.readout;
    element.replaceChildren();
    this.times = [];
    this.target = [];
    this.output = [];
    this.scored = [];
    this.score = [];
    if (!this.readout) return;
    this.classes = this.readout.classes || [];
    element.classList.add("outputs");
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", `Output beside the target. ${this.readout.words || ""}`);
    this.figure = made("p", "", "score");
    const legend = made("p", "", "legend");
    for (const [kind, words] of this.classes.length
      ? [["key-target", "target"], ["key-right", "● output, right"], ["key-wrong", "✕ output, wrong"]]
      : [["key-target", "target (dashed)"], ["key-output", "output (solid)"]]) {
      legend.append(made("span", words, kind), " ");
    }
    this.canvas = made("canvas");
    this.canvas.setAttribute("role", "img");
    this.strip = made("canvas");
    this.strip.setAttribute("role", "img");
    for (const canvas of [this.canvas, this.strip]) canvas.style.width = "100%";
    element.append(this.figure, legend, this.canvas, made("p", `Running score: ${this.readout.metric}`, "legend"));
    element.append(this.strip);
    this.described = -Infinity;
    this.later = null;
    this.tell();
  }

  // Take an `Outputs` message. Rows that are sent once more are for pages that came late: those before the first are new.
  add(message) {
    if (!this.readout) return;
    if (message.again) {
      this.addBefore(message);
      return;
    }
    // Messages may come out of turn after a dropped connection; rows that are here already are left out.
    const last = this.times.length ? this.times[this.times.length - 1] : -Infinity;
    for (let k = 0; k < message.times.length; k += 1) {
      if (message.times[k] <= last) continue;
      this.times.push(message.times[k]);
      this.target.push(message.target[k]);
      this.output.push(message.output[k]);
    }
    const before = this.scored.length ? this.scored[this.scored.length - 1] : -Infinity;
    for (let k = 0; k < message.scored.length; k += 1) {
      if (message.scored[k] <= before) continue;
      this.scored.push(message.scored[k]);
      this.score.push(message.score[k]);
    }
    for (const names of [["times", "target", "output"], ["scored", "score"]]) {
      if (this[names[0]].length > MOST) for (const name of names) this[name].splice(0, MOST / 4);
    }
    this.tell();
  }

  addBefore(message) {
    for (const names of [["times", "target", "output"], ["scored", "score"]]) {
      const first = this[names[0]].length ? this[names[0]][0] : Infinity;
      const count = lowerBound(message[names[0]], first);
      for (const name of names) this[name] = [...message[name].slice(0, count), ...this[name]];
    }
    this.tell();
  }

  // Time of the first and of the last row, s; null without rows.
  get range() {
    return this.times.length ? [this.times[0], this.times[this.times.length - 1]] : null;
  }

  tell() {
    const known = this.score.filter((value) => value !== null);
    const last = known[known.length - 1];
    const way = this.readout.higher_is_better ? "more is better" : "less is better";
    this.figure.textContent = `${this.readout.metric}: ${shown(last)} (${way})`;
    // Words for those who do not see the lines; not at every message, and in the end those of the last one.
    const wait = DESCRIBED - (Date.now() - this.described);
    if (wait > 0) {
      this.later ??= setTimeout(() => {
        this.later = null;
        this.tell();
      }, wait);
      return;
    }
    const row = this.times.length - 1;
    this.described = row < 0 ? -Infinity : Date.now();
    const said = row < 0 ? "no rows yet" : this.readout.names.map((name, k) =>
      `${name}: target ${this.named(this.target[row][k])}, output ${this.named(this.output[row][k])}`).join("; ");
    this.canvas.setAttribute("aria-label", `Targets and outputs over time. Last row: ${said}.`);
    this.strip.setAttribute("aria-label", `Running score over time, ${this.readout.metric}; now ${shown(last)}.`);
  }

  named(value) {
    if (value === null || value === undefined) return "none";
    return this.classes.length ? this.classes[value] ?? String(value) : shown(value);
  }

  // Draw the time from `from` to `to`, in seconds.
  draw(from, to) {
    if (!this.readout || this.element.hidden || !(to > from)) return;
    const of = colours(this.element);
    const names = this.readout.names;
    const classes = this.classes.length;
    const each = classes ? Math.max(ROW, Math.min(200, 14 * classes)) : ROW;
    const place = prepared(this.canvas, each * names.length);
    if (!place) return;
    let first = lowerBound(this.times, from);
    let last = lowerBound(this.times, to);
    first = Math.max(0, first - 1);
    last = Math.min(this.times.length, last + 1);
    const x = (time) => ((time - from) / (to - from)) * place.width;
    for (let k = 0; k < names.length; k += 1) {
      if (classes) this.drawClasses(place.context, of, k, k * each, each, first, last, x, place.width);
      else this.drawNumbers(place.context, of, k, k * each, each, first, last, x, place.width);
    }
    this.drawScore(of, from, to);
  }

  drawNumbers(context, of, k, top, height, first, last, x, width) {
    let [low, high] = [Infinity, -Infinity];
    for (let row = first; row < last; row += 1) {
      const value = this.target[row][k];
      if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    if (!(high >= low)) [low, high] = [-1, 1];
    if (high === low) [low, high] = [low - 1, high + 1];
    const room = 0.25 * (high - low); // an output may go beyond its target; what goes further is cut
    const y = (value) => top + height - 6 - (height - 20) *
      Math.min(1.05, Math.max(-0.05, (value - low + room) / (high - low + 2 * room)));
    axis(context, of, top, height, width, this.readout.names[k], shown(high), shown(low), y(high), y(low));
    const trace = (rows, colour, dash, thick) => {
      context.beginPath();
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.setLineDash(dash);
      let open = false;
      for (let row = first; row < last; row += 1) {
        const value = rows[row][k];
        if (value === null) open = false;
        else if (open) context.lineTo(x(this.times[row]), y(value));
        else {
          context.moveTo(x(this.times[row]), y(value));
          open = true;
        }
      }
      context.stroke();
      context.setLineDash([]);
    };
    trace(this.output, of.output, [], 1.6);
    trace(this.target, of.target, [4, 3], 1.4);
  }

  drawClasses(context, of, k, top, height, first, last, x, width) {
    const count = this.classes.length;
    const y = (value) => top + height - 10 - ((height - 26) * value) / Math.max(1, count - 1);
    axis(context, of, top, height, width, this.readout.names[k], this.classes[count - 1], this.classes[0],
      y(count - 1), y(0));
    for (let row = first; row < last; row += 1) {
      const [wanted, said] = [this.target[row][k], this.output[row][k]];
      const at = x(this.times[row]);
      context.lineWidth = 1.4;
      if (wanted !== null) {
        context.strokeStyle = of.target;
        context.beginPath();
        context.arc(at, y(wanted), 4, 0, 7);
        context.stroke();
      }
      if (said === null) continue;
      if (said === wanted || wanted === null) {
        context.fillStyle = wanted === null ? of.muted : of.right;
        context.beginPath();
        context.arc(at, y(said), 2.5, 0, 7);
        context.fill();
      } else {
        context.strokeStyle = of.wrong;
        context.beginPath();
        context.moveTo(at - 3, y(said) - 3);
        context.lineTo(at + 3, y(said) + 3);
        context.moveTo(at - 3, y(said) + 3);
        context.lineTo(at + 3, y(said) - 3);
        context.stroke();
      }
    }
  }

  drawScore(of, from, to) {
    const place = prepared(this.strip, SCORE);
    if (!place) return;
    const { context, width } = place;
    const known = this.score.filter((value) => value !== null);
    let [low, high] = [Math.min(0, ...known.slice(-2000)), Math.max(...known.slice(-2000), 0)];
    if (this.readout.higher_is_better) [low, high] = [Math.max(-1, low), Math.max(1, high)];
    if (high === low) high = low + 1;
    const y = (value) => SCORE - 6 - (SCORE - 18) * Math.min(1, Math.max(0, (value - low) / (high - low)));
    axis(context, of, 0, SCORE, width, "", shown(high), shown(low), y(high), y(low));
    context.beginPath();
    context.strokeStyle = of.output;
    context.lineWidth = 2;
    let open = false;
    const first = Math.max(0, lowerBound(this.scored, from) - 1);
    for (let row = first; row < this.scored.length && (row === first || this.scored[row - 1] <= to); row += 1) {
      if (this.score[row] === null) open = false;
      else {
        const at = ((this.scored[row] - from) / (to - from)) * width;
        if (open) context.lineTo(at, y(this.score[row]));
        else context.moveTo(at, y(this.score[row]));
        open = true;
      }
    }
    context.stroke();
  }
}

function axis(context, of, top, height, width, name, high, low, yHigh, yLow) {
  context.strokeStyle = of.line;
  context.lineWidth = 1;
  for (const y of [yHigh, yLow]) {
    context.beginPath();
    context.moveTo(0, Math.round(y) + 0.5);
    context.lineTo(width, Math.round(y) + 0.5);
    context.stroke();
  }
  context.fillStyle = of.muted;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "bottom";
  context.textAlign = "left";
  context.fillText(high, 2, yHigh);
  context.fillText(low, 2, yLow);
  context.fillStyle = of.ink;
  context.textAlign = "right";
  if (name) context.fillText(name, width - 4, top + 13);
}

function lowerBound(values, wanted) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
