import { readFile } from "node:fs/promises";
import { Failure } from "./failure.mjs";

/** With one of these the job says itself who it is, and GitHub is not asked. */
const given = ["FACTORY_SECRETS_TOKEN", "FACTORY_SECRETS_ID_TOKEN"].flatMap((name) => [name, `${name}_FILE`]);

/**
 * Before anything is fetched: whether this job can say who it is.
 * @throws Failure with what to change in the workflow
 */
export async function requireIdentity(environment) {
  if (given.some((name) => environment[name])) return;
  if (environment.ACTIONS_ID_TOKEN_REQUEST_URL && environment.ACTIONS_ID_TOKEN_REQUEST_TOKEN) return;
  throw new Failure((await isFromFork(environment)) ? fromFork : notPermitted);
}

const notPermitted = `This job may not ask GitHub for its ID token. Add to the job, or to the workflow:
  permissions:
    contents: read
    id-token: write
A job of a reusable workflow needs it from the workflow that calls it as well.`;

const fromFork = `GitHub gives no ID token to a pull request from a fork, whatever its permissions say. Skip the job there:
  if: github.event.pull_request.head.repo.full_name == github.repository`;

/** Source: GitHub documentation, "Webhook events and payloads", pull_request. The fork may be gone: then `repo` is null. */
async function isFromFork({ GITHUB_EVENT_PATH, GITHUB_REPOSITORY }) {
  const event = await readFile(GITHUB_EVENT_PATH ?? "", "utf8").then(JSON.parse, () => undefined);
  const head = event?.pull_request?.head;
  return head !== undefined && head?.repo?.full_name !== GITHUB_REPOSITORY;
}
