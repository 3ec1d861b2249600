import {
  AccessApi,
  AuditApi,
  Configuration,
  FactoriesApi,
  FactoryConfigApi,
  JobsApi,
  type Problem,
  RegistryTokensApi,
  ResponseError,
  SecretsApi,
} from "./client/index.js";

const env = (name: string): string => process.env[name] ?? "";
const withToken = (accessToken: string) => new Configuration({ basePath: env("FS_URL"), accessToken });

const operator = withToken(env("FS_TOKEN"));
const { name: factory } = await new FactoriesApi(operator).createFactory({
  factoryRequest: { name: env("FS_FACTORY") },
});
const secret = await new SecretsApi(operator).putSecret({
  factory,
  name: "aws_creds",
  secretWrite: { value: env("FS_SECRET") },
});
const config = await new FactoryConfigApi(operator).putConfig({ factory, body: env("FS_CONFIG") });
const job = await new JobsApi(operator).createJob({ factory, jobRequest: { name: "build 1" } });
const { tokens } = await new RegistryTokensApi(withToken(job.token)).issueRegistryTokens({
  factory,
  registryTokenRequest: { registry: env("FS_REGISTRY") },
});
const rule = await new AccessApi(operator).createTrustRule({
  factory,
  trustRuleRequest: {
    name: "numbers",
    issuer: env("FS_ISSUER"),
    audience: "factory-secrets",
    conditions: [{ claim: "repository_id", equalsNumber: 123456789 }],
    grants: [{ registry: env("FS_REGISTRY"), actions: ["pull"] }],
  },
});

let events = 0;
let pages = 0;
let pageToken: string | undefined;
do {
  const page = await new AuditApi(operator).listFactoryAudit({ factory, pageSize: 2, pageToken });
  events += page.items.length;
  pages += 1;
  pageToken = page.nextPageToken;
} while (pageToken !== undefined);

let problem: Problem | undefined;
try {
  await new FactoriesApi(operator).getFactory({ factory: "no-such-factory" });
} catch (error) {
  if (error instanceof ResponseError) problem = await error.response.json();
}
console.log(
  JSON.stringify({
    secret: secret.version,
    config: config.version,
    username: tokens?.[0]?.username,
    number: rule.conditions[0]?.equalsNumber,
    events,
    pages,
    problem: problem?.code,
  }),
);
