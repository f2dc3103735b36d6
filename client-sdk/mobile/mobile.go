// Package mobile is the SDK for Android and iOS apps: the same replica with
// types that gobind can carry to Java, Kotlin and Objective-C. Records are JSON
// texts, lists are JSON arrays, ids are UUID texts.
//
// What is always true of it:
//
//   - It adds nothing: each function is one of package sambang, and its
//     documentation holds.
//   - Errors begin with their stable code and a colon ("offline: …"): see
//     [ErrorCode] and [ErrorText].
//   - Calls block, so the app makes them off its main thread; a [Replica] is
//     safe for concurrent use.
package mobile

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Options of Open. Make them with NewOptions and set what differs.
type Options struct {
	// Key seals the file: 32 bytes from the keystore.
	Key []byte
	// Plain keeps the file in clear text, for development only.
	Plain bool
	// MarkDir must be outside of what is backed up: below
	// getNoBackupFilesDir() on Android.
	MarkDir string
	// Pack is the JSON of the pack; empty for the embedded one.
	Pack string
	// App is the name and version of the app.
	App string
	// Signer signs with a P-256 key in hardware; nil for a key in the file.
	Signer Signer
}

// NewOptions returns options with nothing set.
func NewOptions() *Options { return &Options{} }

// Signer is a P-256 key that the app keeps, such as in the Android keystore.
type Signer interface {
	// PublicKey returns the key in PKIX (X.509 SubjectPublicKeyInfo) DER form.
	PublicKey() ([]byte, error)
	// SignDigest returns the ECDSA signature, ASN.1 DER, over a SHA-256 digest
	// (the algorithm NONEwithECDSA).
	SignDigest(digest []byte) ([]byte, error)
}

// Replica is one install with its file.
type Replica struct {
	r *sambang.Replica

	mu   sync.Mutex
	stop context.CancelFunc // of the Run that goes on
	done chan struct{}
}

// Open opens the replica in a folder of the app's own.
func Open(dir string, o *Options) (*Replica, error) {
	if o == nil {
		o = NewOptions()
	}
	opts := sambang.Options{Key: o.Key, Plain: o.Plain, MarkDir: o.MarkDir, App: o.App, Pack: pack.Timpora()}
	if o.Pack != "" {
		p, err := pack.Parse([]byte(o.Pack))
		if err != nil {
			return nil, coded(err)
		}
		opts.Pack = p
	}
	if o.Signer != nil {
		s, err := newSigner(o.Signer)
		if err != nil {
			return nil, coded(err)
		}
		opts.Signer = s
	}
	r, err := sambang.Open(dir, opts)
	if err != nil {
		return nil, coded(err)
	}
	return &Replica{r: r}, nil
}

// NewKey returns 32 random bytes for Options.Key, for the app to keep in its
// keystore.
func NewKey() ([]byte, error) {
	key := make([]byte, sambang.KeySize)
	_, err := rand.Read(key)
	return key, err
}

// Close stops a running sync and closes the file.
func (m *Replica) Close() error {
	m.Stop()
	return coded(m.r.Close())
}

// Enrol redeems an enrolment code.
func (m *Replica) Enrol(code, name string) error {
	return coded(m.r.Enrol(context.Background(), code, name))
}

// Create makes a record of a JSON object and returns its id.
func (m *Replica) Create(kind, region, fields string) (string, error) {
	f, err := parseFields(fields)
	if err != nil {
		return "", coded(err)
	}
	id, err := m.r.Create(kind, region, f)
	if err != nil {
		return "", coded(err)
	}
	return id.String(), nil
}

// Edit writes the members of a JSON object to a record; null removes a field.
func (m *Replica) Edit(id, changes string) error {
	return m.withID(id, func(id sambang.ID) error {
		f, err := parseFields(changes)
		if err != nil {
			return err
		}
		return m.r.Edit(id, func(d *sambang.Draft) error {
			for name, v := range f {
				d.Set(name, v)
			}
			return nil
		})
	})
}

// Get returns a record as JSON: id, kind, region, fields, deleted, conflicts,
// reviews, updated_at (Unix milliseconds), officer, agency, custody.
func (m *Replica) Get(id string) (string, error) {
	var out string
	err := m.withID(id, func(id sambang.ID) error {
		rec, err := m.r.Get(id)
		if err != nil {
			return err
		}
		text, err := json.Marshal(viewOf(rec))
		out = string(text)
		return err
	})
	return out, err
}

// List calls to with each record that the filter selects, as Get returns it.
// Empty texts select all.
func (m *Replica) List(kind, region string, deleted bool, to Lister) error {
	f := sambang.Filter{Kind: kind, Region: syncproto.Region(region), Deleted: deleted}
	for rec, err := range m.r.List(f) {
		if err != nil {
			return coded(err)
		}
		text, err := json.Marshal(viewOf(rec))
		if err != nil {
			return coded(err)
		}
		if !to.OnRecord(string(text)) {
			return nil
		}
	}
	return nil
}

// Lister gets the records of List, and returns whether it wants more.
type Lister interface{ OnRecord(record string) bool }

// Delete deletes a record.
func (m *Replica) Delete(id string) error { return m.withID(id, m.r.Delete) }

// Undelete takes a deletion back.
func (m *Replica) Undelete(id string) error { return m.withID(id, m.r.Undelete) }

// Move gives a record another home.
func (m *Replica) Move(id, region string) error {
	return m.withID(id, func(id sambang.ID) error { return m.r.Move(id, region) })
}

// Conflicts returns a record's conflicts as a JSON array.
func (m *Replica) Conflicts(id string) (string, error) {
	var out string
	err := m.withID(id, func(id sambang.ID) error {
		list, err := m.r.Conflicts(id)
		if err != nil {
			return err
		}
		if list == nil {
			list = []sambang.Conflict{}
		}
		text, err := json.Marshal(list)
		out = string(text)
		return err
	})
	return out, err
}

// Resolve decides a conflict with a JSON value.
func (m *Replica) Resolve(id, path, value string) error {
	return m.withID(id, func(id sambang.ID) error {
		v, err := syncproto.Canonicalize([]byte(value))
		if err != nil {
			return err
		}
		return m.r.Resolve(id, path, v)
	})
}

// NaturalID returns the id of the record that parts, a JSON array of texts,
// name in the region.
func (m *Replica) NaturalID(region, kind, parts string) (string, error) {
	var texts []string
	if err := json.Unmarshal([]byte(parts), &texts); err != nil {
		return "", coded(syncproto.Errorf(syncproto.CodeBadValue, "parts are not a JSON array of texts"))
	}
	id, err := m.r.NaturalID(region, kind, texts...)
	if err != nil {
		return "", coded(err)
	}
	return id.String(), nil
}

// CreateWith is Create with an id, such as NaturalID's.
func (m *Replica) CreateWith(id, kind, region, fields string) error {
	return m.withID(id, func(id sambang.ID) error {
		f, err := parseFields(fields)
		if err != nil {
			return err
		}
		return m.r.CreateWith(id, kind, region, f)
	})
}

// Custody returns on_phone, received or held.
func (m *Replica) Custody(id string) (string, error) {
	var out string
	err := m.withID(id, func(id sambang.ID) error {
		c, err := m.r.Custody(id)
		out = c.String()
		return err
	})
	return out, err
}

// Export returns all records as NDJSON.
func (m *Replica) Export() ([]byte, error) {
	var b bytes.Buffer
	err := m.r.Export(&b, sambang.Filter{Deleted: true})
	return b.Bytes(), coded(err)
}

func (m *Replica) withID(s string, fn func(sambang.ID) error) error {
	id, err := syncproto.ParseRecordID(s)
	if err != nil {
		return coded(err)
	}
	return coded(fn(id))
}

func parseFields(s string) (sambang.Fields, error) {
	var f sambang.Fields
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&f); err != nil {
		return nil, syncproto.Errorf(syncproto.CodeBadValue, "fields are not a JSON object")
	}
	return f, nil
}

type view struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind"`
	Region    string         `json:"region"`
	Fields    sambang.Fields `json:"fields"`
	Deleted   bool           `json:"deleted"`
	Conflicts []string       `json:"conflicts"`
	Reviews   []string       `json:"reviews"`
	UpdatedAt int64          `json:"updated_at"`
	Officer   string         `json:"officer"`
	Agency    string         `json:"agency"`
	Mine      bool           `json:"mine"`
	Custody   string         `json:"custody"`
}

func viewOf(r *sambang.Record) view {
	return view{
		ID: r.ID.String(), Kind: r.Kind, Region: string(r.Region), Fields: r.Fields, Deleted: r.Deleted,
		Conflicts: append([]string{}, r.Conflicts...), Reviews: append([]string{}, r.Reviews...),
		UpdatedAt: r.UpdatedAt.UnixMilli(), Officer: r.UpdatedBy.Officer, Agency: r.UpdatedBy.Agency, Mine: r.UpdatedBy.Mine,
		Custody: r.Custody.String(),
	}
}

// coded puts the code before the text, because a text is all that crosses to
// Java.
func coded(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(string(syncproto.CodeOf(err)) + ": " + err.Error())
}

// ErrorCode returns the stable code of an error's text, such as "offline".
func ErrorCode(message string) string {
	code, _, ok := strings.Cut(message, ": ")
	if !ok {
		return string(syncproto.CodeInternal)
	}
	return code
}

// ErrorText returns what to tell people about a code, in "id" or "en".
func ErrorText(code, language string) string {
	t := syncproto.Code(code).Text()
	if language == "en" {
		return t.English
	}
	return t.Indonesian
}
