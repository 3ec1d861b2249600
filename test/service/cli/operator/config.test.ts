import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { documentOf, serveDesk } from "./served-desk.js";

const served = serveDesk();

const config = (...args: string[]) => served.desk.run(["config", ...args]);
const put = (host: string) => served.desk.run(["config", "put", "-"], documentOf(host));

/** An editor that writes this text, another each time it is opened. */
function editorWriting(...texts: readonly string[]): string {
  const editor = join(served.desk.directory, "editor.sh");
  texts.forEach((text, index) => {
    writeFileSync(join(served.desk.directory, `text-${index + 1}`), text);
  });
  const count = join(served.desk.directory, "count");
  writeFileSync(count, "0");
  writeFileSync(
    editor,
    `#!/bin/sh\nn=$(($(cat ${count}) + 1)); echo $n > ${count}\ntest "$1" = --wait || exit 9\ncp ${served.desk.directory}/text-$n "$2"\n`,
  );
  chmodSync(editor, 0o755);
  return `${editor} --wait`;
}

describe("config", () => {
  test("a slip of the indent shows the line with its indent beside that of the line before", async () => {
    const slipped = "container_registries:\n- type: generic\n   url: ghcr.io\n";
    const done = await served.desk.run(["config", "check", "-"], slipped);
    expect(done.exitCode).toBe(1);
    expect(done.out + done.err).toContain('(line 3: "url: ghcr.io", indented by 3; line 2 by 2)');
    const deeper = await served.desk.run(["config", "check", "-"], "a:\n  # a note\n  b: 1\n\n   c: 2\n");
    expect(deeper.out + deeper.err).toContain('(line 5: "c: 2", indented by 3; line 3 by 2)');
    const shallower = await served.desk.run(["config", "check", "-"], slipped.replace("   url", " url"));
    expect(shallower.out + shallower.err).toContain('(line 3: "url: ghcr.io", indented by 1; line 2 by 2)');
  });

  test("put, get, history and restore go together", async () => {
    expect(await put("ghcr.io")).toEqual({ exitCode: 0, out: "Published version 1.\n", err: "" });
    expect((await put("ghcr.io")).out).toBe("Nothing was published: version 1 has the same content.\n");
    const second = await served.desk.run(
      ["config", "put", "-", "--reason", "moved", "--if-version", "1"],
      documentOf("quay.io"),
    );
    expect(second).toMatchObject({ exitCode: 0, out: "Published version 2.\n" });
    expect((await config("get")).out).toBe(documentOf("quay.io"));
    expect((await config("get", "--version", "1")).out).toBe(documentOf("ghcr.io"));
    expect((await config("get", "-o", "table")).out).toMatch(/^ID .*\nquay\.io {2}generic {2}creds\n$/);
    expect(JSON.parse((await config("get", "-o", "json")).out)).toMatchObject({
      version: 2,
      entries: [{ id: "quay.io" }],
    });
    expect((await config("history")).out).toMatch(/^VERSION {2}CURRENT .*\n2 +yes .* moved\n1 +no .*\n$/);
    expect((await config("restore", "1", "--reason", "back")).out).toBe("Published version 3.\n");
    expect((await config("get")).out).toBe(documentOf("ghcr.io"));
    const late = await served.desk.run(["config", "put", "-", "--if-version", "2"], documentOf("quay.io"));
    expect(late).toMatchObject({
      exitCode: 5,
      err: expect.stringContaining("Look at it again, then repeat the command."),
    });
  });

  test("check names file, line and column, as compilers do, and publishes nothing", async () => {
    const file = join(served.desk.directory, "factory-config.yml");
    writeFileSync(file, documentOf("not a host").replace("generic_secret_name", "generic_secret_nam"));
    const done = await config("check", file);
    expect(done.exitCode).toBe(1);
    for (const line of done.out.trimEnd().split("\n")) expect(line).toMatch(new RegExp(`^${file}:\\d+:\\d+: \\S`));
    expect((await config("put", file)).err).toMatch(/:\d+:\d+: .*\nNothing was published\.\n$/s);
    expect((await config("history", "-o", "json")).out).toBe('{\n  "items": []\n}\n');
    writeFileSync(file, documentOf("ghcr.io"));
    expect(await config("check", file)).toMatchObject({ exitCode: 0, out: `${file} is valid.\n` });
    const slips = `registries: []\n${documentOf("ghcr.io")}- type: aws\n  region: us-east-22\n  aws_creds_secret_name: creds\n`;
    const warned = await served.desk.run(["config", "check", "-"], slips);
    expect(warned).toMatchObject({ exitCode: 0, out: expect.stringContaining("did you mean container_registries?") });
    expect(warned.out).toContain("did you mean us-east-2?");
    const json = await served.desk.run(["config", "check", "-", "-o", "json"], "container_registries: 1\n");
    expect(json).toMatchObject({ exitCode: 1 });
    expect(JSON.parse(json.out)).toMatchObject({ valid: false, invalid: [{ at: "line 1, column 23" }] });
    const empty = await served.desk.run(["config", "check", "-"], "");
    expect(empty).toMatchObject({ exitCode: 1, out: expect.stringMatching(/^-: The document is empty/) });
  });
});

describe("config edit", () => {
  test("publishes what the editor leaves, a first config too", async () => {
    served.desk.environment.EDITOR = editorWriting(documentOf("ghcr.io"), documentOf("quay.io"));
    expect(await config("edit", "--reason", "first")).toEqual({ exitCode: 0, out: "", err: "Published version 1.\n" });
    expect(await config("edit")).toMatchObject({ exitCode: 0, err: "Published version 2.\n" });
    expect((await config("get")).out).toBe(documentOf("quay.io"));
    served.desk.environment.EDITOR = editorWriting(documentOf("quay.io"));
    expect(await config("edit")).toMatchObject({ exitCode: 0, err: "Nothing was changed.\n" });
  });

  test("shows what is wrong, and opens the same text again", async () => {
    await put("ghcr.io");
    served.desk.environment.EDITOR = editorWriting(documentOf("not a host"), documentOf("quay.io"));
    const done = await served.desk.runWith(["y"], ["config", "edit"]);
    expect(done).toMatchObject({ exitCode: 0, asked: ["Edit again? [Y/n] "] });
    expect(done.err).toMatch(
      /factory-config\.yml:4:8: .*\nThe document cannot be published like this\.\nPublished version 2\.\n$/,
    );
  });

  test("keeps the text when it is given up, and says where", async () => {
    await put("ghcr.io");
    const bad = documentOf("not a host");
    served.desk.environment.EDITOR = editorWriting(bad, bad);
    const givenUp = await served.desk.runWith(["n"], ["config", "edit"]);
    const alone = await (() => {
      served.desk.environment.EDITOR = editorWriting(bad);
      return config("edit");
    })();
    for (const done of [givenUp, alone]) {
      expect(done).toMatchObject({
        exitCode: 5,
        err: expect.stringContaining("Nothing was published.\nYour text is kept in "),
      });
      expect(readFileSync(keptPath(done.err), "utf8")).toBe(bad);
    }
    expect((await config("get")).out).toBe(documentOf("ghcr.io"));
  });

  test("does not undo what others published meanwhile, and keeps the text", async () => {
    await put("ghcr.io");
    const meanwhile = `${served.service.url}/v1/factories/${served.desk.environment.FACTORY_SECRETS_FACTORY}/config`;
    const mine = join(served.desk.directory, "mine");
    writeFileSync(mine, documentOf("quay.io"));
    writeFileSync(join(served.desk.directory, "theirs"), documentOf("docker.io"));
    served.desk.environment.EDITOR = `f() { curl -sS -o /dev/null -X PUT ${meanwhile} -H "OSF-TOKEN: $FACTORY_SECRETS_TOKEN" -H 'Content-Type: application/yaml' --data-binary @${served.desk.directory}/theirs && cp ${mine} "$1"; }; f`;
    const done = await config("edit");
    expect(done).toMatchObject({ exitCode: 5, err: expect.stringContaining("(precondition-failed") });
    expect(readFileSync(keptPath(done.err), "utf8")).toBe(documentOf("quay.io"));
    expect((await config("get")).out).toBe(documentOf("docker.io"));
  });

  test("keeps the text when the editor fails after writing, and leaves nothing when it wrote nothing", async () => {
    await put("ghcr.io");
    served.desk.environment.EDITOR = `f() { echo '# more' >> "$1"; exit 3; }; f`;
    const failed = await config("edit");
    expect(failed).toMatchObject({ exitCode: 1, err: expect.stringContaining("ended with exit code 3") });
    expect(readFileSync(keptPath(failed.err), "utf8")).toContain("# more");
    served.desk.environment.EDITOR = "false";
    const missing = await config("edit");
    expect(missing).toMatchObject({ exitCode: 1, err: expect.stringContaining("Set EDITOR to another editor.") });
    expect(missing.err).not.toContain("Your text is kept");
  });

  test("of a factory that is not there opens no editor", async () => {
    const touched = join(served.desk.directory, "touched");
    served.desk.environment.EDITOR = `touch ${touched}; true`;
    const done = await config("edit", "--factory", "no-such-factory");
    expect(done).toMatchObject({ exitCode: 4, err: expect.stringMatching(/^There is no factory "no-such-factory"\./) });
    expect(existsSync(touched)).toBe(false);
  });
});

const keptPath = (err: string): string => /^Your text is kept in (\S+)\. /m.exec(err)?.[1] ?? "";
