import { awsCredentialsRoutes } from "./credentials/routes.js";
import { ecrRoutes } from "./ecr/routes.js";
import { iotRoutes } from "./iot/routes.js";
import { awsKeyRoutes } from "./keys/routes.js";

export const awsRoutes = [...awsKeyRoutes, ...ecrRoutes, ...awsCredentialsRoutes, ...iotRoutes];
