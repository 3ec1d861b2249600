import { garLocation } from "../../../core/cloud-hosts.js";
import { artifactRegistryHost, resourceManagerHost, testPermissions } from "../../providers/google-permissions.js";
import type { GoogleServiceAccount } from "../../secret-formats/google-service-account.js";
import { type Check, checkedBy, failed, passed, unknown, warned } from "../check.js";

type Way = Parameters<typeof testPermissions>[0];

type Asked = {
  host: string;
  account: GoogleServiceAccount;
  examination: { repositories: readonly string[] | undefined };
};

const pulling = "artifactregistry.repositories.downloadArtifacts";
const pushing = ["artifactregistry.repositories.uploadArtifacts", "artifactregistry.repositories.deleteArtifacts"];
// Whoever may do these may do everything, in a step or two.
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
      "The account may push or delete images, and jobs only pull. Its tokens for jobs cannot, but whoever has this key can. Give it roles/artifactregistry.reader alone.",
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
