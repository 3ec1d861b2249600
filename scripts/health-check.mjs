// The HEALTHCHECK of the image: exit code 0 when the service in this container answers `GET /healthz` with 200.
import http from "node:http";
import https from "node:https";

const { PORT, FACTORY_SECRETS_TLS_CERT_FILE, FACTORY_SECRETS_TLS_CERT_FILE_FILE } = process.env;
const { get } = FACTORY_SECRETS_TLS_CERT_FILE || FACTORY_SECRETS_TLS_CERT_FILE_FILE ? https : http;

// The certificate is for the service's name and not for this address; nothing secret is sent.
const options = { host: "127.0.0.1", port: PORT ?? 8080, path: "/healthz", timeout: 3000, rejectUnauthorized: false };
const request = get(options, (reply) => process.exit(reply.statusCode === 200 ? 0 : 1));
request.on("timeout", () => process.exit(1));
request.on("error", () => process.exit(1));
