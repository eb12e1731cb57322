// Carries audio between the ports of the sound and the server, away from the page: drawing never delays it.

import { Recording } from "./recording.js";
import { Session } from "./session.js";

const KEPT_FRAMES = 500;
const REPORT_FRAMES = 5;

let carrier;

class Carrier {
  constructor({ base, token, microphone, loudspeaker }) {
    this.loudspeaker = loudspeaker;
    this.recording = new Recording();
    this.sent = 0; // index of the next frame, as the server counts
    this.answered = 0;
    this.sentAt = new Map();
    this.lost = 0;
    this.step = null;
    this.session = new Session(base, token, {
      state: (name, words) => this.state(name, words),
      audio: (samples) => this.answer(samples),
      event: (event) => this.event(event),
    });
    microphone.onmessage = ({ data }) => this.heard(new Int16Array(data));
  }

  heard(samples) {
    if (!this.session.send(samples)) {
      if (this.began && !this.session.ended) this.lose(1);
      return;
    }
    this.sentAt.set(this.sent, performance.now());
    this.sentAt.delete(this.sent - KEPT_FRAMES);
    this.recording.put("caller", this.sent++, samples);
  }

  answer(samples) {
    this.recording.put("moshi", this.answered, samples);
    const copy = samples.slice();
    this.loudspeaker.postMessage(copy.buffer, [copy.buffer]);
    const sentAt = this.sentAt.get(this.answered++);
    if (sentAt === undefined) return;
    const took = performance.now() - sentAt;
    this.step = this.step === null ? took : 0.9 * this.step + 0.1 * took;
    if (this.answered % REPORT_FRAMES === 0) postMessage({ kind: "latency", milliseconds: this.step });
  }

  event(event) {
    switch (event.type) {
      case "gap":
        this.lose(event.frames);
        // What the server threw away was never answered: later frames have lower numbers there.
        this.sent = Math.max(this.answered, this.sent - event.frames);
        break;
      case "text":
        this.recording.words.push(event);
        break;
      case "interrupted":
        this.loudspeaker.postMessage("flush");
        break;
      case "paused":
      case "parked":
      case "detached":
        this.loudspeaker.postMessage("end");
        break;
      case "resumed":
      case "unparked":
      case "attached":
        this.loudspeaker.postMessage("begin");
        break;
    }
    postMessage({ kind: "event", event });
  }

  lose(frames) {
    this.lost += frames;
    postMessage({ kind: "lost", frames: this.lost });
  }

  state(name, words) {
    if (name === "live") {
      const { frame, next_frame: next, delay_frames: delay, recorded } = this.session.facts;
      postMessage({ kind: "recorded", recorded });
      this.began = true;
      this.sent = next;
      this.answered = Math.max(frame, delay);
      this.sentAt.clear();
    }
    this.loudspeaker.postMessage(name === "live" ? "begin" : "end");
    postMessage({ kind: "state", name, words });
  }

  async end() {
    this.loudspeaker.postMessage("end");
    await this.session.end();
    const { recording } = this;
    const made = recording.empty ? null : { audio: recording.audio(), transcript: recording.transcript() };
    postMessage({ kind: "over", made });
  }
}

onmessage = async ({ data }) => {
  if (data.kind === "start") carrier = new Carrier(data);
  else if (data.kind === "order") {
    const reply = await carrier.session.order(data.command, data.fields);
    postMessage({ kind: "reply", number: data.number, reply });
  } else if (data.kind === "end") await carrier.end();
};
