import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import type { IdentitySource } from "./job-identity.js";

/**
 * Buildkite: the agent on this machine asks for an ID token of the job.
 * Source: Buildkite documentation, "buildkite-agent oidc", request-token.
 */
export const buildkite: IdentitySource = {
  lookedFor: "BUILDKITE_AGENT_ACCESS_TOKEN: Buildkite's agent sets it for its jobs",
  find({ environment, settings }) {
    const secret = environment.BUILDKITE_AGENT_ACCESS_TOKEN;
    if (!secret) return undefined;
    return {
      description: "the ID token of this Buildkite job",
      // The agent's token may outlive the job.
      secret: `${secret} ${environment.BUILDKITE_JOB_ID ?? ""}`,
      isIssuedByService: false,
      present: (timeoutMs) => requestToken(settings.audience, timeoutMs),
    };
  },
};

async function requestToken(audience: string, timeoutMs: number): Promise<string> {
  const args = ["oidc", "request-token", "--audience", audience];
  const { stdout } = await promisify(execFile)("buildkite-agent", args, { timeout: timeoutMs }).catch(
    (error: unknown) => {
      // What the agent says may hold what it was given.
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      throw new CommandFailure(
        exitCodes.noIdentity,
        isMissing
          ? "This is a Buildkite job, and there is no buildkite-agent in PATH to ask for its ID token."
          : "buildkite-agent oidc request-token gave no ID token for this job. Run it by hand to see why.",
      );
    },
  );
  const token = stdout.trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new CommandFailure(exitCodes.noIdentity, "buildkite-agent oidc request-token printed no ID token.");
}
