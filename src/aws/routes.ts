import { awsCredentialsRoutes } from "./credentials.js";
import { ecrRoutes } from "./ecr.js";
import { iotRoutes } from "./iot.js";
import { awsKeyRoutes } from "./make-keys.js";

export const awsRoutes = [...awsKeyRoutes, ...ecrRoutes, ...awsCredentialsRoutes, ...iotRoutes];
