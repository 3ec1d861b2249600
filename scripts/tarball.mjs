// Makes a tarball by itself, so that the service can offer its command line wherever it was built: npm is not asked, and
// the same files make the same bytes, so that every replica offers the same checksum.
import { gzipSync } from "node:zlib";

const blockBytes = 512;
/** As npm has it: a moment that every zip and tar knows. */
const modifiedAt = Date.parse("1985-10-26T08:15:00Z") / 1000;

/**
 * A gzipped tarball in the ustar format (POSIX.1-1988). `files` are `{ path, content, isExecutable }`, with a path of at
 * most 255 bytes that can be parted at a slash; Throws for another.
 */
export function makeTarball(files) {
  const blocks = [...files]
    .sort((one, other) => (one.path < other.path ? -1 : 1))
    .flatMap(({ path, content, isExecutable }) => [
      headerOf(path, content.length, isExecutable ? 0o755 : 0o644),
      content,
      Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes),
    ]);
  // Two empty blocks end it.
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)]), { level: 9 });
}

function headerOf(path, bytes, mode) {
  const header = Buffer.alloc(blockBytes);
  const { name, prefix } = partsOf(path);
  const octal = (value, width) => `${value.toString(8).padStart(width - 1, "0")}\0`;
  const fields = [
    [0, name],
    [100, octal(mode, 8)],
    [108, octal(0, 8)],
    [116, octal(0, 8)],
    [124, octal(bytes, 12)],
    [136, octal(modifiedAt, 12)],
    // The checksum is made with blanks in its own place.
    [148, "        "],
    [156, "0"],
    [257, "ustar\0" + "00"],
    [345, prefix],
  ];
  for (const [offset, text] of fields) header.write(text, offset, "utf8");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "utf8");
  return header;
}

/** A name has room for 100 bytes, and what precedes it for 155. */
function partsOf(path) {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: "" };
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return { name, prefix };
  }
  throw new Error(`${path} is too long for a tarball`);
}
