package httpapi

import (
	"net/http"

	"github.com/sambang-id/sambang/syncproto"
)

// StatusOf returns the HTTP status of a refusal; 500 for a code without one.
func StatusOf(code syncproto.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// statuses is the one table from codes to statuses. Codes of single items are
// in it for the tools at headquarters: in an exchange they refuse no request.
//
//nolint:gochecknoglobals // a table, never written to
var statuses = map[syncproto.Code]int{
	syncproto.CodeMalformed:           http.StatusBadRequest,
	syncproto.CodeUnsupportedVersion:  http.StatusUpgradeRequired,
	syncproto.CodeUnsupportedMedia:    http.StatusUnsupportedMediaType,
	syncproto.CodeTooLarge:            http.StatusRequestEntityTooLarge,
	syncproto.CodeDecompressedSize:    http.StatusRequestEntityTooLarge,
	syncproto.CodeTooMany:             http.StatusRequestEntityTooLarge,
	syncproto.CodeTimeout:             http.StatusRequestTimeout,
	syncproto.CodeRateLimited:         http.StatusTooManyRequests,
	syncproto.CodeUnavailable:         http.StatusServiceUnavailable,
	syncproto.CodeInternal:            http.StatusInternalServerError,
	syncproto.CodeNotFound:            http.StatusNotFound,
	syncproto.CodeMethodNotAllowed:    http.StatusMethodNotAllowed,
	syncproto.CodeFilterInvalid:       http.StatusBadRequest,
	syncproto.CodeCursorInvalid:       http.StatusBadRequest,
	syncproto.CodeUnauthorized:        http.StatusUnauthorized,
	syncproto.CodeForbidden:           http.StatusForbidden,
	syncproto.CodeTokenInvalid:        http.StatusUnauthorized,
	syncproto.CodeTokenExpired:        http.StatusUnauthorized,
	syncproto.CodeTokenReplayed:       http.StatusUnauthorized,
	syncproto.CodeClockSkew:           http.StatusUnauthorized,
	syncproto.CodeWrongServer:         http.StatusUnauthorized,
	syncproto.CodeDeviceUnknown:       http.StatusUnauthorized,
	syncproto.CodeDeviceRevoked:       http.StatusForbidden,
	syncproto.CodeEnrolmentInvalid:    http.StatusForbidden,
	syncproto.CodeEnrolmentUsed:       http.StatusConflict,
	syncproto.CodeEnrolmentExpired:    http.StatusGone,
	syncproto.CodeReplicaNotYours:     http.StatusForbidden,
	syncproto.CodeClaimInvalid:        http.StatusForbidden,
	syncproto.CodeConflictingIdentity: http.StatusConflict,

	syncproto.CodeBadID:        http.StatusUnprocessableEntity,
	syncproto.CodeBadPath:      http.StatusUnprocessableEntity,
	syncproto.CodeBadValue:     http.StatusUnprocessableEntity,
	syncproto.CodeBadVector:    http.StatusUnprocessableEntity,
	syncproto.CodeBadRecord:    http.StatusUnprocessableEntity,
	syncproto.CodeTooDeep:      http.StatusUnprocessableEntity,
	syncproto.CodeInvalidUTF8:  http.StatusUnprocessableEntity,
	syncproto.CodeNeedFull:     http.StatusConflict,
	syncproto.CodeTripwire:     http.StatusConflict,
	syncproto.CodeEquivocation: http.StatusConflict,
	syncproto.CodeForgedDot:    http.StatusForbidden,
	syncproto.CodeCounterJump:  http.StatusUnprocessableEntity,
	syncproto.CodeScopeDenied:  http.StatusForbidden,
	syncproto.CodeBadScope:     http.StatusUnprocessableEntity,
	syncproto.CodePurged:       http.StatusGone,
	syncproto.CodeDamaged:      http.StatusInternalServerError,

	// The SDK's own; a server that has one to tell has failed.
	syncproto.CodeNoSpace:       http.StatusInsufficientStorage,
	syncproto.CodeCacheDamaged:  http.StatusInternalServerError,
	syncproto.CodeCacheForeign:  http.StatusInternalServerError,
	syncproto.CodeCacheNewer:    http.StatusInternalServerError,
	syncproto.CodeCacheWrongKey: http.StatusInternalServerError,
	syncproto.CodeCacheInUse:    http.StatusInternalServerError,
	syncproto.CodeCacheClosed:   http.StatusInternalServerError,
	syncproto.CodeNotEnrolled:   http.StatusInternalServerError,
	syncproto.CodeOffline:       http.StatusInternalServerError,
	syncproto.CodeHole:          http.StatusInternalServerError,
	syncproto.CodeBadReceipt:    http.StatusInternalServerError,
	syncproto.CodeBadResponse:   http.StatusInternalServerError,
	syncproto.CodeBadPack:       http.StatusInternalServerError,
	syncproto.CodeKindUnknown:   http.StatusUnprocessableEntity,
	syncproto.CodeFieldUnknown:  http.StatusUnprocessableEntity,

	// The operator's command's; no request meets them.
	syncproto.CodeStoreAddress:    http.StatusInternalServerError,
	syncproto.CodeStoreIdentity:   http.StatusInternalServerError,
	syncproto.CodeStoreBackup:     http.StatusNotImplemented,
	syncproto.CodeStoreMoved:      http.StatusServiceUnavailable,
	syncproto.CodeStoreUnfinished: http.StatusServiceUnavailable,
	syncproto.CodeStoreOccupied:   http.StatusInternalServerError,
	syncproto.CodeStoreDamaged:    http.StatusInternalServerError,
	syncproto.CodeStoreDiffers:    http.StatusInternalServerError,
	syncproto.CodeMoveDirection:   http.StatusInternalServerError,
	syncproto.CodeStoreUpgrade:    http.StatusInternalServerError,
	syncproto.CodeStoreRole:       http.StatusInternalServerError,
}
