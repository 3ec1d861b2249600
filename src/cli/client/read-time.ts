const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** A length of time such as `90d` or `2h`, in seconds; `undefined` for a text that is none. */
export function lengthSeconds(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  return number === undefined || unit === undefined ? undefined : Number(number) * (secondsOf[unit] ?? 0);
}

// Without an offset a time would be that of the machine's own zone, which differs between a laptop and a CI job.
const timestamp = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/i;

function isDay(date: string): boolean {
  const time = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(date);
}

/**
 * Reads a point in time as people write it: RFC 3339, a date alone (its beginning in UTC), or a length of time such as
 * `90d`, `12h` or `30m`, counted from now.
 * @param direction - `past` for what has happened, `future` for what will
 * @returns `undefined` for a text that is none of these
 */
export function timeOf(text: string, direction: "past" | "future", now: Date): Date | undefined {
  const seconds = lengthSeconds(text);
  if (seconds !== undefined) return new Date(now.getTime() + (direction === "past" ? -seconds : seconds) * 1_000);
  const [, date] = timestamp.exec(text) ?? [];
  // `Date` takes 30 February for 2 March.
  if (date === undefined || !isDay(date)) return undefined;
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

/** The same as RFC 3339, for the API. What is no time goes there as it is: the service says what is wrong with it. */
export const readTime = (text: string, direction: "past" | "future"): string =>
  timeOf(text, direction, new Date())?.toISOString() ?? text;
