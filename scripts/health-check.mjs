// The HEALTHCHECK of the image: exit code 0 when the service in this container answers `GET /healthz` with 200.
import http from "node:http";

const options = { host: "127.0.0.1", port: process.env.PORT ?? 8080, path: "/healthz", timeout: 3000 };
const request = http.get(options, (reply) => process.exit(reply.statusCode === 200 ? 0 : 1));
request.on("timeout", () => process.exit(1));
request.on("error", () => process.exit(1));
