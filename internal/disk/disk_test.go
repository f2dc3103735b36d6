package disk_test

import (
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/sambang-id/sambang/internal/disk"
)

type hand struct {
	io.Reader
	saw   []disk.Op
	apart bool
}

func (h *hand) Apart() bool { return h.apart }

func (h *hand) Durably(op disk.Op, do func() error) error {
	h.saw = append(h.saw, op)
	return do()
}

// lookalike is the most that an app can write: it can't name disk.Op.
type lookalike struct{ io.Reader }

func (lookalike) Durably(_ string, do func() error) error { return do() }
func (lookalike) Apart() bool                             { return true }

func TestOnlyAHandIsOne(t *testing.T) {
	for _, random := range []any{nil, rand.Reader, lookalike{rand.Reader}} {
		if disk.Of(random) != nil || disk.Apart(random) {
			t.Errorf("%T is taken for a hand", random)
		}
	}
	h := &hand{Reader: rand.Reader}
	failed := errors.New("the disk is full")
	if err := disk.Of(h)("commit", func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	if len(h.saw) != 1 || h.saw[0] != "commit" {
		t.Errorf("it saw %v", h.saw)
	}
	if disk.Apart(h) || !disk.Apart(&hand{apart: true}) {
		t.Error("a hand that wants commits apart is not told from one that does not")
	}
}
