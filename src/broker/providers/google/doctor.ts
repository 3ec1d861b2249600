import { z } from "zod";
import { garLocation } from "../../../core/cloud-hosts.js";
import type { GarEntry } from "../../../factory-config/entry.js";
import { optionalMember } from "../../../outbound/foreign-json.js";
import {
  type Check,
  checkedBy,
  checkOfFailure,
  failed,
  passed,
  type RegistryDoctor,
  unknown,
  warned,
} from "../../doctor/check.js";
import { type CloudOutbound, onlyToHosts } from "../cloud-hosts.js";
import { parseJsonBody, secretMalformed, throwUnlessAnswered } from "../upstream-reply.js";
import { readGarHost, readOnlyScope } from "./gar.js";
import { type GoogleServiceAccount, parseGoogleServiceAccount } from "./service-account.js";
import { getGoogleToken, googleTokenHost } from "./token.js";

export const resourceManagerHost = "cloudresourcemanager.googleapis.com";
export const artifactRegistryHost = "artifactregistry.googleapis.com";
const ownHosts: ReadonlySet<string> = new Set([googleTokenHost, resourceManagerHost, artifactRegistryHost]);

/**
 * Google Artifact Registry. The account's key buys the token that a job would get; with another one, which can read and
 * change nothing, Google is asked which permissions the account holds.
 */
export function createGarDoctor(deps: { outbound: CloudOutbound; now: () => Date }): RegistryDoctor<GarEntry> {
  const outbound = onlyToHosts(deps.outbound, "Google", (host) => ownHosts.has(host));
  const { now } = deps;

  return {
    examine: async (examination) => {
      const { signal, current, secret } = examination;
      const host = readGarHost(examination);
      const account = parseGoogleServiceAccount(secret.value.revealText());
      if (!account.ok) throw secretMalformed(examination, account.mistakes);
      const { accessToken } = await getGoogleToken({ outbound, now }, examination, account.value, readOnlyScope);
      const login = passed("login", "Google takes the key and gives an access token.");
      const way = { outbound, now, signal };
      const rights = async (): Promise<Check[]> => {
        const forAsking = await getGoogleToken({ outbound, now }, examination, account.value, readOnlyPlatformScope);
        return checkRights(way, forAsking.accessToken, { host, account: account.value, examination });
      };
      const [info, checks] = await Promise.all([
        checkToken(way, accessToken),
        rights().catch((error: unknown) => [{ ...checkOfFailure("reach", error), outcome: "unknown" as const }]),
      ]);
      const same = current === undefined ? [] : [sameAccount(account.value, current.revealText())];
      return {
        ...(info.email !== undefined && { principal: info.email }),
        checks: [login, ...same, info.check, ...checks],
      };
    },
  };
}

/** What a job's token may do, whatever the account may. */
async function checkToken(
  way: Parameters<typeof readTokenInfo>[0],
  accessToken: string,
): Promise<{ check: Check; email?: string | undefined }> {
  let email: string | undefined;
  const check = await checkedBy("narrowing", async () => {
    const info = await readTokenInfo(way, googleTokenHost, accessToken);
    email = info?.email;
    if (info === undefined) return unknown("narrowing", "Google does not say what its tokens are limited to.");
    const isReadOnly = info.scopes.every((scope) => scope === readOnlyScope);
    if (isReadOnly) {
      return passed(
        "narrowing",
        "A job's token may read from storage and do nothing else, whatever the account may. It is not limited to repositories: Google has no such token.",
      );
    }
    return warned(
      "narrowing",
      "A job's token has further scopes than reading from storage. Tell the operator of this service.",
    );
  });
  return { check, email };
}

/** An account's e-mail names its project after the `@`. */
function sameAccount({ clientEmail }: GoogleServiceAccount, currentText: string): Check {
  const current = parseGoogleServiceAccount(currentText);
  if (!current.ok) {
    return unknown("same-principal", "The current version cannot be read, so there is nothing to compare with.");
  }
  const then = current.value.clientEmail;
  if (then === clientEmail) return passed("same-principal", "It is the service account of the current version.");
  if (then.split("@")[1] === clientEmail.split("@")[1]) {
    return passed("same-principal", "It is another service account of the same project.");
  }
  return warned("same-principal", "It is a service account of another project. Check that the repositories let it in.");
}

type Asked = {
  host: string;
  account: GoogleServiceAccount;
  examination: { repositories: readonly string[] | undefined };
};

const pulling = "artifactregistry.repositories.downloadArtifacts";
const pushing = ["artifactregistry.repositories.uploadArtifacts", "artifactregistry.repositories.deleteArtifacts"];
// Anyone who may do these may do everything, in a step or two.
const administration = ["resourcemanager.projects.setIamPolicy", "iam.serviceAccountKeys.create"];

/** What the account may do in its project, or in those of the named repositories. */
export async function checkRights(way: Way, accessToken: string, asked: Asked): Promise<Check[]> {
  const { repositories } = asked.examination;
  const projects = [...new Set(repositories?.map(projectOf) ?? ownProject(asked.account))];
  if (projects.length === 0) {
    return [unknown("reach", "Its e-mail does not name its project. Name repositories to see what it may do there.")];
  }
  const ofProjects = new Map(projects.map((project) => [project, rightsInProject(way, accessToken, project)] as const));
  const single = (repositories ?? []).map((repository) => ({
    repository,
    rights: rightsInRepository(way, accessToken, asked.host, repository),
  }));
  const all = [...ofProjects.values(), ...single.map(({ rights }) => rights)];
  // Each is awaited in a check of its own; one that fails before its turn must not end the process.
  for (const rights of all) rights.catch(() => undefined);
  const reach =
    repositories === undefined
      ? projects.map((project) => checkedBy("reach", async () => reachOf(project, await ofProjects.get(project))))
      : single.map(({ repository, rights }) =>
          checkedBy("reach", async () =>
            pullOf(repository, joined(await rights, await ofProjects.get(projectOf(repository)))),
          ),
        );
  return Promise.all([
    ...reach,
    checkedBy("push", async () => pushOf(await Promise.all(all))),
    checkedBy("over-privileged", async () => privilegesOf(await Promise.all(ofProjects.values()))),
  ]);
}

type Rights = readonly string[] | undefined;

function rightsInProject(way: Way, accessToken: string, project: string): Promise<Rights> {
  const resource = `https://${resourceManagerHost}/v1/projects/${project}`;
  return testPermissions(way, accessToken, resource, [pulling, ...pushing, ...administration]);
}

async function rightsInRepository(way: Way, accessToken: string, host: string, repository: string): Promise<Rights> {
  const location = garLocation(host);
  const [project, name] = repository.split("/");
  // Of gcr.io a path does not tell which repository it is.
  if (location === undefined || name === undefined) return undefined;
  const resource = `https://${artifactRegistryHost}/v1/projects/${project}/locations/${location}/repositories/${name}`;
  return testPermissions(way, accessToken, resource, [pulling, ...pushing]);
}

/** A repository's name at Artifact Registry begins with its project. */
const projectOf = (repository: string): string => repository.split("/")[0] ?? repository;

function ownProject({ clientEmail }: GoogleServiceAccount): string[] {
  const project = /@([a-z][a-z0-9-]{4,29})\.iam\.gserviceaccount\.com$/.exec(clientEmail)?.[1];
  return project === undefined ? [] : [project];
}

/** What is allowed in the project is allowed in its repositories. `undefined`: neither says. */
function joined(one: Rights, other: Rights): Rights {
  return one === undefined && other === undefined ? undefined : [...(one ?? []), ...(other ?? [])];
}

function pullOf(repository: string, rights: Rights): Check {
  if (rights === undefined) {
    return unknown(
      "reach",
      `Google does not say whether it can pull ${repository}. Check the project's and the repository's name.`,
    );
  }
  if (rights.includes(pulling)) return passed("reach", `It can pull ${repository}.`);
  return failed(
    "reach",
    `It may not pull ${repository}. Give it the role roles/artifactregistry.reader on the repository.`,
  );
}

function reachOf(project: string, rights: Rights): Check {
  if (rights?.includes(pulling) === true) return passed("reach", `It can pull every repository of project ${project}.`);
  return unknown(
    "reach",
    `It has no right to pull in the whole of project ${project}; it may have one in single repositories. Name some to see.`,
  );
}

function pushOf(all: readonly Rights[]): Check {
  if (all.some((rights) => rights?.some((right) => pushing.includes(right)))) {
    return warned(
      "push",
      "The account may push or delete images, and jobs only pull. Its tokens for jobs cannot, but anyone with this key can. Give it roles/artifactregistry.reader alone.",
    );
  }
  if (all.every((rights) => rights === undefined)) {
    return unknown("push", "Google does not say whether the account may push. Look at its roles in the console.");
  }
  return passed("push", "The account may not push.");
}

function privilegesOf(all: readonly Rights[]): Check {
  const held = administration.filter((right) => all.some((rights) => rights?.includes(right)));
  if (held.length > 0) {
    return warned(
      "over-privileged",
      `The account also has ${held.join(", ")}. Take roles such as owner and editor from it: jobs need roles/artifactregistry.reader, and nothing else.`,
    );
  }
  if (all.every((rights) => rights === undefined)) {
    return unknown(
      "over-privileged",
      "Google does not say what else the account may do. Look at its roles in the console.",
    );
  }
  return passed("over-privileged", "It does not administer the project.");
}

/** Reads what belongs to a project without being able to change it; the least that `testIamPermissions` takes. */
export const readOnlyPlatformScope = "https://www.googleapis.com/auth/cloud-platform.read-only";

// Not `optionalMember`: a list that cannot be read would say that nothing is permitted.
const permissionsReply = z.object({ permissions: z.array(z.string()).nullish() });
const tokenInfoReply = z.object({
  scope: z.string(),
  email: optionalMember(z.string().regex(/^[\w.+-]{1,128}@[\w.-]{1,128}$/)),
});

type Way = { outbound: CloudOutbound; now: () => Date; signal: AbortSignal };

/**
 * Which of the permissions an access token's account holds on a resource. Nothing is done, and it needs no permission.
 * Source: Resource Manager API, `projects.testIamPermissions`; Artifact Registry API, `repositories.testIamPermissions`.
 * @returns `undefined` when Google does not say: the API is off in the project, or there is no such resource
 */
export async function testPermissions(
  way: Way,
  accessToken: string,
  resource: string,
  permissions: readonly string[],
): Promise<readonly string[] | undefined> {
  const url = new URL(`${resource}:testIamPermissions`);
  const reply = await way.outbound.request({
    url,
    method: "POST",
    headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/json" },
    body: JSON.stringify({ permissions }),
    signal: way.signal,
  });
  throwUnlessAnswered(url.hostname, reply, way.now().getTime());
  const parsed = reply.status === 200 ? permissionsReply.safeParse(parseJsonBody(reply)) : undefined;
  return parsed?.success === true ? (parsed.data.permissions ?? []) : undefined;
}

/** What Google says of an access token: its scopes and, where they allow that, whose it is. */
export async function readTokenInfo(
  way: Way,
  tokenHost: string,
  accessToken: string,
): Promise<{ scopes: readonly string[]; email: string | undefined } | undefined> {
  const reply = await way.outbound.request({
    url: `https://${tokenHost}/tokeninfo`,
    method: "POST",
    // In the header, as google-auth-library sends it: a token in a URL ends in logs.
    headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/x-www-form-urlencoded" },
    signal: way.signal,
  });
  throwUnlessAnswered(tokenHost, reply, way.now().getTime());
  const parsed = reply.status === 200 ? tokenInfoReply.safeParse(parseJsonBody(reply)) : undefined;
  if (parsed?.success !== true) return undefined;
  return { scopes: parsed.data.scope.split(" "), email: parsed.data.email };
}
