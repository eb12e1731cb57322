// AudioWorklet: the microphone at whatever rate it has becomes blocks of 1,920 16-bit samples at 24 kHz.
// They go to the port that it is given; levels go to the page.
"use strict";

const BLOCK = 1920;
const RATE = 24000;
const REPORT = 960; // samples
const ZEROS = 16; // zero crossings of the filter on either side
const PHASES = 512; // places between two input samples for which the filter is kept

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE;
    // Cut off below both Nyquist frequencies, with some room for the filter's slope.
    const cutoff = Math.min(1, 1 / this.step) * 0.95;
    this.reach = Math.ceil(ZEROS / cutoff);
    this.kernels = Array.from({ length: PHASES + 1 }, (_, phase) => kernel(phase / PHASES, this.reach, cutoff));
    this.past = new Float32Array(2 * this.reach + 1);
    this.position = 0; // of the next output sample, behind the last input sample that was far enough from the end
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
    this.peak = this.power = this.counted = 0;
    this.port.onmessage = ({ data }) => { this.blocks = data; };
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    const heard = channels[0];
    if (sampleRate === RATE) {
      for (const sample of heard) this.put(sample);
      return true;
    }
    const all = new Float32Array(this.past.length + heard.length);
    all.set(this.past);
    all.set(heard, this.past.length);
    const end = all.length - 1 - this.reach;
    let at = this.reach + this.position;
    for (; at <= end; at += this.step) this.put(this.interpolate(all, at));
    this.position = at - end;
    this.past = all.slice(all.length - this.past.length);
    return true;
  }

  interpolate(all, at) {
    const middle = Math.floor(at);
    const weights = this.kernels[Math.round((at - middle) * PHASES)];
    const first = middle - this.reach + 1;
    let sum = 0;
    for (let tap = 0; tap < weights.length; tap++) sum += weights[tap] * all[first + tap];
    return sum;
  }

  put(sample) {
    this.block[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(32768 * sample)));
    this.peak = Math.max(this.peak, Math.abs(sample));
    this.power += sample * sample;
    if (++this.counted === REPORT) {
      this.port.postMessage({ peak: this.peak, level: Math.sqrt(this.power / REPORT) });
      this.peak = this.power = this.counted = 0;
    }
    if (this.filled === BLOCK) {
      this.blocks?.postMessage(this.block.buffer, [this.block.buffer]);
      this.block = new Int16Array(BLOCK);
      this.filled = 0;
    }
  }
}

// Weights of a windowed sinc (Hann) for a sample that lies `fraction` behind the middle one.
function kernel(fraction, reach, cutoff) {
  return Float32Array.from({ length: 2 * reach }, (_, tap) => {
    const distance = fraction - (tap - reach + 1);
    const turned = Math.PI * distance * cutoff;
    const sinc = turned === 0 ? 1 : Math.sin(turned) / turned;
    return cutoff * sinc * (0.5 + 0.5 * Math.cos((Math.PI * distance) / (reach + 1)));
  });
}

registerProcessor("capture", Capture);
