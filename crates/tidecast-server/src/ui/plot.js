// Plots the events per second of the last minute, a bar for each second.

const SECONDS = 60;
const HEIGHT = 20;
// Keeps a single event from filling the plot.
const SCALE_MIN = 4;

export class Plot {
  #elements;
  #bars;
  #counts = new Array(SECONDS).fill(0);
  #second = now();

  /** The argument has the elements `plot`, `rateNow` and `ratePeak`. */
  constructor(elements) {
    this.#elements = elements;
    this.#bars = this.#counts.map((_, index) => {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      bar.setAttribute("x", index + 0.1);
      bar.setAttribute("width", 0.8);
      return bar;
    });
    elements.plot.append(...this.#bars);
    this.#draw();
    setInterval(() => this.#draw(), 1_000);
  }

  /** Counts events that were just received. */
  count(events) {
    this.#advance();
    this.#counts[SECONDS - 1] += events;
  }

  clear() {
    this.#counts.fill(0);
    this.#draw();
  }

  /** Moves the window to the present. The timers of a page in the background are late. */
  #advance() {
    const passed = Math.min(now() - this.#second, SECONDS);
    this.#second += now() - this.#second;
    this.#counts = [...this.#counts.slice(passed), ...new Array(passed).fill(0)];
  }

  #draw() {
    this.#advance();
    const peak = Math.max(...this.#counts);
    const scale = HEIGHT / Math.max(peak, SCALE_MIN);
    this.#counts.forEach((count, index) => {
      const height = Math.max(count * scale, 0.4);
      this.#bars[index].setAttribute("height", height);
      this.#bars[index].setAttribute("y", HEIGHT - height);
      this.#bars[index].classList.toggle("none", count === 0);
    });
    // The last complete second; the current one has only a part of its events.
    const rate = this.#counts[SECONDS - 2];
    const { plot, rateNow, ratePeak } = this.#elements;
    rateNow.textContent = rate.toLocaleString("en");
    ratePeak.textContent = `peak ${peak.toLocaleString("en")} in ${SECONDS} s`;
    plot.setAttribute("aria-label", `${rate} events per second, peak ${peak} in the last ${SECONDS} seconds`);
  }
}

function now() {
  return Math.floor(Date.now() / 1_000);
}
