const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** A length of time such as `90d` or `2h`, in seconds; `undefined` for a text that is none. */
export function lengthSeconds(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  return number === undefined || unit === undefined ? undefined : Number(number) * (secondsOf[unit] ?? 0);
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
  if (!/^\d{4}-\d{2}-\d{2}(?:T.*)?$/.test(text)) return undefined;
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

/** The same as RFC 3339, for the API. What is no time goes there as it is: the service says what is wrong with it. */
export const readTime = (text: string, direction: "past" | "future"): string =>
  timeOf(text, direction, new Date())?.toISOString() ?? text;
