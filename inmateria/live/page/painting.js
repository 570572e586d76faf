// Traces and rasters, drawn pixel by pixel into an image, and their labels.

const GUTTER = 68;
const NARROW_GUTTER = 46;

// A canvas whose right part is an image of 32-bit pixels; labels are left of it.
export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.width = this.height = 0;
  }

  // Fit the image to the size on the screen; returns false if there is no room.
  fit() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    this.ratio = ratio;
    this.gutter = Math.round((this.canvas.clientWidth < 500 ? NARROW_GUTTER : GUTTER) * ratio);
    if (width - this.gutter < 8 || height < 8) return false;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    if (this.width !== width - this.gutter || this.height !== height) {
      this.width = width - this.gutter;
      this.height = height;
      this.image = new ImageData(this.width, this.height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    return true;
  }

  clear(colours) {
    this.pixels.fill(colours.pixel.ground);
  }

  // Fill times between two with a colour.
  band(from, to, view, colour) {
    const x0 = Math.max(0, Math.floor(((from - view.from) / view.span) * this.width));
    const x1 = Math.min(this.width, Math.ceil(((to - view.from) / view.span) * this.width));
    for (let y = 0; y < this.height && x1 > x0; y++) this.pixels.fill(colour, y * this.width + x0, y * this.width + x1);
  }

  show() {
    this.context.putImageData(this.image, this.gutter, 0);
  }

  // Write names beside rows that are high enough, and a scale beside a few.
  label(rows, names, scales, chosen, colours) {
    const { context, ratio } = this;
    context.fillStyle = colours.css.ground;
    context.fillRect(0, 0, this.gutter, this.height);
    const band = this.height / rows.count;
    const each = Math.max(1, Math.ceil((13 * ratio) / band));
    context.textBaseline = "middle";
    for (let row = 0; row < rows.count; row++) {
      const channel = rows.first + row;
      if (row % each && channel !== chosen) continue;
      const y = Math.min(this.height - 6 * ratio, Math.max(6 * ratio, (row + 0.5) * band));
      context.font = `${channel === chosen ? "700 " : ""}${11 * ratio}px system-ui, sans-serif`;
      context.fillStyle = channel === chosen ? colours.css.chosen : colours.css.dim;
      context.textAlign = "left";
      context.fillText(names[channel] ?? "", 2 * ratio, y, this.gutter - 6 * ratio);
      if (scales && band > 34 * ratio) {
        context.font = `${9 * ratio}px system-ui, sans-serif`;
        context.textAlign = "right";
        const right = this.gutter - 4 * ratio;
        context.fillText(short(scales.high[channel]), right, row * band + 7 * ratio, this.gutter * 0.9);
        context.fillText(short(scales.low[channel]), right, (row + 1) * band - 7 * ratio, this.gutter * 0.9);
      }
    }
  }
}

export function short(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "";
}

// Draw the columns of a history between two times; `scales` has the lowest and highest value of each channel.
export function paintTraces(chart, history, view, rows, scales, chosen, colours, colour) {
  const { width, height, pixels } = chart;
  const { first, count } = rows;
  const wide = history.width;
  const band = height / count;
  const inner = Math.max(1, band - (band > 4 ? 2 : 1));
  const upper = new Int32Array(count).fill(-1);
  const lower = new Int32Array(count).fill(-1);
  const perSecond = width / view.span;
  let before = -10;
  for (const { level, first: begin, last } of history.ranges(view.from, view.to, 3 * width)) {
    for (let i = begin; i < last; i++) {
      const slot = i % level.capacity;
      let x0 = Math.floor((level.starts[slot] - view.from) * perSecond);
      let x1 = Math.max(x0 + 1, Math.floor((level.ends[slot] - view.from) * perSecond));
      const joins = x0 <= before + 1;
      before = x1 - 1;
      x0 = Math.max(0, x0);
      x1 = Math.min(width, x1);
      const at = slot * wide + first;
      for (let row = 0; row < count; row++) {
        const low = level.low[at + row];
        const high = level.high[at + row];
        if (!(low <= high)) {
          upper[row] = -1;
          continue;
        }
        const channel = first + row;
        const least = scales.low[channel];
        const factor = inner / (scales.high[channel] - least);
        const top = row * band + inner;
        const [floor, ceiling] = [Math.ceil(row * band), Math.floor(row * band + inner)];
        let y0 = Math.round(top - (high - least) * factor);
        let y1 = Math.round(top - (low - least) * factor);
        y0 = y0 < floor ? floor : y0 > ceiling ? ceiling : y0;
        y1 = y1 < floor ? floor : y1 > ceiling ? ceiling : y1;
        const [u, l] = [y0, y1];
        if (joins && upper[row] >= 0) {
          if (y0 > lower[row] + 1) y0 = lower[row] + 1;
          if (y1 < upper[row] - 1) y1 = upper[row] - 1;
        }
        upper[row] = u;
        lower[row] = l;
        if (y1 >= height) y1 = height - 1;
        const ink = channel === chosen ? colours.pixel.chosen : colour;
        for (let y = y0; y <= y1; y++) {
          const line = y * width;
          for (let x = x0; x < x1; x++) pixels[line + x] = ink;
        }
      }
    }
  }
}

// Draw a mark for each spike.
export function paintRaster(chart, spikes, view, rows, chosen, colours) {
  const { width, height, pixels } = chart;
  const band = height / rows.count;
  const tall = Math.max(1, Math.round(band * 0.8));
  const thick = Math.max(1, Math.round(chart.ratio));
  const perSecond = width / view.span;
  for (let i = spikes.from(view.from); i < spikes.count; i++) {
    const slot = i % spikes.size;
    const time = spikes.times[slot];
    if (time >= view.to) break;
    const row = spikes.channels[slot] - rows.first;
    if (row < 0 || row >= rows.count) continue;
    const x0 = Math.floor((time - view.from) * perSecond);
    const y0 = Math.floor(row * band);
    const ink = spikes.channels[slot] === chosen ? colours.pixel.chosen : colours.pixel.spike;
    for (let y = y0; y < Math.min(height, y0 + tall); y++) {
      for (let x = Math.max(0, x0); x < Math.min(width, x0 + thick); x++) pixels[y * width + x] = ink;
    }
  }
}

// Draw times below the charts.
export function paintAxis(canvas, gutter, view, colours) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = colours.css.ground;
  context.fillRect(0, 0, width, height);
  const room = width - gutter;
  const step = tick(view.span, Math.max(2, Math.floor(room / (90 * ratio))));
  context.fillStyle = context.strokeStyle = colours.css.dim;
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.textAlign = "center";
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let k = Math.ceil(view.from / step); k * step <= view.to; k++) {
    const x = gutter + ((k * step - view.from) / view.span) * room;
    context.fillRect(Math.round(x), 0, ratio, 4 * ratio);
    context.fillText(`${(k * step).toFixed(Math.min(9, digits))} s`, x, 6 * ratio);
  }
}

// The round step that parts a span into at most so many.
function tick(span, most) {
  const ten = 10 ** Math.floor(Math.log10(span / most));
  return [1, 2, 5, 10].map((each) => each * ten).find((each) => span / each <= most) ?? 10 * ten;
}
