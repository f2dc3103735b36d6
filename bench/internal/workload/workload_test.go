package workload_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/bench/internal/workload"
)

// The hashes are of the files that `node workload.js --n N --seed S` wrote.
func TestFilesAreTheOriginalsByteForByte(t *testing.T) {
	for _, tc := range []struct {
		name                              string
		o                                 workload.Options
		inspections, reconnect, conflicts string
	}{
		{"ten thousand records of seed 3524, the default", workload.Options{},
			"1e6d92fc82e3a0ce4cc3fcc1f73190ccecea853d3af4d483bc7bf59aec8d74bd",
			"0f46606625cbf8070845bb45bd7e25ce6467f77c29a6a0c493b3b6d781bb1751",
			"0dab16e45e88a864433061da0511a3504e95cec4236ad54844d4db2302e69ffa"},
		{"fifteen hundred records of the same seed", workload.Options{Records: 1500},
			"e9a80c67ea73be94f7449ae2aac887e70ba58614c5aab43893915aab382bb5e3",
			"9aba0ca604af92e57a98619666557540f873658753d3a69f1d92f9a9d448f16e",
			"0dab16e45e88a864433061da0511a3504e95cec4236ad54844d4db2302e69ffa"},
		{"fifteen hundred records of another seed", workload.Options{Records: 1500, Seed: 7},
			"76970284e31d86932466cd9832490d5474c9d960e8a7f377fd2b85e46e9ac64b",
			"e6c0c041564a614152c45c825ee901507449d17447fec5bbcdd371d05d0527e2",
			"8c19ac3bd598081d733d05d8a1f34072c1eca5aabc0f70e15db45610e13c1c99"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := generate(t, tc.o).Manifest()
			got := []string{m.Files.Inspections.SHA256, m.Files.Reconnect.SHA256, m.Files.Conflicts.SHA256}
			if diff := cmp.Diff([]string{tc.inspections, tc.reconnect, tc.conflicts}, got); diff != "" {
				t.Errorf("sha256 of inspections, reconnect, conflicts (-original +port):\n%s", diff)
			}
		})
	}
}

func TestManifestIsTheOriginals(t *testing.T) {
	dir := t.TempDir()
	if _, err := generate(t, workload.Options{Records: 1500, Seed: 7}).Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, workload.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "manifest-1500-7.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("manifest (-original +port):\n%s", diff)
	}
}

func TestVerifyNamesTheFileThatDiffers(t *testing.T) {
	set := generate(t, workload.Options{Records: 1500})
	for _, name := range []string{workload.InspectionsFile, workload.ReconnectFile, workload.ConflictsFile, workload.ManifestFile} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := set.Write(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
			err = set.Verify(dir)
			if !errors.Is(err, workload.ErrDiffers) || !bytes.Contains([]byte(err.Error()), []byte(name)) {
				t.Errorf("Verify of a damaged %s: %v", name, err)
			}
		})
	}
}

func TestRecordFieldsAgreeWithItsJSON(t *testing.T) {
	var first []byte
	for r := range workload.Records(50, 7) {
		if first == nil {
			first = r.JSON
		}
		m := r.Map()
		if m["id"] != r.ID || m["kind"] != r.Kind || m["region"] != r.Region {
			t.Fatalf("record %s (%s, %s): JSON says %v, %v, %v", r.ID, r.Kind, r.Region, m["id"], m["kind"], m["region"])
		}
		if id := r.UUID(); id[6]>>4 != 4 || id[8]>>6 != 2 {
			t.Errorf("record %s: UUID %x is not of version 4", r.ID, id)
		}
		var other map[string]any
		if err := json.Unmarshal(r.JSON, &other); err != nil {
			t.Fatal(err)
		}
		m["kind"] = "changed"
		if diff := cmp.Diff(other, r.Map()); diff != "" {
			t.Errorf("Map after a caller changed an earlier one (-want +got):\n%s", diff)
		}
	}
	for r := range workload.Records(1, 7) {
		if !bytes.Equal(r.JSON, first) {
			t.Error("a shorter run does not begin with the records of a longer one")
		}
	}
}

func TestRoundsTouchEachRecordOnceAndHaveTheStatedSizes(t *testing.T) {
	set := generate(t, workload.Options{Records: 1500})
	seen := map[string]bool{}
	for round := 1; round <= workload.Rounds; round++ {
		var made, edited int
		for _, c := range set.Round(round, workload.Client) {
			if c.Op == workload.New {
				made++
			} else {
				edited++
			}
		}
		server := set.Round(round, workload.Server)
		if made != workload.NewPerRound || edited != workload.EditsPerRound || len(server) != workload.ServerPerRound {
			t.Errorf("round %d: %d new, %d edits, %d of the server", round, made, edited, len(server))
		}
	}
	for _, c := range set.Reconnect {
		if seen[c.ID] {
			t.Errorf("record %s is touched twice", c.ID)
		}
		seen[c.ID] = true
	}
}

func TestGenerateRefusesFewerRecordsThanPairs(t *testing.T) {
	if _, err := workload.Generate(workload.Options{Records: workload.MinRecords - 1}); err == nil {
		t.Error("no error")
	}
	if _, err := workload.Generate(workload.Options{Records: workload.MinRecords}); err != nil {
		t.Error(err)
	}
}

func generate(t *testing.T, o workload.Options) *workload.Set {
	t.Helper()
	s, err := workload.Generate(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
