import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { CommandFailure } from "../../client/command-failure.js";
import type { AwsCredentials } from "./request-credentials.js";

/** A container's credentials endpoint on this machine. */
export type CredentialsServer = {
  /** For `AWS_CONTAINER_CREDENTIALS_FULL_URI`. */
  url: string;
  /** For `AWS_CONTAINER_AUTHORIZATION_TOKEN`. */
  token: string;
  close(): Promise<void>;
};

/** AWS's programs look for new ones when fifteen minutes are left. */
const enoughMs = 15 * 60 * 1000;

/**
 * Serves credentials on a free port of 127.0.0.1 to whoever knows a random token. They stay in memory, and new ones are
 * asked for when less than fifteen minutes are left; while that fails, the old ones are served as long as they live.
 * @param first - so that the first answer is there at once: AWS's programs wait for two seconds
 * @param renew - throws CommandFailure
 */
export async function serveCredentials(
  first: AwsCredentials,
  renew: () => Promise<AwsCredentials>,
): Promise<CredentialsServer> {
  const token = randomBytes(32).toString("base64url");
  let current = first;
  let renewing: Promise<AwsCredentials> | undefined;
  const renewOnce = (): Promise<AwsCredentials> => {
    renewing ??= renew().finally(() => {
      renewing = undefined;
    });
    return renewing;
  };
  const credentials = async (): Promise<AwsCredentials> => {
    if (leftMs(current) >= enoughMs) return current;
    try {
      current = await renewOnce();
    } catch (error) {
      if (leftMs(current) <= 0) throw error;
    }
    return current;
  };
  const server = createServer((request, response) => void answer(request, response, token, credentials));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // Later errors are of one connection, such as one that finds no free file descriptor.
  server.on("error", () => undefined);
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/credentials`,
    token,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
  credentials: () => Promise<AwsCredentials>,
): Promise<void> {
  if (!isSame(request.headers.authorization ?? "", token)) {
    return reply(response, 403, {
      Code: "AccessDenied",
      Message: "The authorization token is not the one of this command.",
    });
  }
  if (request.method !== "GET" || request.url !== "/credentials") {
    return reply(response, 404, { Code: "NotFound", Message: "There is GET /credentials only." });
  }
  try {
    reply(response, 200, await credentials());
  } catch (error) {
    const message = error instanceof CommandFailure ? error.message : "The credentials could not be renewed.";
    reply(response, 503, { Code: "Unavailable", Message: message });
  }
}

function reply(response: ServerResponse, status: number, body: Readonly<Record<string, string>>): void {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" });
  response.end(JSON.stringify(body));
}

// Of equal length, whatever was sent.
function isSame(given: string, token: string): boolean {
  return timingSafeEqual(hash("sha256", given, "buffer"), hash("sha256", token, "buffer"));
}

function leftMs({ Expiration }: AwsCredentials): number {
  return Date.parse(Expiration) - Date.now();
}
