// Buttons, keys and pointer: pause, zoom, scroll, and which channels are shown.

const byId = (id) => document.getElementById(id);
const WHEEL = 60;

export class Controls {
  // `charts()` is the charts of now; `changed()` is called when the view has changed.
  constructor(view, charts, changed) {
    Object.assign(this, { view, charts, changed });
    this.wheel = 0;
    const click = (id, act) => byId(id).addEventListener("click", () => this.act(act));
    click("pause", () => this.pause());
    click("latest", () => view.follow(true));
    click("back", () => this.scroll(-0.25));
    click("forth", () => this.scroll(0.25));
    click("wider", () => view.zoom(1));
    click("closer", () => view.zoom(-1));
    click("fewer", () => this.rows(0.5));
    click("more", () => this.rows(2));
    click("up", () => view.showRows(view.rows.first - view.rows.count, view.rows.count));
    click("down", () => view.showRows(view.rows.first + view.rows.count, view.rows.count));
    byId("scale").addEventListener("change", ({ target }) => this.act(() => this.rescale(target.value)));
    document.addEventListener("keydown", (event) => this.key(event));
    this.listenToPointer(byId("charts"));
  }

  act(act) {
    act();
    this.show();
    this.changed();
  }

  show() {
    const { view } = this;
    byId("pause").setAttribute("aria-pressed", String(!view.follows));
    byId("pause").textContent = view.follows ? "Pause" : "Go on";
    byId("span").textContent = words(view.span);
    byId("rows").hidden = view.channels < 2;
    const { first, count } = view.rows;
    byId("shown").textContent = count === view.channels ? `all ${count}` : `${first + 1} to ${first + count}`;
    byId("fewer").disabled = count <= 1;
    byId("more").disabled = count >= view.channels;
    byId("up").disabled = first === 0;
    byId("down").disabled = first + count >= view.channels;
  }

  pause() {
    if (this.view.follows) this.view.follow(false);
    else this.view.follow(true);
  }

  scroll(parts) {
    const charts = this.charts();
    if (charts) this.view.scroll(parts, charts.oldest, charts.latest);
  }

  rows(factor) {
    const { view } = this;
    const count = Math.round(view.rows.count * factor);
    const middle = view.chosen >= 0 ? view.chosen : view.rows.first + view.rows.count / 2;
    view.showRows(factor < 1 ? Math.round(middle - count / 2) : view.rows.first, count);
  }

  rescale(scale) {
    const charts = this.charts();
    if (charts) Object.assign(charts, { scale, scaled: -Infinity });
  }

  key(event) {
    const on = event.target;
    const busy = on.closest("select, input, textarea, dialog, summary") || (on.closest("button") && [" ", "Enter"].includes(event.key));
    if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
    const { view } = this;
    const charts = this.charts();
    const acts = {
      " ": () => this.pause(),
      "+": () => view.zoom(-1),
      "=": () => view.zoom(-1),
      "-": () => view.zoom(1),
      ArrowLeft: () => this.scroll(-0.25),
      ArrowRight: () => this.scroll(0.25),
      Home: () => charts && view.hold(-Infinity, charts.oldest, charts.latest),
      End: () => view.follow(true),
      ArrowUp: () => view.choose(view.chosen - 1),
      ArrowDown: () => view.choose(view.chosen + 1),
      PageUp: () => view.showRows(view.rows.first - view.rows.count, view.rows.count),
      PageDown: () => view.showRows(view.rows.first + view.rows.count, view.rows.count),
      "[": () => this.rows(0.5),
      "]": () => this.rows(2),
    };
    if (!Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    this.act(acts[event.key]);
  }

  listenToPointer(area) {
    let held = null;
    area.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.target.tagName === "CANVAS") {
        held = { x: event.clientX, y: event.clientY, to: this.view.to, canvas: event.target, moved: false };
      }
    });
    addEventListener("pointermove", (event) => {
      const charts = this.charts();
      if (!held || !charts) return;
      const moved = event.clientX - held.x;
      if (!held.moved && Math.abs(moved) < 4) return;
      held.moved = true;
      const to = held.to - (moved / held.canvas.clientWidth) * this.view.span;
      this.act(() => (to >= charts.latest ? this.view.follow(true) : this.view.hold(to, charts.oldest, charts.latest)));
    });
    const release = (event) => {
      const charts = this.charts();
      if (held && !held.moved && charts && ["traces", "raster"].includes(held.canvas.id) && event.type === "pointerup") {
        const { first, count } = this.view.rows;
        const part = (event.clientY - held.canvas.getBoundingClientRect().top) / held.canvas.clientHeight;
        this.act(() => this.view.choose(first + Math.floor(part * count)));
      }
      held = null;
    };
    addEventListener("pointerup", release);
    addEventListener("pointercancel", release);
    area.addEventListener("wheel", (event) => this.turn(event), { passive: false });
  }

  turn(event) {
    if (event.target.tagName !== "CANVAS") return;
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.act(() => this.scroll((event.deltaX || event.deltaY) / 1000));
      return;
    }
    this.wheel += event.deltaY;
    const steps = Math.trunc(this.wheel / WHEEL);
    if (!steps) return;
    this.wheel -= steps * WHEEL;
    const box = event.target.getBoundingClientRect();
    this.act(() => this.view.zoom(Math.sign(steps), this.view.follows ? 1 : (event.clientX - box.left) / box.width));
  }
}

function words(span) {
  if (span < 1e-3) return `${Number((1e6 * span).toPrecision(3))} µs`;
  if (span < 1) return `${Number((1e3 * span).toPrecision(3))} ms`;
  return `${span} s`;
}
