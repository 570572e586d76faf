// The charts of a source: what came is kept, and drawn when it or the view has changed.

import { History, Spikes } from "./history.js";
import { Chart, paintAxis, paintRaster, paintTraces, short } from "./painting.js";

const SCALED_EVERY = 0.25;
const MOST_GAPS = 512;
const RATE_OVER = 1;
const byId = (id) => document.getElementById(id);

export class Charts {
  constructor(hello, view, colours) {
    Object.assign(this, { hello, view, colours });
    const { outputs, inputs, signal, spiking } = hello;
    this.drive = new History(inputs.length);
    this.signal = signal ? new History(outputs.length) : null;
    this.spikes = spiking ? new Spikes() : null;
    this.gaps = [];
    this.scale = "own";
    this.scaled = -Infinity;
    this.latest = -Infinity;
    this.last = null;
    this.dirty = true;
    view.setChannels(outputs.length);
    byId("stimulus-figure").hidden = !inputs.length;
    byId("traces-figure").hidden = !signal;
    byId("traces-figure").toggleAttribute("data-with-raster", Boolean(spiking));
    byId("raster-figure").hidden = !spiking;
    byId("raster-figure").toggleAttribute("data-alone", !signal);
    this.stimulusChart = new Chart(byId("stimulus"));
    this.tracesChart = new Chart(byId("traces"));
    this.rasterChart = new Chart(byId("raster"));
    this.driveScales = limits(inputs);
    this.scales = limits(outputs);
  }

  get oldest() {
    return Math.min(this.drive.oldest, this.spikes ? this.spikes.oldest : Infinity);
  }

  // Take in a frame; one of another source that is still under way is passed over.
  add(frame) {
    const { outputs, inputs, signal } = this.hello;
    if (frame.inputs !== inputs.length || frame.outputs !== (signal ? outputs.length : 0) || !frame.columns) return;
    if (frame.ends[frame.columns - 1] <= this.latest) return;
    this.drive.add(frame.starts, frame.ends, frame.driveLow, frame.driveHigh);
    if (this.signal) this.signal.add(frame.starts, frame.ends, frame.low, frame.high);
    if (this.spikes && frame.spikes) this.spikes.add(frame.times, frame.channels);
    this.latest = this.drive.latest;
    this.last = frame;
    this.dirty = true;
  }

  // Mark a time in which something is missing.
  addGap(from, to) {
    if (!(to > from && from > -Infinity)) return;
    this.gaps.push({ from, to });
    if (this.gaps.length > MOST_GAPS) this.gaps.shift();
    this.dirty = true;
  }

  draw(now) {
    const { view, colours, hello } = this;
    this.dirty = false;
    if (now - this.scaled > SCALED_EVERY) {
      this.scaled = now;
      this.rescale();
    }
    const inputs = { first: 0, count: Math.max(1, hello.inputs.length) };
    if (hello.inputs.length && this.begin(this.stimulusChart)) {
      paintTraces(this.stimulusChart, this.drive, view, inputs, this.driveScales, -1, colours, colours.pixel.drive);
      this.stimulusChart.show();
      this.stimulusChart.label(inputs, hello.inputs.map((each) => each.name), this.driveScales, -1, colours);
    }
    const names = hello.outputs.map((each) => each.name);
    if (this.signal && this.begin(this.tracesChart)) {
      paintTraces(this.tracesChart, this.signal, view, view.rows, this.scales, view.chosen, colours, colours.pixel.trace);
      this.tracesChart.show();
      this.tracesChart.label(view.rows, names, this.scales, view.chosen, colours);
    }
    if (this.spikes && this.begin(this.rasterChart)) {
      paintRaster(this.rasterChart, this.spikes, view, view.rows, view.chosen, colours);
      this.rasterChart.show();
      this.rasterChart.label(view.rows, names, null, view.chosen, colours);
    }
    const any = [this.stimulusChart, this.tracesChart, this.rasterChart].find((chart) => chart.width);
    if (any) paintAxis(byId("axis"), any.gutter, view, colours);
  }

  begin(chart) {
    if (!chart.fit()) return false;
    chart.clear(this.colours);
    for (const gap of this.gaps) chart.band(gap.from, gap.to, this.view, this.colours.pixel.gap);
    return true;
  }

  // Find the range of each channel in view.
  rescale() {
    const { hello, view } = this;
    this.driveScales = this.scale === "limits" ? limits(hello.inputs) : ranges(this.drive, view, hello.inputs);
    if (!this.signal) return;
    if (this.scale === "limits") {
      this.scales = limits(hello.outputs);
      return;
    }
    this.scales = ranges(this.signal, view, hello.outputs);
    if (this.scale !== "common") return;
    for (const unit of new Set(hello.outputs.map((each) => each.unit))) {
      const of = hello.outputs.flatMap((each, k) => (each.unit === unit ? [k] : []));
      const low = Math.min(...of.map((k) => this.scales.low[k]));
      const high = Math.max(...of.map((k) => this.scales.high[k]));
      for (const k of of) [this.scales.low[k], this.scales.high[k]] = [low, high];
    }
  }

  // Spikes a second of each output, over the last second in view.
  rates() {
    const counts = new Float32Array(this.hello.outputs.length);
    if (!this.spikes) return counts;
    const to = this.view.to;
    const over = Math.min(RATE_OVER, Math.max(1e-9, to - this.oldest));
    for (let i = this.spikes.from(to - over); i < this.spikes.count; i++) {
      const slot = i % this.spikes.size;
      if (this.spikes.times[slot] >= to) break;
      if (this.spikes.channels[slot] < counts.length) counts[this.spikes.channels[slot]]++;
    }
    return counts.map((count) => count / over);
  }

  // Activity of each output, 0 to 1: its rate, or the size of its last value, beside the largest of its unit.
  activity() {
    let values = this.spikes ? this.rates() : new Float32Array(this.hello.outputs.length);
    if (!this.spikes && this.signal) {
      values = values.map((_, k) => {
        const [low, high] = this.valuesAt(k);
        return low <= high ? Math.abs(low + high) / 2 : 0;
      });
    }
    const units = this.hello.outputs.map((each) => (this.spikes ? "" : each.unit));
    const tops = {};
    values.forEach((value, k) => (tops[units[k]] = Math.max(tops[units[k]] ?? 0, value)));
    return values.map((value, k) => (tops[units[k]] > 0 ? value / tops[units[k]] : 0));
  }

  // Least and greatest value of an output in the last column in view.
  valuesAt(channel) {
    if (!this.signal) return [NaN, NaN];
    const level = this.signal.levels[0];
    const i = Math.min(level.count - 1, level.after(this.view.to - 1e-9));
    if (i < level.first) return [NaN, NaN];
    const at = (i % level.capacity) * this.signal.width + channel;
    return [level.low[at], level.high[at]];
  }

  describe(channel, rates) {
    const output = this.hello.outputs[channel];
    const [low, high] = this.valuesAt(channel);
    const signal = low <= high ? `: ${short(low)} to ${short(high)} ${output.unit}` : "";
    const spikes = this.spikes ? `, ${short(rates[channel])} spikes/s` : "";
    return `${output.name}${signal}${spikes}`;
  }
}

function limits(channels) {
  return { low: Float64Array.from(channels, (each) => each.low), high: Float64Array.from(channels, (each) => each.high) };
}

// The range of each channel in view; a little around a value that does not change, limits where there is none.
function ranges(history, view, channels) {
  const wide = history.width;
  const low = new Float64Array(wide).fill(Infinity);
  const high = new Float64Array(wide).fill(-Infinity);
  for (const { level, first, last } of history.ranges(view.from, view.to, 1000)) {
    for (let i = first; i < last; i++) {
      const at = (i % level.capacity) * wide;
      for (let k = 0; k < wide; k++) {
        if (level.low[at + k] < low[k]) low[k] = level.low[at + k];
        if (level.high[at + k] > high[k]) high[k] = level.high[at + k];
      }
    }
  }
  for (let k = 0; k < wide; k++) {
    if (!(low[k] <= high[k])) [low[k], high[k]] = [channels[k].low, channels[k].high];
    const around = low[k] === high[k] ? Math.abs(low[k]) * 0.05 || 1 : 0;
    low[k] -= around;
    high[k] += around;
  }
  return { low, high };
}
