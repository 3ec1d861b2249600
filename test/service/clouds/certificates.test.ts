import { once } from "node:events";
import { createServer, get } from "node:https";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestCertificateAuthority, type TestCertificateAuthority } from "../../support/certificates.js";

let authority: TestCertificateAuthority;
let port: number;
let close: () => void;

beforeAll(async () => {
  authority = await createTestCertificateAuthority();
  const server = createServer(await authority.issue(["api.ecr.us-east-2.amazonaws.com", "127.0.0.1"]), (_, res) =>
    res.end("hello"),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
  close = () => server.close();
});

afterAll(() => close());

/** Resolves with the status, or with the code of the TLS error. */
function statusOf(options: { servername?: string; ca?: string }): Promise<number | string> {
  return new Promise((resolve) => {
    get({ host: "127.0.0.1", port, agent: false, ...options }, (res) => resolve(res.resume().statusCode ?? 0)).on(
      "error",
      (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message),
    );
  });
}

test("a certificate is good for the names and addresses it was issued for", async () => {
  const ca = authority.caPem;
  expect(await statusOf({ ca, servername: "api.ecr.us-east-2.amazonaws.com" })).toBe(200);
  expect(await statusOf({ ca })).toBe(200);
});

test("a certificate is refused for another name", async () => {
  expect(await statusOf({ ca: authority.caPem, servername: "sts.amazonaws.com" })).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
});

test("a certificate is refused by a client that trusts another authority", async () => {
  const other = await createTestCertificateAuthority();
  expect(await statusOf({ ca: other.caPem })).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
});
