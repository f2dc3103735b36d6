package auth

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// KeyFile is the name of the identity's file in the server's data folder.
const KeyFile = "server.key"

// Identity is who the server is. Whoever has it can sign receipts and tokens
// in the server's name, so it belongs in a safe as a backup of its own, and
// not beside the database's backups.
type Identity struct {
	// ServerID is derived from the receipt key: tokens and receipts name it.
	ServerID string
	// ReceiptKey signs receipts and wipe orders; its public half is given to
	// each device when it is enrolled.
	ReceiptKey   ed25519.PrivateKey
	ReceiptKeyID string
	// TokenKey signs the tokens of people at headquarters.
	TokenKey   ed25519.PrivateKey
	TokenKeyID string
	// ProjectKey is the root of the keys for natural keys, 32 bytes.
	ProjectKey []byte
}

// keyFile is the form of the file. The server id is in it to be compared: a
// file in which one bit changed must not become another server.
type keyFile struct {
	Version     int    `json:"version"`
	Server      string `json:"server"`
	ReceiptSeed string `json:"receipt_seed"`
	TokenSeed   string `json:"token_seed"`
	ProjectKey  string `json:"project_key"`
}

// OpenIdentity reads the identity of the server whose data is in dir, and
// makes one if there is none: mode 0600, durable before it returns. When two
// processes make it at once, both get the same. A damaged file, or one that
// others can read, is an error and stays as it is.
func OpenIdentity(dir string, random io.Reader) (*Identity, error) {
	path := filepath.Join(dir, KeyFile)
	id, err := readIdentity(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if err := createIdentity(path, random); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readIdentity(path)
}

func readIdentity(path string) (*Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the server's identity: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the server's identity: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): change it to 0600, and make new keys if someone may have read it", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("read the server's identity: %w", err)
	}
	id, err := parseIdentity(text)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it from its backup; a new one would make every device and receipt foreign", path, err)
	}
	return id, nil
}

func parseIdentity(text []byte) (*Identity, error) {
	var k keyFile
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, errors.New("not the expected JSON") // the error could quote a key
	}
	if k.Version != 1 {
		return nil, fmt.Errorf("version %d, this program reads 1", k.Version)
	}
	receipt, ok1 := decode64(k.ReceiptSeed, ed25519.SeedSize)
	token, ok2 := decode64(k.TokenSeed, ed25519.SeedSize)
	project, ok3 := decode64(k.ProjectKey, 32)
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("a key has the wrong length")
	}
	id := newIdentity(receipt, token, project)
	if id.ServerID != k.Server {
		return nil, errors.New("the server id does not belong to the key")
	}
	return id, nil
}

func newIdentity(receiptSeed, tokenSeed, project []byte) *Identity {
	receipt, token := ed25519.NewKeyFromSeed(receiptSeed), ed25519.NewKeyFromSeed(tokenSeed)
	return &Identity{
		ServerID:     label("srv-", "sambang-server", receipt[ed25519.SeedSize:], 10),
		ReceiptKey:   receipt,
		ReceiptKeyID: label("rk-", "sambang-receipt-key", receipt[ed25519.SeedSize:], 5),
		TokenKey:     token,
		TokenKeyID:   label("tk-", "sambang-token-key", token[ed25519.SeedSize:], 5),
		ProjectKey:   project,
	}
}

// createIdentity writes a complete file under another name, and then links it:
// no reader ever sees half a key, and the second of two writers gets
// fs.ErrExist.
func createIdentity(path string, random io.Reader) error {
	seeds := make([]byte, 3*32)
	if _, err := io.ReadFull(random, seeds); err != nil {
		return fmt.Errorf("draw the server's keys: %w", err)
	}
	id := newIdentity(seeds[:32], seeds[32:64], seeds[64:])
	text, err := json.MarshalIndent(keyFile{
		Version: 1, Server: id.ServerID,
		ReceiptSeed: b64.EncodeToString(seeds[:32]), TokenSeed: b64.EncodeToString(seeds[32:64]), ProjectKey: b64.EncodeToString(seeds[64:]),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the server's identity: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), KeyFile+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("create the server's identity: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // linked under its name, or of no use
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write the server's identity: %w", err)
	}
	return nil
}

// syncFolder makes a new name in dir durable.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be opened for this there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
