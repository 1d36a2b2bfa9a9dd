// Waiting with a deadline.

export const DEADLINE_MS = 30_000;

/** Waits for a promise. Fails after the deadline with the name of what did not happen. */
export async function within(what, promise, deadlineMs = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`in ${deadlineMs} ms it did not happen that ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
