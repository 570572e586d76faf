// How far a run is, and its scores and verdict when it has ended.

import { made, shown } from "./outputs.js";

const SIGNS = {
  waiting: "… waiting", running: "▶ running", finished: "✓ finished", failed: "✕ failed",
  cancelled: "■ cancelled", died: "✕ its process is gone", unknown: "? a run of a version that wrote no progress",
};

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "not known yet";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function table(caption, headings, rows, numbers = []) {
  const around = made("div", "", "table");
  around.tabIndex = 0; // scrolled with the keyboard where it is wider than the screen
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", caption);
  const made_ = made("table");
  made_.append(made("caption", caption));
  const head = made("tr");
  headings.forEach((words, k) => {
    const cell = made("th", words, numbers.includes(k) ? "number" : "");
    cell.scope = "col";
    head.append(cell);
  });
  made_.append(made("thead"), made("tbody"));
  made_.tHead.append(head);
  for (const { cells, kind } of rows) {
    const row = made("tr", "", kind || "");
    cells.forEach((words, k) => row.append(made("td", words, numbers.includes(k) ? "number" : "")));
    made_.tBodies[0].append(row);
  }
  around.append(made_);
  return around;
}

export function bar(words, done, of) {
  const line = made("div", "", "bar");
  const progress = made("progress");
  progress.max = Math.max(1, of);
  progress.value = done;
  progress.setAttribute("aria-label", words);
  line.append(made("span", words), progress, made("span", `${done.toLocaleString("en")} of ${of.toLocaleString("en")}`));
  return line;
}

// Replace the children only if the words or bars changed, so that a selection and the place of scrolling stay.
export function replaced(element, key, build) {
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...build());
}

export class RunPanel {
  constructor(element) {
    this.element = element;
    element.hidden = true;
    element.classList.add("run");
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", "The run");
    this.heading = made("p", "", "how");
    this.heading.setAttribute("role", "status");
    this.facts = made("p", "", "words");
    this.stages = made("div", "", "stages");
    this.own = made("div", "", "own");
    this.reading = made("p", "", "words");
    this.scores = made("div", "", "scores");
    element.replaceChildren(this.heading, this.facts, this.stages, this.own, this.scores, this.reading);
  }

  // Take a `run` message; the last one holds.
  set(state) {
    this.element.hidden = false;
    this.element.dataset.state = state.state;
    const task = state.title ? `${state.task}: ${state.title}` : state.task;
    const words = `${SIGNS[state.state] || state.state}${task ? `   ${task}` : ""}`;
    if (this.heading.textContent !== words) this.heading.textContent = words;
    this.facts.textContent = [
      state.on && `on ${state.on}`, state.seconds && `for ${duration(state.seconds)}`,
      state.keep === "nothing" && "it keeps no recording", state.error,
    ].filter(Boolean).join("; ");
    replaced(this.stages, JSON.stringify(state.stages), () =>
      state.stages.map(({ name, done, of }) => bar(name, done, of)));
    replaced(this.own, JSON.stringify(state.own), () =>
      state.own.map(({ name, value, done }) => made("p", `${name}: ${shown(value)} (after ${done.toLocaleString("en")})`)));
    replaced(this.scores, JSON.stringify([state.scores, state.verdict]), () => {
      if (!state.scores.length) return [];
      const rows = state.scores.map((each) => ({
        cells: [each.on, each.readout, shown(each.score), each.spread === null ? "" : `± ${shown(each.spread)}`,
          String(each.features)],
        kind: each.control ? "" : "best",
      }));
      if (state.chance !== null) rows.push({ cells: ["baseline", "", shown(state.chance), "", ""] });
      return [
        made("p", state.verdict, "verdict"),
        table(`Scores (${state.metric}; more is better)`, ["from", "readout", "score", "spread", "features"], rows, [2, 3, 4]),
      ];
    });
    if (this.reading.textContent !== state.reading) this.reading.textContent = state.reading;
  }
}
