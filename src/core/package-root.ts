import { existsSync } from "node:fs";

/**
 * The folder that holds our package.json: of a clone, of the image or of an installed package. Looked for upwards, since
 * sources and bundled files lie at different depths below it.
 */
export const packageRoot: URL = findRoot(new URL(".", import.meta.url));

function findRoot(folder: URL): URL {
  if (existsSync(new URL("package.json", folder))) return folder;
  const parent = new URL("..", folder);
  if (parent.href === folder.href) throw new Error("package.json is missing beside dist/: install the package anew");
  return findRoot(parent);
}
