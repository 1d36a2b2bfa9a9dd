// Events per second, for the last minute: a bar for each second.

const SECONDS = 60;
const HEIGHT = 20;
// So that a single event does not look like a flood.
const SCALE_MIN = 4;

export class Plot {
  #places;
  #bars;
  #counts = new Array(SECONDS).fill(0);
  #second = now();

  /** `places` are the elements `plot`, `rateNow` and `ratePeak`. */
  constructor(places) {
    this.#places = places;
    this.#bars = this.#counts.map((_, index) => {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      bar.setAttribute("x", index + 0.1);
      bar.setAttribute("width", 0.8);
      return bar;
    });
    places.plot.append(...this.#bars);
    this.#draw();
    setInterval(() => this.#draw(), 1_000);
  }

  /** Counts events of this moment. */
  count(events) {
    this.#turn();
    this.#counts[SECONDS - 1] += events;
  }

  clear() {
    this.#counts.fill(0);
    this.#draw();
  }

  /** Moves the window on to now. In the background a page's timers are late. */
  #turn() {
    const passed = Math.min(now() - this.#second, SECONDS);
    this.#second += now() - this.#second;
    this.#counts = [...this.#counts.slice(passed), ...new Array(passed).fill(0)];
  }

  #draw() {
    this.#turn();
    const peak = Math.max(...this.#counts);
    const scale = HEIGHT / Math.max(peak, SCALE_MIN);
    this.#counts.forEach((count, index) => {
      const height = Math.max(count * scale, 0.4);
      this.#bars[index].setAttribute("height", height);
      this.#bars[index].setAttribute("y", HEIGHT - height);
      this.#bars[index].classList.toggle("none", count === 0);
    });
    // The last whole second: the one that has begun has only a part of its events.
    const rate = this.#counts[SECONDS - 2];
    const { plot, rateNow, ratePeak } = this.#places;
    rateNow.textContent = rate.toLocaleString("en");
    ratePeak.textContent = `peak ${peak.toLocaleString("en")} in ${SECONDS} s`;
    plot.setAttribute("aria-label", `${rate} events per second, at most ${peak} in the last ${SECONDS} seconds`);
  }
}

function now() {
  return Math.floor(Date.now() / 1_000);
}
