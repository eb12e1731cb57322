// The page: buttons, meters and words around one conversation.

import { microphones, NoMicrophone, Sound, Unreachable } from "./sound.js";
import { Timeline } from "./timeline.js";

const REPORT_S = 0.04;
const PAUSE_S = 1.5; // between words, after which a new line begins
const WORDS_SHOWN = 400;
const find = (id) => document.getElementById(id);
const timeline = new Timeline(find("timeline"));
let call = null;

class Call {
  constructor() {
    this.replies = new Map();
    this.orders = 0;
    this.step = null;
    this.lastWord = null;
    this.sound = new Sound(
      ({ peak, level }) => {
        timeline.add("caller", peak, REPORT_S, performance.now());
        find("level-in").value = decibels(level);
      },
      (report) => this.played(report),
    );
  }

  async start(token, device) {
    const [microphone, loudspeaker] = await this.sound.open(device);
    this.worker = new Worker("worker.js", { type: "module" });
    this.worker.onmessage = ({ data }) => this[data.kind](data);
    const base = document.baseURI;
    this.worker.postMessage({ kind: "start", base, token, microphone, loudspeaker }, [microphone, loudspeaker]);
  }

  // Resolves to the server's reply.
  order(command, fields = {}) {
    const number = ++this.orders;
    this.worker.postMessage({ kind: "order", number, command, fields });
    return new Promise((resolve) => this.replies.set(number, resolve));
  }

  // Ends the conversation; resolves to what can be downloaded of it, null where nothing was said.
  async stop() {
    const over = new Promise((resolve) => { this.resolveOver = resolve; });
    this.worker.postMessage({ kind: "end" });
    const made = await over;
    this.worker.terminate();
    await this.sound.close();
    return made;
  }

  // From the jitter buffer
  played({ waiting, glitches, playing, peak, level }) {
    if (playing || peak) timeline.add("moshi", peak, REPORT_S, performance.now());
    find("level-out").value = decibels(level);
    find("glitches").textContent = glitches;
    if (this.step !== null && playing) find("latency").textContent = `${Math.round(this.step + 1000 * waiting)} ms`;
  }

  // From the worker: one method for each kind of message

  reply({ number, reply }) {
    this.replies.get(number)(reply);
    this.replies.delete(number);
  }

  over({ made }) {
    this.resolveOver(made);
  }

  latency({ milliseconds }) {
    this.step = milliseconds;
  }

  recorded({ recorded }) {
    find("recorded").hidden = !recorded;
  }

  lost({ frames }) {
    find("drops").textContent = frames;
  }

  state({ name, words }) {
    show(words);
    find("connection").textContent = NAMES[name];
    light(LIGHTS[name]);
    enable(name === "live");
    notice(name === "failed" ? words : "");
    if (name === "failed" || name === "ended") finish();
    if (name === "failed" && /token/.test(words)) askForToken();
  }

  event({ event }) {
    // A text that the model does not take is cancelled right after the fault that says why.
    if (event.type === "fault") this.fault = event.message;
    if (event.type === "injection") {
      const why = event.status === "cancelled" ? this.fault : "";
      find("say-state").textContent = why || (SAID[event.status] ?? event.status);
      this.fault = "";
    }
    if (event.type !== "text" || event.speaker !== "moshi") return;
    // One extractor's words; where it finds only phrases, these.
    this.extractor ??= event.extractor;
    this.unit ??= event.unit;
    if (event.extractor !== this.extractor || event.unit !== this.unit) return;
    const words = find("words");
    const follows = words.scrollHeight - words.scrollTop - words.clientHeight < 40;
    if (this.lastWord && event.start_s - this.lastWord.end_s > PAUSE_S) words.append(make("span", "gap"));
    const span = make("span", event.injected ? "asked" : "", event.text.trim());
    // Never so faint that it cannot be read.
    span.style.opacity = (0.66 + 0.34 * event.confidence).toFixed(2);
    span.title = `confidence ${Math.round(100 * event.confidence)} %`;
    words.append(span, " ");
    while (words.childNodes.length > 2 * WORDS_SHOWN) words.firstChild.remove();
    if (follows) words.scrollTop = words.scrollHeight;
    this.lastWord = event;
  }
}

const LIGHTS = { live: "open", reconnecting: "waiting", ended: "none", failed: "failed" };
const NAMES = { live: "open", reconnecting: "broken, retrying", ended: "closed", failed: "closed" };
const SAID = {
  queued: "Waiting for a moment to say it.",
  started: "Saying it.",
  finished: "Said.",
  cancelled: "It was cut short.",
  expired: "It came too late and was dropped.",
};

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const decibels = (level) => Math.max(-60, 20 * Math.log10(level + 1e-9));

function show(words) {
  find("status").textContent = words;
}

// The colour beside the words of the status
function light(state) {
  document.body.dataset.state = state;
}

function notice(words) {
  find("notice").textContent = words;
  find("notice").hidden = !words;
}

function enable(live) {
  find("hush").disabled = !live;
  find("say-text").disabled = !live;
  find("say").querySelector("button").disabled = !live;
}

function askForToken() {
  find("settings").open = true;
  find("token").focus();
}

async function begin() {
  const button = find("talk");
  button.disabled = true;
  notice("");
  show("Asking for the microphone…");
  find("words").replaceChildren();
  find("after").hidden = find("recorded").hidden = true;
  find("drops").textContent = find("glitches").textContent = "0";
  find("latency").textContent = "–";
  find("say-state").textContent = "";
  const starting = new Call();
  try {
    await starting.start(find("token").value.trim(), find("microphone").value);
  } catch (error) {
    notice(why(error));
    show("Not connected.");
    light("failed");
    button.disabled = false;
    return;
  }
  call = starting;
  show("Connecting…");
  light("waiting");
  find("connection").textContent = "opening";
  timeline.start();
  button.textContent = "Stop";
  button.classList.add("running");
  button.disabled = false;
  await listMicrophones();
}

function why(error) {
  if (error instanceof NoMicrophone) return error.message;
  if (error instanceof Unreachable) return "The server cannot be reached. Is it running? Press Start to try again.";
  return `The sound cannot be started: ${error.message}`;
}

// The conversation is over, whoever ended it.
async function finish() {
  const over = call;
  if (!over) return;
  call = null;
  timeline.stop();
  enable(false);
  const button = find("talk");
  button.textContent = "Start";
  button.classList.remove("running");
  find("connection").textContent = "closed";
  const made = await over.stop();
  find("level-in").value = find("level-out").value = -60;
  if (made) {
    offer(find("download-audio"), made.audio);
    offer(find("download-transcript"), made.transcript);
    find("after").hidden = false;
  }
}

function offer(link, blob) {
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
}

async function listMicrophones() {
  const select = find("microphone");
  const chosen = select.value;
  const found = await microphones();
  select.replaceChildren(new Option("The system's choice", ""), ...found.map((each) => new Option(each.label, each.deviceId)));
  select.value = found.some((each) => each.deviceId === chosen) ? chosen : "";
}

find("talk").addEventListener("click", () => {
  if (call) {
    show("The conversation has ended.");
    light("none");
    finish();
  } else {
    begin();
  }
});
find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!call && !find("talk").disabled) begin();
});
find("hush").addEventListener("click", () => call?.order("interrupt").then(complain));
find("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = find("say-text").value.trim();
  if (!call || !text) return;
  const reply = await call.order("say", { text });
  complain(reply);
  if (reply.ok) find("say-text").value = "";
});

function complain(reply) {
  if (!reply.ok) find("say-state").textContent = `That did not work: ${reply.error}`;
}

// A link that was sent may bring the token behind "#token=": that part never reaches a server or its logs.
const brought = new URLSearchParams(location.hash.slice(1)).get("token");
if (brought) {
  find("token").value = brought;
  history.replaceState(null, "", location.pathname + location.search);
}
navigator.mediaDevices?.addEventListener("devicechange", listMicrophones);
listMicrophones();
timeline.draw();
