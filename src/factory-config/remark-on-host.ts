import { awsPartitionOf, awsRegionForm } from "../core/aws-partitions.js";
import { ecrPublicHost, ecrSuffix } from "../core/cloud-hosts.js";
import { dockerHubHost } from "../core/normalise-host.js";

type Mistaken = { pattern: RegExp; reason(parts: readonly string[]): string };

// What people copy from consoles, browsers and API documents where the host of a registry belongs.
const mistaken: readonly Mistaken[] = [
  {
    pattern: new RegExp(`^\\d{12}\\.dkr[.-]ecr(?:-fips)?\\.(${awsRegionForm})\\.[a-z0-9.-]+$`),
    reason: ([region = ""]) =>
      `The registries of ${region} are <account>.dkr.ecr.${region}.${ecrSuffix(region, false)}, or <account>.dkr-ecr.${region}.${ecrSuffix(region, true)} with IPv6.`,
  },
  {
    pattern: new RegExp(`^(?:api\\.)?ecr(?:-fips)?\\.(${awsRegionForm})\\.[a-z0-9.-]+$`),
    reason: ([region = ""]) =>
      `This is the API of Amazon ECR. Write the registry: <account>.dkr.ecr.${region}.${awsPartitionOf(region).dnsSuffix}.`,
  },
  {
    pattern: /^(?:gallery\.ecr\.aws|(?:api\.)?ecr-public(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com|api\.aws))$/,
    reason: () => `This is not the registry of Amazon ECR Public. Write ${ecrPublicHost}.`,
  },
  {
    pattern: /^([a-z0-9-]+)\.(?:[a-z0-9]+\.data|privatelink)\.azurecr\.(io|cn|us)$/,
    reason: ([name = "", top = ""]) => `This host gives no tokens. Write the login server: ${name}.azurecr.${top}.`,
  },
  {
    pattern: /\.azurecr\.de$/,
    reason: () => "Azure Germany was closed in 2021. Write the login server that the registry has now.",
  },
  {
    pattern: /^([a-z]+(?:-[a-z]+\d+)?)-(?:apt|generic|go|googet|kfp|maven|npm|python|yum)\.pkg\.dev$/,
    reason: ([location = ""]) =>
      `This host has packages, not images. The registry for images is ${location}-docker.pkg.dev.`,
  },
  {
    pattern: /^(?:(?:www\.|hub\.|registry\.hub\.|app\.)?docker\.com|(?:hub|auth|login)\.docker\.io)$/,
    reason: () => `This is not the registry of Docker Hub. Write ${dockerHubHost}.`,
  },
  {
    pattern: /^(?:(?:www\.|api\.)?github\.com|(?:docker|npm|maven)\.pkg\.github\.com)$/,
    reason: () => "This is not GitHub's registry for images. Write ghcr.io.",
  },
  { pattern: /^gitlab\.com$/, reason: () => "This is not the registry of GitLab. Write registry.gitlab.com." },
];

/** For a normalised host that is not a registry but is known to belong to one: a sentence that names the right host. */
export function rightHostFor(host: string): string | undefined {
  for (const { pattern, reason } of mistaken) {
    const match = pattern.exec(host);
    if (match) return reason(match.slice(1));
  }
  return undefined;
}
