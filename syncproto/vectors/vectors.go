// Package vectors holds the golden vectors of the sync protocol: one scenario
// in a file, with what is sent, byte for byte, and what must come of it. They
// are the examples of SPEC.md, and are run by the tests of the codec, the
// engine and the SDK; an implementation in another language runs the same
// files.
//
// What is always true of it:
//
//   - The files are made by package gen and never by hand: a difference
//     between the two is a change of the protocol.
//   - Nothing in them is random or depends on the day: keys and nonces are
//     hashes of their names.
package vectors

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
)

// FS holds the files: world.json, values.json, digests.json, states.json, and
// a folder each of exchanges, actions and bodies.
//
//go:embed *.json exchanges actions bodies
var FS embed.FS

// World is what the scenarios have in common: the devices, the server and
// their keys.
type World struct {
	Says    string   `json:"says"`
	Server  Server   `json:"server"`
	Devices []Device `json:"devices"`
}

// Server is the server of the scenarios. Byte strings are in hexadecimal.
type Server struct {
	ID           string `json:"id"`
	Epoch        string `json:"epoch"`
	ReceiptKeyID string `json:"receipt_key_id"`
	ReceiptSeed  string `json:"receipt_seed"` // of the Ed25519 key
	ReceiptKey   string `json:"receipt_key"`  // public
	ProjectKey   string `json:"project_key"`
}

// Device is one phone of the scenarios.
type Device struct {
	Name          string  `json:"name"` // in dots and vectors: "A:3" is the third write of device A
	ID            string  `json:"id"`
	Seed          string  `json:"seed"` // of the Ed25519 key
	PublicKey     string  `json:"public_key"`
	KeyNonce      string  `json:"key_nonce"`
	Replica       string  `json:"replica"`
	Officer       string  `json:"officer"`
	Agency        string  `json:"agency"`
	GrantsVersion uint64  `json:"grants_version"`
	Grants        []Grant `json:"grants"`
}

// Grant is what a device may see.
type Grant struct {
	Region  string   `json:"region"`
	Classes []string `json:"classes"`
}

// Exchange is one request and what a server answers.
type Exchange struct {
	Name string `json:"name"`
	Says string `json:"says"`
	// Device asks at Now (Unix milliseconds), after the exchanges and actions
	// named in Before happened, in that order, on a server that knew nothing.
	Device string   `json:"device"`
	Now    int64    `json:"now"`
	Before []string `json:"before,omitempty"`
	// Request is sent. A server that draws other witness stamps puts the one
	// that it gave last in place of that in Open.
	Request Message `json:"request"`
	// Items says what the items of the request mean, in order of the batches.
	Items []Item `json:"items,omitempty"`
	// History says what its past writes mean.
	History []Past `json:"history,omitempty"`
	// Refused is the code of a request that is refused whole; otherwise there
	// is a Response, which is an example, and Reply, which says what every
	// response must mean.
	Refused  string   `json:"refused,omitempty"`
	Response *Message `json:"response,omitempty"`
	Reply    *Reply   `json:"reply,omitempty"`
}

// Message is the frames of one body, as JSON and as protobuf: each frame with
// its length before it, in hexadecimal, not compressed. The JSON form lacks
// what is unknown in this version.
type Message struct {
	Frames   []json.RawMessage `json:"frames"`
	Protobuf string            `json:"protobuf"`
}

// Action is something that happens on the server between exchanges.
type Action struct {
	Name string `json:"name"`
	Says string `json:"says"`
	Now  int64  `json:"now"`
	// Do is "purge" (of Record, for Reason) or "epoch" (the operator begins a
	// new one).
	Do     string `json:"do"`
	Record string `json:"record,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Body is one request body that is refused, or read to its end.
type Body struct {
	Name     string `json:"name"`
	Says     string `json:"says"`
	Format   string `json:"format"`             // "protobuf" or "json"
	Encoding string `json:"encoding,omitempty"` // Content-Encoding
	Bytes    string `json:"bytes"`              // in hexadecimal
	Frames   int    `json:"frames"`             // that are read before the end or the refusal
	Refused  string `json:"refused,omitempty"`
	// Items are those of the frames that are read, with the codes of those
	// that are refused each for itself.
	Items []Item `json:"items,omitempty"`
}

// Value is one case of the canonical form of values.
type Value struct {
	In        string `json:"in,omitempty"`     // text
	InHex     string `json:"in_hex,omitempty"` // instead of In, if it is not text
	Canonical string `json:"canonical,omitempty"`
	Refused   string `json:"refused,omitempty"` // code
}

// Digest is one computation on bytes.
type Digest struct {
	Name string            `json:"name"`
	Says string            `json:"says"`
	In   map[string]string `json:"in"`  // texts, numbers, or hexadecimal
	Out  string            `json:"out"` // hexadecimal, unless Says says otherwise
}

// State is one record in its stored and exported form.
type State struct {
	Name     string   `json:"name"`
	Says     string   `json:"says"`
	Record   Delta    `json:"record"`
	Stamps   []uint64 `json:"stamps,omitempty"`
	Entered  uint64   `json:"entered,omitempty"`
	Protobuf string   `json:"protobuf"`
}

// Load reads one file into T: World, Exchange, Action, Body, []Value, []Digest
// or []State.
func Load[T any](name string) (T, error) {
	var out T
	b, err := FS.ReadFile(name)
	if err != nil {
		return out, fmt.Errorf("load vector: %w", err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("load vector %s: %w", name, err)
	}
	return out, nil
}

// LoadAll reads all files of a folder ("exchanges", "actions", "bodies") in
// order of their names.
func LoadAll[T any](folder string) ([]T, error) {
	names, err := fs.Glob(FS, folder+"/*.json")
	if err != nil {
		return nil, fmt.Errorf("load vectors of %s: %w", folder, err)
	}
	out := make([]T, 0, len(names))
	for _, n := range names {
		v, err := Load[T](n)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
