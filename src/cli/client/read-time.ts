const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** A length of time such as `90d` or `2h`, in seconds; `undefined` for any other text. */
export function lengthSeconds(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  return number === undefined || unit === undefined ? undefined : Number(number) * (secondsOf[unit] ?? 0);
}

// The offset is required: the zone of a laptop and that of a CI job differ.
const timestamp = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/i;

function isDay(date: string): boolean {
  const time = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(date);
}

/**
 * Reads a time as people write it: RFC 3339, a date (00:00 UTC), or a length such as `90d`, `12h` or `30m` from now.
 * @param direction - in which a length counts
 * @returns `undefined` for any other text
 */
export function timeOf(text: string, direction: "past" | "future", now: Date): Date | undefined {
  const seconds = lengthSeconds(text);
  if (seconds !== undefined) return new Date(now.getTime() + (direction === "past" ? -seconds : seconds) * 1_000);
  const [, date] = timestamp.exec(text) ?? [];
  // `Date` reads 30 February as 2 March.
  if (date === undefined || !isDay(date)) return undefined;
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

/** The same as RFC 3339, for the API. Any other text is sent as it is, and the service says what is wrong with it. */
export const readTime = (text: string, direction: "past" | "future"): string =>
  timeOf(text, direction, new Date())?.toISOString() ?? text;
