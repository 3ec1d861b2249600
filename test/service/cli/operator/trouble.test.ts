import { writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestCertificateAuthority } from "../../../support/certificates.js";
import { listenOnLoopback, whileAnswering } from "../../../support/cli/stand-in-service.js";
import { secretValue } from "../../../support/leak-watch.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { type OperatorDesk, openOperatorDesk } from "./operator-desk.js";

let service: TestService;
let factory: string;
beforeAll(async () => {
  service = await startTestService();
  factory = (await service.createFactory()).name;
});
afterAll(() => service?.close());

let desk: OperatorDesk;
beforeEach(() => {
  desk = openOperatorDesk({
    FACTORY_SECRETS_URL: service.url,
    FACTORY_SECRETS_FACTORY: factory,
    FACTORY_SECRETS_TOKEN: service.operatorToken,
  });
});
afterEach(() => desk.close());

/** `secrets list` of the service at that URL. */
const list = (url: string, ...more: string[]) => desk.run(["secrets", "list", ...more, "--url", url]);

describe("what an operator reads", () => {
  test("of a token that is not valid", async () => {
    desk.environment.FACTORY_SECRETS_TOKEN = "fso_not-a-token";
    expect(await desk.run(["secrets", "list"])).toMatchObject({
      exitCode: 4,
      err: expect.stringMatching(
        /^The service does not accept the token in FACTORY_SECRETS_TOKEN: it was withdrawn, has expired, or is not copied whole\. To log in again: factory-secrets login\n\(unauthenticated, request \S+\)\n$/,
      ),
    });
  });

  test("of a URL with a path that the service has not", async () => {
    for (const path of ["/api", "/api/", "/v1"]) {
      const done = await list(`${service.url}${path}`, "--timeout", "2");
      expect(done.exitCode).toBeGreaterThan(3);
      expect(done.err).toContain(`The URL has the path ${path.replace(/\/$/, "")}; try ${service.url} without it.`);
    }
    expect((await list(`${service.url}/`)).exitCode).toBe(0);
  });

  test("of the host of a registry that is given as the URL of the service", async () => {
    for (const url of ["registry.gitlab.com", "ghcr.io/acme"]) {
      const done = await desk.run(["registries", "add", "--type", "generic", "--url", url, "--secret", "x"]);
      expect(done).toMatchObject({
        exitCode: 2,
        err: expect.stringMatching(/^--url must be an http.* name a registry with --host or --registry\.\n$/),
      });
    }
    const help = (await desk.run(["registries", "add", "--help"])).out;
    expect(help).toContain("--host <");
  });

  test("of a permission that is lacking", async () => {
    desk.environment.FACTORY_SECRETS_TOKEN = (await service.createApiToken(factory, ["config:read"])).token;
    expect(await desk.run(["secrets", "list"])).toMatchObject({
      exitCode: 4,
      err: expect.stringMatching(
        /^This credential lacks the permission secrets:list\.\nThe command used the token in FACTORY_SECRETS_TOKEN, which wins over a login\.\n\(forbidden, request /,
      ),
    });
    const token = desk.environment.FACTORY_SECRETS_TOKEN;
    desk.environment.FACTORY_SECRETS_TOKEN = "";
    await desk.run(["login"], token);
    const kept = await desk.run(["secrets", "list"]);
    expect(kept.err).toMatch(/^This credential lacks the permission secrets:list\.\n\(forbidden, request /);
  });

  test("of a factory that does not exist, or is another's, and of a thing that is not there", async () => {
    const gone = await desk.run(["secrets", "show", "x", "--factory", "no-such"]);
    expect(gone).toMatchObject({ exitCode: 4, err: expect.stringMatching(/^There is no factory "no-such"\.\n/) });
    const { name: other } = await service.createFactory();
    desk.environment.FACTORY_SECRETS_TOKEN = (await service.createApiToken(other, ["secrets:list"])).token;
    const foreign = await desk.run(["secrets", "list"]);
    expect(foreign).toMatchObject({
      exitCode: 4,
      err: expect.stringMatching(
        new RegExp(`^the token in .* is for the factory "${other}", not for "${factory}"\\.\n`),
      ),
    });
    const missing = await desk.run(["secrets", "show", "x", "--factory", other]);
    expect(missing).toMatchObject({ exitCode: 5, err: expect.stringMatching(/^There is no secret "x"\.\n/) });
  });
});

describe("a service", () => {
  test("that is down is asked again until the timeout", async () => {
    const { port, close } = await listenOnLoopback(createServer());
    await close();
    const done = await list(`http://127.0.0.1:${port}`, "--timeout", "3");
    expect(done).toMatchObject({ exitCode: 6, out: "" });
    expect(done.err).toMatch(
      /^Nothing listens at .* Trying again for up to 3 s \.\.\.\nNothing listens at .* Gave up after 3 s \(--timeout\)\.\n$/,
    );
  });

  test("that is slow is waited for aloud, and not for ever", async () => {
    const done = await whileAnswering(
      () => undefined,
      (url) => desk.runWith([], ["secrets", "list", "--url", url, "--timeout", "2"]),
    );
    expect(done).toMatchObject({
      exitCode: 6,
      err: expect.stringMatching(/^Waiting for the service \.\.\.\n.* did not answer within 2 s\./),
    });
  });

  test("that redirects is not followed, and the token goes nowhere else", async () => {
    const seen: (string | undefined)[] = [];
    const done = await whileAnswering(
      (request, response) => {
        seen.push(request.headers.authorization);
        response.writeHead(200).end('{"items":[]}');
      },
      (elsewhere) =>
        whileAnswering(
          (_, response) => response.writeHead(302, { location: `${elsewhere}/login?next=1` }).end(),
          async (url) => ({ elsewhere, ...(await list(url)) }),
        ),
    );
    expect(done).toMatchObject({
      exitCode: 6,
      err: expect.stringContaining(
        `It redirects to ${done.elsewhere}, and tokens are not sent to redirects. If the service is there, use that URL.`,
      ),
    });
    expect(seen).toEqual([]);
  });

  test("that is not factory-secrets is recognised, with 200 too, and its page is not shown", async () => {
    for (const status of [200, 403, 404]) {
      const done = await whileAnswering(
        (_, response) => response.writeHead(status, { "content-type": "text/html" }).end("<html>Welcome</html>"),
        (url) => list(url),
      );
      expect(done).toMatchObject({ exitCode: 6, err: expect.stringContaining("Check FACTORY_SECRETS_URL or --url.") });
      expect(done.err).not.toContain("Welcome");
    }
  });

  test("behind a private authority is believed with --ca-file, and a login keeps that", async () => {
    const authority = await createTestCertificateAuthority();
    const { cert, key } = await authority.issue(["127.0.0.1"]);
    const answer: RequestListener = (_, response) =>
      response.writeHead(200).end(JSON.stringify({ kind: "operator", name: "x", permissions: [], items: [] }));
    const { port, close } = await listenOnLoopback(createTlsServer({ cert, key }, answer));
    const url = `https://127.0.0.1:${port}`;
    const caFile = join(desk.directory, "ca.pem");
    writeFileSync(caFile, authority.caPem);
    const refused = await list(url);
    expect(refused).toMatchObject({ exitCode: 6, err: expect.stringContaining("that this machine does not trust") });
    expect(refused.err).toContain("Set FACTORY_SECRETS_CA_FILE");
    desk.environment.FACTORY_SECRETS_TOKEN = "";
    expect(await desk.run(["login", "--url", url, "--ca-file", caFile], service.operatorToken)).toMatchObject({
      exitCode: 0,
    });
    expect(await list(url)).toMatchObject({ exitCode: 0 });
    await close();
  });

  test("that speaks TLS and is asked in the clear: that is guessed at the end", async () => {
    const authority = await createTestCertificateAuthority();
    const { cert, key } = await authority.issue(["127.0.0.1"]);
    const { port, close } = await listenOnLoopback(createTlsServer({ cert, key }));
    const done = await list(`http://127.0.0.1:${port}`, "--timeout", "3");
    await close();
    expect(done.exitCode).toBe(6);
    const lines = done.err.trimEnd().split("\n");
    expect(lines.at(-1)).toMatch(
      / broke \(\w+\)\. Gave up after 3 s \(--timeout\)\. Does it speak TLS\? Try https:\/\/\.$/,
    );
    expect(lines.slice(0, -1).join("\n")).not.toContain("TLS");
  });

  test("whose answer breaks off is not taken for one that speaks TLS", async () => {
    const done = await whileAnswering(
      (_, response) => {
        response.writeHead(200, { "content-length": "100" });
        response.write("{", () => response.destroy());
      },
      (url) => list(url, "--timeout", "3"),
    );
    expect(done).toMatchObject({ exitCode: 6, err: expect.not.stringContaining("TLS") });
  });

  test("that fails is asked again to read, and not to write what it may have written", async () => {
    const count = async (...args: string[]): Promise<number> => {
      let tries = 0;
      const value = secretValue();
      await whileAnswering(
        (_, response) => {
          tries += 1;
          response.writeHead(503, { "content-type": "application/problem+json", "retry-after": "0" });
          response.end(JSON.stringify({ code: "unavailable", detail: "The database did not answer." }));
        },
        (url) => desk.run([...args, "--url", url, "--timeout", "3"], value),
      );
      return tries;
    };
    expect(await count("secrets", "list")).toBeGreaterThan(1);
    expect(await count("secrets", "set", "x")).toBe(1);
  });

  test("that says that another writer was first is asked again after Retry-After", async () => {
    let tries = 0;
    await whileAnswering(
      (_, response) => {
        tries += 1;
        const again = tries === 1 ? { "retry-after": "0" } : {};
        response.writeHead(409, { "content-type": "application/problem+json", ...again });
        response.end(JSON.stringify({ code: "conflict", detail: "Others write this secret. Try again." }));
      },
      (url) => desk.run(["secrets", "set", "x", "--url", url, "--timeout", "3"], secretValue()),
    );
    expect(tries).toBe(2);
  });

  test("whose answer to a write is lost: that it may have been done is said", async () => {
    const done = await whileAnswering(
      (_, response) => void response.destroy(),
      (url) => desk.run(["secrets", "set", "x", "--url", url], secretValue()),
    );
    expect(done).toMatchObject({
      exitCode: 6,
      err: expect.stringContaining("\nThe service may have done it anyway. Check before you repeat the command.\n"),
    });
  });

  test("that says control characters does not speak to the terminal", async () => {
    const reply = JSON.stringify({ items: [{ name: "a\u001b[2Jb", version: 1 }] });
    const done = await whileAnswering(
      (_, response) => response.writeHead(200).end(reply),
      (url) => list(url),
    );
    expect(done.out).toContain("a [2Jb");
  });
});
