import { z } from "zod";

/**
 * An optional member of JSON that another system sent: `null`, `""` and a value of another form are as good as none, so
 * that a member that is not needed cannot spoil a reply. Do not use it where the absence of the member permits something.
 */
export function optionalMember<S extends z.ZodType>(shape: S) {
  return z
    .preprocess((value) => (value === null || value === "" ? undefined : value), shape.optional())
    .catch(undefined);
}

/** A list of which only the items of the right form count. */
export function listOf<S extends z.ZodType>(item: S) {
  return z.array(z.unknown()).transform((items) =>
    items.flatMap((one): z.output<S>[] => {
      const parsed = item.safeParse(one);
      return parsed.success ? [parsed.data] : [];
    }),
  );
}

/** A length of time in an OAuth reply (RFC 6749, section 5.1). Some services write the number as text. */
export const Seconds = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^[0-9]{1,15}$/)
      .transform(Number),
  ])
  .pipe(z.number().positive());

/**
 * A token that another system sent: RFC 6749, appendix A.12, and no blanks, so that it can stand in a header, a file or a
 * line of a log and changes nothing of what is around it.
 */
export const ForeignToken = z.string().regex(/^[\x21-\x7e]+$/);

/** A length of time in seconds that a reply states. `undefined`: it states none; `"unreadable"`: one of unknown length. */
export type StatedSeconds = number | "unreadable" | undefined;

/** `null`, `""` and 0, which programs write for what they do not know, state nothing. */
export const StatedSeconds = z.preprocess(
  (value) => (value === null || value === "" || value === 0 ? undefined : value),
  z.union([Seconds, z.undefined(), z.unknown().transform((): "unreadable" => "unreadable")]).optional(),
);

/** The text of a reply. A byte order mark at its beginning is left out: no JSON parser takes one. */
export function replyText(body: Buffer): string {
  return new TextDecoder("utf-8").decode(body);
}

/** Parses JSON that is not ours. @returns `undefined` when it is not one: the parser's message quotes its input */
export function parseForeignJson(body: Buffer | string): unknown {
  try {
    return JSON.parse(typeof body === "string" ? body.replace(/^\uFEFF/, "") : replyText(body));
  } catch {
    return undefined;
  }
}
