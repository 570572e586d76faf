// The time and the channels that are shown: it follows the latest, or is held where the user put it.

const STEPS = [1, 2, 5];
const SMOOTH = 0.04;
const [SHORTEST, LONGEST] = [1e-6, 1e6];

export class View {
  constructor() {
    this.span = 5;
    this.chosenSpan = false;
    this.follows = true;
    this.to = 0;
    this.rows = { first: 0, count: 1 };
    this.channels = 0;
    this.chosen = -1;
    this.paces = [];
  }

  get from() {
    return this.to - this.span;
  }

  // Move towards the latest time, smoothly; returns whether the view has moved.
  advance(latest, passed) {
    if (!this.follows || !Number.isFinite(latest) || this.to === latest) return false;
    const ahead = latest - this.to;
    const near = ahead < this.span / 1e5 || ahead > this.span || ahead < 0;
    this.to = near ? latest : this.to + ahead * (1 - Math.exp(-passed / SMOOTH));
    return true;
  }

  // Choose the time shown by how fast the source's clock runs, until the user has chosen.
  learnPace(latest, now) {
    if (this.chosenSpan || !Number.isFinite(latest) || this.paces.length > 64) return;
    this.paces.push([latest, now]);
    const [since, began] = this.paces[0];
    if (now - began < 1) return;
    const wanted = ((latest - since) / (now - began)) * 8;
    if (wanted > 0 && (wanted > 2.5 * this.span || wanted < this.span / 2.5)) this.span = nearest(wanted);
  }

  // Show all there is, until the user has chosen, of a source that is over and was shorter than the time shown.
  fit(oldest, latest) {
    const all = latest - oldest;
    if (!this.chosenSpan && all > 0 && all < this.span / 2) this.span = Math.max(SHORTEST, all);
  }

  follow(yes) {
    this.follows = yes;
  }

  // Hold the view that ends at a time, within what there is.
  hold(to, oldest, latest) {
    this.follows = false;
    this.to = Math.min(latest, Math.max(to, Math.min(latest, oldest + this.span)));
  }

  scroll(parts, oldest, latest) {
    const to = this.to + parts * this.span;
    if (to >= latest) this.follows = true;
    else this.hold(to, oldest, latest);
  }

  // Zoom by so many steps of 1, 2, 5, 10; `around` is the part of the view that stays.
  zoom(steps, around = 1) {
    const at = this.from + around * this.span;
    let span = nearest(this.span);
    for (let k = 0; k < Math.abs(steps); k++) span = step(span, Math.sign(steps));
    this.span = Math.min(LONGEST, Math.max(SHORTEST, span));
    this.chosenSpan = true;
    if (!this.follows) this.to = at + (1 - around) * this.span;
  }

  setChannels(count) {
    this.channels = count;
    this.rows = { first: 0, count: Math.max(1, count) };
    this.chosen = -1;
  }

  showRows(first, count) {
    count = Math.max(1, Math.min(this.channels, count));
    this.rows = { count, first: Math.max(0, Math.min(this.channels - count, first)) };
  }

  choose(channel) {
    if (!this.channels) return;
    this.chosen = Math.max(0, Math.min(this.channels - 1, channel));
    if (this.chosen < this.rows.first) this.showRows(this.chosen, this.rows.count);
    if (this.chosen >= this.rows.first + this.rows.count) this.showRows(this.chosen - this.rows.count + 1, this.rows.count);
  }
}

function nearest(span) {
  const ten = 10 ** Math.floor(Math.log10(span));
  const near = [...STEPS, 10].reduce((a, b) => (Math.abs(Math.log(span / (ten * a))) <= Math.abs(Math.log(span / (ten * b))) ? a : b));
  return Number((ten * near).toPrecision(1));
}

function step(span, sign) {
  const ten = 10 ** Math.floor(Math.log10(span) + 1e-9);
  const at = STEPS.indexOf(Math.round(span / ten)) + sign;
  const value = at < 0 ? ten / 2 : at >= STEPS.length ? ten * 10 : ten * STEPS[at];
  return Number(value.toPrecision(1));
}
