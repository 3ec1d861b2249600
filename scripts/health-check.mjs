// The HEALTHCHECK of the image: exit code 0 when the service in this container answers `GET /healthz` with 200.
import http from "node:http";
import https from "node:https";

const tls = process.env.FACTORY_SECRETS_TLS_CERT_FILE !== undefined;
const options = {
  host: "127.0.0.1",
  port: process.env.PORT ?? 8080,
  path: "/healthz",
  timeout: 3000,
  // Its certificate is made out to the public name, not to 127.0.0.1. Nothing secret is sent.
  rejectUnauthorized: false,
};

const request = (tls ? https : http).get(options, (reply) => process.exit(reply.statusCode === 200 ? 0 : 1));
request.on("timeout", () => process.exit(1));
request.on("error", () => process.exit(1));
