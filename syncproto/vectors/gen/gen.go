// Package gen makes the golden vectors: it plays each scenario between
// devices and a server in memory, both made for this purpose alone, and
// writes down what they say.
//
// What is always true of it:
//
//   - The same code gives the same bytes. Keys, ids and nonces are hashes of
//     their names, times are fixed.
//   - Its server knows nothing of the real one: that both answer alike is what
//     the vectors prove.
package gen

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"slices"
)

// Files returns the files of the vectors by name.
func Files() (map[string][]byte, error) {
	g := &generator{files: map[string][]byte{}}
	g.put("world.json", newWorld().describe())
	g.put("values.json", values())
	g.put("digests.json", digests())
	g.put("states.json", states())
	for _, s := range scenarios() {
		w := newWorld()
		s(w)
		for _, x := range w.exchanges {
			g.put("exchanges/"+x.Name+".json", x)
		}
		for _, a := range w.actions {
			g.put("actions/"+a.Name+".json", a)
		}
	}
	for _, b := range bodies() {
		g.put("bodies/"+b.Name+".json", b)
	}
	return g.files, g.err
}

type generator struct {
	files map[string][]byte
	err   error
}

// put adds a file. Scenarios begin alike: what several of them say must be
// the same.
func (g *generator) put(name string, v any) {
	text, err := Indent(v)
	if err != nil {
		g.err = fmt.Errorf("vector %s: %w", name, err)
		return
	}
	if have, ok := g.files[name]; ok && !bytes.Equal(have, text) {
		g.err = fmt.Errorf("vector %s has two contents", name)
	}
	g.files[name] = text
}

// Indent returns v as the files have it.
func Indent(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out.Bytes(), nil
}

// named returns n bytes that a name stands for.
func named(n int, name string) []byte {
	sum := sha512.Sum512([]byte("sambang-vectors|" + name))
	return slices.Clone(sum[:n])
}
