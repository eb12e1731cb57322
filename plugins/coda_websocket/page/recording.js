// What was sent and what came back, frame by frame, to be taken home.

const RATE = 24000;
const FRAME = 1920;
const MOST_FRAMES = 45000; // an hour

export class Recording {
  constructor() {
    this.caller = new Map();
    this.moshi = new Map();
    this.words = [];
    this.last = -1;
  }

  put(side, frame, samples) {
    if (frame < 0) return;
    this[side].set(frame, samples);
    this.last = Math.max(this.last, frame);
    this[side].delete(this.last - MOST_FRAMES);
  }

  get empty() {
    return this.last < 0;
  }

  // A WAV file: 16 bits, the caller on the left and Moshi on the right.
  audio() {
    const first = Math.max(0, this.last - MOST_FRAMES + 1);
    const frames = this.last - first + 1;
    const samples = new Int16Array(2 * FRAME * frames);
    [this.caller, this.moshi].forEach((side, channel) => {
      for (const [frame, block] of side) {
        const start = 2 * FRAME * (frame - first) + channel;
        for (let place = 0; place < block.length; place++) samples[start + 2 * place] = block[place];
      }
    });
    return new Blob([header(samples.byteLength), samples], { type: "audio/wav" });
  }

  transcript() {
    const lines = [];
    let line;
    for (const word of this.words) {
      if (!line || word.start_s - line.end_s > 1.2 || word.speaker !== line.speaker) {
        line = { start_s: word.start_s, speaker: word.speaker, words: [] };
        lines.push(line);
      }
      line.words.push(word.text.trim());
      line.end_s = word.end_s;
    }
    const text = lines.map((each) => `[${clock(each.start_s)}] ${each.speaker}: ${each.words.join(" ")}\n`).join("");
    return new Blob([text], { type: "text/plain;charset=utf-8" });
  }
}

const clock = (seconds) => {
  const minutes = Math.floor(seconds / 60);
  return `${String(minutes).padStart(2, "0")}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
};

function header(bytes) {
  const view = new DataView(new ArrayBuffer(44));
  const word = (place, text) => [...text].forEach((letter, at) => view.setUint8(place + at, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 2, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 4 * RATE, true);
  view.setUint16(32, 4, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, bytes, true);
  return view.buffer;
}
