//go:build linux && ablate

package crash_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

// The controls: without one rule of durability, the suite must fail.

func TestAblatedSyncOfACommitIsNoticed(t *testing.T) {
	ablatetest.Caught(t, ablate.R01NoSync, "^TestNoCrashOfAPhoneLosesWhatWasSaved$", "-crash.images=400")
}

func TestAblatedSyncOfAFolderIsNoticed(t *testing.T) {
	ablatetest.Caught(t, ablate.R03DirSync, "^TestNoCrashOfAPhoneLosesWhatWasSaved$", "-crash.images=400")
}

func TestAblatedSyncOfTheServersLogIsNoticed(t *testing.T) {
	ablatetest.Caught(t, ablate.R02WALNormal, "^TestNoCrashOfAServerLosesWhatItSignedFor$", "-crash.images=200")
}

func TestAblatedFenceIsNoticed(t *testing.T) {
	ablatetest.Caught(t, ablate.R04CommitFence, "^TestAFailingDiskUnderAPhone$", "-crash.phonefaults=3")
}

// A cursor that moves before what it covers is stored loses records at a
// crash: the phone that goes on with its server shows it.
func TestAblatedCursorIsNoticed(t *testing.T) {
	ablatetest.Caught(t, ablate.A17CursorLast, "^TestNoCrashOfAPhoneLosesWhatWasSaved$", "-crash.images=1500")
}
