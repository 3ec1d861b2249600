import { hash } from "node:crypto";

// The Merkle tree of RFC 6962, section 2.1, with SHA-256. Sizes and indexes are safe integers.

const hashBytes = 32;

/** Decodes base64. @returns `undefined` for any text but the one that encodes the bytes: others could hide a change */
export function canonicalBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/**
 * The right edge of a tree: the roots of its complete subtrees, from the largest, which is the leftmost, to the smallest.
 * There is one for each bit of `size` that is set. It is all that is needed to append, and to compute the root.
 */
export type RightEdge = { size: number; hashes: Buffer[] };

export const emptyEdge = (): RightEdge => ({ size: 0, hashes: [] });

let scratch = Buffer.alloc(4_096);

/** SHA-256(0x00 || leaf). */
export function leafHash(leaf: Uint8Array): Buffer {
  // A new buffer for each leaf would take as long as the hash.
  if (scratch.length <= leaf.length) scratch = Buffer.alloc(2 * leaf.length + 1);
  scratch[0] = 0;
  scratch.set(leaf, 1);
  return hash("sha256", scratch.subarray(0, leaf.length + 1), "buffer");
}

const pair = Buffer.alloc(1 + 2 * hashBytes, 1);

function nodeHash(left: Buffer, right: Buffer): Buffer {
  pair.set(left, 1);
  pair.set(right, 1 + hashBytes);
  return hash("sha256", pair, "buffer");
}

/** Appends a leaf to the tree. */
export function append(edge: RightEdge, leaf: Buffer): void {
  let node = leaf;
  // Each set bit at the end of the size is a complete subtree as large as the one that the leaf has completed.
  for (let rest = edge.size; rest % 2 === 1; rest = (rest - 1) / 2) node = nodeHash(edge.hashes.pop() ?? node, node);
  edge.hashes.push(node);
  edge.size += 1;
}

export function rootOf({ hashes }: RightEdge): Buffer {
  const [last, ...rest] = hashes.toReversed();
  if (last === undefined) return hash("sha256", "", "buffer");
  return rest.reduce((right, left) => nodeHash(left, right), last);
}

export const edgeBytes = ({ hashes }: RightEdge): Buffer => Buffer.concat(hashes);

/** @throws Error when the bytes are not the edge of a tree of this size */
export function readEdge(size: number, bytes: Buffer): RightEdge {
  const count = subtreeSizes(size).length;
  if (bytes.length !== count * hashBytes) throw new Error(`a tree of size ${size} has an edge of ${count} hashes`);
  const hashes = Array.from({ length: count }, (_, at) => bytes.subarray(at * hashBytes, (at + 1) * hashBytes));
  return { size, hashes };
}

/** Sizes of the complete subtrees of a tree, the largest first. */
function subtreeSizes(size: number): number[] {
  const bits = size.toString(2);
  return [...bits].flatMap((bit, at) => (bit === "1" ? [2 ** (bits.length - 1 - at)] : []));
}

/** Leaves from one index up to, and not including, another. */
export type LeafRange = { from: number; to: number };

/**
 * The subtrees whose roots are the inclusion proof of a leaf, from its sibling up to the child of the root (RFC 6962,
 * section 2.1.1).
 */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  const ranges: LeafRange[] = [];
  let [from, to] = [0, size];
  while (to - from > 1) {
    const middle = from + 2 ** Math.floor(Math.log2(to - from - 1));
    if (index < middle) {
      ranges.unshift({ from: middle, to });
      to = middle;
    } else {
      ranges.unshift({ from, to: middle });
      from = middle;
    }
  }
  return ranges;
}

/**
 * The roots of subtrees that do not overlap, from the hashes of all leaves behind `start`.
 * @param start - the edge of the tree in front of the first of these leaves: a subtree lies in it, or its leaves follow
 * @param pages - hashes of leaves, in order
 */
export async function subtreeRoots(
  ranges: readonly LeafRange[],
  start: RightEdge,
  pages: AsyncIterable<readonly Buffer[]>,
): Promise<Buffer[]> {
  const trees = ranges.map((range) => ({ ...range, edge: edgeWithin(start, range) }));
  const inOrder = trees.toSorted((a, b) => a.from - b.from);
  let index = start.size;
  let at = 0;
  for await (const page of pages) {
    for (const leaf of page) {
      while ((inOrder[at]?.to ?? Number.POSITIVE_INFINITY) <= index) at += 1;
      const tree = inOrder[at];
      if (tree !== undefined && tree.from <= index) append(tree.edge, leaf);
      index += 1;
    }
  }
  return trees.map(({ edge }) => rootOf(edge));
}

/** The part of an edge that lies in a range: the edge of the subtree so far. */
function edgeWithin({ size, hashes }: RightEdge, { from, to }: LeafRange): RightEdge {
  const part = emptyEdge();
  let start = 0;
  for (const [at, width] of subtreeSizes(size).entries()) {
    const node = hashes[at];
    if (node !== undefined && start >= from && start + width <= to) {
      part.hashes.push(node);
      part.size += width;
    }
    start += width;
  }
  return part;
}

/** The root of the tree of which this is an inclusion proof (RFC 9162, section 2.1.3.2). */
export function rootFromProof(index: number, size: number, leaf: Buffer, proof: readonly Buffer[]): Buffer {
  const ranges = inclusionRanges(index, size);
  return proof.reduce((node, sibling, at) => {
    const isLeft = (ranges[at]?.from ?? 0) <= index;
    return isLeft ? nodeHash(sibling, node) : nodeHash(node, sibling);
  }, leaf);
}
