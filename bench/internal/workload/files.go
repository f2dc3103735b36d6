package workload

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// ErrDiffers is returned by Verify when a file is not the workload's.
var ErrDiffers = errors.New("not the bytes of this workload")

// The files of a workload. Each is JSON lines, one object a line, with a line feed after the last.
const (
	InspectionsFile = "inspections.jsonl"
	ReconnectFile   = "reconnect.jsonl"
	ConflictsFile   = "conflicts.jsonl"
	ManifestFile    = "manifest.json"
)

// Manifest says what the files hold. Its JSON is the original's manifest.json.
type Manifest struct {
	Seed        uint32 `json:"seed"`
	N           int    `json:"n"`
	RecordBytes struct {
		Min    int `json:"min"`
		Median int `json:"median"`
		Max    int `json:"max"`
	} `json:"recordBytes"`
	Files struct {
		Inspections File `json:"inspections.jsonl"`
		Reconnect   File `json:"reconnect.jsonl"`
		Conflicts   File `json:"conflicts.jsonl"`
	} `json:"files"`
}

// File describes one file of a workload.
type File struct {
	Lines  int    `json:"lines"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // lower-case hex
}

// Manifest describes the files that Write would write.
func (s *Set) Manifest() Manifest {
	m := Manifest{Seed: s.Seed, N: len(s.Inspections)}
	sizes := make([]int, 0, len(s.Inspections))
	for _, r := range s.Inspections {
		sizes = append(sizes, len(r.JSON))
	}
	slices.Sort(sizes)
	m.RecordBytes.Min, m.RecordBytes.Median, m.RecordBytes.Max = sizes[0], sizes[len(sizes)/2], sizes[len(sizes)-1]
	for _, f := range s.files(&m) {
		f.entry.Lines = f.lines
		h := sha256.New()
		n, err := f.write(h)
		if err != nil {
			panic("workload: a hash refused bytes: " + err.Error())
		}
		f.entry.Bytes, f.entry.SHA256 = n, hex.EncodeToString(h.Sum(nil))
	}
	return m
}

// Write writes the three files and the manifest into dir, which it makes when it is missing, and
// reads them back. Files of the same names are replaced.
func (s *Set) Write(dir string) (Manifest, error) {
	m := s.Manifest()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, fmt.Errorf("write workload: %w", err)
	}
	for _, f := range s.files(&m) {
		if err := writeFile(filepath.Join(dir, f.name), f.write); err != nil {
			return m, fmt.Errorf("write workload: %w", err)
		}
	}
	text, err := m.text()
	if err != nil {
		return m, fmt.Errorf("write workload: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ManifestFile), text, 0o644); err != nil {
		return m, fmt.Errorf("write workload: %w", err)
	}
	return m, s.Verify(dir)
}

// Verify compares the files in dir, written by this package or by the original, with the set. The
// error of a file that differs is ErrDiffers and names the file and both hashes.
func (s *Set) Verify(dir string) error {
	m := s.Manifest()
	for _, f := range s.files(&m) {
		got, err := hashFile(filepath.Join(dir, f.name))
		if err != nil {
			return fmt.Errorf("verify workload: %w", err)
		}
		if got != f.entry.SHA256 {
			return fmt.Errorf("verify workload: %s: sha256 %s, want %s: %w", f.name, got, f.entry.SHA256, ErrDiffers)
		}
	}
	want, err := m.text()
	if err != nil {
		return fmt.Errorf("verify workload: %w", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return fmt.Errorf("verify workload: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("verify workload: %s: %w", ManifestFile, ErrDiffers)
	}
	return nil
}

func (m Manifest) text() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

type file struct {
	name  string
	entry *File
	lines int
	line  func(b []byte, i int) []byte
}

func (s *Set) files(m *Manifest) []file {
	return []file{
		{InspectionsFile, &m.Files.Inspections, len(s.Inspections), func(b []byte, i int) []byte { return append(b, s.Inspections[i].JSON...) }},
		{ReconnectFile, &m.Files.Reconnect, len(s.Reconnect), func(b []byte, i int) []byte { return s.Reconnect[i].AppendJSON(b) }},
		{ConflictsFile, &m.Files.Conflicts, len(s.Conflicts), func(b []byte, i int) []byte { return s.Conflicts[i].AppendJSON(b) }},
	}
}

// write returns the bytes written.
func (f file) write(w io.Writer) (int64, error) {
	var total int64
	var b []byte
	for i := range f.lines {
		b = append(f.line(b[:0], i), '\n')
		n, err := w.Write(b)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func writeFile(path string, write func(io.Writer) (int64, error)) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if _, err := write(w); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(w.Flush(), f.Close())
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
