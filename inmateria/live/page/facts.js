// The state of the source in words: status, facts, events, and the table of channels.

import { short } from "./painting.js";

const byId = (id) => document.getElementById(id);
const TONES = {
  online: "good", running: "good", ended: "", waiting: "warn", stopped: "warn",
  "in fault": "bad", offline: "bad", failed: "bad", "not reached": "bad", "not announced": "warn",
};
const KINDS = {
  device: "device that is served", recording: "recording that is being written", replay: "replay of a recording",
  run: "run", sweep: "sweep",
};
const MOST_EVENTS = 200;
const whole = (number) => number.toLocaleString("en");

export class Facts {
  constructor() {
    this.dropped = 0;
    this.delays = [];
    this.status = null;
    this.link = "lost";
  }

  // Describe a source that was announced.
  begin(hello) {
    byId("title").textContent = hello.title;
    const channels = hello.outputs.length ? `, ${hello.inputs.length} inputs, ${hello.outputs.length} outputs` : "";
    byId("kind").textContent = [KINDS[hello.kind], hello.matter, hello.id].filter(Boolean).join(" · ") + channels;
    document.title = `${hello.title} · inmateria`;
    byId("events").replaceChildren();
    byId("progress").hidden = true;
  }

  // Note the state of the connection to the server.
  connection(link, reason) {
    this.link = link;
    const said = {
      open: "",
      lost: `The connection to \`inmateria watch\` is lost${reason ? ` (${reason})` : ""}; trying again.`,
      refused: `The server does not let this page in: ${reason}. Open the address that \`inmateria watch --web\` printed.`,
    }[link];
    this.notice(said);
    this.show();
  }

  notice(words) {
    byId("notice").textContent = words;
    byId("notice").hidden = !words;
  }

  take(status) {
    this.status = status;
    this.show();
  }

  show() {
    const state = byId("state");
    const now = this.link === "open" ? this.status?.state ?? "connected" : this.link === "lost" ? "disconnected" : "refused";
    if (state.textContent !== now) state.textContent = now;
    state.dataset.tone = this.link === "open" ? TONES[now] ?? "" : "bad";
    const status = this.status;
    if (!status) return;
    if (this.kind === "sweep") return; // its panel says it all
    const facts = [["exchanges", whole(status.exchanges)], ["rate", `${short(status.rate)} exchanges/s`]];
    if (status.round_trip !== null) facts.push(["round trip", `${short(1e3 * status.round_trip)} ms`]);
    if (this.kind === "device") facts.push(["held by", status.holder || "no session"]);
    if (status.spikes) facts.push(["spikes", whole(status.spikes)]);
    if (this.delays.length && !["ended", "failed"].includes(status.state)) facts.push(["behind", `${Math.round(this.behind)} ms`]);
    facts.push(["columns dropped", whole(this.dropped)]);
    if (status.missed) facts.push(["exchanges missed", whole(status.missed)]);
    facts.push(["errors", status.errors ? whole(status.errors) : "none"]);
    if (status.error) facts.push(["last error", status.error]);
    if (status.note) facts.push(["note", status.note]);
    setRows(byId("facts"), facts);
  }

  // Median time from the arrival of a frame at the server to the page; only on one machine, which has one clock.
  get behind() {
    return [...this.delays].sort((a, b) => a - b)[this.delays.length >> 1];
  }

  delay(seconds) {
    this.delays.push(1e3 * seconds);
    if (this.delays.length > 50) this.delays.shift();
  }

  event(time, label) {
    const list = byId("events");
    const item = document.createElement("li");
    const at = document.createElement("span");
    at.textContent = `${time.toFixed(2)} s `;
    item.append(at, label);
    list.prepend(item);
    while (list.childElementCount > MOST_EVENTS) list.lastElementChild.remove();
  }

  progress({ phase, done, of }) {
    byId("progress").hidden = false;
    byId("progress-label").textContent = `${phase}: ${whole(done)} of ${whole(of)}`;
    byId("progress-bar").max = Math.max(1, of);
    byId("progress-bar").value = done;
  }

  // Fill in the table of channels, if it is open.
  table(charts) {
    if (!byId("table-details").open || !charts) return;
    const rates = charts.rates();
    const body = byId("table");
    const outputs = charts.hello.outputs;
    while (body.rows.length > outputs.length) body.deleteRow(-1);
    outputs.forEach((output, k) => {
      const row = body.rows[k] ?? body.insertRow();
      const [low, high] = charts.valuesAt(k);
      const words = [output.name, short(low), short(high), output.unit, charts.spikes ? short(rates[k]) : ""];
      words.forEach((word, column) => {
        (row.cells[column] ?? row.insertCell()).textContent = word;
      });
    });
  }
}

// Write names and values as rows of a description list, without touching those that have not changed.
function setRows(list, rows) {
  while (list.childElementCount > rows.length) list.lastElementChild.remove();
  rows.forEach(([name, value], k) => {
    let row = list.children[k];
    if (!row) {
      row = document.createElement("div");
      row.append(document.createElement("dt"), document.createElement("dd"));
      list.append(row);
    }
    const [term, described] = row.children;
    if (term.textContent !== name) term.textContent = name;
    if (described.textContent !== value) described.textContent = value;
  });
}
