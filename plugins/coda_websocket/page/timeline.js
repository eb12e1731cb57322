// Both waveforms on one time line that runs from right to left.

const SECONDS = 12;
const FRAMES_PER_S = 40; // enough for the eye, and half the work
const BAR = 4; // pixels from one bar to the next
const GAP = 1.5; // pixels of it that stay empty
const LATE_MS = 250; // a report further than this from where the last one ended begins anew
const PULL = 0.1; // share of its lateness by which a report is stretched
const FADE_S = 4; // at the old end
const SIDES = { caller: "You", moshi: "Moshi" };

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.sides = { caller: [], moshi: [] };
    this.running = false;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // `peak` is the largest magnitude of the `seconds` that end at about `now`, in milliseconds.
  add(side, peak, seconds, now) {
    const points = this.sides[side];
    const took = 1000 * seconds;
    // Reports come a little early or late, and the two clocks differ; the sound that they are about has no gaps.
    const last = points.at(-1)?.[1] ?? -Infinity;
    const late = now - took - last;
    const follows = Math.abs(late) < LATE_MS;
    const start = follows ? last : now - took;
    points.push([start, start + took + (follows ? late * PULL : 0), peak]);
    while (points.length && points[0][1] < now - 1000 * (SECONDS + 1)) points.shift();
  }

  start() {
    this.running = true;
    let drawn = 0;
    const step = (now) => {
      if (now - drawn > 1000 / FRAMES_PER_S) {
        this.draw();
        drawn = now;
      }
      if (this.running) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  stop() {
    this.running = false;
    this.stopped = performance.now();
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width) return;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(document.documentElement);
    const now = this.running ? performance.now() : (this.stopped ?? performance.now());
    const x = (time) => width * (1 - (now - time) / (1000 * SECONDS));
    const fade = (place) => Math.max(0.1, Math.min(1, (place * SECONDS) / (width * FADE_S)));
    const each = (1000 * SECONDS * BAR) / width; // milliseconds that a bar stands for
    pen.font = "12px system-ui, sans-serif";
    Object.entries(SIDES).forEach(([side, name], row) => {
      const middle = height * (0.27 + 0.46 * row);
      pen.fillStyle = style.getPropertyValue("--line");
      pen.fillRect(0, Math.round(middle), width, 1);
      pen.fillStyle = style.getPropertyValue(`--${side}`);
      for (const [bar, peak] of bars(this.sides[side], each)) {
        const left = x(bar * each);
        if (left < -BAR || left > width) continue;
        // The square root brings out what is soft.
        const half = Math.sqrt(Math.min(1, peak)) * height * 0.2;
        if (half < 1) continue;
        pen.globalAlpha = fade(left);
        pen.beginPath();
        pen.roundRect(left, middle - half, BAR - GAP, 2 * half, (BAR - GAP) / 2);
        pen.fill();
      }
      pen.globalAlpha = 1;
      pen.fillText(name, 14, row ? height - 12 : 22);
    });
  }
}

// The largest peak of every bar, by its number: bars stand at fixed times, so that they move and do not flicker.
function bars(points, each) {
  const found = new Map();
  for (const [start, end, peak] of points) {
    const last = Math.max(Math.floor(start / each), Math.ceil(end / each) - 1);
    for (let bar = Math.floor(start / each); bar <= last; bar++) found.set(bar, Math.max(found.get(bar) ?? 0, peak));
  }
  return found;
}
