package wire_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func read(t *testing.T, body []byte, encoding string) ([]byte, error) {
	t.Helper()
	in, err := wire.NewBodyReader(bytes.NewReader(body), encoding)
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(in)
	if cerr := in.Close(); cerr != nil {
		t.Error(cerr)
	}
	if cerr := in.Close(); cerr != nil { // twice is as good
		t.Error(cerr)
	}
	return out, err
}

func compressed(t *testing.T, body []byte, options ...zstd.EOption) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	return e.EncodeAll(body, nil)
}

func TestBodiesOfAnySizeComeBack(t *testing.T) {
	long := frames(t, workload(500))
	for _, n := range []int{0, 1, 1000, wire.SmallBody - 1, wire.SmallBody, wire.SmallBody + 1, len(long)} {
		for name, write := range map[string]func(w *wire.BodyWriter, b []byte) error{
			"at once": func(w *wire.BodyWriter, b []byte) error { _, err := w.Write(b); return err },
			"in parts": func(w *wire.BodyWriter, b []byte) error {
				_, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(b)))
				return err
			},
			"flushed": func(w *wire.BodyWriter, b []byte) error {
				if _, err := w.Write(b[:n/2]); err != nil {
					return err
				}
				if err := w.Flush(); err != nil {
					return err
				}
				_, err := w.Write(b[n/2:])
				return err
			},
		} {
			var out bytes.Buffer
			w := wire.NewBodyWriter(&out)
			if err := write(w, long[:n]); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.Close(), w.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte{1}); err == nil {
				t.Error("written after Close")
			}
			if err := w.Flush(); err == nil {
				t.Error("flushed after Close")
			}
			got, err := read(t, out.Bytes(), " ZSTD ")
			if err != nil || !bytes.Equal(got, long[:n]) {
				t.Errorf("%d bytes %s: %d come back, %v", n, name, len(got), err)
			}
		}
	}
	if got, err := read(t, long, ""); err != nil || !bytes.Equal(got, long) {
		t.Errorf("uncompressed: %v", err)
	}
	if got, err := read(t, long, "identity"); err != nil || !bytes.Equal(got, long) {
		t.Errorf("identity: %v", err)
	}
}

func TestAFlushedPartCanBeReadBeforeTheRest(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	z := wire.NewBodyWriter(w)
	done := make(chan error, 1)
	go func() {
		_, err := z.Write([]byte("begin"))
		done <- errors.Join(err, z.Flush())
	}()
	in, err := wire.NewBodyReader(r, wire.EncodingZstd)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "begin" {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestHostileBodiesAreRefused(t *testing.T) {
	noise := make([]byte, syncproto.MaxBodyBytes+1)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(noise) // never fails
	good := compressed(t, frames(t, workload(3)))
	wide := compressed(t, bytes.Repeat(noise[:9<<20], 2), zstd.WithWindowSize(16<<20))
	dict, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(77, noise[:1000]))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body     []byte
		encoding string
		code     syncproto.Code
	}{
		"a bomb":                         {compressed(t, make([]byte, syncproto.MaxDecodedBytes+1)), "zstd", syncproto.CodeDecompressedSize},
		"a bomb of many frames":          {bytes.Repeat(compressed(t, make([]byte, 1<<20)), 40), "zstd", syncproto.CodeDecompressedSize},
		"a body too large as sent":       {compressed(t, noise), "zstd", syncproto.CodeTooLarge},
		"a body too large, uncompressed": {noise, "", syncproto.CodeTooLarge},
		"a window too wide":              {wide, "zstd", syncproto.CodeMalformed},
		"not zstd":                       {[]byte("hello, world"), "zstd", syncproto.CodeMalformed},
		"cut":                            {good[:len(good)-5], "zstd", syncproto.CodeMalformed},
		"damaged":                        {append(bytes.Clone(good[:40]), 0xff, 0xff, 0xff, 0xff), "zstd", syncproto.CodeMalformed},
		"a dictionary nobody knows":      {dict.EncodeAll(noise[:2000], nil), "zstd", syncproto.CodeMalformed},
		"gzip":                           {good, "gzip", syncproto.CodeUnsupportedMedia},
		"two encodings":                  {good, "zstd, zstd", syncproto.CodeUnsupportedMedia},
	} {
		got, err := read(t, c.body, c.encoding)
		if !errors.Is(err, c.code) {
			t.Errorf("%s: %d bytes, %v, want %s", name, len(got), err, c.code)
		}
		if len(got) > syncproto.MaxDecodedBytes {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	// Exactly the limits are allowed, and a pooled decoder is as good as new.
	if got, err := read(t, compressed(t, make([]byte, syncproto.MaxDecodedBytes)), "zstd"); err != nil || len(got) != syncproto.MaxDecodedBytes {
		t.Errorf("at the limit: %d bytes, %v", len(got), err)
	}
	if got, err := read(t, noise[1:], ""); err != nil || len(got) != syncproto.MaxBodyBytes {
		t.Errorf("at the limit, uncompressed: %d bytes, %v", len(got), err)
	}
	if _, err := read(t, good, "zstd"); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestAResponseHasNoLimitAsAWhole(t *testing.T) {
	body := compressed(t, make([]byte, syncproto.MaxDecodedBytes+1000))
	in, err := wire.NewResponseReader(bytes.NewReader(body), "zstd")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, in); err != nil || n != syncproto.MaxDecodedBytes+1000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Error("read after Close")
	}
}

// TestTheDictionaryIsTheProtocols: its bytes never change in version 1.
func TestTheDictionaryIsTheProtocols(t *testing.T) {
	b, err := os.ReadFile("dict/v1.zdict")
	if err != nil {
		t.Fatal(err)
	}
	const want = "46476c85e6f12deff32486d78b7fb679f757f8fc1fa230211603ac484b313d20"
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
		t.Errorf("dictionary is %x", sum)
	}
	info, err := zstd.InspectDictionary(b)
	if err != nil || info.ID() != 35241 {
		t.Errorf("%v", err)
	}
	body := frames(t, workload(1))
	plain := compressed(t, body, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if with := wire.CompressSmall(body); len(with) >= len(plain) {
		t.Errorf("%d bytes with it, %d without", len(with), len(plain))
	}
}
