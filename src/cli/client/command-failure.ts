/** Exit codes of all commands. docs/ci.md and docs/cli.md list them: scripts depend on the numbers. */
export const exitCodes = {
  done: 0,
  /** Something on this machine is in the way: a file, a program, docker's own configuration. */
  failed: 1,
  /** Wrong usage, or a setting that is missing or not valid. */
  usage: 2,
  /** The job has no identity, or the operator no login. */
  noIdentity: 3,
  /** The service does not accept the identity, or not for this factory. */
  notAccepted: 4,
  /** The service accepts the identity, and refuses the request. */
  refused: 5,
  /** The service is down, slow or busy for longer than `--timeout`. */
  unavailable: 6,
  /** `ci exec` could not start its command, as with `docker run` and `env`. Any other code is that of the command. */
  notStarted: 125,
  /** The reader of the output is gone: the code that a shell gives a program ended by SIGPIPE. */
  readerGone: 141,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A command cannot do what it was asked. The message is a sentence for a person. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";

  constructor(
    readonly exitCode: ExitCode,
    message: string,
  ) {
    super(message);
  }
}
