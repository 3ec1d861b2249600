import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { type CommandContext, type TokenFlags, wantedBy } from "../command-context.js";
import type { JobClient, Wanted } from "../request-tokens.js";
import { mentionsBelow, type TreeFlags } from "./check-command.js";
import { wantedFor } from "./wanted-for.js";

/**
 * What `ci login --for` asks for: what Dockerfiles and compose files name, and the caller can have.
 * @returns `undefined` when nothing there needs a login
 * @throws CommandFailure when the service does not answer, or an option makes no sense
 */
export async function wantedForTree(
  context: CommandContext,
  client: JobClient,
  flags: TokenFlags & TreeFlags & { directory: string },
): Promise<Wanted | undefined> {
  if ((flags.registry ?? []).length > 0)
    throw new CommandFailure(exitCodes.usage, "--for finds the registries by itself: leave --registry out.");
  const { terminal } = context;
  const { directory } = flags;
  const { mentions, notes } = await mentionsBelow(context, directory, flags);
  for (const note of notes) terminal.say(note);
  for (const mention of mentions)
    if (!("reference" in mention))
      terminal.say(
        `${mention.file}:${mention.line}: ${"unresolved" in mention ? mention.unresolved : mention.passedOver}`,
      );
  const allowed = wantedBy(flags);
  const { requests, withoutLogin } = await wantedFor(client, mentions, allowed);
  for (const host of withoutLogin)
    terminal.say(`${host}: no registry entry is for it, or no grant of this job; it is pulled from without a login.`);
  if (requests.length > 0) return { ...allowed, requests };
  terminal.say(`Nothing in ${directory} needs a login.`);
  return undefined;
}
