"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const audio = document.getElementById("audio");
const heard = data.peaks.length > 0;
const peaks = data.peaks.map((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
const length = Math.max(data.duration, 0.08);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const clock = (seconds) => {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
};
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Facts, quality, marks
for (const name of ["facts", "measures"]) {
  for (const [label, value] of data[name]) {
    const group = make("div");
    group.append(make("dt", "", label), make("dd", "", value));
    document.getElementById(name).append(group);
  }
}
document.getElementById("measures-section").hidden = !data.measures.length;
for (const [label, value, points, most] of data.quality) {
  const row = make("tr");
  const head = make("th", "", label);
  head.scope = "row";
  const bar = make("td", "bar");
  const given = make("td", "", points === null ? "" : `${points.toFixed(0)} of ${most.toFixed(0)} points`);
  if (points !== null && most > 0) {
    const whole = make("div");
    const part = make("i");
    part.style.width = `${(100 * points) / most}%`;
    whole.append(part);
    bar.append(whole);
  }
  row.append(head, make("td", "", value), bar, given);
  document.getElementById("quality").append(row);
}
document.getElementById("quality-section").hidden = !data.quality.length;
const legend = document.getElementById("legend");
for (const phase of new Set(data.phases.map(([, , label]) => label))) {
  const item = make("li", "phase", phase);
  item.style.setProperty("--fill", `var(--${CSS.escape(phase)}, var(--band))`);
  legend.append(item);
}
const kinds = new Map();
for (const [, kind] of data.marks) kinds.set(kind, (kinds.get(kind) || 0) + 1);
for (const [kind, count] of kinds) {
  legend.append(make("li", `k-${kind}`, `${count} ${kind}${count > 1 ? "s" : ""}`));
}

// Transcript: a paragraph for a speaker's turn, cut at pauses
const seek = (seconds) => {
  if (!heard) return;
  audio.currentTime = seconds;
  audio.play();
};
for (const [when, kind, label] of data.marks) {
  const button = make("button");
  button.type = "button";
  button.append(make("time", "", clock(when)), make("span", `k-${kind}`, kind), make("span", "", label));
  button.addEventListener("click", () => seek(when));
  const item = make("li");
  item.append(button);
  document.getElementById("moments").append(item);
}
document.getElementById("moments-section").hidden = !data.marks.length;
const spoken = [];
let paragraph, last;
for (const word of data.words) {
  if (!last || last.speaker !== word.speaker || word.start - last.end > 1.2) {
    paragraph = make("p", word.speaker);
    const line = make("span");
    line.append(make("span", "who", word.speaker === "moshi" ? "Moshi" : "Caller"));
    paragraph.append(make("time", "", clock(word.start)), line);
    document.getElementById("transcript").append(paragraph);
  }
  const button = make("button", word.injected ? "word injected" : "word", word.text);
  button.type = "button";
  button.title = `${clock(word.start)}, confidence ${(100 * word.confidence).toFixed(0)} %`;
  // Never so faint that it cannot be read.
  button.style.opacity = (0.55 + 0.45 * word.confidence).toFixed(2);
  button.addEventListener("click", () => seek(word.start));
  paragraph.lastChild.append(button, " ");
  spoken.push([word, button]);
  last = word;
}
if (!data.words.length) document.getElementById("transcript").append(make("p", "empty", "No words."));

// Time line: only what can be seen is drawn, however long the conversation was
const scroll = document.getElementById("scroll");
const canvas = document.getElementById("timeline");
const zoom = document.getElementById("zoom");
const rows = { ruler: 18, phases: data.phases.length ? 18 : 0, wave: heard ? 64 : 0, words: 22, gap: 6 };
const talking = new Set(data.words.map((word) => word.speaker));
// A word may be shown as far as the next one of its speaker, although it is known to be over earlier.
const rooms = new Map();
const following = {};
for (const word of [...data.words].reverse()) {
  rooms.set(word, Math.min(following[word.speaker] ?? length, word.end + 2));
  following[word.speaker] = word.start;
}
const height = rows.ruler + rows.phases + 2 * (rows.wave + rows.gap) + talking.size * rows.words + rows.gap;
let scale = 1;
const fit = () => scroll.clientWidth / length;
const rescale = (centre) => {
  const widest = Math.max(160, fit());
  scale = fit() * (widest / fit()) ** (zoom.value / 100);
  document.getElementById("width").style.width = `${Math.floor(length * scale)}px`;
  if (centre !== undefined) scroll.scrollLeft = centre * scale - scroll.clientWidth / 2;
  draw();
};
const draw = () => {
  const width = scroll.clientWidth;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const from = scroll.scrollLeft / scale;
  const to = from + width / scale;
  const x = (seconds) => (seconds - from) * scale;
  const step = [0.5, 1, 2, 5, 10, 30, 60, 300, 600].find((each) => each * scale > 56) || 1800;
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    pen.fillStyle = colour("--line");
    pen.fillRect(Math.round(x(at)), 0, 1, height);
    pen.fillStyle = colour("--soft");
    pen.fillText(clock(at), x(at) + 3, rows.ruler / 2);
  }
  let top = rows.ruler;
  for (const [start, end, label] of data.phases) {
    if (end < from || start > to) continue;
    pen.fillStyle = colour(`--${label}`) || colour("--band");
    pen.fillRect(x(start), top + 1, Math.max(1, (end - start) * scale - 1), rows.phases - 3);
    write(pen, label, x(start), (end - start) * scale, top + rows.phases / 2 - 1, colour("--ink"), width);
  }
  top += rows.phases;
  ["caller", "moshi"].forEach((speaker, side) => {
    const ink = colour(`--${speaker}`);
    if (heard) wave(pen, peaks[side], from, width, top + rows.gap, ink);
    top += rows.gap + rows.wave;
    for (const word of data.words) {
      if (word.speaker !== speaker || word.end < from || word.start > to) continue;
      const wide = Math.max(2, (word.end - word.start) * scale - 1);
      pen.globalAlpha = 0.15 + 0.45 * word.confidence;
      pen.fillStyle = ink;
      pen.fillRect(x(word.start), top + 2, wide, rows.words - 4);
      pen.globalAlpha = 1;
      const room = (Math.max(word.end, rooms.get(word)) - word.start) * scale;
      write(pen, word.text, x(word.start), room, top + rows.words / 2, colour("--ink"), width);
    }
    if (talking.has(speaker)) top += rows.words;
  });
  for (const [at, kind] of data.marks) {
    if (at < from || at > to) continue;
    const sample = document.querySelector(`.k-${kind}`);
    pen.fillStyle = sample ? getComputedStyle(sample).color : colour("--soft");
    pen.fillRect(x(at) - 1, rows.ruler, 2, height - rows.ruler);
  }
  if (heard) {
    pen.fillStyle = colour("--now");
    pen.fillRect(x(audio.currentTime) - 0.5, 0, 1.5, height);
  }
};
const write = (pen, text, left, wide, middle, ink, edge) => {
  const start = Math.max(left, 0) + 3;
  if (pen.measureText(text).width > Math.min(left + wide, edge) - start) return;
  pen.fillStyle = ink;
  pen.fillText(text, start, middle);
};
const wave = (pen, levels, from, width, top, ink) => {
  pen.fillStyle = ink;
  for (let column = 0; column < width; column++) {
    const first = Math.floor((from + column / scale) * data.peaksPerSecond);
    const end = Math.max(first + 1, Math.floor((from + (column + 1) / scale) * data.peaksPerSecond));
    if (first >= levels.length) break;
    let level = 0;
    for (let place = first; place < end && place < levels.length; place++) level = Math.max(level, levels[place]);
    // Quiet speech is half the size of loud speech here, not a hundredth.
    const half = Math.max(0.5, Math.sqrt(level / 255) * rows.wave / 2);
    pen.fillRect(column, top + rows.wave / 2 - half, 1, 2 * half);
  }
};
const at = (event) => (scroll.scrollLeft + event.clientX - scroll.getBoundingClientRect().left) / scale;
canvas.addEventListener("click", (event) => seek(Math.min(length, at(event))));
canvas.addEventListener("mousemove", (event) => {
  const here = at(event);
  const near = data.marks.filter(([when]) => Math.abs(when - here) * scale < 4).map(([, , label]) => label);
  const inside = data.words.filter((word) => word.start <= here && here <= word.end).map((word) => word.text);
  canvas.title = [clock(Math.max(0, here)), ...near, ...inside].join("\n");
});
scroll.addEventListener("scroll", draw);
zoom.addEventListener("input", () => rescale(heard && audio.currentTime > 0 ? audio.currentTime : undefined));
window.addEventListener("resize", () => { rescale(); drawLatency(); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { draw(); drawLatency(); });

// Playing along
const follow = () => {
  const now = audio.currentTime;
  for (const [word, button] of spoken) button.classList.toggle("said", word.start <= now && now < word.end);
  const place = now * scale - scroll.scrollLeft;
  if (!audio.paused && (place < 0 || place > scroll.clientWidth * 0.9)) scroll.scrollLeft = now * scale - 40;
  draw();
  if (!audio.paused) requestAnimationFrame(follow);
};
if (heard) {
  document.getElementById("listen").hidden = false;
  audio.addEventListener("play", follow);
  audio.addEventListener("seeked", follow);
  audio.addEventListener("pause", follow);
} else {
  audio.removeAttribute("src");
}

// Latency
const chart = document.getElementById("latency");
const drawLatency = () => {
  if (!data.latency.length) return;
  document.getElementById("latency-section").hidden = false;
  const ratio = window.devicePixelRatio || 1;
  const { width, height: tall } = chart.getBoundingClientRect();
  chart.width = Math.round(width * ratio);
  chart.height = Math.round(tall * ratio);
  const pen = chart.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  const values = data.latency.map(([, value]) => value);
  const highest = Math.max(...values);
  const most = Math.max(highest, data.frameMs) * 1.05;
  const step = [20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000].find((each) => most / each <= 5) || most;
  chart.setAttribute("aria-label", `Latency over time, at most ${highest.toFixed(0)} milliseconds`);
  const bottom = tall - 18;
  const y = (value) => bottom - (Math.max(0, value) / most) * (bottom - 14);
  const x = (when) => (when / length) * width;
  for (let value = 0; value <= most; value += step) {
    pen.fillStyle = colour("--line");
    pen.fillRect(0, Math.round(y(value)), width, 1);
    pen.fillStyle = colour("--soft");
    pen.fillText(`${value} ms`, 2, y(value) - 4);
  }
  const every = [1, 2, 5, 10, 30, 60, 300, 600, 1800].find((each) => x(each) > 56) || 3600;
  for (let when = every; when < length; when += every) pen.fillText(clock(when), x(when) - 12, tall - 4);
  pen.strokeStyle = colour("--now");
  pen.setLineDash([4, 4]);
  pen.beginPath();
  pen.moveTo(0, y(data.frameMs));
  pen.lineTo(width, y(data.frameMs));
  pen.stroke();
  pen.setLineDash([]);
  pen.strokeStyle = colour("--caller");
  pen.lineWidth = 1.5;
  pen.beginPath();
  let before;
  for (const [when, value] of data.latency) {
    // A hole in what is known is a hole in the line.
    if (before !== undefined && when - before < 3) pen.lineTo(x(when), y(value));
    else pen.moveTo(x(when), y(value));
    before = when;
  }
  pen.stroke();
};
chart.addEventListener("mousemove", (event) => {
  const when = ((event.clientX - chart.getBoundingClientRect().left) / chart.clientWidth) * length;
  let near = data.latency[0];
  for (const each of data.latency) if (Math.abs(each[0] - when) < Math.abs(near[0] - when)) near = each;
  if (near) chart.title = `${clock(near[0])}: ${near[1].toFixed(0)} ms`;
});
chart.addEventListener("click", (event) => {
  seek(((event.clientX - chart.getBoundingClientRect().left) / chart.clientWidth) * length);
});
rescale();
drawLatency();
