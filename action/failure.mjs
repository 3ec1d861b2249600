/** What went wrong, in a sentence that says what to do. All other errors are mistakes in this program. */
export class Failure extends Error {
  name = "Failure";
}
