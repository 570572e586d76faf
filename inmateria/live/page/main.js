// The live page: messages of the server come in, and what they change is drawn once a frame of the screen.

import { Charts } from "./charts.js";
import { Colours } from "./colours.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { Facts } from "./facts.js";
import { decode } from "./frames.js";
import { MatterMap } from "./matter_map.js";
import { Outputs } from "./outputs.js";
import { RunPanel } from "./run_panel.js";
import { EmergencyStop } from "./stop.js";
import { SweepPanel } from "./sweep_panel.js";
import { View } from "./view.js";

const byId = (id) => document.getElementById(id);
const SLOWLY = 0.5;
const LOCAL = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

class Page {
  constructor() {
    this.view = new View();
    this.facts = new Facts();
    this.charts = this.outputs = this.map = this.hello = null;
    this.run = new RunPanel(byId("run"));
    this.sweep = new SweepPanel(byId("sweep"));
    this.number = null;
    this.lost = false;
    this.colours = new Colours(() => this.redraw());
    this.controls = new Controls(this.view, () => this.charts, () => this.redraw());
    this.stop = new EmergencyStop((message) => this.connection.send(message), (words) => this.facts.notice(words));
    this.drawn = { frames: 0, until: -Infinity };
    this.time = 0;
    this.slow = 0;
    addEventListener("resize", () => this.redraw());
    this.connection = new Connection({
      onText: (message) => this.take(message),
      onFrame: (buffer) => this.takeFrame(decode(buffer)),
      onState: (state, reason) => this.connected(state, reason),
    });
    requestAnimationFrame((now) => this.frame(now / 1e3));
  }

  connected(state, reason) {
    this.facts.connection(state, reason);
    this.stop.show(null, null, state === "open");
    if (state !== "open") this.lost = true;
  }

  take(message) {
    const { facts } = this;
    const acts = {
      hello: () => this.begin(message),
      status: () => facts.take(message),
      event: () => facts.event(message.time, message.label),
      outputs: () => {
        this.outputs?.add(message);
        this.redraw();
      },
      progress: () => ["run", "sweep"].includes(this.hello?.kind) || facts.progress(message), // they have a panel
      run: () => this.run.set(message),
      sweep: () => this.sweep.set(message),
      rights: () => this.stop.show(null, message, true),
      dropped: () => {
        facts.dropped += message.columns;
        this.charts?.addGap(message.start, message.end);
      },
      stopped: () => this.stop.answer(message),
    };
    acts[message.type]?.();
  }

  // Begin with a source, or go on with the one that was shown before the connection was lost.
  begin(hello) {
    const same = JSON.stringify(hello) === JSON.stringify(this.hello);
    this.stop.show(hello, null, true);
    if (same) return;
    this.hello = hello;
    this.facts.kind = hello.kind;
    this.facts.begin(hello);
    this.view.follow(true);
    this.charts = hello.outputs.length || hello.inputs.length ? new Charts(hello, this.view, this.colours) : null;
    if (this.charts) this.charts.scale = byId("scale").value;
    for (const id of ["controls", "charts", "table-details", "events-section"]) byId(id).hidden = !this.charts;
    byId("map-figure").hidden = !hello.map;
    this.map = hello.map ? new MatterMap(byId("map"), hello.map) : null;
    byId("outputs").replaceChildren();
    this.outputs = new Outputs(byId("outputs"), hello);
    this.controls.show();
  }

  takeFrame(frame) {
    const { charts, facts } = this;
    const latest = frame.columns ? frame.ends[frame.columns - 1] : -Infinity;
    if (charts && latest > charts.latest) {
      const before = charts.latest;
      // What came while the connection was lost is missing; a server that was started anew counts from 0.
      if (this.lost && this.number + 1 !== frame.number) charts.addGap(before, frame.starts[0]);
      charts.add(frame);
      this.view.learnPace(charts.latest, performance.now() / 1e3);
      this.number = frame.number;
      this.lost = false;
    }
    if (LOCAL && frame.sent) facts.delay(Math.max(0, Date.now() / 1e3 - frame.sent));
    return frame.number;
  }

  redraw() {
    this.changed = true;
  }

  frame(now) {
    requestAnimationFrame((next) => this.frame(next / 1e3));
    const passed = Math.min(1, now - this.time);
    this.time = now;
    const { charts, view } = this;
    if (charts) {
      const moved = view.advance(charts.latest, passed);
      if (moved || this.changed || charts.dirty) {
        charts.draw(now);
        this.outputs.draw(view.from, view.to);
        this.drawn.frames++;
        this.drawn.until = Math.min(view.to, charts.latest);
      }
    } else if (this.changed) {
      this.outputs?.draw(view.from, view.to);
    }
    this.changed = false;
    if (now - this.slow < SLOWLY) return;
    this.slow = now;
    if (charts && !this.run.element.hidden && this.run.element.dataset.state !== "running") {
      view.fit(charts.oldest, charts.latest);
    }
    this.facts.show();
    this.facts.table(charts);
    this.controls.show();
    if (charts) this.describe(charts);
  }

  // What is seen, in words.
  describe(charts) {
    const { view, map } = this;
    const rates = charts.rates();
    byId("selected").textContent = view.chosen >= 0 ? charts.describe(view.chosen, rates) : "";
    const { first, count } = view.rows;
    const which = `channels ${first + 1} to ${first + count} of ${view.channels}, ${view.from.toFixed(2)} to ${view.to.toFixed(2)} s`;
    if (charts.signal) byId("traces").setAttribute("aria-label", `Signal of ${which}`);
    if (charts.spikes) {
      const total = rates.reduce((a, b) => a + b, 0);
      byId("raster").setAttribute("aria-label", `Spikes of ${which}; ${Math.round(total)} a second in all`);
    }
    byId("stimulus").setAttribute("aria-label", `Stimulus of ${charts.hello.inputs.length} inputs`);
    if (map) map.draw(charts.activity());
  }
}

// Tests and benchmarks read it.
window.livePage = new Page();
