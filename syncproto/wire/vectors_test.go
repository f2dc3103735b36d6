package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// `task vectors` gives the flag to every package of the protocol; here there
// is nothing to write.
var _ = flag.Bool("update", false, "has no effect here")

func load[T any](tb testing.TB, name string) T {
	tb.Helper()
	v, err := vectors.Load[T](name)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func loadAll[T any](tb testing.TB, folder string) []T {
	tb.Helper()
	v, err := vectors.LoadAll[T](folder)
	if err != nil {
		tb.Fatal(err)
	}
	if len(v) == 0 {
		tb.Fatalf("no vectors in %s", folder)
	}
	return v
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func plain(t *testing.T, x any) any {
	t.Helper()
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func names(t *testing.T) (vectors.World, vectors.Names) {
	t.Helper()
	world := load[vectors.World](t, "world.json")
	n, err := world.Names()
	if err != nil {
		t.Fatal(err)
	}
	return world, n
}

// TestVectorsOfExchanges: both forms of each message say the same, and mean
// what the vector says they mean.
func TestVectorsOfExchanges(t *testing.T) {
	world, n := names(t)
	key := unhex(t, world.Server.ReceiptKey)
	for _, x := range loadAll[vectors.Exchange](t, "exchanges") {
		t.Run(x.Name, func(t *testing.T) {
			requests := readRequests(t, x.Request)
			var items []vectors.Item
			var past []vectors.Past
			for _, f := range requests[1:] {
				more, err := n.Items(f.GetBatch())
				if err != nil {
					t.Fatal(err)
				}
				items = append(items, more...)
				history, err := n.Past(f.GetBatch())
				if err != nil {
					t.Fatal(err)
				}
				past = append(past, history...)
			}
			if diff := cmp.Diff(plain(t, x.Items), plain(t, items)); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(plain(t, x.History), plain(t, past)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
			if x.Response == nil {
				if x.Refused == "" {
					t.Error("neither refused nor answered")
				}
				return
			}
			reply, err := n.Reply(readResponses(t, *x.Response), key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(t, x.Reply), plain(t, reply)); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
		})
	}
}

func readRequests(t *testing.T, m vectors.Message) []*wire.RequestFrame {
	t.Helper()
	raw := unhex(t, m.Protobuf)
	var out []*wire.RequestFrame
	var again, lines bytes.Buffer
	for r := wire.NewFrameReader(bytes.NewReader(raw), wire.Protobuf); ; {
		f, err := r.Request()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(wire.NewFrameWriter(&again, wire.Protobuf).Request(f), wire.NewFrameWriter(&lines, wire.JSON).Request(f)); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	compareForms(t, m, raw, again.Bytes(), lines.String())
	r := wire.NewFrameReader(strings.NewReader(joined(t, m)), wire.JSON)
	var fromJSON bytes.Buffer
	for range m.Frames {
		f, err := r.Request()
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.NewFrameWriter(&fromJSON, wire.Protobuf).Request(f); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(t.Name(), "unknown") && !bytes.Equal(fromJSON.Bytes(), raw) {
		t.Error("the JSON form gives other bytes")
	}
	return out
}

func readResponses(t *testing.T, m vectors.Message) []*wire.ResponseFrame {
	t.Helper()
	raw := unhex(t, m.Protobuf)
	var out []*wire.ResponseFrame
	var again, lines bytes.Buffer
	for r := wire.NewFrameReader(bytes.NewReader(raw), wire.Protobuf); ; {
		f, err := r.Response()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(wire.NewFrameWriter(&again, wire.Protobuf).Response(f), wire.NewFrameWriter(&lines, wire.JSON).Response(f)); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	compareForms(t, m, raw, again.Bytes(), lines.String())
	return out
}

func compareForms(t *testing.T, m vectors.Message, raw, again []byte, lines string) {
	t.Helper()
	if !bytes.Equal(raw, again) {
		t.Error("what is read is written otherwise")
	}
	if want := joined(t, m); lines != want {
		t.Errorf("JSON form\n%s\nwant\n%s", lines, want)
	}
}

func joined(t *testing.T, m vectors.Message) string {
	t.Helper()
	var out bytes.Buffer
	for _, f := range m.Frames {
		if err := json.Compact(&out, f); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func TestVectorsOfBodies(t *testing.T) {
	n := vectors.Names{0xa1: "X"}
	for _, b := range loadAll[vectors.Body](t, "bodies") {
		t.Run(b.Name, func(t *testing.T) {
			format := wire.Protobuf
			if b.Format == "json" {
				format = wire.JSON
			}
			var items []vectors.Item
			read := 0
			in, err := wire.NewBodyReader(bytes.NewReader(unhex(t, b.Bytes)), b.Encoding)
			for r := wire.NewFrameReader(in, format); err == nil; {
				var f *wire.RequestFrame
				if f, err = r.Request(); err == nil {
					read++
					more, ierr := n.Items(f.GetBatch())
					if ierr != nil {
						t.Fatal(ierr)
					}
					items = append(items, more...)
				}
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if string(syncproto.CodeOf(err)) != b.Refused || read != b.Frames {
				t.Errorf("%d frames, %v; want %d, %q", read, err, b.Frames, b.Refused)
			}
			if diff := cmp.Diff(plain(t, b.Items), plain(t, items)); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVectorsOfValues(t *testing.T) {
	for i, v := range load[[]vectors.Value](t, "values.json") {
		in := []byte(v.In)
		if v.InHex != "" {
			in = unhex(t, v.InHex)
		}
		got, err := syncproto.Canonicalize(in)
		if string(syncproto.CodeOf(err)) != v.Refused || got.JSON() != v.Canonical {
			t.Errorf("case %d, %q: %q, %v; want %q, %q", i, in, got.JSON(), err, v.Canonical, v.Refused)
		}
		_, err = syncproto.ParseValue(in)
		if canonical := v.Refused == "" && v.Canonical == string(in); canonical != (err == nil) {
			t.Errorf("case %d, %q: %v", i, in, err)
		}
	}
}

func TestVectorsOfStates(t *testing.T) {
	_, n := names(t)
	for _, s := range load[[]vectors.State](t, "states.json") {
		raw := unhex(t, s.Protobuf)
		rec, stamps, entered, err := wire.DecodeState(raw)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if diff := cmp.Diff(plain(t, s.Record), plain(t, n.Delta(rec.Full()))); diff != "" || entered != s.Entered || !cmp.Equal(stamps, s.Stamps) {
			t.Errorf("%s (-want +got): entered %d, stamps %v\n%s", s.Name, entered, stamps, diff)
		}
		if again, err := wire.EncodeState(rec, stamps, entered); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s is written otherwise: %v", s.Name, err)
		}
	}
}

// seeds returns bodies of the golden vectors for the fuzz targets.
func seeds(tb testing.TB, kind string) [][]byte {
	var out [][]byte
	for _, x := range loadAll[vectors.Exchange](tb, "exchanges") {
		switch {
		case kind == "request":
			out = append(out, unhex(tb, x.Request.Protobuf))
		case kind == "response" && x.Response != nil:
			out = append(out, unhex(tb, x.Response.Protobuf))
		case kind == "json":
			var lines bytes.Buffer
			for _, f := range x.Request.Frames {
				if err := json.Compact(&lines, f); err != nil {
					tb.Fatal(err)
				}
				lines.WriteByte('\n')
			}
			out = append(out, lines.Bytes())
		}
	}
	for _, b := range loadAll[vectors.Body](tb, "bodies") {
		if b.Encoding == "" && (kind == "request" && b.Format == "protobuf" || kind == b.Format) {
			out = append(out, unhex(tb, b.Bytes))
		}
	}
	return out
}

func stateSeeds(tb testing.TB) [][]byte {
	var out [][]byte
	for _, s := range load[[]vectors.State](tb, "states.json") {
		out = append(out, unhex(tb, s.Protobuf))
	}
	return out
}
