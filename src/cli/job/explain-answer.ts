import { explainForeignAnswer, pathHint } from "../client/ask-with-retries.js";
import { CommandFailure, type ExitCode, exitCodes } from "../client/command-failure.js";
import { isObject, parseJson, sentenceAt, textAt } from "../client/json-value.js";
import type { Answer } from "../client/send-once.js";
import { type RegistryFailure, readFailures } from "./registry-token.js";
import type { JobClient } from "./request-tokens.js";

/** The option for what the service calls a member of its API. */
const hintsOfCommands: Readonly<Record<string, string>> = {
  "repositories-required": "On this command line: --registry HOST --repository NAME.",
  "registry-required": "On this command line: --registry HOST.",
  "scope-not-enforceable": "On this command line: --allow-broader.",
};

/** The credential helper has no options: these commands replace it. */
const hintsOfHelper: Readonly<Record<string, string>> = {
  "repositories-required":
    "docker does not tell a credential helper the repository. Use: factory-secrets ci login --registry HOST --repository NAME",
  "scope-not-enforceable": "Use: factory-secrets ci login --registry HOST --allow-broader",
};

/** Failures that may not happen again later. */
const transientCodes: readonly string[] = [
  "upstream-throttled",
  "upstream-unreachable",
  "upstream-timeout",
  "upstream-circuit-open",
];

/**
 * The message for an answer that is not a success: the service's sentence, and what only the client knows, such as which
 * token it sent.
 */
export async function explainAnswer(client: JobClient, answer: Answer): Promise<CommandFailure> {
  const code = textAt(answer.body, "code");
  if (code === undefined) return explainForeignAnswer(client.settings.url, answer);
  const requestId = sentenceAt(answer.body, "requestId");
  const sentences = [
    await sentenceFor(client, code, answer),
    `(${code}${requestId === undefined ? "" : `, request ${requestId}`})`,
  ];
  return new CommandFailure(exitCodeOf(answer.status, code), sentences.join("\n"));
}

/** The message when no registry gave a token. */
export function explainFailures(failures: readonly RegistryFailure[]): CommandFailure {
  return new CommandFailure(exitCodeOfFailures(failures), listOf(failures));
}

/** `unavailable` when all failures are transient, so that the job may try again later. */
export function exitCodeOfFailures(failures: readonly RegistryFailure[]): ExitCode {
  const isTransient = failures.length > 0 && failures.every(({ code }) => transientCodes.includes(code));
  return isTransient ? exitCodes.unavailable : exitCodes.refused;
}

async function sentenceFor(client: JobClient, code: string, answer: Answer): Promise<string> {
  const detail = sentenceAt(answer.body, "detail") ?? "The service gave no reason.";
  if (code === "unauthenticated") return notAccepted(client);
  if (code === "not-found")
    return `There is no factory "${client.settings.factory}" for ${client.identity.description}. FACTORY_SECRETS_FACTORY is misspelt, or the token is for another factory.${pathHint(client.settings.url)}`;
  // With several failures the detail only joins them.
  const failures = readFailures(answer.body);
  if (failures.length > 0) return listOf(failures);
  // The credential helper is the one without --timeout and other options.
  const hint = client.settings.isTimeoutFixed === true ? hintsOfHelper[code] : hintsOfCommands[code];
  // --allow-broader does not help when the registry granted less than was asked: then the service does not name it.
  const isUseless = code === "scope-not-enforceable" && !detail.includes("allowBroader");
  return hint === undefined || isUseless ? detail : `${detail}\n${hint}`;
}

async function notAccepted({ settings, identity }: JobClient): Promise<string> {
  const start = `The service does not accept ${identity.description}.`;
  if (identity.isIssuedByService)
    return `${start} Its job has ended or expired, or the token is not copied whole. Open a new job: factory-secrets jobs open NAME`;
  const presented = await identity.present(settings.giveUpAfterMs).catch(() => "");
  const claims = claimsOf(presented);
  if (claims === undefined && presented !== "")
    return `${start} A job token begins with fsj_, an ID token with eyJ; this one ${looksOf(presented)}.`;
  const expiry = claims && typeof claims.exp === "number" ? new Date(claims.exp * 1_000) : undefined;
  if (expiry && expiry.getTime() <= Date.now())
    return `${start} It expired at ${expiry.toISOString()}. Request the ID token from the CI system just before this step.`;
  const audience = claims === undefined ? settings.audience : JSON.stringify(claims.aud);
  return `${start} No trust rule of the factory "${settings.factory}" accepts it, or the rule has another audience than ${audience}. To see why: run \`factory-secrets ci explain\` in this job, and give the claims that it prints to \`factory-secrets trust-rules explain --claims -\` (permission access:read; over the API: trust-rules:explain).`;
}

const otherTokens: readonly (readonly [RegExp, string])[] = [
  [/^(?:gh[a-z]_|github_pat_)/, "looks like a token of GitHub"],
  [/^gl[a-z]{1,6}-/, "looks like a token of GitLab"],
  [/^(?:AKIA|ASIA)[A-Z2-7]{16}$/, "looks like the id of an AWS key"],
  [/^dckr_/, "looks like a token of Docker Hub"],
  [/^eyJ/, "begins like an ID token and is not copied whole"],
  [/^["'`]/, "begins with a quotation mark"],
  [/^(?:\$|%)/, "is the name of a variable that was not replaced"],
  [/^[./~]/, "looks like a path: set FACTORY_SECRETS_TOKEN_FILE for a file"],
  [/^https?:/, "is a URL"],
];

const looksOf = (token: string): string =>
  otherTokens.find(([pattern]) => pattern.test(token))?.[1] ?? `does not, and has ${token.length} characters`;

/** The claims of a JWT, unverified, to show to its holder. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const claims = parseJson(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  return isObject(claims) ? claims : undefined;
}

function listOf(failures: readonly RegistryFailure[]): string {
  const lines = failures.map(({ registry, code, message }) => `\n  ${registry}: ${message} (${code})`);
  return `${failures.length} ${failures.length === 1 ? "registry" : "registries"} gave no token:${lines.join("")}`;
}

function exitCodeOf(status: number, code: string): ExitCode {
  if (code === "unauthenticated" || code === "not-found" || code === "forbidden") return exitCodes.notAccepted;
  if (code === "malformed-body" || code === "invalid-request") return exitCodes.usage;
  if (code === "upstream-refused") return exitCodes.refused;
  if (code === "conflict") return exitCodes.unavailable;
  return status === 429 || status >= 500 ? exitCodes.unavailable : exitCodes.refused;
}
