package hq

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// A cursor is one byte that names its use, its content, and 16 bytes of
// HMAC-SHA256 over both, as base64url. The MAC is not there to keep the content
// secret: it keeps a cursor of another server, or one that somebody mended by
// hand, from being taken for a position in this log.
const (
	pageCursor   = 'p'
	streamCursor = 's'
	inboxCursor  = 'i'

	macBytes = 16
	// maxCursor bounds a cursor as text: it has to fit into a request line.
	maxCursor = 12 << 10
)

func invalid(format string, args ...any) error {
	return syncproto.Errorf(syncproto.CodeCursorInvalid, format, args...)
}

func (s *Service) seal(use byte, content []byte) string {
	b := append([]byte{use}, content...)
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b)...))
}

func (s *Service) open(use byte, token string) ([]byte, error) {
	if len(token) > maxCursor {
		return nil, invalid("a cursor of more than %d bytes", maxCursor)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	// Decoding skips line breaks, which would give one cursor several texts.
	if err != nil || len(b) < 1+macBytes || len(token) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return nil, invalid("this is not a cursor")
	}
	body, mac := b[:len(b)-macBytes], b[len(b)-macBytes:]
	if !hmac.Equal(mac, s.mac(body)) {
		return nil, invalid("the cursor was not made by this server, or was changed")
	}
	if body[0] != use {
		return nil, invalid("the cursor belongs to another route, or to the other form of this one")
	}
	return body[1:], nil
}

func (s *Service) mac(b []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(b)
	return h.Sum(nil)[:macBytes]
}

func otherFilter() error {
	return invalid("the cursor belongs to another filter: keep the filter, or start without cursor")
}

// openFor opens a cursor whose content begins with the hash of its filter, and
// returns what follows.
func (s *Service) openFor(use byte, f Filter, token string) (parser, error) {
	b, err := s.open(use, token)
	if err != nil {
		return parser{}, err
	}
	p, h := parser{b: b}, f.hash()
	if string(p.take(len(h))) != string(h[:]) {
		return parser{}, otherFilter()
	}
	return p, nil
}

// pageToken is the position behind a page of the log.
func (s *Service) pageToken(f Filter, k store.LogKey) string {
	h := f.hash()
	b := binary.AppendVarint(h[:], k.UpdatedAt)
	b = binary.AppendUvarint(b, k.Seq)
	return s.seal(pageCursor, append(b, k.Scope...))
}

func (s *Service) openPage(f Filter, token string) (*store.LogKey, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // no cursor is the beginning
	}
	p, err := s.openFor(pageCursor, f, token)
	if err != nil {
		return nil, err
	}
	k := &store.LogKey{UpdatedAt: p.varint(), Seq: p.uvarint()}
	k.Scope, err = syncproto.ParseScope(string(p.b))
	if p.bad || err != nil {
		return nil, invalid("the cursor has no position")
	}
	return k, nil
}

// position is how far a stream has been read: per scope the sequence up to
// which all is covered.
type position struct {
	epoch [16]byte
	seqs  map[syncproto.Scope]uint64
}

// streamToken encodes a position in about five bytes a district: districts in
// order as differences, each with a mask of its classes and their sequences.
func (s *Service) streamToken(f Filter, p position) string {
	h := f.hash()
	b := append(h[:], p.epoch[:]...)
	byDistrict := map[uint64][3]uint64{}
	for scope, seq := range p.seqs {
		d, class := district(scope), classIndex(scope.Class())
		seqs := byDistrict[d]
		seqs[class] = seq
		byDistrict[d] = seqs
	}
	last := uint64(0)
	for _, d := range slices.SortedFunc(maps.Keys(byDistrict), cmp.Compare) {
		seqs := byDistrict[d]
		mask := byte(0)
		for i, seq := range seqs {
			if seq > 0 {
				mask |= 1 << i
			}
		}
		if mask == 0 {
			continue
		}
		b = append(binary.AppendUvarint(b, d-last), mask)
		for _, seq := range seqs {
			if seq > 0 {
				b = binary.AppendUvarint(b, seq)
			}
		}
		last = d
	}
	return s.seal(streamCursor, b)
}

func (s *Service) openStream(f Filter, token string) (position, error) {
	p := position{seqs: map[syncproto.Scope]uint64{}}
	if token == "" {
		return p, nil
	}
	in, err := s.openFor(streamCursor, f, token)
	if err != nil {
		return p, err
	}
	copy(p.epoch[:], in.take(len(p.epoch)))
	for d := uint64(0); len(in.b) > 0 && !in.bad; {
		d += in.uvarint()
		mask := in.take(1)
		for i, class := range classes {
			if len(mask) == 1 && mask[0]&(1<<i) != 0 {
				scope, err := syncproto.NewScope(regionOf(d), class)
				if err != nil {
					return p, invalid("the cursor names no district")
				}
				p.seqs[scope] = in.uvarint()
			}
		}
	}
	if in.bad {
		return p, invalid("the cursor has no position")
	}
	return p, nil
}

var classes = [3]syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ} //nolint:gochecknoglobals // constant

func classIndex(c syncproto.Class) int { return max(0, slices.Index(classes[:], c)) }

// district returns "35.24.14" as 352414.
func district(s syncproto.Scope) (n uint64) {
	for _, c := range []byte(s.Region()) {
		if c != '.' {
			n = n*10 + uint64(c-'0')
		}
	}
	return n
}

func regionOf(n uint64) syncproto.Region {
	t := strconv.FormatUint(n+1_000_000, 10)
	if len(t) != 7 || t[0] != '1' {
		return ""
	}
	return syncproto.Region(t[1:3] + "." + t[3:5] + "." + t[5:7])
}

// parser reads the content of a cursor that this server made; a mistake in it
// would be one of ours.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) take(n int) []byte {
	if len(p.b) < n {
		p.bad, p.b = true, nil
		return nil
	}
	out := p.b[:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	if n <= 0 {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[n:]
	return v
}
