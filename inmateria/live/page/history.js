// Bounded history of columns at several resolutions, and of spikes.

const LEVELS = 4;
const FACTOR = 8;
const BYTES = 48 * 1024 * 1024;
const [FEWEST, MOST] = [256, 16384];

// Columns of one resolution in a ring; column `i` of all that were ever added is in slot `i % capacity`.
class Level {
  constructor(width, capacity) {
    this.width = width;
    this.capacity = capacity;
    this.starts = new Float64Array(capacity);
    this.ends = new Float64Array(capacity);
    this.low = new Float32Array(capacity * width);
    this.high = new Float32Array(capacity * width);
    this.count = 0;
  }

  get first() {
    return Math.max(0, this.count - this.capacity);
  }

  // The first column that ends after a time.
  after(time) {
    let [a, b] = [this.first, this.count];
    while (a < b) {
      const middle = (a + b) >>> 1;
      if (this.ends[middle % this.capacity] > time) b = middle;
      else a = middle + 1;
    }
    return a;
  }

  get oldest() {
    return this.count ? this.starts[this.first % this.capacity] : Infinity;
  }

  get latest() {
    return this.count ? this.ends[(this.count - 1) % this.capacity] : -Infinity;
  }
}

export class History {
  constructor(width) {
    this.width = width;
    const fit = Math.floor(BYTES / (LEVELS * Math.max(1, width) * 8));
    const capacity = Math.max(FEWEST, Math.min(MOST, fit));
    this.levels = Array.from({ length: LEVELS }, () => new Level(width, capacity));
  }

  get oldest() {
    return Math.min(...this.levels.map((level) => level.oldest));
  }

  get latest() {
    return this.levels[0].latest;
  }

  add(starts, ends, low, high) {
    const { width } = this;
    const level = this.levels[0];
    for (let k = 0; k < starts.length; k++) {
      const slot = level.count % level.capacity;
      level.starts[slot] = starts[k];
      level.ends[slot] = ends[k];
      level.low.set(low.subarray(k * width, (k + 1) * width), slot * width);
      level.high.set(high.subarray(k * width, (k + 1) * width), slot * width);
      level.count++;
      if (level.count % FACTOR === 0) this.join(0);
    }
  }

  // Join the last columns of a level to one of the next.
  join(number) {
    if (number + 1 === LEVELS) return;
    const { width } = this;
    const [fine, coarse] = [this.levels[number], this.levels[number + 1]];
    const slot = coarse.count % coarse.capacity;
    const to = slot * width;
    coarse.low.fill(NaN, to, to + width);
    coarse.high.fill(NaN, to, to + width);
    for (let i = fine.count - FACTOR; i < fine.count; i++) {
      const from = (i % fine.capacity) * width;
      for (let k = 0; k < width; k++) {
        const [low, high] = [fine.low[from + k], fine.high[from + k]];
        if (!(coarse.low[to + k] <= low)) coarse.low[to + k] = Number.isNaN(low) ? coarse.low[to + k] : low;
        if (!(coarse.high[to + k] >= high)) coarse.high[to + k] = Number.isNaN(high) ? coarse.high[to + k] : high;
      }
    }
    coarse.starts[slot] = fine.starts[(fine.count - FACTOR) % fine.capacity];
    coarse.ends[slot] = fine.ends[(fine.count - 1) % fine.capacity];
    coarse.count++;
    if (coarse.count % FACTOR === 0) this.join(number + 1);
  }

  // Ranges of columns that show a time: of the finest level that reaches back so far with few enough of them, and after
  // its end of finer ones.
  ranges(from, to, most) {
    let chosen = 0;
    for (let number = 0; number < LEVELS; number++) {
      const level = this.levels[number];
      if (!level.count) break;
      chosen = number;
      const reaches = level.oldest <= from || level.count <= level.capacity;
      if (reaches && level.after(to) - level.after(from) <= most) break;
    }
    const found = [];
    let since = from;
    for (let number = chosen; number >= 0; number--) {
      const level = this.levels[number];
      const first = level.after(since);
      let last = level.after(to);
      if (last < level.count && level.starts[last % level.capacity] < to) last++;
      if (last > first) {
        found.push({ level, first, last });
        since = level.ends[(last - 1) % level.capacity];
      }
    }
    return found;
  }
}

const SPIKES = 1 << 19;

export class Spikes {
  constructor() {
    this.times = new Float64Array(SPIKES);
    this.channels = new Uint32Array(SPIKES);
    this.count = 0;
  }

  get first() {
    return Math.max(0, this.count - SPIKES);
  }

  get oldest() {
    return this.count ? this.times[this.first % SPIKES] : Infinity;
  }

  add(times, channels) {
    let sorted = true;
    for (let k = 1; k < times.length && sorted; k++) sorted = times[k] >= times[k - 1];
    const order = sorted ? null : Array.from(times.keys()).sort((a, b) => times[a] - times[b]);
    for (let k = 0; k < times.length; k++) {
      const from = order ? order[k] : k;
      this.times[this.count % SPIKES] = times[from];
      this.channels[this.count % SPIKES] = channels[from];
      this.count++;
    }
  }

  // The first spike at or after a time.
  from(time) {
    let [a, b] = [this.first, this.count];
    while (a < b) {
      const middle = (a + b) >>> 1;
      if (this.times[middle % SPIKES] >= time) b = middle;
      else a = middle + 1;
    }
    return a;
  }

  get size() {
    return SPIKES;
  }
}
