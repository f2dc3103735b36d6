//go:build linux

package crash_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sambang-id/sambang/crash/recorder"
	"github.com/sambang-id/sambang/syncproto"
)

// note is what a workload says of itself.
type note struct {
	Kind string // what follows are the kinds
	Step int
	// States are of records, by their ids: what the step makes of them.
	States map[string]string `json:",omitempty"`
	// High is, for each own replica id, the highest counter in what was acknowledged.
	High map[syncproto.ReplicaID]uint64 `json:",omitempty"`
	Text string                         `json:",omitempty"`
	Now  int64                          `json:",omitempty"` // the clock, in milliseconds
}

const (
	noteBegin  = "begin"  // a step begins; Text is its name
	noteAck    = "ack"    // the product said that the step is done
	noteShown  = "shown"  // the phone shows these States, after an error: so they are on the disk, and no others
	noteCopy   = "copy"   // Text is a copy of the server's store, as it was after the phone's last request
	noteServed = "served" // the server serves these States, after an error: they are on the disk; its devices send the others again
	noteFail   = "fail"   // the product returned an error, Text
)

// absent is the state of a record that is not there.
const absent = "absent"

// stateOf sums up a record, so that equal states have equal contents.
func stateOf(value string, deleted bool) string {
	sum := sha256.Sum256([]byte(value))
	return fmt.Sprintf("%.8s… %d bytes %x deleted=%t", value, len(value), sum[:6], deleted)
}

// speaker writes notes. It is safe for concurrent use.
type speaker struct {
	mu   sync.Mutex
	file *os.File
	step int
}

func newSpeaker(mount string) (*speaker, error) {
	f, err := os.OpenFile(filepath.Join(mount, recorder.Notes), os.O_WRONLY|os.O_CREATE, 0o600)
	return &speaker{file: f}, err
}

func (s *speaker) say(n note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.Marshal(n)
	if err == nil {
		_, err = s.file.Write(text)
	}
	if err != nil {
		panic(err) // the recorder is broken
	}
}

// begin numbers a step.
func (s *speaker) begin(what string, states map[string]string) (step int) {
	s.mu.Lock()
	s.step++
	step = s.step
	s.mu.Unlock()
	s.say(note{Kind: noteBegin, Step: step, Text: what, States: states})
	return step
}

// promise is what a workload was told up to a moment.
type promise struct {
	legal map[string][]string // states of a record that it may have, the acknowledged one first
	begun map[int]note
	done  map[string]note // the last acknowledged step of each name
	high  map[syncproto.ReplicaID]uint64
	past  map[string]promise // as it was when the step of that name began
	copy  string             // of the server's store, after the phone's last request
	now   int64
	seed  uint64
}

// backups are the names of those that were acknowledged.
func (p *promise) backups() (names []string) {
	for what := range p.done {
		if name, ok := strings.CutPrefix(what, "backup "); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// with lets an earlier promise accept what came later: a backup is of some
// moment after it began.
func (p promise) with(later promise) promise {
	for id, s := range later.legal {
		p.legal[id] = append(slices.Clone(p.may(id)), s...)
	}
	p.done, p.seed = later.done, later.seed
	return p
}

// read adds up notes.
func read(notes []string, seed uint64) (promise, error) {
	p := promise{seed: seed, legal: map[string][]string{}, begun: map[int]note{}, done: map[string]note{}, high: map[syncproto.ReplicaID]uint64{}, past: map[string]promise{}}
	for _, text := range notes {
		var n note
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			return p, fmt.Errorf("note %q: %w", text, err)
		}
		p.add(n)
	}
	return p, nil
}

func (p *promise) add(n note) {
	p.now = max(p.now, n.Now)
	switch n.Kind {
	case noteBegin:
		p.begun[n.Step] = n
		p.past[n.Text] = promise{legal: maps.Clone(p.legal)}
		for id, s := range n.States {
			p.legal[id] = append(slices.Clone(p.may(id)), s)
		}
	case noteAck:
		begun := p.begun[n.Step]
		p.done[begun.Text] = n
		for id, s := range begun.States {
			p.from(id, s)
		}
		for r, high := range n.High {
			p.high[r] = max(p.high[r], high)
		}
	case noteCopy:
		p.copy = n.Text
	case noteServed:
		for id, s := range n.States {
			p.from(id, s)
		}
	case noteShown:
		for id, s := range n.States {
			p.legal[id] = []string{s}
		}
	}
}

// from makes a state of a record the oldest that it may have.
func (p *promise) from(id, state string) {
	if i := slices.Index(p.may(id), state); i >= 0 {
		p.legal[id] = slices.Clone(p.may(id)[i:])
	}
}

// may returns the states that a record may have.
func (p *promise) may(id string) []string {
	if s := p.legal[id]; s != nil {
		return s
	}
	return []string{absent}
}

// judge compares what a store has with what it may have.
func (p *promise) judge(has map[string]string) error {
	for id, s := range has {
		if !slices.Contains(p.may(id), s) {
			return fmt.Errorf("record %s is %s, acknowledged or under way: %q", id, s, p.may(id))
		}
	}
	for id := range p.legal {
		if _, ok := has[id]; !ok && !slices.Contains(p.may(id), absent) {
			return fmt.Errorf("record %s is lost, acknowledged or under way: %q", id, p.may(id))
		}
	}
	return nil
}
