// Checks an export, a checkpoint and an inclusion proof of the audit with the packages of Go's checksum database: what
// is computed and compared here is theirs alone.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func read(path string) string {
	bytes, err := os.ReadFile(path)
	check(err)
	return string(bytes)
}

// head verifies a checkpoint and gives what it says.
func head(signed string, verifiers note.Verifiers) (string, tlog.Tree) {
	opened, err := note.Open([]byte(signed), verifiers)
	check(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	return lines[0], tlog.Tree{N: size, Hash: root}
}

// proof verifies that the event in a C2SP tlog-proof is in the log, and gives the event.
func proof(text string, verifiers note.Verifiers) string {
	lines, signed, _ := strings.Cut(text, "\n\n")
	parts := strings.Split(lines, "\n")
	event, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(parts[1], "extra "))
	check(err)
	index, err := strconv.ParseInt(strings.TrimPrefix(parts[2], "index "), 10, 64)
	check(err)
	var hashes tlog.RecordProof
	for _, part := range parts[3:] {
		hash, err := tlog.ParseHash(part)
		check(err)
		hashes = append(hashes, hash)
	}
	_, tree := head(signed, verifiers)
	check(tlog.CheckRecord(hashes, tree.N, tree.Hash, index, tlog.RecordHash(event)))
	return string(event)
}

type line struct {
	Type  string
	Note  string
	Keys  []string
	Event json.RawMessage
}

// stored holds the hashes of a tree, in the order of tlog.StoredHashIndex.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		hashes[at] = s[index]
	}
	return hashes, nil
}

// main takes the paths of an export of one log, of its checkpoint, and of a proof.
func main() {
	file, err := os.Open(os.Args[1])
	check(err)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	var verifiers note.Verifiers
	var hashes stored
	var events int64
	var heads []tlog.Tree
	for lines.Scan() {
		var one line
		check(json.Unmarshal(lines.Bytes(), &one))
		switch one.Type {
		case "log":
			var list []note.Verifier
			for _, key := range one.Keys {
				verifier, err := note.NewVerifier(key)
				check(err)
				list = append(list, verifier)
			}
			verifiers = note.VerifierList(list...)
		case "event":
			more, err := tlog.StoredHashes(events, one.Event, hashes)
			check(err)
			hashes = append(hashes, more...)
			events++
		case "checkpoint":
			_, tree := head(one.Note, verifiers)
			root, err := tlog.TreeHash(tree.N, hashes)
			check(err)
			if tree.N != events || root != tree.Hash {
				log.Fatalf("the checkpoint of size %d does not fit", tree.N)
			}
			heads = append(heads, tree)
		}
	}
	check(lines.Err())
	for at, newer := range heads[1:] {
		older := heads[at]
		consistency, err := tlog.ProveTree(newer.N, older.N, hashes)
		check(err)
		check(tlog.CheckTree(consistency, newer.N, newer.Hash, older.N, older.Hash))
	}
	origin, tree := head(read(os.Args[2]), verifiers)
	event := proof(read(os.Args[3]), verifiers)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"events": events, "checkpoints": len(heads), "origin": origin, "size": tree.N, "event": json.RawMessage(event),
	}))
}
