/** What the commands of a job end with. docs/ci.md lists them: scripts depend on the numbers. */
export const exitCodes = {
  done: 0,
  /** Something on this machine is in the way: a file, a program, docker's own configuration. */
  failed: 1,
  /** Wrong usage, or a setting that is missing or makes no sense. */
  usage: 2,
  /** No identity of the job was found. */
  noIdentity: 3,
  /** The service does not accept the identity, or not for this factory. */
  notAccepted: 4,
  /** The service knows who asks, and refuses a registry or a repository. */
  refused: 5,
  /** The service is down, slow or busy, and patience has run out. */
  unavailable: 6,
  /** `ci exec` could not start its command; whatever else it ends with is the command's own. As docker run and env. */
  notStarted: 125,
  /** Nobody reads the output any more: what a shell says of a program that SIGPIPE has ended. */
  readerGone: 141,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A command cannot do what it was asked. The message is a sentence for the person who reads the job's log. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";

  constructor(
    readonly exitCode: ExitCode,
    message: string,
  ) {
    super(message);
  }
}
