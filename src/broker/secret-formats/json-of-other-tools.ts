import { z } from "zod";
import type { RegistryType } from "../../factory-config/entry.js";
import { parseForeignJson } from "../../outbound/foreign-json.js";
import type { FormatResult } from "./check-credential-text.js";

type Parse = (text: string) => FormatResult<unknown>;
type Kind = { shape: z.ZodType; sentence: string };

const text = z.string();

function profileFrom(filter: string, token: string | undefined): string {
  const session = token === undefined ? "" : `\\naws_session_token = \\(.${token})`;
  return `jq -r '${filter} | "[default]\\naws_access_key_id = \\(.AccessKeyId)\\naws_secret_access_key = \\(.SecretAccessKey)${session}"' FILE > credentials`;
}

const temporary = "Such keys end within hours or days; keys of an IAM user and a role_arn do not.";

/** JSON that other programs write, and that people store in the place of a credential. */
const kinds: readonly Kind[] = [
  {
    shape: z.object({ Credentials: z.object({ AccessKeyId: text, SessionToken: text }) }),
    sentence: `It is the JSON of an AWS STS command (get-session-token, assume-role). Make a credentials file of it: ${profileFrom(".Credentials", "SessionToken")} (${temporary})`,
  },
  {
    shape: z.object({ AccessKey: z.object({ AccessKeyId: text, SecretAccessKey: text }) }),
    sentence: `It is the JSON of aws iam create-access-key. Make a credentials file of it: ${profileFrom(".AccessKey", undefined)}`,
  },
  {
    shape: z.object({ AccessKeyId: text, SecretAccessKey: text, SessionToken: text }),
    sentence: `It is the JSON of a credential process. Make a credentials file of it: ${profileFrom(".", "SessionToken")} (${temporary})`,
  },
  {
    shape: z.object({ AccessKeyId: text, SecretAccessKey: text, Token: text }),
    sentence: `It is the JSON of an AWS metadata service. Make a credentials file of it: ${profileFrom(".", "Token")} (${temporary})`,
  },
  {
    shape: z.object({ AccessKeyId: text, SecretAccessKey: text }),
    sentence: `It is JSON with AWS keys. Make a credentials file of it: ${profileFrom(".", undefined)}`,
  },
  {
    shape: z.object({ type: z.enum(["external_account", "external_account_authorized_user"]) }),
    sentence:
      "It is the configuration of a workload identity federation (external_account), which holds no key. Name gar_workload_identity_provider in the entry in place of the secret, or make a key: gcloud iam service-accounts keys create key.json --iam-account=EMAIL",
  },
  {
    shape: z.object({ type: z.literal("authorized_user") }),
    sentence:
      "It is a person's own login at Google (authorized_user). Make a key of a service account: gcloud iam service-accounts keys create key.json --iam-account=EMAIL",
  },
  {
    shape: z.object({ type: z.literal("impersonated_service_account") }),
    sentence:
      "It impersonates a service account with another account's login. Make a key: gcloud iam service-accounts keys create key.json --iam-account=EMAIL",
  },
  {
    shape: z.object({ privateKeyData: text }),
    sentence:
      "It is the reply of Google's API that made a key. Take the key file out: jq -r .privateKeyData FILE | base64 -d > key.json",
  },
  {
    shape: z.union([z.object({ installed: z.object({}) }), z.object({ web: z.object({ client_id: text }) })]),
    sentence:
      "It is the client of an OAuth application. Make a key of a service account: gcloud iam service-accounts keys create key.json --iam-account=EMAIL",
  },
  {
    shape: z.object({ kind: z.literal("Secret"), data: z.record(text, text) }),
    sentence: "It is a Kubernetes Secret. Take the value out: jq -r '.data.\"KEY\"' FILE | base64 -d",
  },
  {
    shape: z.object({ aws_access_key_id: text, aws_secret_access_key: text }),
    sentence:
      "It is JSON with AWS keys. Make a credentials file of it: jq -r '\"[default]\\naws_access_key_id = \\(.aws_access_key_id)\\naws_secret_access_key = \\(.aws_secret_access_key)\"' FILE > credentials",
  },
  {
    shape: z.object({ startUrl: text, accessToken: text }),
    sentence:
      "It is a person's login at IAM Identity Center (sso), which ends within hours. Make keys of an IAM user, or use aws_role_arn in the entry in place of the secret.",
  },
  {
    shape: z.object({ appId: text, fileWithCertAndPrivateKey: text }),
    sentence:
      "It is a service principal with a certificate, and a password is needed: az ad sp credential reset --id APP_ID > FILE",
  },
  {
    shape: z.object({ accessToken: text }),
    sentence:
      "It is an access token of the Azure CLI, which ends within hours. Make a service principal: az ad sp create-for-rbac --role AcrPull --scopes REGISTRY_ID > FILE",
  },
  {
    shape: z.object({ username: text, passwords: z.array(z.object({ value: text })).min(1) }),
    sentence:
      "It is the JSON of az acr credential show. Make a pair of it: jq -r '.username + \":\" + .passwords[0].value' FILE > FILE.pair",
  },
  {
    shape: z.object({
      credentials: z.object({ username: text, passwords: z.array(z.object({ value: text })).min(1) }),
    }),
    sentence:
      "It is the JSON of az acr token create. Make a pair of it: jq -r '.credentials | .username + \":\" + .passwords[0].value' FILE > FILE.pair",
  },
  {
    shape: z.object({ Username: text, Secret: text }),
    sentence:
      "It is the reply of a docker credential helper. Make a pair of it: jq -r '.Username + \":\" + .Secret' FILE > FILE.pair",
  },
  {
    shape: z.record(text, z.looseObject({ auth: text })),
    sentence: "It is an old .dockercfg. Take the login out: jq -r '.\"HOST\".auth' FILE | base64 -d",
  },
  {
    shape: z.object({ auths: z.record(z.string(), z.unknown()) }),
    sentence: "It is a docker config.json. Take the login out: jq -r '.auths[\"HOST\"].auth' FILE | base64 -d",
  },
];

/** Names JSON of another form than the registry needs, with the command that repairs it; `undefined` when it is not such. */
export function whatJsonIs(form: RegistryType, value: string, parse: Parse): string | undefined {
  const trimmed = value.trim();
  const isJson = /^["{[]/.test(trimmed);
  // `{\"type\": ...}`: the content of a JSON text, without its quotes.
  if (/^\{\s*\\"/.test(trimmed) && isTextOf(parseForeignJson(`"${trimmed}"`), parse)) {
    return "Its quotes are escaped with backslashes. Take them out: sed 's/\\\\\"/\"/g; s/\\\\\\\\n/\\\\n/g' FILE > FILE.json";
  }
  const json = isJson ? parseForeignJson(trimmed) : undefined;
  if (typeof json === "string") {
    return isTextOf(json, parse) ? "It is JSON in a JSON text. Take it out: jq -r . FILE > FILE.json" : undefined;
  }
  if (json === undefined) return brokenLineEnds(form, trimmed, parse);
  if (typeof json !== "object" || json === null) return undefined;
  const kind = kinds.find(({ shape }) => shape.safeParse(json).success);
  if (kind) return kind.sentence;
  if (form === "generic") return "It is JSON. Write <user>:<token> on one line.";
  return form === "gar" ? escapedKey(json, parse) : undefined;
}

const isTextOf = (value: unknown, parse: Parse): boolean => typeof value === "string" && parse(value).ok;

const KeyFile = z.looseObject({ private_key: text });

/** `\\n` in the private key of a key file: escaped once too often. */
function escapedKey(json: object, parse: Parse): string | undefined {
  const file = KeyFile.safeParse(json);
  if (!file.success || !file.data.private_key.includes("\\n")) return undefined;
  const mended = { ...file.data, private_key: file.data.private_key.replaceAll("\\n", "\n") };
  if (!parse(JSON.stringify(mended)).ok) return undefined;
  return "The line ends in its private_key are escaped twice. Mend it: sed 's/\\\\\\\\n/\\\\n/g' FILE > key.json";
}

/** A key file whose `\n` some program has made into line ends: JSON allows none within a text. */
function brokenLineEnds(form: RegistryType, value: string, parse: Parse): string | undefined {
  if (form !== "gar") return undefined;
  if (value.startsWith("-----BEGIN ")) {
    return "It is the private key alone. Store the whole JSON key file: fioctl secrets update NAME==FILE";
  }
  if (!value.startsWith("{")) return undefined;
  const mended = value.replace(/-----BEGIN [^"]*/, (key) => key.replace(/\r?\n/g, "\\n"));
  if (mended === value || !parse(mended).ok) return undefined;
  return "The \\n in its private_key were made into line ends. Store the key file as it was downloaded: fioctl secrets update NAME==FILE";
}
