import type { z } from "zod";
import type { AwsFiles } from "../../broker/aws-files.js";
import type { AwsKeyPair } from "../../broker/contract.js";

type Pair = z.output<typeof AwsKeyPair>;

const services = "factory-secrets";

/**
 * What AWS programs read: environment variables, or `~/.aws/config` and `~/.aws/credentials`. Only calls of Amazon ECR
 * come to this service. One pair is the profile `default`; of several each is a profile named as its entry.
 * Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
 */
export function renderConfig(pairs: readonly Pair[]): AwsFiles {
  const [first, ...others] = pairs;
  const isOne = others.length === 0;
  const configs = pairs.map((pair) =>
    [isOne ? "[default]" : `[profile ${pair.entry}]`, `region = ${pair.region}`, `services = ${services}`].join("\n"),
  );
  const endpoint = `[services ${services}]\necr =\n  endpoint_url = ${first?.endpointUrl ?? ""}`;
  return {
    ...(isOne && first && { environment: environmentOf(first) }),
    configFile: `${[...configs, endpoint].join("\n\n")}\n`,
    credentialsFile: pairs.map((pair) => credentials(isOne ? "default" : pair.entry, pair)).join("\n"),
  };
}

/**
 * A credentials file for programs that read nothing else. A `[services]` section is an error in it, so that every AWS call
 * of whoever reads it comes to this service.
 */
export function renderCredentialsFile(pair: Pair, publicUrl: string): AwsFiles {
  return { credentialsFile: `${credentials("default", pair)}endpoint_url = ${publicUrl}\n` };
}

function environmentOf(pair: Pair): { name: string; value: string }[] {
  return [
    { name: "AWS_ENDPOINT_URL_ECR", value: pair.endpointUrl },
    { name: "AWS_ACCESS_KEY_ID", value: pair.accessKeyId },
    { name: "AWS_SECRET_ACCESS_KEY", value: pair.secretAccessKey },
    { name: "AWS_DEFAULT_REGION", value: pair.region },
    { name: "AWS_REGION", value: pair.region },
  ];
}

function credentials(profile: string, pair: Pair): string {
  return `[${profile}]\naws_access_key_id = ${pair.accessKeyId}\naws_secret_access_key = ${pair.secretAccessKey}\n`;
}
