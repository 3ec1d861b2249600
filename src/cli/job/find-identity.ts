import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { ClientName } from "../../settings/client-names.js";
import type { Environment } from "../../settings/reader.js";
import { type ClientSettings, settingOf } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { NoAnswer, sendOnce } from "../client/send-once.js";

/**
 * Finds the identity of this job.
 * @throws CommandFailure `noIdentity` with the list of what was looked for
 */
export function findIdentity(deps: FindDeps): JobIdentity {
  // What a person set on purpose comes before what the CI system sets.
  const sources = [givenToken, givenIdToken, githubActions, buildkite, projectedToken(projectedTokenPath)];
  for (const source of sources) {
    const identity = source.find(deps);
    if (identity) return identity;
  }
  const list = sources.map(({ lookedFor }) => `  - ${lookedFor}`).join("\n");
  throw new CommandFailure(
    exitCodes.noIdentity,
    `This job has no identity. Set one of these; the first that is set is used:\n${list}`,
  );
}

export type JobIdentity = {
  /** For messages: "the job token in FACTORY_SECRETS_TOKEN". */
  description: string;
  /** Only this job knows it: tokens on disk are encrypted with it. */
  secret: string;
  /** Issued by the service, not by the CI system. */
  isIssuedByService: boolean;
  /** An operator's token: a job that leaks it opens the whole installation. */
  isOperator?: boolean;
  /** A token to present; a new one for each call where possible, because some can be used only once. */
  present(timeoutMs: number): Promise<string>;
};

export type FindDeps = { environment: Environment; settings: Pick<ClientSettings, "audience" | "authorities"> };

export type IdentitySource = {
  /** What to set, for the message when no identity is found. */
  lookedFor: string;
  /** @throws CommandFailure when it is set and cannot be used */
  find(deps: FindDeps): JobIdentity | undefined;
};

/** A token of the service, or an ID token, in the environment. */
export const givenToken: IdentitySource = {
  lookedFor: "FACTORY_SECRETS_TOKEN or FACTORY_SECRETS_TOKEN_FILE: a job token (fsj_...)",
  find: ({ environment }) => identityIn(environment, "FACTORY_SECRETS_TOKEN", "the token"),
};

/** An ID token in a variable, as GitLab's `id_tokens` sets it, or in a file. */
export const givenIdToken: IdentitySource = {
  lookedFor:
    "FACTORY_SECRETS_ID_TOKEN or FACTORY_SECRETS_ID_TOKEN_FILE: an ID token (in GitLab: id_tokens: FACTORY_SECRETS_ID_TOKEN: aud: <FACTORY_SECRETS_URL>)",
  find: ({ environment }) => identityIn(environment, "FACTORY_SECRETS_ID_TOKEN", "the ID token"),
};

export const operatorTokenWarning = (factory: string): string =>
  `Warning: FACTORY_SECRETS_TOKEN is an operator's token. Anything that runs in this job can read it and administer the whole service. Use a job token instead: factory-secrets jobs open nightly --factory ${factory}, or a trust rule for the CI system's ID tokens: factory-secrets trust-rules templates`;

function identityIn(environment: Parameters<typeof settingOf>[0], name: ClientName, what: string) {
  const token = settingOf(environment, name);
  if (token === undefined) return undefined;
  // A line end would begin another header.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new CommandFailure(
      exitCodes.usage,
      `${name} contains blanks or other characters that no token has. Set it to the token alone, without "Bearer" and without quotes.`,
    );
  return {
    description: `${token.startsWith("fsj_") ? "the job token" : what} in ${name}`,
    secret: token,
    isIssuedByService: token.startsWith("fs"),
    isOperator: token.startsWith("fso_"),
    present: () => Promise.resolve(token),
  };
}

/**
 * GitHub Actions: the runner sets a URL, and a token to request an ID token of the job there.
 * Source: GitHub documentation, "OpenID Connect reference", requesting the JWT with environment variables.
 */
export const githubActions: IdentitySource = {
  lookedFor: "ACTIONS_ID_TOKEN_REQUEST_URL: GitHub sets it for jobs with `permissions: id-token: write`",
  find({ environment, settings }) {
    const url = environment.ACTIONS_ID_TOKEN_REQUEST_URL;
    const token = environment.ACTIONS_ID_TOKEN_REQUEST_TOKEN;
    if (!url || !token || !URL.canParse(url)) return undefined;
    return {
      description: "the ID token of this GitHub Actions job",
      secret: token,
      isIssuedByService: false,
      present: (timeoutMs) => ask({ url, token, settings, timeoutMs }),
    };
  },
};

type Request = { url: string; token: string; settings: FindDeps["settings"]; timeoutMs: number };

async function ask({ url, token, settings, timeoutMs }: Request): Promise<string> {
  const withAudience = new URL(url);
  withAudience.searchParams.set("audience", settings.audience);
  const answer = await sendOnce({
    method: "GET",
    url: withAudience.href,
    headers: { authorization: `Bearer ${token}` },
    authorities: settings.authorities,
    timeoutMs,
  });
  const idToken = textAt(answer.body, "value");
  if (answer.status === 200 && idToken !== undefined) return idToken;
  const sentence = `GitHub gave no ID token for this job: it answered ${answer.status}.`;
  if (answer.status === 429 || answer.status >= 500) throw new NoAnswer(sentence, true);
  throw new CommandFailure(exitCodes.noIdentity, `${sentence} Does the job have \`permissions: id-token: write\`?`);
}

/**
 * Buildkite: the agent on this machine requests an ID token of the job.
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
      // The output of the agent is not shown: it may contain its token.
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      throw new CommandFailure(
        exitCodes.noIdentity,
        isMissing
          ? "This is a Buildkite job, and buildkite-agent, which requests its ID token, is not in PATH. Add its folder to PATH."
          : "buildkite-agent oidc request-token gave no ID token for this job. Run it by hand to see why.",
      );
    },
  );
  const token = stdout.trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new CommandFailure(exitCodes.noIdentity, "buildkite-agent oidc request-token printed no ID token.");
}

/** As docs/ci.md mounts it. The pod's default token is not used: its audience is the API server. */
export const projectedTokenPath = "/var/run/secrets/factory-secrets/token";

/**
 * Kubernetes: a service-account token for this service, projected into the pod.
 * Source: Kubernetes documentation, "Configure Service Accounts for Pods", ServiceAccount token volume projection.
 */
export function projectedToken(path: string): IdentitySource {
  return {
    lookedFor: `${path}: a projected service-account token with the service's URL as its audience`,
    find() {
      const token = readToken(path);
      if (token === undefined) return undefined;
      return {
        description: `the service-account token in ${path}`,
        secret: token,
        isIssuedByService: false,
        // The kubelet replaces it before it expires.
        present: () => Promise.resolve(readToken(path) ?? token),
      };
    },
  };
}

function readToken(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return undefined;
    throw new CommandFailure(
      exitCodes.noIdentity,
      `${path} exists and this user cannot read it. Check its mode and the pod's fsGroup.`,
    );
  }
  return /^[\x21-\x7e]+$/.test(text) ? text : undefined;
}
