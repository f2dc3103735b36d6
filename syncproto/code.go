package syncproto

import (
	"errors"
	"fmt"
)

// Code is the stable name of a refusal. It is an error, so callers branch
// with errors.Is(err, syncproto.CodeTooLarge); its texts for people are in
// [Code.Text]. A code is never renamed or reused.
type Code string

// Codes of a request that is refused whole.
const (
	CodeMalformed           Code = "malformed"
	CodeUnsupportedVersion  Code = "unsupported_version"
	CodeUnsupportedMedia    Code = "unsupported_media"
	CodeTooLarge            Code = "too_large"
	CodeDecompressedSize    Code = "decompressed_too_large"
	CodeTooMany             Code = "too_many"
	CodeTimeout             Code = "timeout"
	CodeRateLimited         Code = "rate_limited"
	CodeUnavailable         Code = "unavailable"
	CodeInternal            Code = "internal"
	CodeNotFound            Code = "not_found"
	CodeMethodNotAllowed    Code = "method_not_allowed"
	CodeFilterInvalid       Code = "filter_invalid"
	CodeCursorInvalid       Code = "cursor_invalid"
	CodeUnauthorized        Code = "unauthorized"
	CodeForbidden           Code = "forbidden"
	CodeTokenInvalid        Code = "token_invalid"
	CodeTokenExpired        Code = "token_expired"
	CodeTokenReplayed       Code = "token_replayed"
	CodeClockSkew           Code = "clock_skew"
	CodeWrongServer         Code = "wrong_server"
	CodeDeviceUnknown       Code = "device_unknown"
	CodeDeviceRevoked       Code = "device_revoked"
	CodeEnrolmentInvalid    Code = "enrolment_invalid"
	CodeEnrolmentUsed       Code = "enrolment_used"
	CodeEnrolmentExpired    Code = "enrolment_expired"
	CodeReplicaNotYours     Code = "replica_not_yours"
	CodeClaimInvalid        Code = "claim_invalid"
	CodeConflictingIdentity Code = "conflicting_identity"
)

// Codes of one item of a batch. The rest of the batch is not affected, and
// the item's bytes are kept.
const (
	CodeBadID        Code = "bad_id"
	CodeBadPath      Code = "bad_path"
	CodeBadValue     Code = "bad_value"
	CodeBadVector    Code = "bad_vector"
	CodeBadRecord    Code = "bad_record"
	CodeTooDeep      Code = "too_deep"
	CodeInvalidUTF8  Code = "invalid_utf8"
	CodeNeedFull     Code = "need_full"
	CodeTripwire     Code = "tripwire"
	CodeEquivocation Code = "equivocation"
	CodeForgedDot    Code = "forged_dot"
	CodeCounterJump  Code = "counter_jump"
	CodeScopeDenied  Code = "scope_denied"
	CodeBadScope     Code = "bad_scope"
	CodePurged       Code = "purged"
	CodeDamaged      Code = "record_damaged"
)

// Codes of the SDK.
const (
	CodeNoSpace       Code = "no_space"
	CodeCacheDamaged  Code = "cache_damaged"
	CodeCacheForeign  Code = "cache_foreign"
	CodeCacheNewer    Code = "cache_newer"
	CodeCacheWrongKey Code = "cache_wrong_key"
	CodeCacheInUse    Code = "cache_in_use"
	CodeCacheClosed   Code = "cache_closed"
	CodeNotEnrolled   Code = "not_enrolled"
	CodeOffline       Code = "offline"
	CodeHole          Code = "hole"
	CodeBadReceipt    Code = "bad_receipt"
	CodeBadResponse   Code = "bad_response"
	CodeBadPack       Code = "bad_pack"
	CodeKindUnknown   Code = "kind_unknown"
	CodeFieldUnknown  Code = "field_unknown"
)

// Codes of the operator's command.
const (
	CodeStoreAddress    Code = "store_address"
	CodeStoreIdentity   Code = "store_identity"
	CodeStoreBackup     Code = "store_backup"
	CodeStoreMoved      Code = "store_moved"
	CodeStoreUnfinished Code = "store_unfinished"
	CodeStoreOccupied   Code = "store_occupied"
	CodeStoreDamaged    Code = "store_damaged"
	CodeStoreDiffers    Code = "store_differs"
	CodeMoveDirection   Code = "move_direction"
	CodeStoreUpgrade    Code = "store_upgrade"
	CodeStoreRole       Code = "store_role"
)

// Error implements error with the English text.
func (c Code) Error() string { return string(c) + ": " + c.Text().English }

// Error is a refusal with what was wrong. The detail names shapes, limits and
// positions, never contents: it goes into logs and replies.
type Error struct {
	Code   Code
	Detail string
}

// Error returns "code: detail".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Is makes errors.Is(err, code) work.
func (e *Error) Is(target error) bool { return target == error(e.Code) }

// Errorf makes an [Error]. Format no personal data into it.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code that err carries, [CodeInternal] if it carries
// none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return CodeInternal
}
