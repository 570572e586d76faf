// The web socket to the server: it is opened again when it was lost, and each frame is acknowledged.

const PROTOCOL = "inmateria.live.1";
const FINAL = new Set([4401]);
const SILENT = 6000;
const [FIRST_PAUSE, LONGEST_PAUSE] = [250, 3000];

export class Connection {
  // `onText(message)`, `onFrame(ArrayBuffer)`, `onState(state, reason)` with a state of "open", "lost" or "refused".
  constructor({ onText, onFrame, onState }) {
    Object.assign(this, { onText, onFrame, onState });
    this.pause = FIRST_PAUSE;
    addEventListener("online", () => this.retry());
    addEventListener("hashchange", () => location.reload());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.retry());
    setInterval(() => this.watch(), 1000);
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.timer = null;
    const token = location.hash.slice(1);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live`, token ? [PROTOCOL, `token.${token}`] : [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    socket.onopen = () => this.onState("open", "");
    socket.onmessage = ({ data }) => {
      this.heard = performance.now();
      this.pause = FIRST_PAUSE;
      if (typeof data === "string") {
        this.onText(JSON.parse(data));
      } else {
        const number = this.onFrame(data);
        this.send({ type: "ack", number });
      }
    };
    socket.onclose = ({ code, reason }) => {
      if (socket !== this.socket) return;
      this.socket = null;
      if (FINAL.has(code)) {
        this.onState("refused", reason);
        return;
      }
      this.onState("lost", reason);
      this.timer = setTimeout(() => this.open(), this.pause * (0.75 + Math.random() / 2));
      this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
    };
  }

  // Open it at once if it waits to be opened.
  retry() {
    if (this.timer) this.open();
  }

  // Give up a connection over which nothing comes: the server says something every two seconds.
  watch() {
    if (this.socket && performance.now() - this.heard > SILENT) {
      const socket = this.socket;
      socket.onclose({ code: 0, reason: "nothing came" });
      socket.close();
    }
  }

  send(message) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
