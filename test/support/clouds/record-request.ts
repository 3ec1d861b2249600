import type { CloudRequest } from "./cloud-endpoint.js";

/** What a test may look at afterwards. Credentials are replaced by `[redacted]`; what is left may be printed. */
export type RecordedRequest = {
  /** What was asked for, in the cloud's words: `AssumeRole`, `GetAuthorizationToken`, `GET /oauth2/token`. */
  operation: string;
  host: string;
  method: string;
  path: string;
  query: Readonly<Record<string, readonly string[]>>;
  /** The scheme of the `Authorization` header, lower case, or `none`. */
  authorization: string;
  /** A credential arrived, in a header, in the query or in a form field. */
  carriedCredentials: boolean;
  userAgent: string;
  /** The fields of a form body. */
  form: Readonly<Record<string, readonly string[]>>;
};

const redacted = "[redacted]";
const secretFields = new Set([
  "access_token",
  "assertion",
  "client_assertion",
  "client_secret",
  "password",
  "refresh_token",
  "subject_token",
  "webidentitytoken",
  "x-amz-security-token",
  "x-amz-signature",
]);

/** Copies a request without what must not be kept. */
export function recordRequest(operation: string, request: CloudRequest): RecordedRequest {
  const query = fieldsOf(request.rawQuery);
  const isForm = request.headers["content-type"]?.startsWith("application/x-www-form-urlencoded") ?? false;
  const form = fieldsOf(isForm ? request.body : "");
  const authorization = request.headers.authorization;
  return {
    operation,
    host: request.host,
    method: request.method,
    path: request.path,
    query: query.fields,
    authorization: authorization === undefined ? "none" : (/^\S+/.exec(authorization)?.[0] ?? "").toLowerCase(),
    carriedCredentials:
      authorization !== undefined ||
      request.headers["proxy-authorization"] !== undefined ||
      request.headers.cookie !== undefined ||
      query.sawSecret ||
      form.sawSecret,
    userAgent: request.headers["user-agent"] ?? "",
    form: form.fields,
  };
}

function fieldsOf(encoded: string): { fields: Record<string, string[]>; sawSecret: boolean } {
  const fields: Record<string, string[]> = {};
  let sawSecret = false;
  for (const [name, value] of new URLSearchParams(encoded)) {
    const isSecret = secretFields.has(name.toLowerCase());
    sawSecret ||= isSecret;
    const values = fields[name] ?? [];
    values.push(isSecret ? redacted : value);
    fields[name] = values;
  }
  return { fields, sawSecret };
}
