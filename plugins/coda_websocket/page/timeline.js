// Both waveforms on one time line that runs from right to left.

const SECONDS = 12;
const FRAMES_PER_S = 40; // enough for the eye, and half the work

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.sides = { caller: [], moshi: [] };
    this.running = false;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // `peak` is the largest magnitude of the `seconds` that end at `now`, in milliseconds.
  add(side, peak, seconds, now) {
    const points = this.sides[side];
    points.push([now - 1000 * seconds, now, peak]);
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
    pen.fillStyle = style.getPropertyValue("--line");
    for (let second = Math.ceil(now / 1000 - SECONDS); second <= now / 1000; second++) {
      pen.fillRect(Math.round(x(1000 * second)), 0, 1, height);
    }
    pen.font = "12px system-ui, sans-serif";
    ["caller", "moshi"].forEach((side, row) => {
      const middle = height * (0.25 + 0.5 * row);
      pen.fillStyle = style.getPropertyValue(`--${side}`);
      pen.fillRect(0, middle, width, 1);
      for (const [start, end, peak] of this.sides[side]) {
        const left = x(start);
        const half = Math.max(0.5, Math.sqrt(Math.min(1, peak)) * height * 0.22);
        if (left < width) pen.fillRect(left, middle - half, Math.max(1, x(end) - left - 0.5), 2 * half);
      }
      const name = side === "caller" ? "You" : "Moshi";
      const ink = pen.fillStyle;
      pen.fillStyle = style.getPropertyValue("--panel");
      pen.fillRect(6, height * 0.5 * row + 5, pen.measureText(name).width + 8, 18);
      pen.fillStyle = ink;
      pen.fillText(name, 10, height * 0.5 * row + 18);
    });
  }
}
