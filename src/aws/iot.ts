import { z } from "zod";
import { requestedBy } from "../audit/record.js";
import type { Caller } from "../core/caller.js";
import { type ErrorShape, Problem } from "../core/problem.js";

import { ProblemDocument, Timestamp } from "../http/contract.js";
import { route } from "../http/route.js";
import { problemDocument } from "../http/send.js";
import { type CredentialsDeps, issueAwsCredentials } from "./credentials.js";

const unableToAssume = "Unable to assume the role, or the role to assume does not exist";

/**
 * A problem as the AWS IoT credentials provider has an error: its status and `message`, with what we know beside.
 * Source: AWS IoT Core Developer Guide, "Authorizing direct calls to AWS services using AWS IoT Core credential provider".
 */
const iotErrors: ErrorShape = (problem, requestId) => {
  const { status, message } = inItsWords(problem);
  const document = { ...problemDocument(problem, requestId), status, message };
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) };
};

function inItsWords({ code, status, detail }: Problem): { status: number; message: string } {
  if (status === 401 || code === "outside-grants" || code === "destination-not-approved") {
    return { status: 403, message: "Access Denied" };
  }
  if (code === "forbidden") return { status: 403, message: detail };
  if (code === "registry-unknown" || code === "not-found") return { status: 404, message: "Role alias does not exist" };
  if (status === 422 || code === "upstream-refused" || code === "upstream-invalid") {
    return { status: 400, message: unableToAssume };
  }
  return { status, message: detail };
}

const RoleAliasParams = z.object({
  alias: z.string().max(300).meta({
    description: "A role alias of the device authority's policy, or the id of a registry entry of type aws.",
    example: "ecr-pull",
  }),
});

const IotCredentials = z
  .object({
    accessKeyId: z.string(),
    secretAccessKey: z.string(),
    sessionToken: z.string(),
    expiration: Timestamp,
  })
  .meta({ id: "IotCredentials" });

const IotCredentialsReply = z
  .object({ credentials: IotCredentials })
  .meta({ id: "IotCredentialsReply", description: "As the AWS IoT credentials provider answers." });

const IotError = ProblemDocument.extend({
  message: z.string().meta({ description: "What the AWS IoT credentials provider says; `detail` says more." }),
}).meta({ id: "IotError" });

const error = (description: string) => ({ description, content: { "application/json": IotError } });

const getRoleAliasCredentials = route(
  {
    id: "getRoleAliasCredentials",
    method: "get",
    path: "/role-aliases/{alias}/credentials",
    tag: "AWS programs",
    summary: "Temporary AWS credentials for a device",
    description:
      "As the AWS IoT credentials provider answers, over mutual TLS with the certificate of a device. `x-amzn-iot-thingname` may name the device, by its id.",
    auth: "device",
    params: RoleAliasParams,
    replies: {
      200: { description: "The credentials.", content: { "application/json": IotCredentialsReply } },
      400: error("`Unable to assume the role, or the role to assume does not exist`; `detail` says why."),
      403: error("`Access Denied`, or `Invalid thing name passed`."),
      404: error("`Role alias does not exist`."),
      409: error("The factory keeps changing. Ask again."),
      429: error("Too many requests."),
      500: error("Something failed that should not."),
      502: error("The cloud cannot be reached."),
      503: error("The service, or the cloud, cannot answer just now."),
      504: error("The cloud did not answer in time."),
    },
    problems: [],
    errors: iotErrors,
    holdsCredential: true,
  },
  async (deps: CredentialsDeps, { caller, factory, params, request }) => {
    checkThingName(caller, request.sent.headers["x-amzn-iot-thingname"]);
    const registry = caller.roleAliases?.find(({ alias }) => alias === params.alias)?.registry ?? params.alias;
    const asked = { factory, caller, registry, requested: requestedBy(request), via: "iot-credentials" as const };
    const { token } = await issueAwsCredentials(deps, asked);
    const { accessKeyId, secretAccessKey, sessionToken } = token.keys;
    const expiration = token.expiresAt.toISOString();
    return { status: 200, body: { credentials: { accessKeyId, secretAccessKey, sessionToken, expiration } } };
  },
);

// On AWS a thing has a name beside its certificate; here the certificate names the device.
function checkThingName(device: Pick<Caller, "id">, thingName: string | string[] | undefined): void {
  if (thingName === undefined || (typeof thingName === "string" && thingName.toLowerCase() === device.id)) return;
  throw new Problem("forbidden", "Invalid thing name passed");
}

export const iotRoutes = [getRoleAliasCredentials];
