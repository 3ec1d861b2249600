/**
 * What reading a credential text gives. A mistake is a sentence for people that names lines and known keys,
 * never a word of the text itself: it may be the secret.
 */
export type FormatResult<T> =
  /** `remarks`: what of it is passed over. */
  { ok: true; value: T; remarks?: readonly string[] } | { ok: false; mistakes: readonly string[] };
