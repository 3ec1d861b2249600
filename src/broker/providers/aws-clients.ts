import { guardedHandler } from "../../outbound/aws-http-handler.js";
import type { AwsKeys } from "../secret-formats/aws-credentials.js";
import type { CloudOutbound } from "./cloud-hosts.js";

/**
 * The configuration of every AWS client. Each setting that the SDK would otherwise look up in the environment, in
 * `~/.aws` or at a metadata service is given here, so that it looks nowhere: the keys are a tenant's and the machine's
 * own identity must not stand in for them.
 */
export function awsClientConfig(outbound: CloudOutbound, options: { region: string; keys: AwsKeys; isFips: boolean }) {
  const { accessKeyId, secretAccessKey, sessionToken } = options.keys;
  return {
    region: options.region,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
    requestHandler: guardedHandler(outbound),
    ignoreConfiguredEndpointUrls: true,
    useFipsEndpoint: options.isFips,
    useDualstackEndpoint: false,
    defaultsMode: "standard" as const,
    retryMode: "standard",
    maxAttempts: 3,
    authSchemePreference: ["aws.auth#sigv4"],
    sigv4aSigningRegionSet: [],
    userAgentAppId: "factory-secrets",
    disableClockSkewCorrection: false,
  };
}
