import { readdir, readFile } from "node:fs/promises";
import { posix } from "node:path";

const root = new URL("../../../src/", import.meta.url);

export type Import = {
  /** `zod`, `node:fs`, or a path below src/ such as `http/problem.ts`. */
  target: string;
  isPackage: boolean;
  /** Gone when the program runs. */
  isTypeOnly: boolean;
};

export type SourceFile = {
  /** Below src/: `broker/issue-token.ts`. */
  path: string;
  /** The first folder of the path, or "" for a file of src/ itself. */
  feature: string;
  text: string;
  /** The text without comments, and with every literal of text emptied. */
  code: string;
  imports: Import[];
};

/** Every file of src/ that a person wrote. */
export async function readSourceFiles(): Promise<SourceFile[]> {
  const paths = await readdir(root, { recursive: true });
  const written = paths.filter((path) => path.endsWith(".ts") && !path.includes("/generated/"));
  return Promise.all(written.sort().map(readSourceFile));
}

async function readSourceFile(path: string): Promise<SourceFile> {
  const text = await readFile(new URL(path, root), "utf8");
  const feature = path.includes("/") ? (path.split("/")[0] ?? "") : "";
  return { path, feature, text, code: withoutCommentsAndTexts(text), imports: importsOf(path, text) };
}

function importsOf(path: string, text: string): Import[] {
  const statements = text.matchAll(/^(?:import|export)\s+(type\s+)?[^;"]*?from\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm);
  return [...statements].map(([, type, from, loaded]) => {
    const specifier = from ?? loaded ?? "";
    const isPackage = !specifier.startsWith(".");
    const target = isPackage ? specifier : posix.join(posix.dirname(path), specifier).replace(/\.js$/, ".ts");
    return { target, isPackage, isTypeOnly: type !== undefined };
  });
}

const commentOrText = /\/\*[\s\S]*?\*\/|(?<![:\\])\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

function withoutCommentsAndTexts(text: string): string {
  return text.replace(commentOrText, (found) => (found.startsWith("/") ? "" : '""'));
}
