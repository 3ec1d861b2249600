/** Where the repositories of a session policy are. */
export type EcrLocation = { partition: string; region: string; account: string };

/** STS takes a session policy of at most so many characters. */
export const maxPolicyCharacters = 2_048;

const pullActions = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:BatchGetImage",
  // A pull-through cache fetches a tag that it does not have yet; without this the pull of a new tag fails.
  "ecr:BatchImportUpstreamImage",
  "ecr:GetDownloadUrlForLayer",
] as const;

/**
 * The session policy that holds a token to pulling from `repositories`, compact because its length counts.
 * A session may do what its principal may and this policy allows.
 */
export function pullPolicy(location: EcrLocation, repositories: readonly string[]): string {
  const { partition, region, account } = location;
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource: "*" },
      {
        Effect: "Allow",
        Action: pullActions,
        Resource: repositories.map((name) => `arn:${partition}:ecr:${region}:${account}:repository/${name}`),
      },
    ],
  });
}

/** The session policy for ECR Public: log in, and nothing else. Its images are readable by everyone. */
export const publicLoginPolicy = JSON.stringify({
  Version: "2012-10-17",
  Statement: [
    { Effect: "Allow", Action: ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"], Resource: "*" },
  ],
});

/** How many of the repositories, from the first on, a session policy holds. */
export function repositoriesThatFit(location: EcrLocation, repositories: readonly string[]): number {
  let count = repositories.length;
  while (count > 0 && pullPolicy(location, repositories.slice(0, count)).length > maxPolicyCharacters) count -= 1;
  return count;
}
