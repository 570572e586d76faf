// A map of the matter: wires and electrodes, coloured by the activity of the outputs.

export class MatterMap {
  constructor(canvas, map) {
    this.canvas = canvas;
    this.map = map;
  }

  // Draw with the activity of each output, a Float32Array of numbers from 0 to 1.
  draw(activity) {}
}
