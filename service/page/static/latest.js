// One question at a time, and the newest wins.

const LIVE_TIMEOUT_MS = 200;

/**
 * Runs tasks that take an AbortSignal. A newer task cancels the one that runs and takes its place.
 *
 * During a drag ("live") changes come faster than any service answers: if each cancelled the one before, nothing
 * would be seen until the end. So there the running task may finish within a time limit, and of those that come
 * meanwhile only the newest is run; the others are never sent.
 */
export class Latest {
  #running = null;
  #next = null;

  run(task, { live = false } = {}) {
    this.#next = task;
    const running = this.#running;
    if (!running) this.#begin();
    else if (!live) this.#replace(running);
    else running.timer ??= setTimeout(() => this.#replace(running), running.until - performance.now());
  }

  cancel() {
    this.#next = null;
    if (this.#running) this.#replace(this.#running);
  }

  async #begin() {
    const task = this.#next;
    const controller = new AbortController();
    const running = { controller, until: performance.now() + LIVE_TIMEOUT_MS, timer: null };
    this.#next = null;
    this.#running = running;
    try {
      await task(controller.signal);
    } finally {
      clearTimeout(running.timer);
      if (this.#running === running) this.#go();
    }
  }

  #replace(running) {
    if (this.#running !== running) return;
    running.controller.abort();
    this.#go();
  }

  #go() {
    this.#running = null;
    if (this.#next) this.#begin();
  }
}
