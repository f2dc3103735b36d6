package kill_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	sambang "github.com/sambang-id/sambang/client-sdk"
)

const district = "35.24.14"

// version returns the contents of a record's n-th version. They follow from its
// author, its id and n, so whoever reads a record can tell whether it is what
// somebody wrote. Some are long enough to lie on several pages of a file.
func version(by string, id sambang.ID, n int) sambang.Fields {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", by, id, n))
	return sambang.Fields{
		"by": by, "n": strconv.Itoa(n), "name": "Penginapan " + hex.EncodeToString(sum[:8]),
		"body": strings.Repeat(hex.EncodeToString(sum[:]), 1+int(sum[0])%64),
	}
}

// versionOf returns which version a record's contents are; an error if they
// are none.
func versionOf(id sambang.ID, fields map[string]any) (by string, n int, err error) {
	by, _ = fields["by"].(string)
	text, _ := fields["n"].(string)
	n, err = strconv.Atoi(text)
	if err != nil || !reflect.DeepEqual(map[string]any(version(by, id, n)), fields) {
		return by, n, fmt.Errorf("record %s holds what nobody wrote: %.200v", id, fields)
	}
	return by, n, nil
}

// pulledVersions checks contents that came from another device. The name is in
// the main record and the rest, which the pack does not know, in a companion:
// two records, of which a device that was killed in a pull may have the one
// newer than the other. Each must be of some version.
func pulledVersions(id sambang.ID, fields map[string]any) error {
	const apart = 1000 // versions: more than anybody writes here in one pull
	by, _ := fields["by"].(string)
	text, _ := fields["n"].(string)
	n, err := strconv.Atoi(text)
	known := false
	for m := max(1, n-apart); m <= n+apart && !known; m++ {
		known = version(by, id, m)["name"] == fields["name"]
	}
	mixed := map[string]any(version(by, id, n))
	if mixed["name"] = fields["name"]; fields["name"] == nil { // the main record has not come yet
		delete(mixed, "name")
		known = true
	}
	switch {
	case len(fields) == 1 && fields["name"] != nil:
		return nil // the companion has not come yet
	case err != nil || !known || !reflect.DeepEqual(mixed, fields):
		return fmt.Errorf("record %s holds what nobody wrote: %.200v", id, fields)
	}
	return nil
}
