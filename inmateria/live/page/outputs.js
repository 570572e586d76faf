// The output of a readout beside its target, and the running score.

export class Outputs {
  constructor(element, hello) {
    this.element = element;
    this.element.hidden = !hello.readout;
  }

  // Take an `Outputs` message.
  add(message) {}

  // Draw the time from `from` to `to`, in seconds.
  draw(from, to) {}
}
