import { describe, expect, it } from "vitest";
import {
  append,
  edgeBytes,
  emptyEdge,
  inclusionRanges,
  leafHash,
  type RightEdge,
  readEdge,
  rootFromProof,
  rootOf,
  subtreeRoots,
} from "../../../../src/audit/log/tree.js";

/** Leaves and roots of the trees of 1 to 8 of them, as the reference code of Certificate Transparency tests them. */
const leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const roots = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

const hashOf = (index: number): Buffer => leafHash(Buffer.from(`leaf ${index}`));

function treeOf(size: number): RightEdge {
  const tree = emptyEdge();
  for (let index = 0; index < size; index += 1) append(tree, hashOf(index));
  return tree;
}

/** The leaves behind a cut, in pages of three. */
async function* leavesBehind(cut: number, size: number): AsyncGenerator<readonly Buffer[]> {
  for (let from = cut; from < size; from += 3)
    yield Array.from({ length: Math.min(3, size - from) }, (_, at) => hashOf(from + at));
}

describe("a tree", () => {
  it("has the roots that RFC 6962 defines", () => {
    const tree = emptyEdge();
    expect(rootOf(tree).toString("hex")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (const [at, leaf] of leaves.entries()) {
      append(tree, leafHash(Buffer.from(leaf, "hex")));
      expect(rootOf(tree).toString("hex")).toBe(roots[at]);
    }
  });

  it("goes on from its right edge alone", () => {
    for (let size = 0; size <= 40; size += 1) {
      const again = readEdge(size, edgeBytes(treeOf(size)));
      append(again, hashOf(size));
      expect(rootOf(again)).toEqual(rootOf(treeOf(size + 1)));
    }
  });

  it("refuses the edge of a tree of another size", () => {
    expect(() => readEdge(6, edgeBytes(treeOf(7)))).toThrow("has an edge of 2 hashes");
  });

  it("takes a leaf that is larger than all before it", () => {
    expect(leafHash(Buffer.alloc(100_000, 7))).toEqual(leafHash(Buffer.alloc(100_000, 7)));
    expect(leafHash(Buffer.alloc(4_096))).not.toEqual(leafHash(Buffer.alloc(4_097)));
  });
});

describe("an inclusion proof", () => {
  it("leads from each leaf to the root, also of a tree whose first leaves are gone", async () => {
    for (let size = 1; size <= 20; size += 1) {
      const root = rootOf(treeOf(size));
      for (let cut = 0; cut < size; cut += 1) {
        for (let index = cut; index < size; index += 1) {
          const ranges = inclusionRanges(index, size);
          const proof = await subtreeRoots(ranges, treeOf(cut), leavesBehind(cut, size));
          expect(rootFromProof(index, size, hashOf(index), proof), `${index} of ${size}, cut ${cut}`).toEqual(root);
        }
      }
    }
  });

  it("does not lead there from another leaf, or in another place", async () => {
    const proof = await subtreeRoots(inclusionRanges(5, 11), emptyEdge(), leavesBehind(0, 11));
    const root = rootOf(treeOf(11));
    expect(rootFromProof(5, 11, hashOf(6), proof)).not.toEqual(root);
    expect(rootFromProof(4, 11, hashOf(5), proof)).not.toEqual(root);
  });
});
