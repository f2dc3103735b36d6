package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

//go:embed samples.jsonl
var samplesJSON []byte

// sample is one officer's visit, as the narrative has it.
type sample struct {
	ID           string          `json:"id"`
	Officer      string          `json:"officer"`
	Title        string          `json:"title"`
	Agency       string          `json:"agency"`
	Device       string          `json:"device"`
	Desa         string          `json:"desa_code"`
	CapturedAt   time.Time       `json:"captured_at"` // by the phone's clock
	ReceivedAt   time.Time       `json:"received_at"`
	OfflineHours float64         `json:"offline_hours"`
	SkewSeconds  int64           `json:"device_clock_skew_s"`
	Attempts     int             `json:"submission_attempts"`
	Scope        []string        `json:"device_scope"`
	Requires     []sampleRecord  `json:"requires"`
	Records      []sampleRecord  `json:"records"`
	Expect       json.RawMessage `json:"expect"`
}

type sampleRecord struct {
	Kind      string         `json:"kind"`
	ID        string         `json:"id"`
	Op        string         `json:"op"`
	BaseRev   int            `json:"base_rev"`
	Rev       int            `json:"rev"`
	Tombstone bool           `json:"tombstone"`
	Reason    string         `json:"reason"`
	Fields    map[string]any `json:"fields"`
}

// captured is when the visit really was: the phone's clock may be wrong.
func (s *sample) captured() time.Time {
	return s.CapturedAt.Add(-time.Duration(s.SkewSeconds) * time.Second)
}

func (s *sample) skew() time.Duration { return time.Duration(s.SkewSeconds) * time.Second }

func loadSamples() ([]*sample, error) {
	var out []*sample
	lines := bufio.NewScanner(bytes.NewReader(samplesJSON))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s := new(sample)
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(s); err != nil {
			return nil, fmt.Errorf("sample %d: %w", len(out)+1, err)
		}
		out = append(out, s)
	}
	return out, lines.Err()
}

// officer is one of the people of the samples, with the regencies that he
// works in.
type officer struct {
	id      string
	agency  string
	regions []string
}

func officers(samples []*sample) []officer {
	var out []officer
	for _, s := range samples {
		i := slices.IndexFunc(out, func(o officer) bool { return o.id == s.Officer })
		if i < 0 {
			out = append(out, officer{id: s.Officer, agency: s.Agency})
			i = len(out) - 1
		}
		regions := s.Scope
		if regions == nil {
			regions = []string{regency(s.Desa)}
		}
		for _, r := range regions {
			if !slices.Contains(out[i].regions, r) {
				out[i].regions = append(out[i].regions, r)
			}
		}
	}
	return out
}

// regency returns the regency of a village: 35.24.14.2011 lies in 35.24.
func regency(code string) string {
	parts := strings.SplitN(code, ".", 3)
	return parts[0] + "." + parts[1]
}
