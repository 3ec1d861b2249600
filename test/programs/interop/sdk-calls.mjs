// Asks Amazon ECR for a token with an unmodified AWS SDK for JavaScript, and prints what came back or what it says, in
// JSON. Its argument, JSON: {"patienceSeconds"}.

import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";

const { patienceSeconds } = JSON.parse(process.argv[2]);
const client = new ECRClient({
  maxAttempts: 1,
  requestHandler: { connectionTimeout: 2_000, requestTimeout: patienceSeconds * 1_000, throwOnRequestTimeout: true },
});

const outcome = await client.send(new GetAuthorizationTokenCommand({})).then(
  (ok) => ({ ok }),
  (error) => ({ error: `${error.name}: ${error.message}` }),
);
process.stdout.write(JSON.stringify(outcome));
