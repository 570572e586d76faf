// How far a sweep, survey or search is: points, workers, scores by setting, and the scores so far.

import { made, shown } from "./outputs.js";
import { bar, duration, replaced, table } from "./run_panel.js";

const SIGNS = { running: "▶ running", finished: "✓ finished", stopped: "■ no process works on it" };
const STATES = { done: "✓ done", failed: "✕ failed", running: "▶ running", pruned: "✂ pruned" };

export class SweepPanel {
  constructor(element) {
    this.element = element;
    element.hidden = true;
    element.classList.add("sweep");
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", "The sweep");
    this.heading = made("p", "", "how");
    this.heading.setAttribute("role", "status");
    this.facts = made("p", "", "words");
    this.bars = made("div", "", "stages");
    this.workers = made("div", "", "workers");
    this.settings = made("div", "", "settings");
    this.scores = made("div", "", "scores");
    element.replaceChildren(this.heading, this.bars, this.facts, this.workers, this.settings, this.scores);
  }

  // Take a `sweep` message; the last one holds.
  set(state) {
    this.element.hidden = false;
    this.element.dataset.state = state.state;
    const things = state.what === "search" ? "trials" : "points";
    const words = `${SIGNS[state.state] || state.state}   ${state.what} of ${state.task}`;
    if (this.heading.textContent !== words) this.heading.textContent = words;
    replaced(this.bars, `${state.done} ${state.failed} ${state.of}`, () =>
      [bar(`${things} that are over`, state.done + state.failed, state.of)]);
    this.facts.textContent = [
      `${state.done.toLocaleString("en")} done`, `${state.running} running`, `${state.failed} failed`,
      `${state.left.toLocaleString("en")} left`, `for ${duration(state.seconds)}`,
      state.state === "running" && `time left: ${duration(state.remaining)}`,
      state.state === "stopped" && "go on with `inmateria sweep --resume`", state.error,
    ].filter(Boolean).join("; ");
    replaced(this.workers, JSON.stringify(state.workers.map((each) => ({ ...each, stage: each.stage && {
      ...each.stage, seconds: 0 } }))), () => workers(state));
    replaced(this.settings, JSON.stringify(state.by_setting), () => strips(state));
    replaced(this.scores, JSON.stringify([state.rows, state.columns]), () => scores(state));
  }
}

function workers(state) {
  if (!state.workers.length) return [];
  const rows = state.workers.map(({ name, lives, label, stage, folder }) => ({
    cells: [
      lives ? name : `${name} (gone)`, label,
      stage ? `${stage.name}, ${stage.done.toLocaleString("en")} of ${stage.of.toLocaleString("en")}` : "starting",
      folder ? `inmateria watch ${quoted(folder)} --web` : "",
    ],
  }));
  return [table("Running now, by worker", ["machine, process", "point", "stage", "to watch it"], rows)];
}

function quoted(path) {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

// For each value of a setting a line from the least to the greatest score with the mean, and the same in words.
function strips(state) {
  const all = state.by_setting;
  if (!all.length) return [];
  const low = Math.min(...all.map((each) => each.low));
  const high = Math.max(...all.map((each) => each.high));
  const at = (value) => `${(100 * (value - low)) / Math.max(high - low, 1e-300)}%`;
  const list = made("dl", "", "strips");
  let setting = null;
  for (const each of all) {
    if (each.setting !== setting) {
      setting = each.setting;
      list.append(made("dt", setting));
    }
    const line = made("dd");
    const track = made("span", "", "track");
    const range = made("span", "", "range");
    range.style.left = at(each.low);
    range.style.right = `calc(100% - ${at(each.high)})`;
    const mean = made("span", "", "mean");
    mean.style.left = at(each.mean);
    track.append(range, mean);
    track.setAttribute("aria-hidden", "true");
    line.append(
      made("span", each.value || "none", "value"), track,
      made("span", `${shown(each.mean)} (${shown(each.low)} to ${shown(each.high)}, n = ${each.count})`, "figure"),
    );
    list.append(line);
  }
  return [made("p", `Scores by setting (${state.metric}): mean, least and greatest`, "caption"), list];
}

function scores(state) {
  if (!state.rows.length) return [];
  const gains = state.rows.some((row) => row.gain !== null);
  const headings = [state.what === "search" ? "trial" : "point", ...state.columns, "score",
    ...(gains ? ["best control", "gain"] : []), "state"];
  const from = 1 + state.columns.length;
  const rows = state.rows.map((row, k) => ({
    cells: [
      row.point.slice(0, 8), ...row.values, row.score === null ? "" : shown(row.score),
      ...(gains ? [row.control === null ? "" : shown(row.control), row.gain === null ? "" : shown(row.gain)] : []),
      row.error ? `${STATES[row.state] || row.state}: ${row.error}` : STATES[row.state] || row.state,
    ],
    kind: k === 0 && row.score !== null ? "best" : row.state === "failed" ? "failed" : "",
  }));
  const numbers = gains ? [from, from + 1, from + 2] : [from];
  const more = state.rows_left_out ? `; ${state.rows_left_out.toLocaleString("en")} more are not shown` : "";
  return [table(`Scores so far (${state.metric}), the best first${more}`, headings, rows, numbers)];
}
