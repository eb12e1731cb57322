// AudioWorklet: a jitter buffer that grows when it runs dry and shrinks while nothing is said.
// From the port that it is given come blocks of 16-bit samples at 24 kHz, and words: "begin" (audio is expected from
// now on), "end" (none is), "flush" (throw away what waits). Reports go to the page.
"use strict";

const RATE = 24000;
const MOST_S = 4; // what may wait; older audio is thrown away
const LEAST_TARGET_S = 0.06;
const MOST_TARGET_S = 0.6;
const GROW_S = 0.04;
const SHRINK_S = 0.01;
const CALM_S = 6; // without trouble, after which the buffer becomes smaller
const SPARE_S = 0.03; // that was never needed: the buffer may be smaller
const QUIET = 0.003; // a level at which nothing is missed
const FAR_S = 0.15; // behind what is needed, from where on speech is cut as well
const CUT = 240; // samples
const BETWEEN_CUTS_S = 0.06;
const REPORT_S = 0.04;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Float32Array(RATE * MOST_S);
    this.target = 0.1;
    this.sinceCut = 0;
    this.reset();
    this.reported = 0;
    this.peak = 0;
    this.power = 0;
    this.counted = 0;
    this.glitches = 0;
    this.port.onmessage = ({ data }) => {
      data.onmessage = ({ data: given }) => this.obey(given);
    };
  }

  reset() {
    this.read = 0;
    this.held = 0;
    this.playing = false;
    this.cutting = 0;
    this.lowest = Infinity;
    this.calm = 0;
  }

  obey(given) {
    if (given instanceof ArrayBuffer) this.take(new Int16Array(given));
    else if (given === "flush") this.reset();
    else this.expecting = given === "begin";
  }

  take(samples) {
    for (const sample of samples) {
      if (this.held === this.ring.length) {
        this.read = (this.read + 1) % this.ring.length;
        this.held--;
      }
      this.ring[(this.read + this.held) % this.ring.length] = sample / 32768;
      this.held++;
    }
    if (!this.playing && this.held >= this.target * RATE) this.playing = true;
  }

  // The next sample; while a cut is made, blended from before it into behind it.
  next() {
    let sample = this.ring[this.read];
    if (this.cutting) {
      const behind = this.ring[(this.read + CUT) % this.ring.length];
      const share = this.cutting / CUT;
      sample = share * sample + (1 - share) * behind;
      if (--this.cutting === 0) this.skip(CUT);
    }
    this.skip(1);
    return sample;
  }

  skip(samples) {
    this.read = (this.read + samples) % this.ring.length;
    this.held -= samples;
  }

  // More waits than is needed: cut a hundredth of a second out, where it is quiet or where it is far too much.
  catchUp(level) {
    const excess = this.held / RATE - this.target;
    if (this.cutting || this.held < 3 * CUT || excess < GROW_S) return;
    if (level < QUIET || excess > FAR_S) this.cutting = CUT;
  }

  process(_inputs, outputs) {
    const out = outputs[0][0];
    this.lowest = Math.min(this.lowest, this.held);
    for (let place = 0; place < out.length; place++) {
      let sample = 0;
      if (this.playing && this.held) sample = this.next();
      else if (this.playing) this.dry();
      out[place] = sample;
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.power += sample * sample;
      this.counted++;
    }
    for (const channel of outputs[0].slice(1)) channel.set(out);
    this.sinceCut += out.length;
    if (this.playing && this.sinceCut > BETWEEN_CUTS_S * RATE) {
      this.sinceCut = 0;
      this.catchUp(Math.sqrt(this.power / this.counted));
    }
    this.calm += out.length;
    if (this.calm > CALM_S * RATE) {
      if (this.lowest > SPARE_S * RATE) this.target = Math.max(LEAST_TARGET_S, this.target - SHRINK_S);
      this.calm = 0;
      this.lowest = Infinity;
    }
    this.reported += out.length;
    if (this.reported >= REPORT_S * RATE) this.report();
    return true;
  }

  dry() {
    this.playing = false;
    this.cutting = 0;
    if (!this.expecting) return;
    this.glitches++;
    this.target = Math.min(MOST_TARGET_S, this.target + GROW_S);
    this.calm = 0;
  }

  report() {
    this.port.postMessage({
      waiting: this.held / RATE,
      glitches: this.glitches,
      playing: this.playing,
      peak: this.peak,
      level: Math.sqrt(this.power / Math.max(1, this.counted)),
    });
    this.reported = this.peak = this.power = this.counted = 0;
  }
}

registerProcessor("playback", Playback);
