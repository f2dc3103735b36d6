package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// headquarters reads the merged log over the API, as any program may.
type headquarters struct {
	url   string
	token string
}

// headquarters makes a reader of all of East Java. Its token is valid for real
// time, so the story's clock must have ended.
func (s *story) headquarters() (*headquarters, error) {
	token, err := s.server.Token(server.Person{
		Subject: "hq-demo", Role: server.Admin, Agency: "imigrasi", Regions: []syncproto.Region{"35"},
		Classes: []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ},
	}, 12*time.Hour)
	return &headquarters{s.url, token}, err
}

// entry is one merged record.
type entry struct {
	ID           string         `json:"id"`
	Kind         string         `json:"kind"`
	Region       string         `json:"region"`
	Agency       string         `json:"agency"`
	Officer      string         `json:"officer"`
	UpdatedAt    time.Time      `json:"updated_at"`
	Conflicts    int            `json:"conflicts"`
	Deleted      bool           `json:"deleted"`
	Purged       bool           `json:"purged"`
	SuspectClock bool           `json:"suspect_clock"`
	Doc          map[string]any `json:"doc"`
}

// written is one value of a field: who wrote it, and when.
type written struct {
	Value        json.RawMessage `json:"value"`
	WrittenAt    time.Time       `json:"written_at"`
	ReceivedAt   time.Time       `json:"received_at"`
	SuspectClock bool            `json:"suspect_clock"`
	Officer      string          `json:"officer"`
	Agency       string          `json:"agency"`
	Present      bool            `json:"present"`
	Shown        bool            `json:"shown"`
}

type field struct {
	Path     string    `json:"path"`
	Policy   string    `json:"policy"`
	Conflict bool      `json:"conflict"`
	Review   bool      `json:"review"`
	Why      string    `json:"why"`
	Values   []written `json:"values"`
	History  []written `json:"history"`
}

type computed struct {
	Field  string `json:"field"`
	Review bool   `json:"review"`
	Why    string `json:"why"`
	Values []struct {
		Value json.RawMessage `json:"value"`
	} `json:"values"`
}

// details is one record with all that is behind it.
type details struct {
	entry
	Fields   []field    `json:"fields"`
	Computed []computed `json:"computed_conflicts"`
}

// log streams the merged log.
func (h *headquarters) log(ctx context.Context) ([]entry, error) {
	resp, err := h.get(ctx, "/v1/log?deleted=true", "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	byID := map[string]int{}
	var out []entry
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var line struct {
			Entry *entry `json:"entry"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if line.Entry == nil {
			continue
		}
		if i, ok := byID[line.Entry.ID]; ok { // one line per part: the last wins
			out[i] = *line.Entry
			continue
		}
		byID[line.Entry.ID] = len(out)
		out = append(out, *line.Entry)
	}
	return out, lines.Err()
}

func (h *headquarters) record(ctx context.Context, id string) (d details, err error) {
	err = h.json(ctx, "/v1/records/"+url.PathEscape(id), &d)
	return d, err
}

// message is something that was received and not applied.
type message struct {
	Key    string `json:"key"`
	Scope  string `json:"scope"`
	Record string `json:"record"`
	Kind   string `json:"kind"`
	Device string `json:"device"`
	Code   string `json:"code"`
	State  string `json:"state"`
}

func (h *headquarters) inbox(ctx context.Context) ([]message, error) {
	var page struct {
		Messages []message `json:"messages"`
	}
	err := h.json(ctx, "/v1/inbox", &page)
	return page.Messages, err
}

// deviceStatus is how complete a device's work is here.
type deviceStatus struct {
	Officer  string `json:"officer"`
	Agency   string `json:"agency"`
	Claimed  uint64 `json:"claimed"`
	Held     uint64 `json:"held"`
	Missing  uint64 `json:"missing"`
	Complete bool   `json:"complete"`
}

func (h *headquarters) devices(ctx context.Context) ([]deviceStatus, error) {
	var page struct {
		Devices []deviceStatus `json:"devices"`
	}
	err := h.json(ctx, "/v1/devices", &page)
	return page.Devices, err
}

func (h *headquarters) json(ctx context.Context, path string, out any) error {
	resp, err := h.get(ctx, path, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

func (h *headquarters) get(ctx context.Context, path, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s: %s", path, resp.Status, text)
	}
	return resp, nil
}
