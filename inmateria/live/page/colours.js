// The colours of the style sheet as the canvas needs them; they change with the system's light or dark mode.

const NAMES = ["ground", "ink", "dim", "trace", "chosen", "drive", "spike", "gap", "grid", "line"];

export class Colours {
  constructor(onChange) {
    this.read();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.read();
      onChange();
    });
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    this.css = {};
    this.pixel = {};
    for (const name of NAMES) {
      const value = style.getPropertyValue(`--${name}`).trim();
      this.css[name] = value;
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
      this.pixel[name] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0; // little-endian RGBA
    }
  }
}
