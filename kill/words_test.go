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
