const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/**
 * Reads a point in time as people write it: RFC 3339, a date alone (its beginning in UTC), or a length of time such as
 * `90d`, `12h` or `30m`, counted from now.
 * @param direction - `past` for what has happened, `future` for what will
 * @returns `undefined` for a text that is none of these
 */
export function timeOf(text: string, direction: "past" | "future", now: Date): Date | undefined {
  const [, number, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  if (number !== undefined && unit !== undefined) {
    const lengthMs = Number(number) * (secondsOf[unit] ?? 0) * 1_000;
    return new Date(now.getTime() + (direction === "past" ? -lengthMs : lengthMs));
  }
  if (!/^\d{4}-\d{2}-\d{2}(?:T.*)?$/.test(text)) return undefined;
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

/** The same as RFC 3339, for the API. What is no time goes there as it is: the service says what is wrong with it. */
export const readTime = (text: string, direction: "past" | "future"): string =>
  timeOf(text, direction, new Date())?.toISOString() ?? text;
