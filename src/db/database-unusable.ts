/**
 * The database cannot be started, adopted or brought up to date.
 * The message is one or two sentences for the person who starts the service: what is wrong and what to do. It never holds a password.
 */
export class DatabaseUnusable extends Error {
  override readonly name = "DatabaseUnusable";
}
