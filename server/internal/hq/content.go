package hq

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Content is what a quarantined message holds, as far as it can be read.
type Content struct {
	// Problem is the code of what can't be read; "" if all can.
	Problem syncproto.Code `json:"problem,omitempty"`
	Kind    string         `json:"kind,omitempty"`
	// Full says that the message holds the whole record, not a part of it.
	Full   bool           `json:"full"`
	Fields []ContentField `json:"fields"`
	// Past are overwritten writes that came without their record.
	Past []ContentField `json:"past_writes,omitempty"`

	scopes     []syncproto.Scope // that it names
	releasable bool
}

// ContentField is one register of a message.
type ContentField struct {
	Path   string         `json:"path"`
	Values []ContentValue `json:"values"`
}

// ContentValue is one value of it. Value is absent if the device left it out
// because the server had it.
type ContentValue struct {
	Value     json.RawMessage `json:"value,omitempty"`
	Replica   string          `json:"replica"`
	N         uint64          `json:"n"`
	WrittenAt string          `json:"written_at"`
}

// readContent decodes the bytes of a message. It never fails: that something
// can't be read is what there is to know about many of them.
func readContent(raw []byte) Content {
	c := Content{Fields: []ContentField{}}
	tables, item, err := wire.DecodeQuarantined(raw)
	if err != nil {
		if past, ok := readPast(raw); ok {
			return past
		}
		c.Problem = syncproto.CodeOf(err)
		return c
	}
	dec, err := wire.NewDecoder(tables)
	if err != nil {
		c.Problem = syncproto.CodeOf(err)
		return c
	}
	if scope, err := dec.Scope(item.GetScope()); err == nil {
		c.scopes = append(c.scopes, scope)
	} else {
		c.Problem = syncproto.CodeOf(err)
	}
	delta, err := dec.Delta(item.GetDelta())
	if err != nil {
		c.Problem = syncproto.CodeOf(err)
		return c
	}
	c.Full = delta.IsFull()
	c.releasable = c.Problem == ""
	for f := range delta.Fields() {
		out := ContentField{Path: f.Path, Values: []ContentValue{}}
		for _, s := range f.Siblings {
			out.Values = append(out.Values, contentValue(s.Dot, s.HLC, s.Value))
			text, _ := s.Value.Text()
			switch f.Path {
			case syncproto.PathKind:
				c.Kind = text
			case syncproto.PathScope:
				if home, err := syncproto.ParseScope(text); err == nil {
					c.scopes = append(c.scopes, home)
				}
			}
		}
		c.Fields = append(c.Fields, out)
	}
	return c
}

// readPast reads a message of past writes.
func readPast(raw []byte) (Content, bool) {
	var b wire.Batch
	if err := proto.Unmarshal(raw, &b); err != nil || len(b.GetHistory()) == 0 || len(b.GetItems()) > 0 {
		return Content{}, false
	}
	c := Content{Fields: []ContentField{}}
	dec, err := wire.NewDecoder(b.GetTables())
	if err != nil {
		return Content{}, false
	}
	for _, h := range b.GetHistory() {
		w, err := dec.History(h)
		if err != nil {
			c.Problem = syncproto.CodeOf(err)
			continue
		}
		if w.StepOnly() {
			continue
		}
		c.scopes = append(c.scopes, w.Scope)
		c.Past = append(c.Past, ContentField{Path: w.Path, Values: []ContentValue{contentValue(w.Dot, w.HLC, w.Value)}})
	}
	return c, true
}

func contentValue(dot syncproto.Dot, hlc syncproto.HLC, v syncproto.Value) ContentValue {
	out := ContentValue{Replica: dot.Replica.String(), N: dot.N, WrittenAt: stamp(hlc.Millis())}
	if !v.IsZero() {
		out.Value = json.RawMessage(v.JSON())
	}
	return out
}
