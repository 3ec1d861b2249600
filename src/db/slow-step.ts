/** Receives one line about something that keeps a person waiting. */
export type OnProgress = (message: string) => void;

const patienceMs = 1000;

/** Runs `work` and reports `message` if it has not ended within a second: a quick start stays silent. */
export async function announceWhenSlow<T>(onProgress: OnProgress, message: string, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => onProgress(message), patienceMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
