/** A command ends with a sentence for the operator. Exit code 1: no, or not done; 2: it could not be asked so. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  constructor(
    message: string,
    readonly exitCode: 1 | 2,
  ) {
    super(message);
  }
}
