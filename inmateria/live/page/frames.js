// Binary frames of columns and spikes; the layout is described in inmateria/live/messages.py.

const HEADER = 40;

export function decode(buffer) {
  const view = new DataView(buffer);
  const [number, columns, outputs, inputs, spikes] = [4, 8, 12, 16, 20].map((at) => view.getUint32(at, true));
  const frame = { number, columns, outputs, inputs, spikes, sent: view.getFloat64(24, true), leftOut: view.getUint32(32, true) };
  let at = HEADER;
  const take = (kind, count) => {
    const array = new kind(buffer, at, count);
    at += array.byteLength;
    return array;
  };
  frame.starts = take(Float64Array, columns);
  frame.ends = take(Float64Array, columns);
  frame.times = take(Float64Array, spikes);
  frame.low = take(Float32Array, columns * outputs);
  frame.high = take(Float32Array, columns * outputs);
  frame.driveLow = take(Float32Array, columns * inputs);
  frame.driveHigh = take(Float32Array, columns * inputs);
  frame.channels = take(Uint32Array, spikes);
  return frame;
}
